//! The result of compiling a rule.

use std::sync::Arc;

use filter::canary::CanaryRules;
use filter::sticky::Tags;

use crate::backend::Upstream;
use crate::filters::{BackendHost, Filters};
use crate::rule::{Blocked, Field, Origin, Tuning};

/// One compiled rule.
#[derive(Debug, PartialEq)]
pub struct Route {
    /// The object that the rule comes from.
    pub origin: Arc<Origin>,
    /// Where it is written in that object.
    pub field: Field,
    /// What happens to a request that has passed the filters.
    pub action: Action,
    /// The canary that takes a part of these requests. Such a route has filters.
    pub canary: Option<Box<Canary>>,
    /// What a request passes through before that, and its response after it. `None` where the route is closed by
    /// something that protects.
    pub filters: Option<Arc<Filters>>,
    /// Per-route timeouts and limits; `None` leaves the door's.
    pub tuning: Tuning,
    /// Why it is closed, in words, if it is: the field and what is wrong with it.
    pub why: Option<Arc<str>>,
}

/// The longest reason that a route keeps, in bytes.
const LONGEST_REASON: usize = 512;

/// A reason of no more than a person can read.
pub(super) fn reason(text: &str) -> Arc<str> {
    match text.char_indices().find(|(place, _)| *place >= LONGEST_REASON) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

/// The canary of a route.
#[derive(Debug, PartialEq)]
pub struct Canary {
    /// Which requests it takes.
    pub rules: CanaryRules,
    /// Where these go. The route has no filters: those of the route that it belongs to count.
    pub route: Arc<Route>,
    /// What sticky cookies say of its endpoints; `None` where clients do not stay with an endpoint.
    pub tags: Option<Arc<Tags>>,
    /// What its backend sees as `Host`; `None`: what the client sent.
    pub host: Option<BackendHost>,
}

impl Route {
    /// What stands in the place of a route that cannot be there.
    pub(super) fn closed(route: &Self, blocked: Blocked, why: &str) -> Arc<Self> {
        Arc::new(Self {
            origin: Arc::clone(&route.origin),
            field: route.field,
            action: Action::Blocked(blocked),
            canary: None,
            filters: None,
            tuning: route.tuning,
            why: Some(reason(why)),
        })
    }

    /// Why it is closed, in words; `None` if it is open.
    #[must_use]
    pub fn explain_closed(&self) -> Option<&str> {
        match &self.action {
            Action::Blocked(blocked) => Some(self.why.as_deref().unwrap_or(blocked.words())),
            Action::Forward(_) | Action::Redirect => None,
        }
    }

    /// Whether every request is redirected, but for challenges of ACME.
    pub(crate) fn redirects(&self) -> bool {
        self.filters.as_ref().is_some_and(|filters| filters.redirects)
    }

    /// Everything that its requests may reach.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        let own = match &self.action {
            Action::Forward(upstream) => Some(upstream),
            Action::Redirect | Action::Blocked(_) => None,
        };
        let canary = self
            .canary
            .iter()
            .filter_map(|canary| match &canary.route.action {
                Action::Forward(upstream) => Some(upstream),
                Action::Redirect | Action::Blocked(_) => None,
            });
        let filters = self.filters.iter().flat_map(|filters| filters.upstreams());
        own.into_iter().chain(canary).chain(filters)
    }
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
