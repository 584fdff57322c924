//! What ingress-nginx does with an Ingress, where this gateway does something else.

use resource::PathType;

use crate::case::Case;
use crate::controller::Controller;
use crate::difference::{Difference, Effect};
use crate::given::Given;
use crate::kind::DifferenceKind as Is;
use crate::neighbours::is_prefix;
use crate::schemes::{redirected_from, redirects_to_https};
use crate::settings::Settings;

/// What is different because of what is written.
pub(crate) fn differences(case: &Case<'_>) -> Vec<Difference> {
    let mut found = Vec::new();
    https_redirect(case, &mut found);
    hsts(case, &mut found);
    paths(case, &mut found);
    host_wide(case, &mut found);
    found
}

/// A certificate is enough for a redirect to https, unless an annotation or the ConfigMap says otherwise.
fn https_redirect(case: &Case<'_>, found: &mut Vec<Difference>) {
    let says = |name: &str| case.says(&format!("nginx.ingress.kubernetes.io/{name}"));
    if !redirects_to_https(case) || case.doors.is_empty() {
        return;
    }
    let (effect, message) = match redirected_from(case) {
        Some(door) => (
            Effect::Note,
            format!("there, plain HTTP is redirected to https (308) because of `spec.tls`; here door {door} does so"),
        ),
        // Where it is written, the annotation does it here too, at doors with plain HTTP.
        None if says("ssl-redirect") || says("force-ssl-redirect") => return,
        None => (
            Effect::Differs,
            "there, plain HTTP is redirected to https (308) because of `spec.tls`; here no door redirects to its own: set \
             `redirect` of the door with plain HTTP"
                .to_owned(),
        ),
    };
    found.push(Difference::new(
        Is::HttpsRedirectDefault,
        "",
        effect,
        "spec.tls",
        message,
    ));
}

/// HSTS is on by default, for a year and with subdomains.
fn hsts(case: &Case<'_>, found: &mut Vec<Difference>) {
    let is_off = case
        .settings
        .nginx("hsts")
        .is_some_and(|value| value.trim() == "false");
    let sends = |key: &str| {
        let value = case.annotation(key).unwrap_or_default().to_ascii_lowercase();
        value.contains("strict-transport-security") || value.trim() == "on"
    };
    let is_sent = sends("blastdoor.dev/security-headers") || sends("blastdoor.dev/response-headers");
    if case.ingress.tls.is_empty() || is_off || is_sent {
        return;
    }
    let message = "there, answers over https carry `Strict-Transport-Security: max-age=31536000; includeSubDomains`; here they \
                   do not: write `blastdoor.dev/response-headers` or `blastdoor.dev/security-headers`, or let the backend send it";
    found.push(Difference::new(
        Is::HstsDefault,
        "",
        Effect::Differs,
        "spec.tls",
        message,
    ));
}

fn paths(case: &Case<'_>, found: &mut Vec<Difference>) {
    for (rule, index) in case.ingress.rules.iter().zip(0..) {
        let host_has_regexes = rule
            .host
            .as_ref()
            .is_ok_and(|host| case.neighbours.at(host).iter().any(|path| path.makes_regexes));
        // Then nothing of the following holds.
        if host_has_regexes {
            continue;
        }
        for (path, place) in rule.paths.iter().zip(0..) {
            let field = format!("spec.rules[{index}].http.paths[{place}].path");
            let written = &path.written;
            let Some(path_type) = path.path_type else { continue };
            if path_type == PathType::ImplementationSpecific && written.len() > 1 && !written.ends_with('/') {
                let message = format!(
                    "there, ImplementationSpecific `{written}` answers for all that begins with these characters, \
                     `{written}x` too; here it is Prefix, by whole elements"
                );
                found.push(Difference::new(
                    Is::PathCharacters,
                    "ingress-nginx",
                    Effect::Differs,
                    &field,
                    message,
                ));
            }
            if is_prefix(path) && written.len() > 1 && written.ends_with('/') {
                let stem = written.trim_end_matches('/');
                let message = format!(
                    "there, a request for `{stem}` is redirected to `{written}` (301); here the path answers for both"
                );
                found.push(Difference::new(
                    Is::PathTrailingSlash,
                    "ingress-nginx",
                    Effect::Differs,
                    &field,
                    message,
                ));
            }
        }
    }
}

