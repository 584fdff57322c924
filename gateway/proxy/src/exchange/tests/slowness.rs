//! What is too slow, and what only looks so: exchanges and tunnels whose clock the test moves.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockRef, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::begin;
use crate::exchange::relay::Relay;
use crate::exchange::tunnel::Tunnel;
use crate::exchange::{Exchange, ExchangeTimeouts, Parts, STREAM_IDLE};
use crate::settings::Settings;
use crate::stream::Stream;
use crate::stream::body::Sink;
use crate::stream::http2::{Http2Stream, Inbox, Outbox, Piece, SEND_BUFFER, trailers::MalformedTrailers};
use crate::stream::trailer_limits::TrailerLimits;
use crate::worker::buffers::Pool;
use crate::worker::clock::Clock;
use crate::worker::date::DateClock;
use crate::worker::deadlines::{Deadline, Deadlines};
use crate::worker::memory::Memory;
use crate::worker::pipes::Pipes;

/// What one side does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// The client sends bytes of its body.
    Sends(usize),
    /// The client takes bytes of the response: from its socket, or by opening its window.
    Takes(usize),
    /// The backend sends a head, of a long body or of an event stream.
    Begins,
    Streams,
    /// The backend sends bytes of its body.
    Says(usize),
}

use Act::{Begins, Says, Sends, Streams, Takes};

/// More than all buffers on the way hold.
const MUCH: usize = 8 << 20;

struct Case {
    what: &'static str,
    grpc: bool,
    first: &'static [Act],
    /// Then, again and again after so many seconds.
    each: &'static [Act],
    seconds: u64,
    times: u32,
    /// What ends it; `None`: nothing does.
    end: Option<&'static str>,
}

