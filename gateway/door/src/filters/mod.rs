//! Filters: what happens to requests and responses between the match and the backend.
//!
//! ```text
//! WrittenFilter ─┐
//! Middlewares   ─┴─► asked ─► merge, order ─► resolve objects (compile) ─► Filters of a route
//! ```
//! A step that fails closes the Ingress. No step drops a filter.

mod asked;
mod basic_auth;
mod compile;
mod context;
mod headers;
mod limits;
mod memory;
mod merge;

use std::sync::Arc;

use filter::access::{Allow, Deny};
use filter::headers::HeaderRules;

pub use basic_auth::{PasswordFilter, PasswordMemory, WRONG_PASSWORDS};
pub(crate) use compile::IngressFilters;
pub(crate) use context::Context;
pub use limits::{Limiter, RateLimit};
pub(crate) use memory::FilterMemory;

/// The filters of a route, resolved and in order. Two are equal if they say the same and share their state.
#[derive(Debug, PartialEq)]
pub struct Filters {
    /// What a request passes through, in order. A response passes through those that its request has reached, in reverse.
    pub request: Box<[Filter]>,
}

/// One filter. Variants hold values, and state by `Arc`, which compares by identity.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// A request over plain HTTP is redirected (308) to `https` at this port.
    HttpsRedirect {
        /// The port in `Location`; 443 is left out of it.
        port: u16,
    },
    /// Clients of some networks are refused.
    Deny(Deny),
    /// Everybody else is.
    Allow(Box<Allow>),
    /// Who asks too often is refused for a while.
    RateLimit(Box<RateLimit>),
    /// Fields of the request and its response, and CORS.
    Headers(Arc<HeaderRules>),
    /// A request needs the name and password of a user.
    Password(Arc<PasswordFilter>),
}

impl Filters {
    fn new(request: Vec<Filter>) -> Option<Arc<Self>> {
        let request = request.into_boxed_slice();
        (!request.is_empty()).then(|| Arc::new(Self { request }))
    }
}
