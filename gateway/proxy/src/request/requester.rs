//! Whoever asks: the client's side of one request, whatever the version of HTTP that it came by.

use std::rc::Rc;
use std::sync::Arc;

use crate::head::downstream::Downstream;
use crate::observe::access::Lines;
use crate::stream::Stream;
use crate::upstream::{HealthBoard, Upstreams};
use crate::worker::deadlines::Deadline;
use crate::worker::{Phase, Shared, Worker};

/// What the requests at one worker are served with.
pub(crate) struct Server {
    pub(crate) worker: Rc<Worker>,
    pub(crate) upstreams: Upstreams,
}

/// The client's side of one request. The connection that it came by lends it.
pub(crate) struct Requester<'c> {
    /// Where the answer goes, and the rest of the request comes from.
    pub(crate) stream: &'c mut Stream,
    pub(crate) downstream: &'c Downstream,
    pub(crate) deadline: &'c Deadline,
    pub(crate) server: &'c Rc<Server>,
    /// The connection carries no other request after this one.
    pub(crate) last: bool,
    /// The request is gRPC's: refusals speak its language.
    pub(crate) grpc: bool,
    /// The connection turned out not to have what the door asks of connections by now.
    pub(crate) outdated: bool,
}

/// What the client's side is good for after a request. A stream of HTTP/2 ends with its request, whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It can carry another request.
    Keep,
    /// It is to be closed when the client has read everything.
    Close,
    /// It is broken or was told to go.
    Drop,
}

impl Server {
    pub(crate) fn new(shared: Arc<Shared>, board: Arc<HealthBoard>, lines: Lines) -> Rc<Self> {
        let worker = Worker::new(shared, lines);
        let upstreams = Upstreams::new(board, Arc::clone(&worker.metrics));
        Rc::new(Self { worker, upstreams })
    }
}

impl Requester<'_> {
    /// Whether the client is to be told that its connection ends with this response.
    pub(crate) fn is_closing(&self) -> bool {
        self.last || self.server.worker.phase() != Phase::Serving
    }
}
