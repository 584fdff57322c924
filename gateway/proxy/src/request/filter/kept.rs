//! What a course keeps of its request for pages in place of errors.

use http::{HeaderMap, HeaderName, HeaderValue};
use wire::Field;

/// What a request for a page needs of the client's request, whose head has left the buffer by then.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) head: Vec<u8>,
    /// Those that may be passed on, and that no filter has removed.
    pub(super) fields: Vec<Field>,
    /// Those that filters have added for the backend.
    pub(super) added: Vec<(HeaderName, HeaderValue)>,
    pub(super) target: Vec<u8>,
    pub(super) scheme: &'static str,
    pub(super) host: Vec<u8>,
    /// What the gateway says about the client.
    pub(super) own: HeaderMap,
    pub(super) namespace: Box<str>,
    pub(super) ingress: Box<str>,
    pub(super) service: Box<str>,
    pub(super) port: u16,
}
