//! Filters that change the path and the host that the backend sees.

use ::filter::path_edit::PathEdit;
use ::filter::upstream_host::UpstreamHost;
use ::filter::url::push_escaped;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue};
use route::{HostError, PathError, PathScratch, normalise_path};

use super::course::{Course, Seen, Step};
use super::values::RequestValues;
use crate::refusal::Refusal;

/// Changes the path as the filters before have left it.
pub(super) fn step(edit: &PathEdit, course: &mut Course, seen: &Seen<'_>) -> Step {
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
        match checked(&target) {
            Ok(target) => course.edits.target = Some(target),
            Err(error) => return Step::Answer(Refusal::Path(error).into()),
        }
    }
    let fields = &mut course.edits.fields;
    if let Some(field) = edit.field() {
        // What a client says of this never reaches a backend that believes it.
        let name = HeaderName::from_static(field.name());
        if !fields.removed.contains(&name) {
            fields.removed.push(name);
        }
    }
    if let Some((field, value)) = edited.told
        && let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value))
    {
        fields.added.push((HeaderName::from_static(field.name()), value));
    }
    Step::Pass
}

/// Changes the host that the backend sees.
pub(super) fn host(host: &UpstreamHost, course: &mut Course, seen: &Seen<'_>) -> Step {
    match host.authority(&RequestValues::new(seen, course)) {
        Some(authority) => {
            course.edits.host = Some(authority);
            Step::Pass
        }
        None => Step::Answer(Refusal::Host(HostError::Character).into()),
    }
}

/// A path and its query, if a backend may see them: the path in its normal form.
fn checked(target: &[u8]) -> Result<PathAndQuery, PathError> {
    let at = target
        .iter()
        .position(|byte| *byte == b'?')
        .unwrap_or(target.len());
    let (path, query) = target.split_at_checked(at).unwrap_or_default();
    let mut scratch = PathScratch::default();
    let path = normalise_path(path, &mut scratch)?;
    let whole = [path.as_bytes(), query].concat();
    match PathAndQuery::from_maybe_shared(Bytes::from(whole)) {
        Ok(target) => Ok(target),
        // The library knows fewer characters in a query than clients send.
        Err(_) => {
            let mut escaped = path.as_bytes().to_vec();
            push_escaped(&mut escaped, query);
            PathAndQuery::from_maybe_shared(Bytes::from(escaped)).map_err(|_| PathError::Character)
        }
    }
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
            let result = checked(target.as_bytes());
            let result = result.as_ref().map(PathAndQuery::as_str).map_err(|error| *error);
            assert_eq!(result, expected, "{target}");
        }
    }
}
