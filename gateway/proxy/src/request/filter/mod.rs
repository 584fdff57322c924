//! The filters of a route, run for one request: after the table has decided, before it is planned how the request goes to
//! its backend.
//!
//! A filter passes the request on, answers it, or has to wait for something. Only a wait costs a future. The response
//! passes through the filters that its request has reached, in reverse, whoever made it: the backend, the gateway, or one of
//! the filters further in.

mod backend;
mod headers;
mod limits;
mod page;
mod password;
mod path;
mod redirect;
mod values;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ::filter::cors::Verdict;
use door::{Filter, Filters, Matched};
use smallvec::SmallVec;
use wire::{RequestHead, ResponseHead};

use crate::exchange::ResponseFilters;
use crate::head::draft::{FieldEdits, RequestEdits, UNEDITED};
use crate::head::identity::Identity;
use crate::observe::labels::Reason;
use crate::request::Halt;
use crate::request::plan::Plan;
use crate::request::record::Record;
use crate::request::reply::Reply;
use crate::request::requester::Requester;
use crate::settings::Settings;
use crate::upstream::connecting::while_wanted;
use crate::worker::Worker;
use crate::worker::buffers::Scratch;
use crate::worker::place::Place;

/// One request on its way through the filters of its route: how far it is, and what they have decided so far.
#[derive(Debug)]
pub(crate) struct Course {
    filters: Arc<Filters>,
    /// How many of them it has reached.
    reached: usize,
    /// What changes in its head on the way to the backend.
    pub(crate) edits: RequestEdits,
    /// The user that a filter has found.
    pub(crate) user: Option<Box<[u8]>>,
    /// Who may read its response, as filters of CORS have decided: their places among the filters, and the verdicts.
    readers: SmallVec<[(usize, Verdict); 1]>,
    /// What decides which endpoint it gets.
    chosen: backend::Chosen,
    /// What requests for error pages need, on routes that have some.
    kept: Option<Box<page::Kept>>,
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
}

/// What a filter does with a request.
pub(crate) enum Step {
    /// It lets it pass.
    Pass,
    /// It answers it.
    Answer(Reply),
    /// It has to wait.
    Wait(Wait),
}

/// What a filter waits for: a hash, an answer, a store. It ends by itself, within its own time.
pub(crate) type Wait = Pin<Box<dyn Future<Output = Awaited>>>;

/// What came of a wait: a change to the course of the request, and the step that follows from it.
pub(crate) struct Awaited(pub(crate) Box<dyn FnOnce(&mut Course) -> Step>);

/// A request that waits for something outside its worker, so that its head stays in the buffer.
pub(crate) struct Suspended {
    matched: Matched<Settings>,
    course: Box<Course>,
    identity: Identity,
    wait: Wait,
}

/// How far a request has come.
enum Passed {
    /// It has passed all filters.
    Through,
    Answered(Reply),
    Waits(Wait),
}

impl Course {
    fn new(filters: Arc<Filters>) -> Self {
        Self {
            filters,
            reached: 0,
            edits: RequestEdits::default(),
            user: None,
            readers: SmallVec::new(),
            chosen: backend::Chosen::default(),
            kept: None,
        }
    }

    /// Goes on until a filter answers or waits.
    fn advance(&mut self, seen: &Seen<'_>) -> Passed {
        let filters = Arc::clone(&self.filters);
        while let Some(filter) = filters.request.get(self.reached) {
            self.reached += 1;
            match self.step(filter, seen) {
                Step::Pass => {}
                Step::Answer(reply) => return Passed::Answered(reply),
                Step::Wait(wait) => return Passed::Waits(wait),
            }
        }
        Passed::Through
    }

    fn step(&mut self, filter: &Filter, seen: &Seen<'_>) -> Step {
        match filter {
            Filter::Redirect(redirect) => redirect::step(redirect, seen),
            Filter::Path(edit) => path::step(edit, self, seen),
            Filter::UpstreamHost(host) => path::host(host, self, seen),
            Filter::Deny(deny) => limits::deny(deny, self, seen),
            Filter::Allow(allow) => limits::allow(allow, self, seen),
            Filter::RateLimit(limit) => limits::rate(limit, self, seen),
            Filter::Headers(rules) => headers::step(rules, self, seen),
            Filter::Password(filter) => password::step(filter, self, seen),
            // They count for answers, and for the choice of the backend.
            Filter::Errors(_) | Filter::Fallback(_) => Step::Pass,
            Filter::ForwardAuth(_) => Step::Answer(Reply::denied(503, Reason::AuthUnavailable)),
        }
    }

