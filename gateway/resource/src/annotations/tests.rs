//! Annotations in all their spellings: what is read, what closes, what is reported.

mod backends;
mod basic_auth;
mod choosing;
mod fields;
mod forward_auth;
mod limits;
mod middlewares;
mod redirects;
mod tuning;

use std::collections::{BTreeMap, BTreeSet};

use super::keys::is_ours;
use super::row::{Effect, Row};
use super::table::{SUBJECTS, ingress_rows, service_rows};
use super::{Annotations, ingress_annotations, service_annotations};
use crate::filter_spec::FilterSpec;
use crate::protocol::AppProtocol;
use crate::reporter::{Reporter, UnreadableFields};

fn read(pairs: &[(&str, &str)]) -> (Annotations, Vec<String>) {
    let raw = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let (unreadable, mut problems) = (UnreadableFields::default(), Vec::new());
    let object = crate::ObjectRef::global(crate::Kind::Ingress, "x");
    let mut report = Reporter::new(object, &unreadable, &mut problems);
    let annotations = ingress_annotations(&raw, "shop", &mut report);
    // What differs from where an annotation comes from is in its row, and has a test of its own.
    problems.retain(|problem| problem.topic != crate::Topic::FilterDiffers);
    let reported = problems
        .into_iter()
        .map(|problem| format!("{}: {}", problem.severity.as_str(), problem.message));
    (annotations, reported.collect())
}

fn nginx(name: &str, value: &str) -> (Annotations, Vec<String>) {
    read(&[(&format!("nginx.ingress.kubernetes.io/{name}"), value)])
}

#[test]
fn annotations_of_other_programs_are_ignored() {
    let pairs = [
        ("cert-manager.io/issuer", "x"),
        ("nginx.org/rewrites", "\n"),
        ("ingress.kubernetes.io/auth-url", ""),
    ];
    assert_eq!(read(&pairs), (Annotations::default(), Vec::new()));
}

#[test]
fn either_spelling_of_ssl_redirect_redirects_and_an_unreadable_one_closes() {
    let table = [
        ("true", true, 0),
        ("1", true, 0),
        ("false", false, 0),
        ("F", false, 0),
        // A demand for transport security that cannot be understood must not be dropped.
        ("yes", false, 1),
        ("", false, 1),
    ];
    for (value, redirect, closes) in table {
        for name in ["ssl-redirect", "force-ssl-redirect"] {
            let (annotations, reported) = nginx(name, value);
            let specs = annotations.filters.iter().map(|filter| &filter.spec);
            let expected: &[FilterSpec] = if redirect {
                &[FilterSpec::HttpsRedirect]
            } else {
                &[]
            };
            assert!(specs.eq(expected), "{name}: {value}");
            assert_eq!(annotations.closes.len(), closes, "{name}: {value}");
            assert_eq!(reported.len(), closes, "{name}: {value}");
        }
    }
    let either = [
        ("nginx.ingress.kubernetes.io/force-ssl-redirect", "true"),
        ("nginx.ingress.kubernetes.io/ssl-redirect", "false"),
    ];
    assert_eq!(read(&either).0.filters.len(), 1);
    let both = either.map(|(key, _)| (key, "true"));
    assert_eq!(read(&both).0.filters.len(), 1, "said twice");
}

#[test]
fn protection_that_cannot_be_given_closes() {
    let closing = [
        ("auth-url", "https://$host/"),
        ("auth-type", "basic"),
        ("auth-tls-secret", "shop/ca"),
        ("auth-tls-verify-client", "on"),
        ("whitelist-source-range", ""),
        ("whitelist-source-range", "0.0.0.0/0,::/0,"),
        ("limit-connections", "5"),
        ("enable-modsecurity", "true"),
        ("modsecurity-snippet", "SecRuleEngine On"),
        ("satisfy", "any"),
        ("proxy-ssl-verify", "maybe"),
        ("proxy-ssl-secret", "other/name"),
        ("proxy-ssl-conf-command", "x"),
        ("backend-protocol", "AUTO_HTTP"),
        ("backend-protocol", "FCGI"),
        ("secure-backends", "yes"),
        ("canary", "maybe"),
        ("affinity", "ip"),
        ("upstream-hash-by", "$nothing"),
        ("custom-http-errors", "200"),
        ("default-backend", "other/web"),
        ("ssl-passthrough", "yes"),
    ];
    for (name, value) in closing {
        let (annotations, reported) = nginx(name, value);
        assert_eq!(annotations.closes.len(), 1, "{name}: {value}");
        assert_eq!(
            &*annotations.closes[0].annotation,
            format!("nginx.ingress.kubernetes.io/{name}")
        );
        assert_eq!(reported.len(), 1);
        assert!(
            reported[0].starts_with("error: ") && reported[0].ends_with("; closed (503)"),
            "{reported:?}"
        );
    }
}

