//! Filters: what happens to requests and responses between the match and the backend.
//!
//! ```text
//! WrittenFilter ─┐
//! Middlewares   ─┴─► asked ─► merge, order ─► resolve objects (compile) ─► Filters of a route
//! ```
//! A step that fails closes the Ingress. No step drops a filter.

mod asked;
mod basic_auth;
mod calls;
mod choice;
mod compile;
mod context;
mod errors;
mod forward_auth;
mod headers;
mod hosts;
mod limits;
mod memory;
mod merge;
mod place;
mod stores;
mod told;

use std::sync::Arc;

use filter::access::{Allow, Deny};
use filter::headers::HeaderRules;
use filter::path_edit::PathEdit;
use filter::redirect::{HttpScheme, Redirect};
use filter::upstream_host::UpstreamHost;

use crate::backend::Upstream;

pub use basic_auth::{PasswordFilter, PasswordMemory, WRONG_PASSWORDS};
pub(crate) use choice::TagCache;
pub use choice::{BackendChoice, BackendHost, Sticky};
pub(crate) use compile::IngressFilters;
pub(crate) use context::Context;
pub use errors::ErrorPages;
pub use forward_auth::AuthService;
pub(crate) use hosts::twin_filters;
pub use limits::{Limiter, RateLimit};
pub(crate) use memory::FilterMemory;
pub(crate) use place::FilteredPlace;

/// The filters of a route, resolved and in order. Two are equal if they say the same and share their state.
#[derive(Debug, PartialEq)]
pub struct Filters {
    /// What a request passes through, in order. A response passes through those that its request has reached, in reverse.
    pub request: Box<[Filter]>,
    /// One of them redirects every request that reaches it, apart from challenges of ACME.
    pub redirects: bool,
    /// No request ever gets past them, so that it does not matter what is behind them.
    pub(crate) answer_all: bool,
    /// Which backend and which endpoint a request gets that has passed them.
    pub choice: BackendChoice,
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
    Allow(Arc<Allow>),
    /// Who asks too often is refused for a while.
    RateLimit(Arc<RateLimit>),
    /// Fields of the request and its response, and CORS.
    Headers(Arc<HeaderRules>),
    /// A request needs the name and password of a user.
    Password(Arc<PasswordFilter>),
    /// Errors of the backend are replaced by pages of a Service. Of several, the first that replaces a status counts.
    Errors(Arc<ErrorPages>),
    /// What gets the requests while the backend of the route has no endpoint.
    Fallback(Arc<Upstream>),
    /// A service is asked whether a request may pass.
    ForwardAuth(Arc<AuthService>),
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
            choice: BackendChoice::default(),
        }))
    }

    /// Whether some of them redirects some requests.
    #[must_use]
    pub fn may_redirect(&self) -> bool {
        self.request.iter().any(|filter| filter.redirect().is_some())
    }

    /// The same, with a choice of the backend. `needed`: also if there is nothing in them.
    pub(crate) fn choosing(
        filters: Option<Arc<Self>>,
        choice: BackendChoice,
        needed: bool,
    ) -> Option<Arc<Self>> {
        if choice.is_usual() && (filters.is_some() || !needed) {
            return filters;
        }
        Some(Arc::new(match filters {
            None => Self {
                request: Box::default(),
                redirects: false,
                answer_all: false,
                choice,
            },
            Some(filters) => Self {
                request: filters.request.clone(),
                redirects: filters.redirects,
                answer_all: filters.answer_all,
                choice,
            },
        }))
    }

    /// What gets the requests while the backend has no endpoint.
    #[must_use]
    pub fn fallback(&self) -> Option<&Arc<Upstream>> {
        self.request.iter().find_map(|filter| {
            if let Filter::Fallback(upstream) = filter {
                Some(upstream)
            } else {
                None
            }
        })
    }

    /// What they may call or hand requests to.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.request.iter().filter_map(|filter| {
            if let Filter::Errors(pages) = filter {
                Some(&pages.upstream)
            } else if let Filter::ForwardAuth(service) = filter {
                Some(&service.upstream)
            } else if let Filter::Fallback(upstream) = filter {
                Some(upstream)
            } else {
                None
            }
        })
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
            | Self::Password(_)
            | Self::ForwardAuth(_)
            | Self::Errors(_)
            | Self::Fallback(_) => None,
        }
    }
}
