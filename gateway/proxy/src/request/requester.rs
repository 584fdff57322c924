//! The client's side of one request, whatever its HTTP version.

use std::rc::Rc;
use std::sync::Arc;

use crate::head::downstream::Downstream;
use crate::observe::access::Lines;
use crate::request::course::EndedCourses;
use crate::stream::Stream;
use crate::upstream::{HealthBoard, Upstreams};
use crate::worker::deadlines::Deadline;
use crate::worker::{Phase, Shared, Worker};

/// What the requests at one worker are served with.
pub(crate) struct Server {
    pub(crate) worker: Rc<Worker>,
    pub(crate) upstreams: Upstreams,
    /// Of requests that have had filters.
    pub(crate) courses: EndedCourses,
}

/// The client's side of one request, borrowed from its connection.
pub(crate) struct Requester<'c> {
    /// Where the answer goes, and the rest of the request comes from.
    pub(crate) stream: &'c mut Stream,
    pub(crate) downstream: &'c Downstream,
    pub(crate) deadline: &'c Deadline,
    pub(crate) server: &'c Rc<Server>,
    /// The connection carries no other request after this one.
    pub(crate) last: bool,
    /// The request is a gRPC call: refusals have a gRPC status.
    pub(crate) grpc: bool,
    /// The connection turned out to lack what the door now requires.
    pub(crate) outdated: bool,
}

/// What happens to the client's side after a request. An HTTP/2 stream ends with its request in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It can carry another request.
    Keep,
    /// It closes when the client has read everything.
    Close,
    /// It is broken or must end.
    Drop,
}

impl Server {
    pub(crate) fn new(shared: Arc<Shared>, board: Arc<HealthBoard>, lines: Lines) -> Rc<Self> {
        let worker = Worker::new(shared, lines);
        let room = &worker.backend_room;
        let upstreams = Upstreams::new(
            board,
            Arc::clone(&worker.metrics),
            Rc::clone(room),
            Rc::clone(&worker.memory),
        );
        let (pipes, drop_oldest_kept) = (Rc::clone(&worker.pipes), upstreams.drop_oldest_kept());
        room.freed_by(move || pipes.free_one() || drop_oldest_kept());
        let makes_room = Rc::downgrade(&worker);
        room.makes_room(move |waiting| {
            let worker = makes_room.upgrade();
            worker.is_some_and(|worker| worker.make_room_for_backends(waiting))
        });
        Rc::new(Self {
            worker,
            upstreams,
            courses: EndedCourses::default(),
        })
    }
}

impl Requester<'_> {
    /// Whether this response must say that the connection ends.
    pub(crate) fn is_closing(&self) -> bool {
        self.last || self.server.worker.phase() != Phase::Serving
    }
}
