//! A client's HTTP/2 connection: accepts streams, each of which is served by its own task, keeps the connection alive,
//! and ends it in order.

mod budget;
mod discard;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Request;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST};
use wire::{Glimpse, HeadError, Method, RequestHead};

use budget::{Counted, Shared};
use discard::discard;

use crate::head::downstream::Downstream;
use crate::head::http2::{field_count, write_request};
use crate::head::traits::is_grpc;
use crate::observe::labels;
use crate::refusal::Refusal;
use crate::request;
use crate::request::record::Record;
use crate::request::reply::Reply;
use crate::request::requester::{Requester, Server};
use crate::serve::REQUESTS;
use crate::settings::Limits;
use crate::stream::Stream;
use crate::stream::http2::trailers::MalformedTrailers;
use crate::stream::http2::{
    BURDEN, CONNECTION_WINDOW, Http2Stream, Inbox, Outbox, Piece, RESET_STREAMS, ROOM, SEND_BUFFER,
    STREAM_WINDOW,
};
use crate::stream::linger::{LingerLimits, linger};
use crate::stream::socket::Socket;
use crate::worker::deadlines::Deadline;
use crate::worker::memory::{HTTP2, HTTP2_STREAM, NEW_STREAM, Newcomer};
use crate::worker::{Phase, Worker};

/// How often a connection gets a PING, and how long the client may take to answer.
const PING: Duration = Duration::from_secs(60);
const PONG: Duration = Duration::from_secs(20);

/// How long a connection that has been asked to end may take to send its last frame.
const PARTING: Duration = Duration::from_millis(100);

/// The most bytes of our own that a PING comes with: one GOAWAY without text, the PING that the library sends after it
/// to learn when it has been read, and ours (RFC 9113 6.7 and 6.8). They are no sign that anybody reads.
const PULSE: u64 = 3 * (9 + 8);

/// Streams that the client has reset and that may wait to be processed: more are an attack (CVE-2023-44487).
const PENDING_RESETS: usize = 20;

/// Resets that the client's own errors may cause (CVE-2025-8671).
const LOCAL_RESETS: usize = 1024;

/// The number of cookies that browsers send at most, each as a field (RFC 6265 6.1 asks for 50, browsers keep 180), and
/// the cost of each besides its text.
const CRUMBS: usize = 180;
const CRUMB: usize = 32 + "cookie".len();

/// How long the gateway waits to learn whether a request that is not expected to have content has any.
const CONTENT: Duration = Duration::from_millis(100);

/// Requests that may be cancelled before the proportion of cancelled requests matters.
const GIVEN_UP: u32 = 500;

/// What the streams of a connection share with it.
struct Streams {
    server: Rc<Server>,
    downstream: Downstream,
    inbox: Rc<Inbox>,
    outbox: Rc<Outbox>,
    active: Cell<usize>,
    /// The connection, until its first requests have ended.
    newcomer: Cell<Option<Newcomer>>,
    /// The connection's own.
    deadline: Deadline,
    /// Requests that the client cancelled.
    given_up: Cell<u32>,
    /// When the last of them ended.
    idle_since: Cell<Instant>,
    /// The connection lacks what the door now requires.
    outdated: Cell<bool>,
    /// The streams that their trailers make malformed.
    malformed: MalformedTrailers,
}

