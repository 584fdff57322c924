//! What a door says today of that which it let in under an earlier publication.

use std::mem::discriminant;

use route::{RequestHost, RequestPath};

use super::lookup::{Snapshot, Verdict};
use crate::compile::{Action, Route};
use crate::rule::Blocked;

/// What has become of the route of a connection that was passed through, or of a request under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Whoever asks again is let through to the same backend, whatever its endpoints are by now.
    Holds,
    /// The same Ingress answers, and not with that backend: it names another Service or protocol, or the Service is
    /// missing.
    Redirected,
    /// The Ingress answers here no more: it left the door, or its rule did, or another one has taken the place, or the
    /// rule is closed.
    Gone,
}

impl Standing {
    /// `was` is what the door let something in by, `is` what it would let the same in by now.
    fn of(was: &Route, is: &Route) -> Self {
        if was.origin != is.origin {
            return Self::Gone;
        }
        match (&was.action, &is.action) {
            (Action::Forward(was), Action::Forward(is)) => {
                // Keys and authorities may be renewed; TLS in the place of clear text is another matter.
                let speaks_alike = discriminant(&was.protocol) == discriminant(&is.protocol);
                if speaks_alike && (&was.service, was.port) == (&is.service, is.port) {
                    Self::Holds
                } else {
                    Self::Redirected
                }
            }
            // Nothing is asked for that could not be given: the backend is away, and may come back.
            (Action::Forward(_), Action::Blocked(Blocked::NoSuchBackend | Blocked::BackendTls)) => {
                Self::Redirected
            }
            (
                _,
                Action::RedirectToHttps { .. }
                | Action::Blocked(
                    Blocked::InvalidRule
                    | Blocked::NoSuchBackend
                    | Blocked::RefusedAddress
                    | Blocked::Protocol
                    | Blocked::Annotation
                    | Blocked::BackendTls,
                ),
            )
            | (Action::RedirectToHttps { .. } | Action::Blocked(_), Action::Forward(_)) => Self::Gone,
        }
    }
}

impl<S> Snapshot<S> {
    /// What has become of `route`, which a request for this host and path was let through by.
    #[must_use]
    pub fn standing(
        &self,
        route: &Route,
        host: Option<&RequestHost<'_>>,
        path: &RequestPath<'_>,
    ) -> Standing {
        match self.find(host, path) {
            Verdict::Matched(found) => Standing::of(route, found),
            Verdict::Redirect { .. } | Verdict::Unknown { .. } | Verdict::NotSynced => Standing::Gone,
        }
    }

    /// What has become of `route`, which a connection for this server name was passed through by.
    #[must_use]
    pub fn standing_of_passed(&self, route: &Route, name: &RequestHost<'_>) -> Standing {
        match self.tls().and_then(|tls| tls.passthrough(name)) {
            Some(found) => Standing::of(route, found),
            None => Standing::Gone,
        }
    }
}
