//! Edits to a head that is forwarded.

pub(crate) use filter::fields::{FieldEdits, SharedEdits};

use http::Method;
use http::uri::{Authority, PathAndQuery};
use wire::BodyFraming;

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
    /// They replace and remove what the gateway says about the client too, but for what it asserts: the door, and the
    /// client's certificate. Never a field of framing or of a connection: the writers do not look, so what compiles an edit
    /// must refuse these names ([`filter::fields::name`]).
    pub(crate) fields: SharedEdits,
    /// The body loses its trailers.
    pub(crate) no_trailers: bool,
}

/// The head is forwarded as it arrived.
pub(crate) static UNEDITED: RequestEdits = RequestEdits {
    method: None,
    host: None,
    target: None,
    framing: None,
    fields: SharedEdits::NONE,
    no_trailers: false,
};
