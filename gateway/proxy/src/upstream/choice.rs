//! By what the endpoint for a request is chosen.

use std::rc::Rc;

use super::endpoint::Endpoint;
use super::tries::{Again, Tries};

/// What decides between the endpoints of an upstream, beside how they are doing: here is the place for whatever else
/// is to (a cookie, a hash, weights).
#[derive(Default)]
pub(crate) struct Choice {
    /// Where this request has failed.
    pub(super) tries: Tries,
    /// One of them, which will do once more where no other is left.
    pub(super) same: Option<Rc<Endpoint>>,
}

impl Choice {
    /// Takes note of a failure; whether another choice is allowed.
    pub(crate) fn go_on(&mut self, again: Again, endpoint: &Rc<Endpoint>) -> bool {
        self.same = (again == Again::Anywhere).then(|| Rc::clone(endpoint));
        self.tries.go_on(again, endpoint.address())
    }
}
