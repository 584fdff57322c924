//! Filters that edit fields, and CORS.

use std::borrow::Cow;

use ::filter::cors::{Cors, CrossOrigin};
use ::filter::fields::{FieldEdits, varies_by};
use ::filter::headers::HeaderRules;
use bytes::Bytes;
use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN, VARY};
use smallvec::SmallVec;
use wire::{Method, ResponseHead};

use super::seen::{Asking, Step};
use crate::head::emit::OwnAnswer;
use crate::observe::labels::Reason;
use crate::request::course::Course;
use crate::request::reply::Reply;

const NOT_ALLOWED: &str =
    "the host is none of those that a headers filter of the route allows (`allowedHosts`)";

/// Answers preflights and requests for hosts that are not allowed; edits all others.
pub(super) fn step(rules: &HeaderRules, course: &mut Course, seen: &Asking<'_>) -> Step {
    if let Some(cors) = rules.cors() {
        let asked = cross_origin(seen);
        if let Some(fields) = cors.preflight(&asked) {
            return Step::Answer(preflight(cors, &fields));
        }
        course
            .readers
            .push((course.reached - 1, cors.verdict(asked.origin)));
    }
    if !rules.allows(seen.request.authority().map(|host| host.of(seen.head))) {
        return Step::Answer(Reply::denied(403, Reason::AccessDenied, NOT_ALLOWED));
    }
    course.edits.fields.then(&rules.request);
    if let Some(host) = &rules.host {
        course.edits.host = Some(host.clone());
    }
    Step::Pass
}

/// Edits the response of a request that has been here. `place`: where the filter stands.
pub(super) fn edit<'c>(
    rules: &'c HeaderRules,
    place: usize,
    course: &Course,
    backends: Option<(&ResponseHead, &[u8])>,
    edits: &mut Cow<'c, FieldEdits>,
) {
    let mut readers = course.readers.iter();
    let reader = readers.find(|(other, _)| *other == place);
    let verdict = reader.map(|(_, verdict)| verdict);
    let further = rules.response(verdict, || backends.is_some_and(varies_by_origin));
    if edits.is_empty() {
        *edits = further;
    } else if !further.is_empty() {
        edits.to_mut().then(&further);
    }
}

fn preflight(cors: &Cors, fields: &FieldEdits) -> Reply {
    let mut answer = OwnAnswer {
        status: cors.preflight_status(),
        fields: SmallVec::new(),
        media_type: "".into(),
        body: Bytes::new(),
        grpc: None,
    };
    answer.edit(fields);
    Reply::Filter(Box::new(answer), None)
}

fn cross_origin<'a>(seen: &Asking<'a>) -> CrossOrigin<'a> {
    let is_options = seen.request.method == Method::Options;
    let origin = only(seen, &ORIGIN);
    // Most requests are no preflights, and have no `Origin`.
    let asks = is_options && origin.is_some();
    let preflights = |name: &HeaderName| asks.then(|| only(seen, name)).flatten();
    CrossOrigin {
        is_options,
        origin,
        method: preflights(&ACCESS_CONTROL_REQUEST_METHOD),
        headers: preflights(&ACCESS_CONTROL_REQUEST_HEADERS),
    }
}

/// The value of a field that is there once. Nobody knows which of two counts, so that neither does.
fn only<'a>(seen: &Asking<'a>, name: &HeaderName) -> Option<&'a [u8]> {
    let mut fields = seen.request.fields.iter().filter_map(|field| {
        let is_named = field
            .name
            .of(seen.head)
            .eq_ignore_ascii_case(name.as_str().as_bytes());
        is_named.then(|| field.value.of(seen.head))
    });
    let first = fields.next();
    first.filter(|_| fields.next().is_none())
}

fn varies_by_origin((response, head): (&ResponseHead, &[u8])) -> bool {
    let mut fields = response.fields.iter();
    fields.any(|field| {
        let is_vary = field.name.of(head).eq_ignore_ascii_case(VARY.as_str().as_bytes());
        is_vary && varies_by(field.value.of(head), &ORIGIN)
    })
}
