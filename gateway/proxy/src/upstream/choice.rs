//! What determines the endpoint for a request.

use std::rc::Rc;

use super::endpoint::Endpoint;
use super::tries::{Again, Tries};

/// What decides between the endpoints of an upstream, besides their health and load. Other criteria (a cookie, a hash,
/// weights) belong here.
#[derive(Default)]
pub(crate) struct Choice {
    /// Where this request has failed.
    pub(super) tries: Tries,
    /// One of them, which may be used once more if no other is left.
    pub(super) same: Option<Rc<Endpoint>>,
}

impl Choice {
    /// Records a failure; returns whether another choice is allowed.
    pub(crate) fn go_on(&mut self, again: Again, endpoint: &Rc<Endpoint>) -> bool {
        let may_be_same = matches!(again, Again::Anywhere | Again::Unprocessed);
        self.same = may_be_same.then(|| Rc::clone(endpoint));
        self.tries.go_on(again, endpoint.address())
    }
}
