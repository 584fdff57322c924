//! One client connection: idle, then a request, then idle again.
//!
//! While idle a connection holds its socket and one deadline, and no buffers. The state of a request lives in a
//! box of its own, so that it does not weigh on idle connections.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Instant;

use smallvec::SmallVec;
use tokio::io::ReadBuf;
use wire::{BodyFraming, Glimpse, RequestError, Version};

use super::http2;
use crate::head;
use crate::head::downstream::Downstream;
use crate::head::draft::Connection;
use crate::head::emit::{self, OwnAnswer};
use crate::head::identity::Identity;
use crate::observe::labels::Reason;
use crate::observe::metrics::WorkerMetrics;
use crate::refusal::Refusal;
use crate::request::forward;
use crate::request::record::Record;
use crate::settings::Settings;
use crate::stream::Stream;
use crate::stream::linger::{LingerLimits, linger};
use crate::worker::buffers::Scratch;
use crate::worker::deadlines::Deadline;
use crate::worker::{Phase, Worker};

/// Requests after which a connection is closed, so that none lives for ever.
pub(crate) const REQUESTS: u32 = 10_000;

/// The methods that are forwarded, and any other token with them (RFC 9110 10.2.1).
pub(crate) const ALLOW: &[u8] = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// A client and what it asks through: a connection, or one stream of an HTTP/2 connection.
pub(crate) struct Client {
    pub(crate) stream: Stream,
    pub(crate) downstream: Downstream,
    pub(crate) deadline: Deadline,
    pub(crate) worker: Rc<Worker>,
    /// The request is gRPC's: refusals speak its language.
    pub(crate) grpc: bool,
    /// The connection has not what the door asks of connections by now.
    pub(crate) outdated: bool,
    requests: u32,
}

/// What becomes of the connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It can carry another one.
    Keep,
    /// It is to be closed when the client has read everything.
    Close,
    /// The next one has not begun after all.
    Wait,
    /// It is broken or was told to go.
    Drop,
    /// It speaks HTTP/2 from its first byte on.
    Http2,
}

/// What has come of a request.
enum Begun {
    /// Its whole head, of this many bytes.
    Head(usize),
    /// Not a byte.
    Nothing,
    /// The client has closed the connection.
    End,
    /// It cannot be read, and under TLS the client has been told why.
    Broken,
}

impl Client {
    pub(crate) fn new(stream: Stream, downstream: Downstream, worker: Rc<Worker>) -> Self {
        let deadline = worker.deadlines.register();
        Self {
            stream,
            downstream,
            deadline,
            worker,
            grpc: false,
            outdated: false,
            requests: 0,
        }
    }

    /// Serves a connection until it ends. Boxed, so that a task holds one copy of it and not one for each step.
    pub(crate) async fn serve(mut self: Box<Self>) {
        self.start_waiting();
        while self.wait_for_request().await {
            let (next, ahead) = {
                let _active = Active::new(&self.worker);
                Box::pin(self.serve_requests()).await
            };
            match next {
                Next::Keep => self.start_waiting(),
                // What is waited for is still to come, and the time for it goes on.
                Next::Wait => {}
                Next::Close => {
                    Box::pin(self.linger()).await;
                    return;
                }
                Next::Drop => return,
                Next::Http2 => {
                    let client = *self;
                    if let Stream::Socket(socket) = client.stream {
                        let connection =
                            http2::serve(socket, ahead, client.downstream, client.deadline, client.worker);
                        Box::pin(connection).await;
                    }
                    return;
                }
            }
        }
        if let Stream::Socket(socket) = &mut self.stream {
            socket.part();
        }
    }

    /// Gives the next request its time to begin.
    fn start_waiting(&self) {
        let settings = Arc::clone(self.worker.door.snapshot().settings());
        let patience = if self.requests == 0 {
            settings.timeouts.first_byte
        } else {
            settings.timeouts.idle
        };
        self.deadline.set(Instant::now(), patience);
    }

