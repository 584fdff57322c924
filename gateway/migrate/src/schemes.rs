//! Over which schemes an Ingress is served: everywhere there, at its door here.

use door::Scheme;
use route::ListenerName;

use crate::case::Case;
use crate::controller::Controller;
use crate::difference::{Difference, Effect};
use crate::kind::DifferenceKind as Is;

/// What clients of a scheme get no more.
pub(crate) fn differences(case: &Case<'_>) -> Vec<Difference> {
    let is_known = matches!(case.controller, Controller::IngressNginx | Controller::Traefik);
    if !is_known || case.doors.is_empty() {
        return Vec::new();
    }
    let serves = |scheme| case.doors.iter().any(|door| door.policy.scheme == scheme);
    let redirected = redirected_from(case);
    // Traefik: an Ingress that names its entry points says itself where it is served.
    let entrypoints = &case.ingress.annotations.entrypoints;
    let there_http = !case.says("traefik.ingress.kubernetes.io/router.tls");
    let mut found = Vec::new();
    let add = |found: &mut Vec<Difference>, message: String| {
        found.push(Difference::new(
            Is::SchemeNotServed,
            case.controller.as_str(),
            Effect::Differs,
            "",
            message,
        ));
    };
    let redirects_itself = *case.controller == Controller::IngressNginx && redirects_to_https(case);
    if !serves(Scheme::Http)
        && redirected.is_none()
        && there_http
        && !redirects_itself
        && entrypoints.is_empty()
    {
        add(
            &mut found,
            "there it answers in plain HTTP too; here its doors speak https alone: clients of http:// get a 404. Let a door \
             redirect to them (`redirect`), or label a copy for a door with plain HTTP"
                .to_owned(),
        );
    }
    if has_tls(case) && !serves(Scheme::Https) {
        add(
            &mut found,
            "there it answers over https too; here its doors speak plain HTTP alone: label it for an https door".to_owned(),
        );
    }
    found
}

/// Whether clients reach it over https there, with a certificate of its own.
pub(crate) fn has_tls(case: &Case<'_>) -> bool {
    !case.ingress.tls.is_empty() || case.says("traefik.ingress.kubernetes.io/router.tls")
}

/// Whether ingress-nginx redirects it to https, because it has a certificate and nothing says otherwise.
pub(crate) fn redirects_to_https(case: &Case<'_>) -> bool {
    let off = |value: Option<&str>| value.is_some_and(|value| value.trim() == "false");
    !case.ingress.tls.is_empty()
        && !off(case.annotation("nginx.ingress.kubernetes.io/ssl-redirect"))
        && !off(case.settings.nginx("ssl-redirect"))
}

/// A door that redirects to one of its doors.
pub(crate) fn redirected_from<'a>(case: &Case<'a>) -> Option<&'a ListenerName> {
    let doors = &case.place.doors;
    let redirecting = case.given.doors.iter().find(|door| {
        let target = door.policy.redirect.as_ref();
        target.is_some_and(|target| doors.contains(target))
    });
    redirecting.map(|door| &door.name)
}
