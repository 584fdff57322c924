//! Edits to a head that is forwarded.

use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Method};
use wire::{BodyFraming, Field, is_same_name};

/// Edits to the fields of a head. Names and values have passed the grammar of both versions, so that no edit can split a
/// head or fail when it is written.
#[derive(Debug, Default)]
pub(crate) struct FieldEdits {
    /// Names whose fields are not forwarded, in any spelling that a backend may read as them. The gateway's own fields
    /// stay.
    pub(crate) removed: Vec<HeaderName>,
    /// Fields that are added after the forwarded ones and the gateway's own. Never one of framing or of a connection: the
    /// writers do not look, so what compiles an edit must refuse these names.
    pub(crate) added: Vec<(HeaderName, HeaderValue)>,
}

/// Edits to the head of a request.
#[derive(Debug, Default)]
pub(crate) struct RequestEdits {
    pub(crate) method: Option<Method>,
    /// `Host`, or `:authority`. `X-Forwarded-Host` still has the host that the client sent.
    pub(crate) host: Option<Authority>,
    /// Path and query.
    pub(crate) target: Option<PathAndQuery>,
    /// The framing of the forwarded body.
    pub(crate) framing: Option<BodyFraming>,
    pub(crate) fields: FieldEdits,
}

/// The head is forwarded as it arrived.
pub(crate) static UNEDITED: RequestEdits = RequestEdits {
    method: None,
    host: None,
    target: None,
    framing: None,
    fields: FieldEdits {
        removed: Vec::new(),
        added: Vec::new(),
    },
};

impl FieldEdits {
    /// Whether a field is removed.
    pub(super) fn drops(&self, field: &Field, head: &[u8]) -> bool {
        let is_named = |name: &HeaderName| is_same_name(field.name.of(head), name.as_str().as_bytes());
        !self.removed.is_empty() && self.removed.iter().any(is_named)
    }
}
