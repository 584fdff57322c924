//! What a course keeps of its request for pages in place of errors.

use http::{HeaderMap, HeaderName, HeaderValue};
use wire::Field;

/// What a request for a page needs of the client's request, whose head has left the buffer by then.
#[derive(Debug)]
pub(in crate::request) struct Kept {
    pub(in crate::request) head: Vec<u8>,
    /// Those that may be passed on, and that no filter has removed.
    pub(in crate::request) fields: Vec<Field>,
    /// Those that filters have added for the backend.
    pub(in crate::request) added: Vec<(HeaderName, HeaderValue)>,
    pub(in crate::request) target: Vec<u8>,
    pub(in crate::request) scheme: &'static str,
    pub(in crate::request) host: Vec<u8>,
    /// What the gateway says about the client.
    pub(in crate::request) own: HeaderMap,
    pub(in crate::request) namespace: Box<str>,
    pub(in crate::request) ingress: Box<str>,
    pub(in crate::request) service: Box<str>,
    pub(in crate::request) port: u16,
}
