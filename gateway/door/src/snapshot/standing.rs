//! What a door says now about work that it admitted under an earlier publication.

use std::mem::discriminant;

use route::{RequestHost, RequestPath};

use super::lookup::{Snapshot, Verdict};
use crate::compile::{Action, Route};
use crate::rule::Blocked;

/// The state of the route of a passed-through connection or of a request under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The same request would still reach the same backend, whatever its endpoints are now.
    Holds,
    /// The same Ingress answers, but not with that backend: it names another Service or protocol, or the Service is missing.
    Redirected,
    /// The Ingress no longer answers: it or its rule left the door, another Ingress has won the place, or the rule is
    /// closed.
    Gone,
}

impl Standing {
    /// `was` is the route that admitted the work, `is` the one that would admit the same work now.
    fn of(was: &Route, is: &Route) -> Self {
        if was.origin != is.origin {
            return Self::Gone;
        }
        // What is admitted no more in clear text must not go on in it.
        if is.redirects() && !was.redirects() {
            return Self::Gone;
        }
        match (&was.action, &is.action) {
            (Action::Forward(was), Action::Forward(is)) => {
                // Keys and authorities may be renewed, but TLS must not replace clear text.
                let speaks_alike = discriminant(&was.protocol) == discriminant(&is.protocol);
                if speaks_alike && (&was.service, was.port) == (&is.service, is.port) {
                    Self::Holds
                } else {
                    Self::Redirected
                }
            }
            // The rule itself is fine: its backend is away, and may come back.
            (Action::Forward(_), Action::Blocked(Blocked::NoSuchBackend | Blocked::BackendTls)) => {
                Self::Redirected
            }
            (
                _,
                Action::Redirect
                | Action::Blocked(
                    Blocked::InvalidRule
                    | Blocked::NoSuchBackend
                    | Blocked::RefusedAddress
                    | Blocked::Protocol
                    | Blocked::Annotation
                    | Blocked::Filter
                    | Blocked::BackendTls
                    | Blocked::Bound,
                ),
            )
            | (Action::Redirect | Action::Blocked(_), Action::Forward(_)) => Self::Gone,
        }
    }
}

impl<S> Snapshot<S> {
    /// The state of `route`, which admitted a request for this host and path.
    #[must_use]
    pub fn standing(
        &self,
        route: &Route,
        host: Option<&RequestHost<'_>>,
        path: &RequestPath<'_>,
    ) -> Standing {
        match self.find(host, path) {
            Verdict::Matched(found) => match &found.canary {
                Some(canary) if canary.route.origin == route.origin => Standing::of(route, &canary.route),
                Some(_) | None => Standing::of(route, found),
            },
            Verdict::Redirect { .. } | Verdict::Unknown { .. } | Verdict::NotSynced => Standing::Gone,
        }
    }

    /// The state of `route`, which passed a connection for this server name through.
    #[must_use]
    pub fn standing_of_passed(&self, route: &Route, name: &RequestHost<'_>) -> Standing {
        match self.tls().and_then(|tls| tls.passthrough(name)) {
            Some(found) => Standing::of(route, found),
            None => Standing::Gone,
        }
    }
}