#[test]
fn values_equal_to_the_default_behaviour_are_not_reported() {
    let table = [
        ("secure-backends", "false"),
        ("proxy-ssl-protocols", "TLSv1.2 TLSv1.3"),
        ("proxy-buffering", "off"),
        ("proxy-request-buffering", "off"),
        ("proxy-http-version", "1.1"),
        ("enable-access-log", "true"),
        ("ssl-passthrough", "false"),
        ("use-regex", "false"),
        ("canary", "false"),
        ("enable-cors", "false"),
        ("enable-modsecurity", "false"),
        ("whitelist-source-range", "0.0.0.0/0,::/0"),
        ("whitelist-source-range", "::/0, 0.0.0.0/0"),
        ("allowlist-source-range", " 0.0.0.0/0 , ::/0 "),
    ];
    for (name, value) in table {
        assert_eq!(
            nginx(name, value),
            (Annotations::default(), Vec::new()),
            "{name}: {value}"
        );
    }
}

#[test]
fn ignored_annotations_get_a_warning() {
    let table = [
        (
            "proxy-buffering",
            "on",
            "warning: ignored: bodies are always streamed",
        ),
        (
            "proxy-buffer-size",
            "8k",
            "warning: ignored: bodies are always streamed",
        ),
        (
            "enable-websockets",
            "true",
            "warning: ignored: no such annotation exists; WebSocket always works",
        ),
    ];
    for (name, value, message) in table {
        assert_eq!(
            nginx(name, value),
            (Annotations::default(), vec![message.to_owned()]),
            "{name}"
        );
    }
}

#[test]
fn an_unknown_key_is_ignored_unless_it_may_be_a_misspelt_protection() {
    for (key, told) in [
        ("blastdoor.dev/sparkle", "may ask for protection"),
        (
            "blastdoor.dev/appp-root",
            "misspelling of `blastdoor.dev/app-root`",
        ),
        (
            "blastdoor.dev/whitelist-source-range",
            "did you mean `nginx.ingress.kubernetes.io/whitelist-source-range`?",
        ),
        ("blastdoor.dev/jwt-issuer", "not supported yet"),
        ("blastdoor.dev/client-cert", "not supported yet"),
        ("blastdoor.dev/in-flight", "not supported yet"),
        (
            "nginx.ingress.kubernetes.io/deny-list",
            "did you mean `blastdoor.dev/deny`?",
        ),
        (
            "traefik.ingress.kubernetes.io/basic-auth",
            "did you mean `blastdoor.dev/basic-auth`?",
        ),
    ] {
        let (annotations, reported) = read(&[(key, "1")]);
        assert_eq!(annotations.closes.len(), 1, "{key}");
        assert!(reported[0].contains(told), "{key}: {reported:?}");
    }
    for (key, closes) in [
        ("deny", 1),
        ("forward-auth", 1),
        ("app-root", 0),
        ("health-check", 0),
    ] {
        let raw = BTreeMap::from([(format!("blastdoor.dev/{key}"), "1".to_owned())]);
        let (unreadable, mut problems) = (UnreadableFields::default(), Vec::new());
        let object = crate::ObjectRef::global(crate::Kind::Service, "x");
        let mut report = Reporter::new(object, &unreadable, &mut problems);
        let parsed = service_annotations(&raw, &route::ObjectKey::new("shop", "web"), &mut report);
        assert_eq!((parsed.closes.len(), problems.len()), (closes, 1), "{key}");
    }
    assert_eq!(
        nginx("sparkle", "1"),
        (
            Annotations::default(),
            vec!["warning: unknown annotation; it is ignored".to_owned()]
        )
    );
    assert_eq!(
        nginx("proxy-read-timeouts", "1"),
        (
            Annotations::default(),
            vec![
                "warning: unknown annotation, which is ignored; did you mean \
                  `nginx.ingress.kubernetes.io/proxy-read-timeout`?"
                    .to_owned()
            ]
        )
    );
    let (annotations, reported) = nginx("whitelist-source-ranges", "10.0.0.0/8");
    assert_eq!(
        annotations.closes.len(),
        1,
        "a misspelt allow list is not a missing one"
    );
    assert_eq!(
        reported,
        ["error: unknown annotation, which may be a misspelling of \
          `nginx.ingress.kubernetes.io/whitelist-source-range`; closed (503)"]
    );
}

