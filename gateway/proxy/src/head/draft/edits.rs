//! What a head is to say other than it did.

use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Method};
use wire::{BodyFraming, Field, is_same_name};

/// What differs in the fields of a head. Names and values have passed the grammar of both versions, so that no edit can
/// split a head or fail when it is written.
#[derive(Debug, Default)]
pub(crate) struct FieldEdits {
    /// Names whose fields do not go on, in whatever reading of them. What the gateway says itself stays.
    pub(crate) removed: Vec<HeaderName>,
    /// Fields that come behind those that go on, and behind what the gateway says itself.
    pub(crate) added: Vec<(HeaderName, HeaderValue)>,
}

/// What differs in the head of a request.
#[derive(Debug, Default)]
pub(crate) struct RequestEdits {
    pub(crate) method: Option<Method>,
    /// `Host`, or `:authority`. `X-Forwarded-Host` still says whom the client asked for.
    pub(crate) host: Option<Authority>,
    /// Path and query.
    pub(crate) target: Option<PathAndQuery>,
    /// How the body is framed that goes on.
    pub(crate) framing: Option<BodyFraming>,
    pub(crate) fields: FieldEdits,
}

/// A head goes on as it came.
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
    /// Whether a field is left out.
    pub(super) fn drops(&self, field: &Field, head: &[u8]) -> bool {
        let is_named = |name: &HeaderName| is_same_name(field.name.of(head), name.as_str().as_bytes());
        !self.removed.is_empty() && self.removed.iter().any(is_named)
    }
}
