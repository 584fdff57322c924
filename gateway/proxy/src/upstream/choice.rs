//! What determines the endpoint for a request.

use std::net::SocketAddr;
use std::rc::Rc;

use filter::hash::KeyHash;

use super::endpoint::Endpoint;
use super::tries::{Again, Tries};

/// What decides between the endpoints of an upstream, besides their health and load.
#[derive(Default)]
pub(crate) struct Choice {
    /// What decides as long as it leads to an endpoint that is usable.
    pub(super) preference: Preference,
    /// Where this request has failed.
    pub(super) tries: Tries,
    /// One of them, which may be used once more if no other is left.
    pub(super) same: Option<Rc<Endpoint>>,
}

/// What the route says about the choice. Where it leads to no usable endpoint, the load decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Preference {
    /// The load decides alone.
    #[default]
    Load,
    /// The endpoint to which the client belongs.
    Endpoint(SocketAddr),
    /// The endpoints in the order of their weights for this key.
    Key(KeyHash),
    /// One after the other.
    Turn,
}

impl Choice {
    /// A choice with a preference.
    pub(crate) fn preferring(preference: Preference) -> Self {
        Self {
            preference,
            ..Self::default()
        }
    }

    /// Records a failure; returns whether another choice is allowed.
    pub(crate) fn go_on(&mut self, again: Again, endpoint: &Rc<Endpoint>) -> bool {
        let may_be_same = matches!(again, Again::Anywhere | Again::Unprocessed);
        self.same = may_be_same.then(|| Rc::clone(endpoint));
        self.tries.go_on(again, endpoint.address())
    }
}