#[test]
fn numbers_have_no_sign() {
    let table = [
        ("5", Some(5)),
        ("+5", None),
        ("-5", None),
        ("", None),
        ("256", None),
    ];
    for (text, number) in table {
        assert_eq!(super::value::digits::<u8>(text), number, "{text}");
    }
}

#[test]
fn snippets_close_unless_ignored_explicitly() {
    let snippet = ("nginx.ingress.kubernetes.io/configuration-snippet", "deny all;\n");
    let (annotations, reported) = read(&[snippet]);
    assert_eq!(annotations.closes.len(), 1);
    assert_eq!(
        reported,
        [
            "error: configuration of nginx, which this gateway does not run; remove it, or set \
          `blastdoor.dev/ignore-snippets: \"true\"`; closed (503)"
        ]
    );
    let (annotations, reported) = read(&[snippet, ("blastdoor.dev/ignore-snippets", "true")]);
    assert_eq!(annotations, Annotations::default());
    assert_eq!(
        reported,
        ["note: the snippet is ignored, because of `blastdoor.dev/ignore-snippets`"]
    );
    let (annotations, reported) = read(&[snippet, ("blastdoor.dev/ignore-snippets", "perhaps")]);
    assert_eq!(annotations.closes.len(), 1);
    assert_eq!(reported.len(), 2);
    let auth = ("nginx.ingress.kubernetes.io/auth-url", "http://$host");
    let (annotations, _) = read(&[auth, ("blastdoor.dev/ignore-snippets", "true")]);
    assert_eq!(annotations.closes.len(), 1, "it concerns snippets alone");
}

#[test]
fn annotations_of_traefik_are_read() {
    let traefik =
        |name: &str, value: &str| read(&[(&format!("traefik.ingress.kubernetes.io/{name}"), value)]);
    let (annotations, reported) = traefik("router.entrypoints", "internal-http, external-http,");
    assert_eq!(
        annotations.entrypoints,
        ["internal-http".into(), "external-http".into()] as [Box<str>; 2]
    );
    assert_eq!(reported, [""; 0]);
    assert_eq!(
        traefik("router.entrypoints", " ,"),
        (
            Annotations::default(),
            vec!["warning: names no door; it is ignored".to_owned()]
        )
    );
    assert_eq!(
        traefik("router.tls.options", "shop-mtls@kubernetescrd")
            .0
            .closes
            .len(),
        1
    );
    assert_eq!(
        traefik("router.tls", "true"),
        (Annotations::default(), Vec::new())
    );
    assert_eq!(traefik("router.observability.metrics", "false").0.closes.len(), 0);
}

#[test]
fn annotations_of_services_are_read() {
    let read = |name: &str, value: &str| {
        let raw = BTreeMap::from([(format!("traefik.ingress.kubernetes.io/{name}"), value.to_owned())]);
        let (unreadable, mut problems) = (UnreadableFields::default(), Vec::new());
        let object = crate::ObjectRef::global(crate::Kind::Service, "x");
        let parsed = service_annotations(
            &raw,
            &route::ObjectKey::new("shop", "web"),
            &mut Reporter::new(object, &unreadable, &mut problems),
        );
        (parsed.scheme, parsed.closes.len(), problems.len())
    };
    assert_eq!(
        read("service.serversscheme", "http"),
        (Some(AppProtocol::Http), 0, 0)
    );
    assert_eq!(
        read("service.serversscheme", "https"),
        (Some(AppProtocol::Https), 0, 0)
    );
    assert_eq!(
        read("service.serversscheme", "h2c"),
        (Some(AppProtocol::H2c), 0, 0)
    );
    assert_eq!(read("service.serversscheme", "ftp"), (None, 1, 1));
    assert_eq!(
        read("service.serverstransport", "shop-mtls@kubernetescrd"),
        (None, 1, 1)
    );
    assert_eq!(read("service.passhostheader", "true"), (None, 0, 0));
    assert_eq!(read("service.passhostheader", "false"), (None, 0, 0));
    assert_eq!(read("service.sticky.cookie.name", "x"), (None, 0, 0));
    assert_eq!(read("router.middlewares", "x"), (None, 0, 1));
}

