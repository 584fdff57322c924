//! Filters that send the client elsewhere.

use ::filter::redirect::{Asked, Moved, NoMove, Redirect};
use route::PathError;
use wire::Method;

use super::seen::{Asking, Step};
use super::values::RequestValues;
use crate::refusal::Refusal;
use crate::request::course::Course;
use crate::request::reply::Reply;

/// Answers what is redirected. Where its host is needed, a request without one cannot be.
pub(super) fn step(redirect: &Redirect, course: &Course, seen: &Asking<'_>) -> Step {
    let needs_host = match redirect {
        Redirect::To { .. } | Redirect::Rewrite { .. } | Redirect::Host { .. } => false,
        Redirect::Https { .. } | Redirect::Scheme { .. } | Redirect::Regex { .. } => true,
    };
    let host = match seen.place.host() {
        None if needs_host => return Step::Answer(Refusal::NoRoute.into()),
        host => host.unwrap_or_default(),
    };
    let asked = Asked {
        scheme: seen.matched.scheme.into(),
        door_port: seen.matched.forwarded_port,
        host,
        port: port(seen),
        path: seen.place.path(),
        raw_path: seen.request.path.of(seen.head),
        query: seen.request.query.map(|query| query.of(seen.head)),
        is_get: seen.request.method == Method::Get,
    };
    match redirect.answer(&asked, &RequestValues::new(seen, course)) {
        Ok(None) => Step::Pass,
        Ok(Some(Moved { status, location })) => Step::Answer(Reply::Redirect { status, location }),
        // What leads nowhere is a mistake in the rule.
        Err(NoMove::NoUrl) => Step::Answer(Refusal::Blocked.into()),
        Err(NoMove::TooMuch(_)) => Step::Answer(Refusal::Path(PathError::TooMuch).into()),
    }
}

/// The port that the client wrote behind the host.
fn port(seen: &Asking<'_>) -> Option<u16> {
    let authority = seen.request.authority()?.of(seen.head);
    let colon = authority.iter().rposition(|byte| *byte == b':')?;
    let port = std::str::from_utf8(authority.get(colon + 1..)?).ok()?;
    port.parse().ok()
}