/// Serves an HTTP/2 connection until it ends. `ahead` was read before the protocol was known.
pub(crate) async fn serve(
    socket: Socket,
    ahead: Vec<u8>,
    downstream: Downstream,
    deadline: Deadline,
    newcomer: Option<Newcomer>,
    server: Rc<Server>,
) {
    let worker = &server.worker;
    let settings = std::sync::Arc::clone(worker.door.snapshot().settings());
    // Until the library has let go of it.
    let held = worker.memory.charge(HTTP2);
    let outbox = outbox(&settings.limits, worker);
    let longest = field_list(&settings.limits);
    let socket = Counted::new(socket, ahead, longest, Rc::clone(&outbox), &worker.memory);
    let malformed = socket.malformed_trailers();
    let shared = socket.shared();
    deadline.set(settings.timeouts.first_byte);
    deadline.idle();
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(settings.limits.h2_streams)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(header_list(&settings.limits))
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(RESET_STREAMS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(LOCAL_RESETS))
        .data_frame_budget(BURDEN)
        .enable_connect_protocol();
    let mut handshake = pin!(builder.handshake::<_, Piece>(socket));
    let connection = poll_fn(|context| match handshake.as_mut().poll(context) {
        Poll::Pending if deadline.has_passed(context) || worker.phase() == Phase::Ended => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
        Poll::Ready(connection) => Poll::Ready(connection.ok()),
    })
    .await;
    let Some(mut connection) = connection else { return };
    let pings = connection.ping_pong();
    let streams = Rc::new(Streams {
        server,
        downstream,
        inbox: Rc::clone(&shared.inbox),
        outbox,
        active: Cell::new(0),
        newcomer: Cell::new(newcomer),
        deadline,
        given_up: Cell::new(0),
        idle_since: Cell::new(Instant::now()),
        outdated: Cell::new(false),
        malformed,
    });
    let mut driver = Driver {
        connection,
        pings,
        streams,
        shared,
        requests: 0,
        leaving: false,
        flooded: false,
        parting: false,
        was_full: false,
        asked: false,
        seen: 0,
        idle: settings.timeouts.idle,
        head: settings.timeouts.head,
    };
    driver.rearm();
    let end = poll_fn(|context| driver.poll(context)).await;
    let Driver {
        connection,
        streams,
        shared,
        ..
    } = driver;
    drop(connection);
    drop(held);
    // The library has let go of it.
    if let Some(shared) = Rc::into_inner(shared) {
        let mut socket = shared.socket.into_inner();
        let limits = match end {
            End::Ordered => LingerLimits::for_a_reader(settings.timeouts.write_stall),
            End::Abrupt => LingerLimits::SHORT,
            End::Asked => LingerLimits::TO_MAKE_ROOM,
            End::Silent => {
                socket.reset();
                return;
            }
        };
        linger(&mut socket, &streams.deadline, &streams.server.worker, limits).await;
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With its last stream, or by the client: the client may still have to read what was sent.
    Ordered,
    /// The client violated the protocol, and has got a GOAWAY that says so.
    Abrupt,
    /// By the gateway, to make room: the client has got a GOAWAY.
    Asked,
    /// The client no longer answers.
    Silent,
}

/// The largest list of fields that the door accepts, apart from split cookies: 32 bytes are counted for each field in
/// addition to its name and value (RFC 9113 6.5.2).
fn field_list(limits: &Limits) -> usize {
    limits.header_bytes + 64 * limits.headers
}

/// What the library must accept so that the strict parser can refuse what exceeds the door's limits, with a status; for
/// trailers, so that it shows if the library leaves something out.
fn header_list(limits: &Limits) -> u32 {
    let list = field_list(limits);
    u32::try_from((list + CRUMBS * CRUMB).max(ROOM * list)).unwrap_or(u32::MAX)
}

/// What the streams of one connection may hold unsent.
fn outbox(limits: &Limits, worker: &Worker) -> Rc<Outbox> {
    let streams = usize::try_from(limits.h2_streams).unwrap_or(usize::MAX);
    let metrics = std::sync::Arc::clone(&worker.metrics);
    Outbox::new(
        limits.h2_buffer,
        streams,
        Rc::clone(&worker.memory),
        Some(metrics),
    )
}

/// How long a connection without requests may leave a PING unanswered, as long as bytes pass.
const UNUSED: Duration = Duration::from_secs(300);

/// Drives one connection.
struct Driver {
    connection: Connection<Counted, Piece>,
    pings: Option<PingPong>,
    streams: Rc<Streams>,
    shared: Rc<Shared>,
    requests: u32,
    /// GOAWAY has been sent.
    leaving: bool,
    /// And it says that the client asks for too much.
    flooded: bool,
    /// And it says that the gateway needs the room.
    parting: bool,
    /// It has held all that it may.
    was_full: bool,
    /// A ping waits for its answer.
    asked: bool,
    /// The bytes that have passed on the connection when a PING is out: with fewer, nothing but our own frames has.
    seen: u64,
    idle: Duration,
    /// How long a block of fields may take to arrive.
    head: Duration,
}

/// Whether the library has ended the connection because of a bound of its own.
fn is_flood(error: &h2::Error) -> bool {
    error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM)
}