/// One regular expression turns all paths of its host into such, in every Ingress.
fn host_wide(case: &Case<'_>, found: &mut Vec<Difference>) {
    for (rule, index) in case.ingress.rules.iter().zip(0..) {
        let Ok(host) = &rule.host else { continue };
        let mut makers: Vec<String> = case
            .neighbours
            .beside(case.ingress, host)
            .filter(|neighbour| neighbour.makes_regexes && *neighbour.controller == Controller::IngressNginx)
            .map(|neighbour| neighbour.ingress.to_string())
            .collect();
        makers.sort();
        makers.dedup();
        if makers.is_empty() {
            continue;
        }
        let message = format!(
            "there, its paths are regular expressions without regard to case, and match all that begins so, because {} has \
             `use-regex` or `rewrite-target` for the same host; here they stay what is written",
            makers.join(" and ")
        );
        found.push(Difference::new(
            Is::PathRegexHostWide,
            "",
            Effect::Differs,
            format!("spec.rules[{index}].host"),
            message,
        ));
    }
}

/// What is different for all Ingresses.
pub(crate) fn defaults(given: &Given<'_>, settings: &Settings<'_>) -> Vec<(Is, String)> {
    let mut all = Vec::new();
    let body = settings.nginx("proxy-body-size").unwrap_or("1m");
    let doors = |tell: fn(&crate::facts::DoorFacts<'_>) -> String| {
        let told = given
            .doors
            .iter()
            .map(|door| format!("{}: {}", door.name, tell(door)));
        told.collect::<Vec<_>>().join(", ")
    };
    all.push((
        Is::BodySizeDefault,
        format!(
            "bodies of requests may have {body} there without `proxy-body-size` (413 beyond it); here what the door's \
             `limits.body` says ({})",
            doors(|door| door.body.map_or("unlimited".to_owned(), |bytes| format!("{bytes} bytes")))
        ),
    ));
    let seconds = |key: &str, default: &str| {
        settings
            .nginx(key)
            .unwrap_or(default)
            .trim_end_matches('s')
            .to_owned()
    };
    all.push((
        Is::TimeoutsDefault,
        format!(
            "without annotations, a backend has {} s to accept a connection, {} s between two reads and {} s between two \
             writes there; here the door's `timeouts` ({})",
            seconds("proxy-connect-timeout", "5"),
            seconds("proxy-read-timeout", "60"),
            seconds("proxy-send-timeout", "60"),
            doors(|door| format!(
                "connect {} s, read {} s, write {} s",
                door.connect.as_secs(),
                door.read.as_secs(),
                door.send.as_secs()
            ))
        ),
    ));
    all.push((
        Is::BufferingDefault,
        "the bodies of requests are gathered before the backend sees any of them there, and streamed here: a slow client \
         holds a connection to the backend, which also sees uploads that are broken off"
            .to_owned(),
    ));
    all.push((
        Is::PathNormalisation,
        "`//`, `.` and `..` are resolved there before paths are matched; here a path with `..` is refused (400), and `//` is \
         no `/`"
            .to_owned(),
    ));
    all.push((
        Is::ForwardedFields,
        "`X-Forwarded-Scheme`, `X-Scheme` and `X-Original-Forwarded-For` are not sent here; `X-Forwarded-Proto` and `-Port` \
         are those of the door"
            .to_owned(),
    ));
    all.push((
        Is::Retries,
        "a request that fails goes to the next endpoint there on errors and timeouts (`proxy-next-upstream`); here only where \
         it is certain that nobody has seen it, or where it is idempotent"
            .to_owned(),
    ));
    all
}
