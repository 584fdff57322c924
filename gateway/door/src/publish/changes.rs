//! What a publication changed at the doors: which hosts and paths appeared, went, or are answered otherwise than before.
//!
//! Everything here is bounded: of more changes than [`MOST_LISTED`] the numbers are kept, and those are listed first that
//! made a host appear, so that no flood of other changes hides one.

use std::mem::discriminant;
use std::sync::Arc;

use route::{HostPattern, ListenerName, PathPattern};

use crate::backend::Upstream;
use crate::compile::{Action, Canary, Route};
use crate::filters::{Filter, Filters};

/// How many changes of a door are listed for one publication.
pub const MOST_LISTED: usize = 100;

/// What a publication changed at one door.
#[derive(Debug, Clone, PartialEq)]
pub struct DoorChange {
    /// The door.
    pub door: ListenerName,
    /// What changed there.
    pub what: Changed,
}

/// The change of a door.
#[derive(Debug, Clone, PartialEq)]
pub enum Changed {
    /// It has its first table: all of it is new, and nothing of it is news.
    First {
        /// Hosts that it answers; rules without a host count as one.
        hosts: usize,
        /// Hosts with their paths.
        places: usize,
    },
    /// It answers otherwise than before.
    Since(Box<TableChange>),
}

/// The difference between what a door served and what it serves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableChange {
    /// Hosts that the door did not answer before.
    pub hosts_appeared: usize,
    /// Hosts that it no longer answers.
    pub hosts_gone: usize,
    /// Places (a host with a path) that it did not have before.
    pub appeared: usize,
    /// Places that are answered otherwise.
    pub changed: usize,
    /// Places that it no longer has.
    pub gone: usize,
    /// The places, at most [`MOST_LISTED`], in order.
    pub listed: Vec<PlaceChange>,
}

/// The change of one place.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaceChange {
    /// The host.
    pub host: HostPattern,
    /// The path.
    pub path: PlacePath,
    /// The door did not answer the host before, and this is the first of its places.
    pub is_new_host: bool,
    /// What answered; `None`: nothing did.
    pub before: Option<Answer>,
    /// What answers now; `None`: nothing does.
    pub after: Option<Answer>,
}

/// Which requests for a host a place is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlacePath {
    /// Those for this path.
    Pattern(PathPattern),
    /// Those that no path of the host matches.
    HostDefault,
    /// Those that nothing else at the door matches.
    Default,
    /// All: TLS is passed through, here or at the sibling to which the door redirects.
    Connection,
}

/// What answers at a place.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A rule.
    Route(Arc<Route>),
    /// A redirect to the sibling of the door, which serves the place.
    Redirect,
    /// A rule for connections whose TLS is passed through.
    Passthrough(Arc<Route>),
}

/// In which respect a place is answered otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// Another object answers.
    Ingress,
    /// Another Service does, or it is spoken to in another way.
    Backend,
    /// It is blocked or no longer so, or the backend has its first endpoint, or none left.
    State,
    /// Other filters act.
    Filters,
    /// Another canary takes a part of the requests.
    Canary,
    /// Timeouts and limits.
    Tuning,
}

impl Answer {
    /// The rule; `None` for a redirect to the sibling.
    #[must_use]
    pub fn route(&self) -> Option<&Arc<Route>> {
        match self {
            Self::Route(route) | Self::Passthrough(route) => Some(route),
            Self::Redirect => None,
        }
    }
}

impl PlaceChange {
    /// In which respects the place is answered otherwise; none if it appeared or went.
    #[must_use]
    pub fn aspects(&self) -> Vec<Aspect> {
        let before = self.before.as_ref().and_then(Answer::route);
        let after = self.after.as_ref().and_then(Answer::route);
        match (before, after) {
            (Some(before), Some(after)) => aspects(before, after),
            (None, _) | (_, None) => Vec::new(),
        }
    }
}

/// In which respects two routes differ. Which endpoints a backend has is no difference as long as it has some: rolling
/// updates would fill every list.
pub(super) fn aspects(before: &Route, after: &Route) -> Vec<Aspect> {
    let (backend, state) = match (&before.action, &after.action) {
        (Action::Forward(before), Action::Forward(after)) => (
            !is_same_backend(before, after) || before.protocol != after.protocol,
            before.endpoints.is_empty() != after.endpoints.is_empty(),
        ),
        (Action::Blocked(before), Action::Blocked(after)) => (false, before != after),
        (before, after) => (false, discriminant(before) != discriminant(after)),
    };
    let differing = [
        (Aspect::Ingress, before.origin != after.origin),
        (Aspect::Backend, backend),
        (Aspect::State, state),
        (
            Aspect::Filters,
            !act_alike(before.filters.as_deref(), after.filters.as_deref()),
        ),
        (
            Aspect::Canary,
            !take_alike(before.canary.as_deref(), after.canary.as_deref()),
        ),
        (Aspect::Tuning, before.tuning != after.tuning),
    ];
    let differing = differing.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(aspect, _)| aspect).collect()
}

fn is_same_backend(before: &Upstream, after: &Upstream) -> bool {
    (&before.service, before.port) == (&after.service, after.port)
}

/// Whether the same filters act.
fn act_alike(before: Option<&Filters>, after: Option<&Filters>) -> bool {
    let before = before.map_or(&[][..], |filters| &filters.request);
    let after = after.map_or(&[][..], |filters| &filters.request);
    before.len() == after.len()
        && before
            .iter()
            .zip(after)
            .all(|(before, after)| acts_as(before, after))
}

/// Whether both filters do the same, whatever the endpoints of the Services that they call.
fn acts_as(before: &Filter, after: &Filter) -> bool {
    if let (Filter::Fallback(before), Filter::Fallback(after)) = (before, after) {
        return is_same_backend(before, after);
    }
    if let (Filter::Errors(before), Filter::Errors(after)) = (before, after) {
        return (before.statuses, &before.request) == (after.statuses, &after.request)
            && is_same_backend(&before.upstream, &after.upstream);
    }
    if let (Filter::ForwardAuth(before), Filter::ForwardAuth(after)) = (before, after) {
        return (&before.rule, &before.scope) == (&after.rule, &after.scope)
            && is_same_backend(&before.upstream, &after.upstream);
    }
    before == after
}

/// Whether the same canary takes the same part of the requests.
fn take_alike(before: Option<&Canary>, after: Option<&Canary>) -> bool {
    match (before, after) {
        (None, None) => true,
        (Some(before), Some(after)) => {
            before.rules == after.rules && aspects(&before.route, &after.route).is_empty()
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}
