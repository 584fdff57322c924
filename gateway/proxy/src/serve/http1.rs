//! One HTTP/1 connection of a client: idle, then a request, then idle again.
//!
//! While idle, a connection holds its socket and one deadline, and no buffers. The state of a request is in a separate
//! box, so that idle connections stay small.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use tokio::io::ReadBuf;
use wire::RequestError;

use super::{REQUESTS, http2};
use crate::head::downstream::Downstream;
use crate::observe::metrics::WorkerMetrics;
use crate::refusal::Refusal;
use crate::request;
use crate::request::record::Record;
use crate::request::requester::{Next, Requester, Server};
use crate::settings::Settings;
use crate::stream::Stream;
use crate::stream::linger::{LingerLimits, linger};
use crate::stream::socket::Socket;
use crate::worker::buffers::Scratch;
use crate::worker::deadlines::{Deadline, Wait};
use crate::worker::memory::Newcomer;
use crate::worker::{Phase, Worker};

/// A connection, with its socket.
pub(crate) struct Http1Connection {
    /// The socket, as one side of each exchange.
    stream: Stream,
    downstream: Downstream,
    deadline: Deadline,
    server: Rc<Server>,
    requests: u32,
    /// Until its first request has ended.
    newcomer: Option<Newcomer>,
}

/// What happens to the connection next.
enum Then {
    /// It waits for another request.
    Idle,
    /// It continues to wait: the next request has not begun after all.
    Wait,
    /// It closes when the client has read everything.
    Close,
    /// It is broken or must end.
    Drop,
    /// It speaks HTTP/2 from its first byte on; these bytes have been read.
    Http2(Vec<u8>),
}

/// How much of a request has arrived.
enum Begun {
    /// Its whole head, of this many bytes.
    Head(usize),
    /// No byte.
    Nothing,
    /// The client has closed the connection.
    End,
    /// The connection cannot be read; under TLS the client has got an alert.
    Broken,
}

impl Http1Connection {
    pub(crate) fn new(
        socket: Socket,
        downstream: Downstream,
        newcomer: Option<Newcomer>,
        server: Rc<Server>,
    ) -> Self {
        let deadline = server.worker.deadlines.register();
        Self {
            stream: Stream::Socket(socket),
            downstream,
            deadline,
            server,
            requests: 0,
            newcomer,
        }
    }

    /// Serves a connection until it ends. Boxed, so that a task holds one copy of it and not one for each step.
    pub(crate) async fn serve(mut self: Box<Self>) {
        self.start_waiting();
        while self.wait_for_request().await {
            let then = {
                let _active = Active::new(&self.server.worker);
                Box::pin(self.serve_requests()).await
            };
            if !matches!(then, Then::Http2(_) | Then::Wait) {
                self.newcomer
                    .take()
                    .into_iter()
                    .for_each(|newcomer| self.server.worker.memory.know(newcomer));
            }
            match then {
                Then::Idle => self.start_waiting(),
                // The next request is still to come, and its deadline keeps running.
                Then::Wait => {}
                Then::Close => {
                    Box::pin(self.linger()).await;
                    return;
                }
                Then::Drop => return,
                Then::Http2(ahead) => {
                    let Self {
                        stream,
                        downstream,
                        deadline,
                        server,
                        newcomer,
                        ..
                    } = *self;
                    if let Some(socket) = stream.into_socket() {
                        Box::pin(http2::serve(
                            socket, ahead, downstream, deadline, newcomer, server,
                        ))
                        .await;
                    }
                    return;
                }
            }
        }
        if let Some(socket) = self.stream.socket() {
            socket.part();
        }
    }

    /// Sets the deadline for the next request to begin.
    fn start_waiting(&self) {
        let settings = Arc::clone(self.server.worker.door.snapshot().settings());
        let wait = if self.requests == 0 {
            settings.timeouts.first_byte
        } else {
            settings.timeouts.idle
        };
        self.deadline.set(wait);
        self.deadline.idle();
    }

