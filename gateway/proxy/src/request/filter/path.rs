//! Filters that change the path and the host that the backend sees.

use ::filter::path_edit::{PathEdit, PathField};
use ::filter::upstream_host::UpstreamHost;
use ::filter::url::push_escaped;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue};
use route::{HostError, PathError, PathScratch, normalise_path};

use super::seen::{Asking, Step};
use super::values::RequestValues;
use crate::refusal::Refusal;
use crate::request::course::Course;

/// Changes the path as the filters before have left it.
pub(super) fn step(edit: &PathEdit, course: &mut Course, seen: &Asking<'_>) -> Step {
    let edited = match &course.edits.target {
        Some(target) => edit.apply(target.path().as_bytes(), target.query().map(str::as_bytes)),
        None => {
            let query = seen.request.query.map(|query| query.of(seen.head));
            edit.apply(seen.place.path(), query)
        }
    };
    let Ok(edited) = edited else {
        return Step::Answer(Refusal::Path(PathError::TooMuch).into());
    };
    if let Some(target) = edited.target {
        match checked(target) {
            Ok(target) => course.edits.target = Some(target),
            Err(error) => return Step::Answer(Refusal::Path(error).into()),
        }
    }
    if let Some(field) = edit.field() {
        let fields = course.edits.fields.to_mut();
        // What a client says of this never reaches a backend that believes it.
        let name = name(field);
        if !fields.removed.contains(name) {
            fields.removed.push(name.clone());
        }
        if let Some((field, value)) = edited.told
            && let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value))
        {
            fields.added.push((self::name(field).clone(), value));
        }
    }
    Step::Pass
}

fn name(field: PathField) -> &'static HeaderName {
    static FORWARDED_PREFIX: HeaderName = HeaderName::from_static(PathField::ForwardedPrefix.name());
    static REPLACED_PATH: HeaderName = HeaderName::from_static(PathField::ReplacedPath.name());
    match field {
        PathField::ForwardedPrefix => &FORWARDED_PREFIX,
        PathField::ReplacedPath => &REPLACED_PATH,
    }
}

/// Changes the host that the backend sees.
pub(super) fn host(host: &UpstreamHost, course: &mut Course, seen: &Asking<'_>) -> Step {
    match host.authority(&RequestValues::new(seen, course)) {
        Some(authority) => {
            course.edits.host = Some(authority);
            Step::Pass
        }
        None => Step::Answer(Refusal::Host(HostError::Character).into()),
    }
}

/// A path and its query, if a backend may see them: the path in its normal form.
fn checked(target: Vec<u8>) -> Result<PathAndQuery, PathError> {
    let at = target
        .iter()
        .position(|byte| *byte == b'?')
        .unwrap_or(target.len());
    let (path, query) = target.split_at_checked(at).unwrap_or_default();
    let mut scratch = PathScratch::default();
    let normal = normalise_path(path, &mut scratch)?;
    let length = normal.as_bytes().len();
    let whole = if normal.as_bytes() == path {
        Bytes::from(target)
    } else {
        Bytes::from([normal.as_bytes(), query].concat())
    };
    PathAndQuery::from_maybe_shared(whole.clone()).or_else(|_| {
        // The library knows fewer characters in a query than clients send.
        let (path, query) = whole.split_at_checked(length).unwrap_or_default();
        let mut escaped = path.to_vec();
        push_escaped(&mut escaped, query);
        PathAndQuery::from_maybe_shared(Bytes::from(escaped)).map_err(|_| PathError::Character)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_checked_before_a_backend_sees_it() {
        let table = [
            ("/a/b?x=1", Ok("/a/b?x=1")),
            ("/%61?x", Ok("/a?x")),
            ("/a?", Ok("/a?")),
            ("/a?x=\"<>", Ok("/a?x=%22%3C%3E")),
            ("/a?x=a|b", Ok("/a?x=a|b")),
            ("/..", Err(PathError::DotSegment)),
            ("/a/%2e%2e/b", Err(PathError::DotSegment)),
            ("/a/..;x/b", Err(PathError::DotSegment)),
            ("a", Err(PathError::Relative)),
            ("", Err(PathError::Relative)),
            ("?x", Err(PathError::Relative)),
            ("/%0a", Err(PathError::Control)),
            ("/a b", Err(PathError::Character)),
        ];
        for (target, expected) in table {
            let result = checked(target.into());
            let result = result.as_ref().map(PathAndQuery::as_str).map_err(|error| *error);
            assert_eq!(result, expected, "{target}");
        }
    }
}