const fn case(
    what: &'static str,
    first: &'static [Act],
    (seconds, each, times): (u64, &'static [Act], u32),
    end: Option<&'static str>,
) -> Case {
    Case {
        what,
        grpc: false,
        first,
        each,
        seconds,
        times,
        end,
    }
}

const fn call(
    what: &'static str,
    first: &'static [Act],
    again: (u64, &'static [Act], u32),
    end: Option<&'static str>,
) -> Case {
    let mut case = case(what, first, again, end);
    case.grpc = true;
    case
}

const CASES: &[Case] = &[
    // The client's body, while the backend waits for it.
    case("a body at a modest rate", &[], (10, &[Sends(600)], 12), None),
    case(
        "a body that drips",
        &[],
        (10, &[Sends(10)], 12),
        Some("BodyTimeout"),
    ),
    case(
        "a body that stops",
        &[Sends(5000)],
        (10, &[], 12),
        Some("BodyTimeout"),
    ),
    // The backend's answer.
    case(
        "a long poll",
        &[Sends(LENGTH)],
        (50, &[Begins, Says(10)], 1),
        None,
    ),
    case(
        "an answer too late",
        &[Sends(LENGTH)],
        (70, &[], 1),
        Some("UpstreamTimeout"),
    ),
    case(
        "a backend that stops",
        &[Sends(LENGTH), Begins, Says(10), Takes(10)],
        (30, &[], 4),
        Some("UpstreamStalled"),
    ),
    case(
        "a backend with little to say",
        &[Sends(LENGTH), Begins],
        (50, &[Says(1), Takes(1)], 12),
        None,
    ),
    case(
        "events now and then",
        &[Sends(LENGTH), Streams],
        (3000, &[Says(20), Takes(20)], 10),
        None,
    ),
    case(
        "no event for too long",
        &[Sends(LENGTH), Streams],
        (1800, &[], 4),
        Some("UpstreamStalled"),
    ),
    // Both at once.
    case(
        "a response that streams while the body rests",
        &[Sends(10), Begins],
        (50, &[Says(9), Takes(9)], 12),
        None,
    ),
    case(
        "a long upload whose answer has begun",
        &[Begins],
        (50, &[Sends(2000)], 12),
        None,
    ),
    case(
        "a body that drips for a backend that is silent",
        &[Begins],
        (10, &[Sends(1)], 12),
        Some("UpstreamStalled"),
    ),
    // The client as a reader.
    case(
        "a reader that stops",
        &[Sends(LENGTH), Begins, Says(MUCH)],
        (10, &[], 12),
        Some("ClientStalled"),
    ),
    case(
        "a reader of single bytes",
        &[Sends(LENGTH), Begins, Says(MUCH)],
        (10, &[Takes(1)], 12),
        Some("ClientStalled"),
    ),
    case(
        "a slow reader",
        &[Sends(LENGTH), Begins, Says(MUCH)],
        (20, &[Takes(8000)], 12),
        None,
    ),
    case(
        "one that sends and does not read",
        &[Begins, Says(MUCH)],
        (10, &[Sends(1)], 12),
        Some("ClientStalled"),
    ),
    case(
        "one that sends much and does not read",
        &[Begins, Says(MUCH)],
        (10, &[Sends(4000)], 12),
        Some("ClientStalled"),
    ),
    // Calls.
    call(
        "a call that only the client uses",
        &[Begins],
        (1800, &[Sends(5)], 10),
        None,
    ),
    call(
        "a call that only the backend uses",
        &[Sends(5), Begins],
        (1800, &[Says(5), Takes(5)], 10),
        None,
    ),
    call(
        "a silent call",
        &[Sends(5), Begins],
        (1800, &[], 4),
        Some("UpstreamStalled"),
    ),
    call(
        "a call whose reader stops",
        &[Begins, Says(MUCH)],
        (10, &[Sends(1)], 12),
        Some("ClientStalled"),
    ),
];

/// The length of a body in the request's head.
const LENGTH: usize = 300_000;

/// A client that reads only what it is told to, and what the gateway has of it.
pub(super) enum Client {
    Http1(TcpStream),
    /// Frames are written, and what comes is dropped.
    Http2(OwnedWriteHalf),
}

impl Client {
    pub(super) async fn act(&mut self, act: Act) {
        match (self, act) {
            (Self::Http1(socket), Sends(count)) => {
                let bytes = vec![b'x'; count];
                // As much as there is room for.
                let sent = tokio::time::timeout(Duration::from_millis(50), socket.write_all(&bytes)).await;
                assert!(count == MUCH || sent.is_ok());
            }
            (Self::Http1(socket), Takes(count)) => {
                let mut bytes = vec![0; count];
                let mut taken = 0;
                // Only what is there, and what comes because of that.
                for _ in 0..50 {
                    taken += socket.try_read(&mut bytes[taken..]).unwrap_or(0);
                    if taken == count {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            (Self::Http2(socket), Sends(count)) => {
                for part in vec![b'x'; count].chunks(16_000) {
                    socket.write_all(&frame(0x0, 0, 1, part)).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            (Self::Http2(socket), Takes(count)) => {
                let more = u32::try_from(count).unwrap().to_be_bytes();
                let frames = [frame(0x8, 0, 0, &more), frame(0x8, 0, 1, &more)].concat();
                socket.write_all(&frames).await.unwrap();
            }
            (_, Begins | Streams | Says(_)) => panic!("only a backend does that"),
        }
    }
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The two ends of a connection, with as little room between them as the kernel allows: the client's and the gateway's.
pub(super) async fn narrow() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let client = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    client.set_recv_buffer_size(4096).unwrap();
    client.connect(&listener.local_addr().unwrap().into()).unwrap();
    client.set_nonblocking(true).unwrap();
    client.set_tcp_nodelay(true).unwrap();
    let client = TcpStream::from_std(client.into()).unwrap();
    let (ours, _) = listener.accept().await.unwrap();
    SockRef::from(&ours).set_send_buffer_size(4096).unwrap();
    (client, ours)
}

/// A client that has sent the head of a request, and the gateway's side of it.
pub(super) async fn client(is_http2: bool) -> (Client, Stream) {
    client_of(is_http2, &Outbox::new(512 << 10, 1, Memory::of_tests(), None)).await
}

/// The same, of whose connection this is the bound.
pub(super) async fn client_of(is_http2: bool, outbox: &Rc<Outbox>) -> (Client, Stream) {
    if !is_http2 {
        let (client, ours) = narrow().await;
        return (Client::Http1(client), Stream::plain(ours));
    }
    let (client, ours) = super::pair().await;
    client.set_nodelay(true).unwrap();
    let (mut reading, mut writing) = client.into_split();
    tokio::task::spawn_local(async move {
        let mut bytes = vec![0; 64 * 1024];
        while reading.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
    });
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // No window for the response.
    hello.extend(frame(0x4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    // POST http://a/
    hello.extend(frame(0x1, 0x4, 1, &[0x83, 0x86, 0x84, 0x41, 1, b'a']));
    writing.write_all(&hello).await.unwrap();
    let mut builder = h2::server::Builder::new();
    builder
        .max_send_buffer_size(SEND_BUFFER)
        .initial_window_size(1 << 20);
    builder.initial_connection_window_size(1 << 20);
    let mut connection = builder.handshake::<_, Piece>(ours).await.unwrap();
    let (request, respond) = connection.accept().await.unwrap().unwrap();
    tokio::task::spawn_local(async move { while connection.accept().await.is_some() {} });
    // Windows are larger only from now on.
    writing.write_all(&frame(0x4, 0x1, 0, &[])).await.unwrap();
    settle().await;
    let inbox = Rc::new(Inbox::new(4096));
    let malformed = MalformedTrailers::default();
    let stream = Http2Stream::server(request.into_body(), respond, malformed, inbox, outbox);
    (Client::Http2(writing), Stream::Http2(Box::new(stream)))
}

/// A backend that reads everything, and sends what it is told to.
async fn backend(reads: bool) -> (mpsc::Sender<Vec<u8>>, Stream) {
    let (backend, theirs) = super::pair().await;
    backend.set_nodelay(true).unwrap();
    theirs.set_nodelay(true).unwrap();
    let (mut reading, mut writing) = backend.into_split();
    let (sender, mut told) = mpsc::channel::<Vec<u8>>(64);
    tokio::task::spawn_local(async move {
        let mut bytes = vec![0; 64 * 1024];
        while reads && reading.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
        // Kept open.
        std::future::pending::<()>().await;
        drop(reading);
    });
    tokio::task::spawn_local(async move {
        while let Some(bytes) = told.recv().await {
            if writing.write_all(&bytes).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    });
    (sender, Stream::plain(theirs))
}

/// Lets everything happen that can happen without time.
pub(super) async fn settle() {
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Plays what both sides do, as time passes.
async fn play(
    case: &Case,
    clock: &Clock,
    table: &Deadlines,
    client: &mut Client,
    backend: &mpsc::Sender<Vec<u8>>,
) {
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 100000000\r\n\r\n";
    let mut act = async |act| match act {
        Begins => backend.try_send(long.into()).unwrap(),
        Streams => backend.try_send(events.into()).unwrap(),
        Says(count) => backend.try_send(vec![b'y'; count]).unwrap(),
        Sends(_) | Takes(_) => client.act(act).await,
    };
    for first in case.first {
        act(*first).await;
        settle().await;
    }
    for _ in 0..case.times {
        // Deadlines that are set meanwhile are due in between.
        for _ in 0..5 {
            clock.advance(Duration::from_millis(case.seconds * 200));
            table.fire(table.now());
            settle().await;
        }
        for each in case.each {
            act(*each).await;
            settle().await;
        }
    }
}

/// How an exchange ends, by the name of the refusal; `None` if it goes on.
async fn exchange(case: &Case, is_http2: bool) -> Option<String> {
    let (mut client, mut ours) = client(is_http2).await;
    let (backend, mut theirs) = backend(true).await;
    let memory = Memory::of_tests();
    let pool = Pool::new(&memory);
    let mut loan = pool.borrow();
    let scratch = loan.scratch();
    let text = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n");
    let (mut traits, framing) = begin(&text, scratch);
    traits.grpc = case.grpc;
    let settings = Settings::of_tests();
    let trailers = TrailerLimits::of(&settings.limits);
    let mut upload = Relay::new(framing, Sink::Plain, u64::MAX, trailers);
    let clock = Clock::stopped();
    let table = Deadlines::new(clock.clone(), Arc::default());
    let deadline = table.register();
    let or = |seconds| {
        if case.grpc {
            STREAM_IDLE
        } else {
            Duration::from_secs(seconds)
        }
    };
    let timeouts = ExchangeTimeouts {
        body_idle: or(30),
        write_stall: Duration::from_secs(30),
        response_head: or(60),
        response_idle: or(60),
        until: None,
    };
    let (date, pipes) = (DateClock::new(), Pipes::new(&memory, Arc::default()));
    let parts = Parts {
        client: &mut ours,
        upstream: &mut theirs,
        scratch,
        upload: &mut upload,
        deadline: &deadline,
        clock: &date,
        pipes: &pipes,
        limits: &settings.limits,
        filters: None,
    };
    let mut under_way = Exchange::new(parts, timeouts, traits, false);
    tokio::select! {
        biased;
        outcome = poll_fn(|context| under_way.poll(context)) => Some(match outcome {
            Ok(ended) => format!("{ended:?}"),
            Err(failure) => format!("{:?}", failure.refusal),
        }),
        () = play(case, &clock, &table, &mut client, &backend) => None,
    }
}

#[tokio::test]
async fn each_direction_has_its_own_deadline() {
    let test = async {
        for case in CASES {
            for is_http2 in [false, true] {
                let end = exchange(case, is_http2).await;
                assert_eq!(end.as_deref(), case.end, "{} (HTTP/2: {is_http2})", case.what);
            }
        }
    };
    tokio::task::LocalSet::new().run_until(test).await;
}

/// What ends a tunnel.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Nothing.
    None,
    /// Silence.
    Silence,
    Refused(String),
}

async fn tunnel(case: &Case, reads: bool) -> End {
    let (client, ours) = narrow().await;
    let mut client = Client::Http1(client);
    let (backend, mut theirs) = backend(reads).await;
    let mut ours = Stream::plain(ours);
    let memory = Memory::of_tests();
    let pool = Pool::new(&memory);
    let mut loan = pool.borrow();
    let clock = Clock::stopped();
    let table = Deadlines::new(clock.clone(), Arc::default());
    let deadline: Deadline = table.register();
    let pipes = Pipes::new(&memory, Arc::default());
    let stall = Duration::from_secs(30);
    let mut tunnel = Tunnel::new(&mut ours, &mut theirs, loan.scratch(), &deadline, &pipes, stall);
    let is_over = Cell::new(false);
    tokio::select! {
        biased;
        outcome = poll_fn(|context| tunnel.poll(context)) => {
            is_over.set(true);
            match outcome {
                Ok(()) => End::Silence,
                Err(refusal) => End::Refused(format!("{refusal:?}")),
            }
        }
        () = play(case, &clock, &table, &mut client, &backend) => End::None,
    }
}

#[tokio::test]
async fn a_tunnel_ends_for_silence_or_a_side_that_does_not_read() {
    let stalled = |side: &str| End::Refused(format!("{side}Stalled"));
    let cases = [
        (
            case("feeds", &[], (3000, &[Says(5), Takes(5)], 10), None),
            true,
            End::None,
        ),
        (
            case("reports", &[], (3000, &[Sends(5)], 10), None),
            true,
            End::None,
        ),
        (
            case("silence", &[Says(5), Takes(5)], (1800, &[], 4), None),
            true,
            End::Silence,
        ),
        (
            case("a pause", &[Says(MUCH)], (50, &[], 4), None),
            true,
            End::None,
        ),
        (
            case("a slow reader", &[Says(MUCH)], (200, &[Takes(8000)], 10), None),
            true,
            End::None,
        ),
        (
            case("no reader", &[Says(MUCH)], (50, &[Sends(1)], 20), None),
            true,
            stalled("Client"),
        ),
        (
            case("bytes", &[Says(MUCH)], (50, &[Takes(1)], 20), None),
            true,
            stalled("Client"),
        ),
        (
            case(
                "a deaf backend",
                &[Sends(MUCH)],
                (50, &[Says(1), Takes(1)], 20),
                None,
            ),
            false,
            stalled("Upstream"),
        ),
    ];
    let test = async {
        for (case, reads, end) in cases {
            assert_eq!(tunnel(&case, reads).await, end, "{}", case.what);
        }
    };
    tokio::task::LocalSet::new().run_until(test).await;
}