    /// What the filters that the request has reached change in the head of its response: `None` for an answer of the
    /// gateway's own. The last edit of a field counts, so that the outermost filter decides.
    pub(crate) fn response_edits(&self, backends: Option<(&ResponseHead, &[u8])>) -> Cow<'_, FieldEdits> {
        let mut edits = Cow::Borrowed(&UNEDITED.fields);
        let reached = self.filters.request.get(..self.reached).unwrap_or_default();
        for (place, filter) in reached.iter().enumerate().rev() {
            match filter {
                Filter::Redirect(_)
                | Filter::Path(_)
                | Filter::UpstreamHost(_)
                | Filter::Deny(_)
                | Filter::Allow(_)
                | Filter::RateLimit(_)
                | Filter::Password(_)
                | Filter::ForwardAuth(_)
                | Filter::Errors(_)
                | Filter::Fallback(_) => {}
                Filter::Headers(rules) => headers::edit(rules, place, self, backends, &mut edits),
            }
        }
        if backends.is_some() {
            self.add_cookie(&mut edits);
        }
        edits
    }
}

impl ResponseFilters for Course {
    fn intercepts(&self, status: u16) -> bool {
        self.replaces(status)
    }

    fn edits(&self, response: &ResponseHead, head: &[u8]) -> Cow<'_, FieldEdits> {
        self.response_edits(Some((response, head)))
    }
}

/// Begins the course of a request whose head is the first `length` bytes of the client's buffer.
pub(crate) fn begin(
    matched: Matched<Settings>,
    filters: Arc<Filters>,
    identity: Identity,
    requester: &Requester<'_>,
    scratch: &mut Scratch,
    length: usize,
    record: &mut Record,
) -> Result<Plan, Halt> {
    let course = Box::new(Course::new(filters));
    go_on(matched, course, identity, requester, scratch, length, record)
}

/// Waits until the request can go on, for as long as its client does, and goes on until it is planned or answered.
pub(crate) async fn resume(
    mut suspended: Box<Suspended>,
    requester: &mut Requester<'_>,
    scratch: &mut Scratch,
    length: usize,
    record: &mut Record,
) -> Result<Plan, Reply> {
    loop {
        let Suspended {
            matched,
            mut course,
            identity,
            wait,
        } = *suspended;
        let server = Rc::clone(requester.server);
        let waited = while_wanted(requester.stream, requester.deadline, &server.worker, None, wait);
        let Awaited(settle) = waited.await?;
        let halt = match settle(&mut course) {
            Step::Pass => match go_on(matched, course, identity, requester, scratch, length, record) {
                Ok(plan) => return Ok(plan),
                Err(halt) => halt,
            },
            Step::Answer(reply) => Halt::Reply(reply.edited(&course)),
            Step::Wait(wait) => Halt::Wait(Box::new(Suspended {
                matched,
                course,
                identity,
                wait,
            })),
        };
        suspended = match halt {
            Halt::Reply(reply) => return Err(reply),
            Halt::Wait(again) => again,
        };
    }
}

fn go_on(
    mut matched: Matched<Settings>,
    mut course: Box<Course>,
    identity: Identity,
    requester: &Requester<'_>,
    scratch: &mut Scratch,
    length: usize,
    record: &mut Record,
) -> Result<Plan, Halt> {
    let seen = Seen {
        head: scratch.from_client.filled().get(..length).unwrap_or_default(),
        request: &scratch.request,
        place: &scratch.place,
        identity: &identity,
        matched: &matched,
        started: record.started(),
        worker: &requester.server.worker,
    };
    match course.advance(&seen) {
        Passed::Through => {}
        Passed::Answered(reply) => return Err(Halt::Reply(reply.edited(&course))),
        Passed::Waits(wait) => {
            let suspended = Suspended {
                matched,
                course,
                identity,
                wait,
            };
            return Err(Halt::Wait(Box::new(suspended)));
        }
    }
    let destination = match course.destination(&seen, &requester.server.upstreams) {
        Ok(destination) => destination,
        Err(reply) => return Err(Halt::Reply(reply.edited(&course))),
    };
    let upstream = destination.settle(&mut matched);
    record.route = Some(Arc::clone(&matched.route));
    let started = record.started();
    Plan::new(
        matched,
        upstream,
        &identity,
        requester,
        scratch,
        length,
        started,
        Some(course),
    )
    .map_err(Halt::Reply)
}
