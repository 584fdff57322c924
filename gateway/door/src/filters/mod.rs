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
mod hosts;
mod limits;
mod memory;
mod merge;

use std::sync::Arc;

use filter::access::{Allow, Deny};
use filter::headers::HeaderRules;
use filter::path_edit::PathEdit;
use filter::redirect::{HttpScheme, Redirect};
use filter::upstream_host::UpstreamHost;

pub use basic_auth::{PasswordFilter, PasswordMemory, WRONG_PASSWORDS};
pub(crate) use compile::{FilteredPlace, IngressFilters};
pub(crate) use context::Context;
pub(crate) use hosts::{aliases, roots, twin_filters, twins};
pub use limits::{Limiter, RateLimit};
pub(crate) use memory::FilterMemory;

/// The filters of a route, resolved and in order. Two are equal if they say the same and share their state.
#[derive(Debug, PartialEq)]
pub struct Filters {
    /// What a request passes through, in order. A response passes through those that its request has reached, in reverse.
    pub request: Box<[Filter]>,
    /// One of them redirects every request that reaches it, apart from challenges of ACME.
    pub redirects: bool,
    /// No request ever gets past them, so that it does not matter what is behind them.
    pub(crate) answer_all: bool,
}

/// One filter. Variants hold values, and state by `Arc`, which compares by identity.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// The backend sees another path.
    Path(PathEdit),
    /// The backend sees another host.
    UpstreamHost(UpstreamHost),
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
    /// `None` if there are none. `scheme`: the door's.
    fn new(request: Vec<Filter>, scheme: HttpScheme) -> Option<Arc<Self>> {
        let request = request.into_boxed_slice();
        if request.is_empty() {
            return None;
        }
        let redirects = request.iter().filter_map(Filter::redirect);
        let unconditional = redirects.filter(|redirect| redirect.is_unconditional(scheme));
        Some(Arc::new(Self {
            redirects: unconditional.clone().next().is_some(),
            // Challenges of ACME get past a redirect to https.
            answer_all: unconditional
                .clone()
                .any(|redirect| !matches!(redirect, Redirect::Https { .. })),
            request,
        }))
    }
}

impl Filter {
    fn redirect(&self) -> Option<&Redirect> {
        match self {
            Self::Redirect(redirect) => Some(redirect),
            Self::Path(_)
            | Self::UpstreamHost(_)
            | Self::Deny(_)
            | Self::Allow(_)
            | Self::RateLimit(_)
            | Self::Headers(_)
            | Self::Password(_) => None,
        }
    }
}
