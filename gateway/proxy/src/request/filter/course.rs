//! The course of one request through the filters of its route, and what they see of it.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ::filter::cors::Verdict;
use bytes::Bytes;
use door::{Filters, Matched};
use http::HeaderValue;
use smallvec::SmallVec;
use wire::RequestHead;

use super::chosen::Chosen;
use super::kept::Kept;
use crate::head::downstream::Downstream;
use crate::head::draft::RequestEdits;
use crate::head::identity::Identity;
use crate::request::reply::Reply;
use crate::request::requester::Server;
use crate::settings::Settings;
use crate::worker::Worker;
use crate::worker::place::Place;

/// One request on its way through the filters of its route: how far it is, and what they have decided so far.
#[derive(Debug)]
pub(crate) struct Course {
    pub(super) filters: Arc<Filters>,
    /// How many of them it has reached.
    pub(super) reached: usize,
    /// What changes in its head on the way to the backend.
    pub(crate) edits: RequestEdits,
    /// The user that a filter has found.
    pub(crate) user: Option<Box<[u8]>>,
    /// Who may read its response, as filters of CORS have decided: their places among the filters, and the verdicts.
    pub(super) readers: SmallVec<[(usize, Verdict); 1]>,
    /// Cookies that services have granted its client: the places of their filters, and the cookies.
    pub(super) granted: SmallVec<[(usize, Vec<HeaderValue>); 1]>,
    /// What decides which endpoint it gets.
    pub(super) chosen: Chosen,
    /// What requests for error pages need, on routes that have some.
    pub(super) kept: RefCell<Option<Box<Kept>>>,
}

/// What filters see of a request.
pub(crate) struct Seen<'a> {
    /// The head, as it lies in the buffer.
    pub(crate) head: &'a [u8],
    pub(crate) request: &'a RequestHead,
    /// Host and path in normal form.
    pub(crate) place: &'a Place,
    pub(crate) identity: &'a Identity,
    pub(crate) matched: &'a Matched<Settings>,
    /// When it began.
    pub(crate) started: Instant,
    pub(crate) worker: &'a Worker,
    /// With what its worker serves requests.
    pub(crate) server: &'a Rc<Server>,
    /// What its connection has settled.
    pub(crate) downstream: &'a Downstream,
    /// Its body, where a filter has asked for it.
    pub(crate) body: Option<&'a Bytes>,
}

/// What a filter does with a request.
pub(crate) enum Step {
    /// It lets it pass.
    Pass,
    /// It answers it.
    Answer(Reply),
    /// It has to wait.
    Wait(Wait),
    /// It needs the body, of at most so many bytes; it has its turn again then.
    Body(u64),
}

/// What a filter waits for: a hash, an answer, a store. Each has a time limit of its own, so that it ends by itself. It is dropped
/// before that when the client leaves, or when its call is over time.
pub(crate) type Wait = Pin<Box<dyn Future<Output = Awaited>>>;

/// What came of a wait: a change to the course of the request, and the step that follows from it.
pub(crate) struct Awaited(pub(crate) Box<dyn FnOnce(&mut Course) -> Step>);

/// How far a request has come.
pub(crate) enum Passed {
    /// It has passed all filters.
    Through,
    Answered(Reply),
    Waits(Wait),
    NeedsBody(u64),
}

impl Course {
    /// It has reached none yet.
    pub(crate) fn new(filters: Arc<Filters>) -> Self {
        Self {
            filters,
            reached: 0,
            edits: RequestEdits::default(),
            user: None,
            readers: SmallVec::new(),
            granted: SmallVec::new(),
            chosen: Chosen::default(),
            kept: RefCell::default(),
        }
    }
}