    /// Waits until there is something to read. False when the connection is to end instead.
    async fn wait_for_request(&mut self) -> bool {
        let Stream::Socket(socket) = &mut self.stream else {
            return false;
        };
        poll_fn(|context| match socket.poll_readable(context) {
            Poll::Ready(readable) => Poll::Ready(readable),
            Poll::Pending if self.worker.phase() == Phase::Closing => Poll::Ready(false),
            Poll::Pending if self.deadline.has_passed(context) => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Serves requests as long as the client has sent the next one already. What it has sent and another protocol is
    /// to read comes back.
    async fn serve_requests(&mut self) -> (Next, Vec<u8>) {
        let mut loan = self.worker.buffers.borrow();
        loop {
            let next = self.serve_request(loan.scratch()).await;
            let scratch = loan.scratch();
            scratch.to_client.clear();
            scratch.to_upstream.clear();
            if next == Next::Http2 {
                return (next, scratch.from_client.filled().to_vec());
            }
            if next != Next::Keep || scratch.from_client.is_empty() {
                return (next, Vec::new());
            }
        }
    }

    async fn serve_request(&mut self, scratch: &mut Scratch) -> Next {
        let started = Instant::now();
        let settings = Arc::clone(self.worker.door.snapshot().settings());
        let mut record = Record::new(started);
        let length = match self.read_head(scratch, &settings, started).await {
            Ok(Begun::Head(length)) => length,
            Ok(Begun::Nothing) => return Next::Wait,
            Ok(Begun::End) => return Next::Drop,
            Ok(Begun::Broken) => return Next::Close,
            Err(Refusal::Head(RequestError::Http2Preface)) if self.requests == 0 && settings.h2c => {
                return Next::Http2;
            }
            Err(refusal) => {
                let seen = Glimpse::of(scratch.from_client.filled());
                self.note_unread(scratch, seen, &refusal, &mut record);
                let next = self.refuse(scratch, &refusal, &mut record, None).await;
                record.finish(&self.worker, self.downstream.peer.address);
                return next;
            }
        };
        self.requests += 1;
        let _under_way = self.worker.under_way();
        let next = forward::answer(self, scratch, length, &mut record).await;
        record.finish(&self.worker, self.downstream.peer.address);
        next
    }

    /// Takes note of what there is of a head that is refused.
    pub(crate) fn note_unread(
        &self,
        scratch: &Scratch,
        seen: Glimpse<'_>,
        refusal: &Refusal,
        record: &mut Record,
    ) {
        let head = scratch.from_client.filled();
        let snapshot = self.worker.door.snapshot();
        let identity = Identity::of(&self.downstream.peer, snapshot.settings(), &scratch.request, head);
        record.glimpse(&self.worker, seen, head, &identity);
        if let Refusal::Head(error) = refusal {
            record.explain(error.explain(head));
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
        let mut armed = false;
        scratch.request.reset();
        loop {
            if !scratch.from_client.is_empty() {
                match scratch.request.parse(scratch.from_client.filled(), &limits) {
                    Ok(Some(length)) => return Ok(Begun::Head(length)),
                    Ok(None) => {}
                    Err(error) => return Err(Refusal::Head(error)),
                }
                if !armed {
                    armed = true;
                    self.deadline.set(started, settings.timeouts.head);
                }
            }
            let buffer = &mut scratch.from_client;
            let (stream, deadline) = (&mut self.stream, &self.deadline);
            let count = poll_fn(|context| {
                let mut room = ReadBuf::new(buffer.room(limits.bytes + 1));
                match stream.poll_read(context, &mut room) {
                    Poll::Ready(Ok(())) => Poll::Ready(Ok(room.filled().len())),
                    Poll::Ready(Err(_)) => Poll::Ready(Err(Refusal::ClientGone)),
                    Poll::Pending if armed && deadline.has_passed(context) => {
                        Poll::Ready(Err(Refusal::HeadTimeout))
                    }
                    // Readiness can be a false alarm, and part of a TLS record is nothing yet.
                    Poll::Pending if !armed => Poll::Ready(Err(Refusal::HeadTimeout)),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await;
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

    /// Answers on the gateway's own behalf, if that is still possible, and says what becomes of the connection.
    pub(crate) async fn refuse(
        &mut self,
        scratch: &mut Scratch,
        refusal: &Refusal,
        record: &mut Record,
        location: Option<&[u8]>,
    ) -> Next {
        let disposition = refusal.disposition();
        record.refused(refusal);
        if disposition.reason == Reason::ClientGone {
            return Next::Drop;
        }
        let head_parsed = !matches!(refusal, Refusal::Head(_) | Refusal::HeadTimeout);
        let request = &scratch.request;
        let unread = head_parsed && !matches!(request.framing, BodyFraming::None | BodyFraming::Length(0));
        let keep = head_parsed && !disposition.close && !unread && request.persistent() && !self.is_closing();
        let connection = match (keep, request.version) {
            (false, _) => Connection::Close,
            (true, Version::Http10) => Connection::KeepExplicitly,
            (true, Version::Http11) => Connection::Keep,
        };
        let mut extra: SmallVec<[(&str, &[u8]); 2]> = SmallVec::new();
        if let Some(location) = location {
            extra.push(("Location", location));
        }
        match disposition.status {
            503 => extra.push(("Retry-After", b"1")),
            405 => extra.push(("Allow", ALLOW)),
            _ => {}
        }
        let date = self.worker.clock.date();
        let answer = OwnAnswer {
            status: disposition.status,
            // Known before the rest of the head is; the answer to HEAD has no body even where the head is refused.
            method: request.method,
            date: &date,
            connection,
            extra: &extra,
            grpc: self.grpc.then(|| disposition.grpc_status()),
        };
        self.send(&mut scratch.to_client, &answer).await
    }

    /// Sends an answer of the gateway's own.
    pub(crate) async fn send(&mut self, out: &mut Vec<u8>, answer: &OwnAnswer<'_>) -> Next {
        let socket = match &mut self.stream {
            Stream::Http2(stream) => {
                // A stream that has gone needs no answer.
                if let Ok((head, body)) = head::http2::answer(answer) {
                    let _gone = stream.respond_whole(head, body);
                }
                return Next::Drop;
            }
            Stream::Socket(socket) => socket,
        };
        out.clear();
        emit::own(out, answer);
        let patience = self.worker.door.snapshot().settings().timeouts.write_stall;
        self.deadline.set(Instant::now(), patience);
        let mut rest: &[u8] = out;
        let deadline = &self.deadline;
        let sent = poll_fn(|context| {
            loop {
                let step = match rest {
                    [] => socket.poll_flush(context).map_ok(|()| 0),
                    rest => socket.poll_write(context, rest),
                };
                match step {
                    Poll::Ready(Ok(0)) => return Poll::Ready(rest.is_empty()),
                    Poll::Ready(Ok(count)) => rest = rest.get(count..).unwrap_or_default(),
                    Poll::Ready(Err(_)) => return Poll::Ready(false),
                    Poll::Pending if deadline.has_passed(context) => return Poll::Ready(false),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
        match (sent, answer.connection) {
            (false, _) => Next::Drop,
            (true, Connection::Keep | Connection::KeepExplicitly) => Next::Keep,
            (true, Connection::Close | Connection::Upgrade) => Next::Close,
        }
    }

    /// Whether the client is to be told that its connection ends with this response.
    pub(crate) fn is_closing(&self) -> bool {
        self.worker.phase() != Phase::Serving || self.requests >= REQUESTS
    }

    /// Reads on for a moment after an answer that came before the end of the request: ending the stream at once would
    /// be an error to many a client, and it may have sent all of it already.
    pub(crate) async fn discard(&mut self) {
        let Stream::Http2(stream) = &mut self.stream else {
            return;
        };
        if !stream.has_incoming() {
            return;
        }
        self.deadline.set(Instant::now(), LingerLimits::SHORT.silence);
        let mut bytes = vec![0; 16 * 1024];
        let mut left = LingerLimits::SHORT.bytes;
        let deadline = &self.deadline;
        poll_fn(|context| {
            while !deadline.has_passed(context) {
                let mut room = ReadBuf::new(&mut bytes);
                match ready!(stream.poll_read(context, &mut room)) {
                    Ok(()) if !room.filled().is_empty() && left > 0 => {
                        left = left.saturating_sub(room.filled().len());
                    }
                    _ => break,
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Ends the sending side and reads on for a moment, so that the client gets to read the answer.
    async fn linger(&mut self) {
        if let Stream::Socket(socket) = &mut self.stream {
            linger(socket, &self.deadline, &self.worker, LingerLimits::SHORT).await;
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

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        Self::Head(error)
    }
}
