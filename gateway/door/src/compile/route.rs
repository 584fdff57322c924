//! The result of compiling a rule.

use std::sync::Arc;

use crate::backend::Upstream;
use crate::filters::Filters;
use crate::rule::{Blocked, Origin, Tuning};

/// One compiled rule.
#[derive(Debug, PartialEq)]
pub struct Route {
    /// The object that the rule comes from.
    pub origin: Arc<Origin>,
    /// What happens to a request that has passed the filters.
    pub action: Action,
    /// What a request passes through before that, and its response after it. `None` where the route is closed by
    /// something that protects.
    pub filters: Option<Arc<Filters>>,
    /// Per-route timeouts and limits; `None` leaves the door's.
    pub tuning: Tuning,
}

/// What happens to a request that a rule matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It goes to an endpoint of this upstream.
    Forward(Arc<Upstream>),
    /// None gets here: the filters redirect every request, whether or not there is a backend.
    Redirect,
    /// 503: the rule cannot be honoured, and nothing may answer in its place.
    Blocked(Blocked),
}
