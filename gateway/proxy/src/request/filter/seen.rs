//! What filters see of a request, and what they do with it.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use door::Matched;
use wire::RequestHead;

use crate::head::downstream::Downstream;
use crate::head::identity::Identity;
use crate::head::trace::Trace;
use crate::request::course::Course;
use crate::request::reply::Reply;
use crate::request::requester::Server;
use crate::settings::Settings;
use crate::worker::Worker;
use crate::worker::place::Place;

/// What filters see of a request.
pub(crate) struct Seen<'a> {
    pub(crate) asking: Asking<'a>,
    /// Which trace it belongs to; `None` at a door without traces.
    pub(crate) trace: Option<&'a Trace>,
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

/// What a request says, and what has been found out about it: all that a filter needs that asks nobody and counts nothing.
pub(crate) struct Asking<'a> {
    /// The head, as it lies in the buffer.
    pub(crate) head: &'a [u8],
    pub(crate) request: &'a RequestHead,
    /// Host and path in normal form.
    pub(crate) place: &'a Place,
    pub(crate) identity: &'a Identity,
    pub(crate) matched: &'a Matched<Settings>,
}

impl<'a> Deref for Seen<'a> {
    type Target = Asking<'a>;

    fn deref(&self) -> &Asking<'a> {
        &self.asking
    }
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