#[test]
fn every_row_has_a_known_prefix_a_note_and_a_key_of_its_own() {
    fn check<T: 'static>(rows: impl Iterator<Item = &'static Row<T>>) {
        let mut seen = BTreeSet::new();
        for row in rows {
            assert!(is_ours(row.key), "{} has none of the three prefixes", row.key);
            assert!(!row.note.is_empty(), "{} has no note", row.key);
            assert!(seen.insert(row.key), "{} is listed twice", row.key);
            if let Effect::Honoured(setting) = row.effect {
                assert!(!setting.form().is_empty(), "{} has no form", row.key);
                assert!(!setting.default().is_empty(), "{} has no default", row.key);
            }
        }
    }
    check(ingress_rows());
    check(service_rows());
}

#[test]
fn every_subject_has_a_title_of_its_own() {
    let titles: BTreeSet<&str> = SUBJECTS.iter().map(|subject| subject.title).collect();
    assert_eq!(titles.len(), SUBJECTS.len());
}

/// Whoever migrates is told what is different, where it is written.
#[test]
fn a_difference_is_told() {
    let (unreadable, mut problems) = (UnreadableFields::default(), Vec::new());
    let object = crate::ObjectRef::global(crate::Kind::Ingress, "x");
    let mut report = Reporter::new(object, &unreadable, &mut problems);
    let key = "nginx.ingress.kubernetes.io/limit-rps";
    let raw = [(key.to_owned(), "5".to_owned())].into();
    ingress_annotations(&raw, "shop", &mut report);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].topic, crate::Topic::FilterDiffers);
    assert_eq!(problems[0].severity, crate::Severity::Note);
    assert_eq!(problems[0].field, format!("metadata.annotations[{key}]"));
    assert!(
        problems[0]
            .message
            .starts_with("not quite as where it comes from: 429"),
        "{problems:?}"
    );
}

/// Examples stand in the reference; one that is wrong there would be copied.
#[test]
fn every_honoured_annotation_has_an_example_that_is_read() {
    fn check<T: 'static>(
        rows: impl Iterator<Item = &'static Row<T>>,
        read: impl Fn(&str, &str) -> Vec<String>,
    ) {
        let wrong: Vec<String> = rows
            .filter(|row| matches!(row.effect, Effect::Honoured(_)))
            .filter_map(|row| {
                let example = super::examples::example(row);
                let told = read(row.key, example);
                let refused = told.iter().find(|told| told.starts_with("error"));
                let is_wrong = example.is_empty() || refused.is_some();
                is_wrong.then(|| format!("{}: `{example}` {refused:?}", row.key))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
    // Options close what they belong to where that is missing.
    let mains = [
        ("blastdoor.dev/basic-auth", "users"),
        ("blastdoor.dev/forward-auth", "http://auth.shop/verify"),
        ("nginx.ingress.kubernetes.io/auth-secret", "users"),
        ("nginx.ingress.kubernetes.io/auth-type", "basic"),
        ("nginx.ingress.kubernetes.io/auth-url", "http://auth.shop/verify"),
    ];
    check(ingress_rows(), |key, value| {
        let mains = mains.iter().copied().filter(|(main, _)| *main != key);
        read(&mains.chain([(key, value)]).collect::<Vec<_>>()).1
    });
    check(service_rows(), |key, value| {
        let (unreadable, mut problems) = (UnreadableFields::default(), Vec::new());
        let object = crate::ObjectRef::global(crate::Kind::Service, "x");
        let mut report = Reporter::new(object, &unreadable, &mut problems);
        service_annotations(
            &[(key.to_owned(), value.to_owned())].into(),
            &route::ObjectKey::new("shop", "web"),
            &mut report,
        );
        let told = problems.into_iter();
        told.map(|problem| format!("{}: {}", problem.severity.as_str(), problem.message))
            .collect()
    });
}
