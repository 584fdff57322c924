//! The trailers of a body.

use http::{HeaderMap, HeaderName, HeaderValue};
use wire::{CHUNK_END, LAST_CHUNK, LAST_CHUNK_BEFORE_TRAILERS, is_same_name};

/// Whether a trailer has this name, in any spelling that a backend may read as it.
pub(super) fn is_named(name: &[u8], other: Option<&str>) -> bool {
    other.is_some_and(|other| is_same_name(name, other.as_bytes()))
}

/// Trailers without those of this name, if any are left.
pub(super) fn without(mut trailers: HeaderMap, name: Option<&str>) -> Option<HeaderMap> {
    let refused: Vec<HeaderName> = trailers
        .keys()
        .filter(|own| is_named(own.as_str().as_bytes(), name))
        .cloned()
        .collect();
    for name in refused {
        trailers.remove(name);
    }
    (!trailers.is_empty()).then_some(trailers)
}

/// Ends a chunked body with trailers that have passed HTTP/2's grammar.
pub(super) fn last_chunk(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    let Some(trailers) = trailers else {
        out.extend_from_slice(LAST_CHUNK);
        return;
    };
    out.extend_from_slice(LAST_CHUNK_BEFORE_TRAILERS);
    for (name, value) in trailers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(CHUNK_END);
    }
    out.extend_from_slice(CHUNK_END);
}

/// Trailers of a chunked body as HTTP/2 sends them.
pub(super) fn header_map<'t>(trailers: impl Iterator<Item = (&'t [u8], &'t [u8])>) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in trailers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    (!map.is_empty()).then_some(map)
}