impl Driver {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            match self.streams.server.worker.phase() {
                // At the end each stream still sends that it is cut; a client that does not read that is dropped with the worker.
                Phase::Closing | Phase::Ended => self.leave(),
                // Load balancers still send new connections: each may send one request, as in HTTP/1.
                Phase::Draining if self.requests > 0 => self.leave(),
                Phase::Draining | Phase::Serving => {}
            }
            if self.streams.outdated.get() {
                self.leave();
            }
            match self.connection.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => self.accept(request, respond),
                Poll::Ready(_) if self.parting => return Poll::Ready(End::Asked),
                Poll::Ready(None) if !self.flooded => return Poll::Ready(End::Ordered),
                Poll::Ready(Some(Err(error))) => {
                    if !self.flooded && is_flood(&error) {
                        self.streams.server.worker.metrics.refused(labels::Reason::Flood);
                    }
                    return Poll::Ready(End::Abrupt);
                }
                Poll::Ready(None) => return Poll::Ready(End::Abrupt),
                Poll::Pending => {
                    if !self.was_full && self.streams.outbox.take_full() {
                        self.report_full();
                    }
                    if self.shared.exceeded.take() || self.is_toyed_with() {
                        self.streams.server.worker.metrics.refused(labels::Reason::Flood);
                        self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                        (self.leaving, self.flooded) = (true, true);
                        continue;
                    }
                    if self.is_dripped_at() {
                        self.streams
                            .server
                            .worker
                            .metrics
                            .refused(labels::Reason::HeadTimeout);
                        return Poll::Ready(End::Silent);
                    }
                    match self.poll_pulse(context) {
                        Poll::Ready(true) => {}
                        Poll::Ready(false) => return Poll::Ready(End::Silent),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            }
        }
    }

    /// Counts the connection among those that have held all they may, once.
    fn report_full(&mut self) {
        self.was_full = true;
        let worker = &self.streams.server.worker;
        worker.metrics.http2_full.add(1);
        let reason = "its streams hold all that one HTTP/2 connection may hold unsent (`limits.h2_buffer`)";
        worker.warn(
            self.streams.downstream.peer.address,
            "a client reads slowly",
            reason,
        );
    }

    /// Asks the client to open no more streams here; open ones continue (RFC 9113 6.8).
    fn leave(&mut self) {
        if !std::mem::replace(&mut self.leaving, true) {
            self.connection.graceful_shutdown();
        }
    }

    /// Requests that are mostly cancelled cost a backend's connection each, and the client nothing (CVE-2023-44487).
    fn is_toyed_with(&self) -> bool {
        let given_up = self.streams.given_up.get();
        !self.leaving && given_up > GIVEN_UP && given_up > self.requests / 2
    }

    /// Whether a head, or trailers, have been arriving for too long. Nothing else can arrive meanwhile (RFC 9113 4.3).
    fn is_dripped_at(&self) -> bool {
        let since = self.shared.block_since.get();
        since.is_some_and(|since| since.elapsed() >= self.head)
    }

    fn is_idle_for(&self, time: Duration) -> bool {
        self.streams.active.get() == 0 && self.streams.idle_since.get().elapsed() >= time
    }

    fn accept(&mut self, request: Request<RecvStream>, respond: SendResponse<Piece>) {
        self.requests += 1;
        if self.requests >= REQUESTS {
            self.leave();
        }
        let stream = Active::new(&self.streams);
        let (parts, body) = request.into_parts();
        tokio::task::spawn_local(stream.serve(parts, body, respond));
    }

    /// Checks that the connection is alive and in use: sends a PING now and then, and ends a connection that has been idle
    /// for too long. Ready with true when there is something new to poll for.
    fn poll_pulse(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if !self.parting && self.streams.deadline.is_asked_to_end() {
            // It names the last stream that was served, so that the client can safely repeat what it has sent since.
            self.connection.abrupt_shutdown(Reason::NO_ERROR);
            (self.leaving, self.parting) = (true, true);
            self.streams.deadline.set(PARTING);
            return Poll::Ready(true);
        }
        if let Some(pings) = self.pings.as_mut().filter(|_| self.asked) {
            match pings.poll_pong(context) {
                Poll::Ready(Ok(_)) => {
                    self.asked = false;
                    self.rearm();
                }
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => {}
            }
        }
        if !self.streams.deadline.has_passed(context) {
            return Poll::Pending;
        }
        if self.parting {
            return Poll::Ready(false);
        }
        if self.asked {
            // The PING queues behind everything that a slow reader has not read yet.
            let passed = self.shared.passed.get();
            let seen = std::mem::replace(&mut self.seen, passed);
            // A reader may take its time with the last answers, and bytes that come to nothing keep no connection.
            if passed <= seen || self.is_idle_for(self.idle.max(UNUSED)) {
                return Poll::Ready(false);
            }
            self.streams.deadline.set(PONG);
            return Poll::Ready(true);
        }
        if self.is_idle_for(self.idle) {
            if self.leaving {
                return Poll::Ready(false);
            }
            self.leave();
        }
        if let Some(pings) = &mut self.pings {
            self.asked = pings.send_ping(Ping::opaque()).is_ok();
        }
        self.seen = self.shared.passed.get() + PULSE;
        self.streams.deadline.set(PONG);
        Poll::Ready(true)
    }

    fn rearm(&self) {
        self.streams.deadline.set(PING.min(self.idle));
    }
}