    /// Waits until there is something to read. False if the connection must end instead.
    async fn wait_for_request(&mut self) -> bool {
        let Some(socket) = self.stream.socket() else {
            return false;
        };
        let worker = &self.server.worker;
        poll_fn(|context| match socket.poll_readable(context) {
            Poll::Ready(readable) => Poll::Ready(readable),
            Poll::Pending if worker.phase() == Phase::Closing => Poll::Ready(false),
            Poll::Pending if self.deadline.has_passed(context) => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Serves requests as long as the client has sent the next one already.
    async fn serve_requests(&mut self) -> Then {
        let mut loan = self.server.worker.buffers.borrow();
        loop {
            let then = self.serve_request(loan.scratch()).await;
            let scratch = loan.scratch();
            scratch.to_client.clear();
            scratch.to_upstream.clear();
            if !matches!(then, Then::Idle) || scratch.from_client.is_empty() {
                return then;
            }
        }
    }

    async fn serve_request(&mut self, scratch: &mut Scratch) -> Then {
        let started = Instant::now();
        self.server.worker.turns.give_way(started);
        let settings = Arc::clone(self.server.worker.door.snapshot().settings());
        let mut record = Record::new(started);
        let begun = self.read_head(scratch, &settings, started).await;
        self.requests += u32::from(matches!(begun, Ok(Begun::Head(_))));
        let mut requester = Requester {
            stream: &mut self.stream,
            downstream: &self.downstream,
            deadline: &self.deadline,
            server: &self.server,
            last: self.requests >= REQUESTS,
            grpc: false,
            outdated: false,
        };
        let next = match begun {
            Ok(Begun::Head(length)) => {
                let _under_way = self.server.worker.under_way();
                request::serve(&mut requester, scratch, length, &mut record).await
            }
            Ok(Begun::Nothing) => return Then::Wait,
            Ok(Begun::End) => return Then::Drop,
            Ok(Begun::Broken) => return Then::Close,
            Err(Refusal::Head(RequestError::Http2Preface)) if self.requests == 0 && settings.h2c => {
                return Then::Http2(scratch.from_client.filled().to_vec());
            }
            Err(refusal) => request::refuse_unread(&mut requester, scratch, refusal, &mut record).await,
        };
        record.finish(&self.server.worker, &self.downstream);
        match next {
            Next::Keep => Then::Idle,
            Next::Close => Then::Close,
            Next::Drop => Then::Drop,
        }
    }

    /// Reads until the head is complete.
    async fn read_head(
        &mut self,
        scratch: &mut Scratch,
        settings: &Settings,
        started: Instant,
    ) -> Result<Begun, Refusal> {
        let limits = settings.head_limits();
        let (mut begun, mut armed) = (false, false);
        scratch.request.reset();
        loop {
            if !scratch.from_client.is_empty() {
                // Not earlier: what only looks like the beginning of a request leaves the connection idle.
                if !std::mem::replace(&mut begun, true) {
                    self.deadline.busy();
                }
                match scratch.request.parse(scratch.from_client.filled(), &limits) {
                    Ok(Some(length)) => return Ok(Begun::Head(length)),
                    Ok(None) => {}
                    Err(error) => return Err(Refusal::Head(error)),
                }
                if !armed {
                    armed = true;
                    self.deadline.set_following(started, settings.timeouts.head);
                }
            }
            let (stream, deadline) = (&mut self.stream, &self.deadline);
            let count = poll_fn(|context| {
                let mut room = ReadBuf::new(scratch.from_client.room(limits.bytes + 1));
                match stream.poll_read(context, &mut room) {
                    Poll::Ready(Ok(())) => Poll::Ready(Ok(room.filled().len())),
                    Poll::Ready(Err(_)) => Poll::Ready(Err(Refusal::ClientGone)),
                    // Readiness can be a false alarm, and a part of a TLS record yields no bytes yet.
                    Poll::Pending if !armed => Poll::Ready(Err(Refusal::HeadTimeout)),
                    Poll::Pending => match deadline.wait(context) {
                        Wait::Passed | Wait::Cut => Poll::Ready(Err(Refusal::HeadTimeout)),
                        Wait::Quiet => {
                            scratch.rest(0);
                            deadline.holds_for_reader(scratch.held());
                            Poll::Pending
                        }
                        Wait::Running => Poll::Pending,
                    },
                }
            })
            .await;
            let buffer = &mut scratch.from_client;
            match count {
                Err(Refusal::HeadTimeout) if buffer.is_empty() => return Ok(Begun::Nothing),
                Ok(0) if buffer.is_empty() => return Ok(Begun::End),
                Err(Refusal::ClientGone) if buffer.is_empty() => return Ok(Begun::Broken),
                Ok(0) => return Err(Refusal::ClientGone),
                Ok(count) => buffer.filled_by(count),
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// Ends the sending side and keeps reading for a moment, so that the client can read the answer.
    async fn linger(&mut self) {
        if let Some(socket) = self.stream.socket() {
            linger(socket, &self.deadline, &self.server.worker, LingerLimits::SHORT).await;
        }
    }
}

/// Counts a connection as active while it serves requests.
struct Active(Arc<WorkerMetrics>);

impl Active {
    fn new(worker: &Worker) -> Self {
        worker.metrics.connections_active.add(1);
        Self(Arc::clone(&worker.metrics))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.connections_active.subtract(1);
    }
}
