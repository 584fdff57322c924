//! The trailers of a body.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use wire::{CHUNK_END, LAST_CHUNK, LAST_CHUNK_BEFORE_TRAILERS, is_same_name};

use crate::head::draft::FieldEdits;

/// Names that no trailer of a body may have, in any spelling that a backend may read as them.
#[derive(Debug, Default)]
pub(super) struct NeverTrails {
    /// None may pass.
    pub(super) all: bool,
    /// A field of the door's.
    pub(super) of_door: Option<Arc<str>>,
    /// What edits remove from the head: it must not come back behind the body.
    pub(super) of_edits: Option<Box<FieldEdits>>,
}

impl NeverTrails {
    /// Whether no trailer may have this name.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        let (of_door, of_edits) = (self.of_door.as_deref(), self.of_edits.as_deref());
        self.all
            || of_door.is_some_and(|own| is_same_name(name, own.as_bytes()))
            || of_edits.is_some_and(|edits| edits.removes(name))
    }
}

/// Trailers that may pass, if there are any.
pub(super) fn without(mut trailers: HeaderMap, never: &NeverTrails) -> Option<HeaderMap> {
    let refused: Vec<HeaderName> = trailers
        .keys()
        .filter(|own| never.has(own.as_str().as_bytes()))
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
