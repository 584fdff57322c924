//! Filters that edit fields, and CORS.

use ::filter::cors::{Cors, CrossOrigin};
use ::filter::fields::{FieldEdits, varies_by};
use ::filter::headers::HeaderRules;
use bytes::Bytes;
use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN, VARY};
use smallvec::SmallVec;
use wire::{Method, ResponseHead};

use super::{Course, Seen, Step};
use crate::head::emit::OwnAnswer;
use crate::observe::labels::Reason;
use crate::request::reply::Reply;

/// Answers preflights and requests for hosts that are not allowed; edits all others.
pub(super) fn step(rules: &HeaderRules, course: &mut Course, seen: &Seen<'_>) -> Step {
    if let Some(cors) = &rules.cors {
        let asked = cross_origin(seen);
        if let Some(fields) = cors.preflight(&asked) {
            return Step::Answer(preflight(cors, &fields));
        }
        course
            .readers
            .push((course.reached - 1, cors.verdict(asked.origin)));
    }
    if !rules.allows(seen.request.authority().map(|host| host.of(seen.head))) {
        return Step::Answer(Reply::denied(403, Reason::AccessDenied));
    }
    course.edits.fields.then(&rules.request);
    if let Some(host) = &rules.host {
        course.edits.host = Some(host.clone());
    }
    Step::Pass
}

/// Edits the response of a request that has been here. `place`: where the filter stands.
pub(super) fn edit(
    rules: &HeaderRules,
    place: usize,
    course: &Course,
    backends: Option<(&ResponseHead, &[u8])>,
    edits: &mut FieldEdits,
) {
    let Some(cors) = &rules.cors else {
        return edits.then(&rules.response);
    };
    let mut readers = course.readers.iter();
    // A filter that has answered a preflight has said all it says.
    if let Some((_, verdict)) = readers.find(|(other, _)| *other == place) {
        edits.then(&rules.response);
        cors.edit(verdict, backends.is_some_and(varies_by_origin), edits);
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

fn cross_origin<'a>(seen: &Seen<'a>) -> CrossOrigin<'a> {
    CrossOrigin {
        is_options: seen.request.method == Method::Options,
        origin: only(seen, &ORIGIN),
        method: only(seen, &ACCESS_CONTROL_REQUEST_METHOD),
        headers: only(seen, &ACCESS_CONTROL_REQUEST_HEADERS),
    }
}

/// The value of a field that is there once. Nobody knows which of two counts, so that neither does.
fn only<'a>(seen: &Seen<'a>, name: &HeaderName) -> Option<&'a [u8]> {
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