/// Whether nothing follows the head of a request. Some clients say so only with an empty frame after it. If content would
/// be unusual, it is worth waiting a moment for that, because not every backend accepts a GET in chunks.
async fn ends_with_head(stream: &mut Http2Stream, deadline: &Deadline, parts: &http::request::Parts) -> bool {
    use http::Method;
    if !stream.has_incoming() {
        return true;
    }
    let states_length = parts.headers.contains_key(CONTENT_LENGTH);
    if states_length || parts.headers.contains_key(EXPECT) || parts.method == Method::CONNECT {
        return false;
    }
    let patient = [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS].contains(&parts.method);
    if patient {
        deadline.set(CONTENT);
    }
    poll_fn(|context| match stream.poll_content(context) {
        Poll::Ready(has_content) => Poll::Ready(!has_content),
        Poll::Pending if patient && !deadline.has_passed(context) => Poll::Pending,
        Poll::Pending => Poll::Ready(false),
    })
    .await
}

/// One stream under way, counted for as long as it lives.
struct Active {
    streams: Rc<Streams>,
    newcomer: Cell<Option<Newcomer>>,
}

impl Active {
    fn new(streams: &Rc<Streams>) -> Self {
        let active = streams.active.get();
        if active == 0 {
            streams.server.worker.metrics.connections_active.add(1);
            streams.deadline.busy();
        }
        streams.active.set(active + 1);
        Self {
            streams: Rc::clone(streams),
            newcomer: Cell::new(None),
        }
    }

    /// Waits until there is memory for it, or for its refusal. True if the client gives it up meanwhile: those that it
    /// resets make place for others at once, so there would be no end of them.
    async fn has_left_before_room(&self, respond: &mut SendResponse<Piece>) -> bool {
        let worker = &self.streams.server.worker;
        let memory = &worker.memory;
        while !(memory.has_room() || memory.refuses_requests()) && worker.phase() < Phase::Ended {
            let mut room = pin!(memory.room());
            let has_left = poll_fn(|context| match respond.poll_reset(context) {
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending => room.as_mut().poll(context).map(|()| false),
            });
            if has_left.await {
                return true;
            }
        }
        false
    }

    /// Serves it.
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` keeps what it is given twice, and the task is moved several times before it runs"
    )]
    fn serve(
        self,
        parts: http::request::Parts,
        body: RecvStream,
        mut respond: SendResponse<Piece>,
    ) -> impl Future<Output = ()> {
        async move {
            let streams = &self.streams;
            let worker = &streams.server.worker;
            let started = Instant::now();
            worker.turns.give_way(started);
            let _held = worker.memory.charge(HTTP2_STREAM);
            if self.has_left_before_room(&mut respond).await {
                streams.given_up.set(streams.given_up.get() + 1);
                return;
            }
            self.newcomer.set(Some(worker.memory.expect(NEW_STREAM)));
            let mut record = Record::new(started);
            let malformed = streams.malformed.clone();
            let inbox = Rc::clone(&streams.inbox);
            let stream = Http2Stream::server(body, respond, malformed, inbox, &streams.outbox);
            let mut stream = Box::new(stream);
            let deadline = worker.deadlines.register();
            let ends = ends_with_head(&mut stream, &deadline, &parts).await;
            let mut stream = Stream::Http2(stream);
            let mut loan = worker.buffers.borrow();
            let scratch = loan.scratch();
            let limits = worker.door.snapshot().settings().head_limits();
            let written = if field_count(&parts.headers) > limits.fields {
                Err(Refusal::Head(HeadError::TooManyFields.into()))
            } else {
                write_request(&parts, ends, &mut scratch.to_upstream)
            };
            if written.is_err() {
                // Bytes that an earlier request left there do not belong to this one.
                scratch.request = RequestHead::new();
                scratch.request.method = Method::of(parts.method.as_str().as_bytes());
            }
            let content_type = parts.headers.get(CONTENT_TYPE);
            let mut requester = Requester {
                stream: &mut stream,
                downstream: &streams.downstream,
                deadline: &deadline,
                server: &streams.server,
                last: false,
                grpc: content_type.is_some_and(|value| is_grpc(value.as_bytes())),
                outdated: false,
            };
            let head = written.and_then(|()| {
                scratch.from_client.load(&scratch.to_upstream);
                scratch.to_upstream.clear();
                scratch.request.reset();
                match scratch.request.parse(scratch.from_client.filled(), &limits) {
                    Ok(Some(length)) if length == scratch.from_client.len() => Ok(length),
                    // The text is exactly one head, or it is refused.
                    Ok(_) => Err(Refusal::Head(wire::RequestError::RequestLine)),
                    Err(error) => Err(Refusal::Head(error)),
                }
            });
            if let Err(refusal) = &head {
                request::record_unread(&requester, scratch, Some(seen(&parts)), refusal, &mut record);
            }
            // As large as the head, and the stream may live long.
            drop(parts);
            let under_way = worker.under_way();
            let _ends_with_its_request = match head {
                Ok(length) => request::serve(&mut requester, scratch, length, &mut record).await,
                Err(refusal) => {
                    Reply::Refused(refusal)
                        .send(&mut requester, scratch, &mut record)
                        .await
                }
            };
            if requester.outdated {
                streams.outdated.set(true);
            }
            if record.is_given_up() {
                streams.given_up.set(streams.given_up.get() + 1);
            }
            record.finish(worker, &streams.downstream);
            drop((under_way, loan));
            discard(&mut stream, &deadline).await;
        }
    }
}

/// What a request says about itself.
fn seen(parts: &http::request::Parts) -> Glimpse<'_> {
    let authority = parts
        .uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let host = authority.or_else(|| parts.headers.get(HOST).map(http::HeaderValue::as_bytes));
    Glimpse {
        method: parts.method.as_str().as_bytes(),
        host: host.unwrap_or_default(),
        path: parts.uri.path().as_bytes(),
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let streams = &self.streams;
        if std::thread::panicking() {
            streams.server.worker.metrics.panics.add(1);
        }
        let memory = &streams.server.worker.memory;
        self.newcomer
            .take()
            .into_iter()
            .for_each(|newcomer| memory.know(newcomer));
        streams.active.set(streams.active.get().saturating_sub(1));
        if streams.active.get() == 0 {
            let newcomer = streams.newcomer.take();
            newcomer.into_iter().for_each(|newcomer| memory.know(newcomer));
            streams.idle_since.set(Instant::now());
            streams.deadline.idle();
            streams.server.worker.metrics.connections_active.subtract(1);
        }
    }
}
