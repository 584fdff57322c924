//! What an exchange or a tunnel holds while nothing moves.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::BodyFraming;

use super::slowness::{Act, Client, client_of, narrow};
use super::{MINUTES, begin, pair};
use crate::exchange::relay::Relay;
use crate::exchange::tunnel::Tunnel;
use crate::exchange::{Ended, Exchange, Failure, Parts};
use crate::settings::Settings;
use crate::stream::Stream;
use crate::stream::body::Sink;
use crate::stream::http2::Outbox;
use crate::stream::socket::{Socket, bound_unsent};
use crate::stream::trailer_limits::TrailerLimits;
use crate::worker::buffers::Pool;
use crate::worker::clock::Clock;
use crate::worker::date::DateClock;
use crate::worker::deadlines::{Deadlines, TICK};
use crate::worker::memory::Memory;
use crate::worker::pipes::Pipes;
use crate::worker::read_buffer::READ;

const KIB: usize = 1024;

/// What remains of a set of buffers.
const BARE: usize = KIB;

/// A worker with a clock that the test moves.
struct Rig {
    memory: Rc<Memory>,
    clock: Clock,
    table: Rc<Deadlines>,
    pipes: Pipes,
}

impl Rig {
    fn new() -> Self {
        let (memory, clock) = (Memory::of_tests(), Clock::stopped());
        Self {
            table: Deadlines::new(clock.clone(), Arc::default()),
            pipes: Pipes::new(&memory, Arc::default()),
            memory,
            clock,
        }
    }

    fn tick(&self) {
        self.clock.advance(TICK);
        self.table.fire(self.table.now());
    }
}

/// Lets the kernel and other tasks do what they do.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

#[tokio::test]
async fn a_silent_tunnel_holds_no_buffers() {
    let ((mut client, ours), (mut backend, theirs)) = (pair().await, pair().await);
    let (mut ours, mut theirs) = (Stream::plain(ours), Stream::plain(theirs));
    // A new socket seems to be readable until it has been read once.
    for side in [&mut ours, &mut theirs] {
        assert!(side.socket().is_some_and(Socket::is_silent));
    }
    let rig = Rig::new();
    let pool = Pool::new(&rig.memory);
    let mut loan = pool.borrow();
    // Both have been read from before.
    let scratch = loan.scratch();
    for buffer in [&mut scratch.from_client, &mut scratch.from_upstream] {
        assert_eq!(buffer.room(READ).len(), READ);
    }
    assert!(rig.memory.held() > 2 * READ);
    let deadline = rig.table.register();
    let stall = Duration::from_secs(30);
    let mut tunnel = Tunnel::new(
        &mut ours,
        &mut theirs,
        loan.scratch(),
        &deadline,
        &rig.pipes,
        stall,
    );
    let mut held_after_poll = async || {
        poll_fn(|context| {
            assert!(tunnel.poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        rig.memory.held()
    };
    let at_first = held_after_poll().await;
    assert!(at_first <= BARE, "{at_first}");
    // A short message each way takes little.
    client.write_all(b"to the backend").await.unwrap();
    backend.write_all(b"to the client").await.unwrap();
    settle().await;
    let busy = held_after_poll().await;
    assert!(busy <= BARE + 4 * KIB, "{busy}");
    let mut got = [0; 14];
    backend.read_exact(&mut got).await.unwrap();
    client.read_exact(&mut got[..13]).await.unwrap();
    for _ in 0..3 {
        rig.tick();
    }
    assert_eq!(held_after_poll().await, at_first, "given back");
    // It still passes on what comes.
    client.write_all(b"once more").await.unwrap();
    settle().await;
    held_after_poll().await;
    backend.read_exact(&mut got[..9]).await.unwrap();
    assert_eq!(&got[..9], b"once more");
}

#[tokio::test]
async fn a_tunnel_that_streams_is_not_silent_because_its_backend_reads_nothing() {
    let ((mut client, ours), (mut backend, theirs)) = (pair().await, narrow().await);
    let (mut ours, mut theirs) = (Stream::plain(ours), Stream::plain(theirs));
    let rig = Rig::new();
    let pool = Pool::new(&rig.memory);
    let mut loan = pool.borrow();
    let deadline = rig.table.register();
    let stall = Duration::from_secs(30);
    let mut tunnel = Tunnel::new(
        &mut ours,
        &mut theirs,
        loan.scratch(),
        &deadline,
        &rig.pipes,
        stall,
    );
    // How many tunnels are held to have been silent for a second.
    let silent = || rig.table.cut_silent(Duration::from_secs(1), 1, 1);
    let play = async {
        // More than all buffers on the way to the backend hold.
        client.write_all(&[b'x'; 100_000]).await.unwrap();
        for _ in 0..15 {
            backend.write_all(b"y").await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'y');
            settle().await;
            rig.tick();
        }
        let while_active = silent();
        for _ in 0..15 {
            settle().await;
            rig.tick();
        }
        (while_active, silent())
    };
    let found = tokio::select! {
        biased;
        _ = poll_fn(|context| tunnel.poll(context)) => panic!("the tunnel goes on"),
        found = play => found,
    };
    assert_eq!(found, (0, 1));
}

/// What an exchange holds that has stalled.
struct Held {
    /// In its own buffers.
    own: usize,
    /// Of these, bytes that were read from the backend.
    read: usize,
    /// What its connection counts.
    counted: usize,
}

/// A client that reads nothing: over HTTP/1, or on a stream of a connection with this bound and a window of one byte.
async fn deaf(outbox: Option<&Rc<Outbox>>) -> (Client, Stream) {
    let Some(outbox) = outbox else {
        let (client, ours) = pair().await;
        // As at a door.
        bound_unsent(&SockRef::from(&ours)).unwrap();
        return (Client::Http1(client), Stream::plain(ours));
    };
    let (mut client, ours) = client_of(true, outbox).await;
    client.act(Act::Takes(1)).await;
    settle().await;
    (client, ours)
}

/// An exchange whose backend sends without end, and whose client reads nothing: what it holds when it has stalled, and how
/// it ends when a worker cuts those that have stalled.
async fn stalled(head: &'static str, outbox: Option<&Rc<Outbox>>) -> (Held, Result<Ended, Failure>) {
    let ((client, mut ours), (mut backend, theirs)) = (deaf(outbox).await, pair().await);
    let mut theirs = Stream::plain(theirs);
    let rig = Rig::new();
    let pool = Pool::new(&rig.memory);
    let mut loan = pool.borrow();
    let scratch = loan.scratch();
    let (traits, _) = begin("GET / HTTP/1.1\r\nHost: a\r\n\r\n", scratch);
    let settings = Settings::of_tests();
    let mut upload = Relay::new(
        BodyFraming::None,
        Sink::Plain,
        u64::MAX,
        TrailerLimits::of(&settings.limits),
    );
    let (deadline, date) = (rig.table.register(), DateClock::new());
    let parts = Parts {
        client: &mut ours,
        upstream: &mut theirs,
        scratch,
        upload: &mut upload,
        deadline: &deadline,
        clock: &date,
        pipes: &rig.pipes,
        limits: &settings.limits,
        filters: None,
    };
    let mut under_way = Exchange::new(parts, MINUTES, traits, false);
    let sends = async {
        backend.write_all(head.as_bytes()).await.unwrap();
        let piece = [&b"4000\r\n"[..], &[b'x'; 0x4000], b"\r\n"].concat();
        // Until the exchange ends.
        while backend.write_all(&piece).await.is_ok() {}
    };
    let watches = async {
        for _ in 0..20 {
            settle().await;
        }
        for _ in 0..3 {
            rig.tick();
        }
        settle().await;
        let held = rig.memory.held();
        assert_eq!(
            rig.table.cut_stalled(Duration::ZERO, 1),
            1,
            "it is known to have stalled"
        );
        held
    };
    let ends = async {
        let (end, held) = tokio::join!(poll_fn(|context| under_way.poll(context)), watches);
        let scratch = under_way.scratch();
        let held = Held {
            own: held - scratch.in_kernel(),
            read: scratch.from_upstream.len() + scratch.to_client.len(),
            counted: outbox.map_or(0, |outbox| outbox.held()),
        };
        (held, end)
    };
    let outcome = tokio::select! {
        outcome = ends => outcome,
        () = sends => panic!("the exchange lets nobody send for ever"),
    };
    drop(client);
    outcome
}

#[tokio::test]
async fn a_reader_that_stalls_holds_little_more_than_one_short_buffer() {
    for head in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let (held, end) = stalled(head, None).await;
        // And an empty pipe.
        assert!(held.own <= BARE + READ + 12 * KIB, "{head}: {}", held.own);
        let refusal = end.unwrap_err().refusal;
        assert_eq!(format!("{refusal:?}"), "Overload", "{head}");
    }
}

#[tokio::test]
async fn all_that_was_read_for_a_stream_counts_for_the_bound_of_its_connection() {
    let test = async {
        for head in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            let outbox = Outbox::new(512 * KIB, 100, Memory::of_tests(), None);
            let (held, _) = stalled(head, Some(&outbox)).await;
            assert!(held.read > KIB, "{head}: {}", held.read);
            // One byte has left, and a head counts too.
            let expected = held.read - 1..held.read + KIB;
            assert!(expected.contains(&held.counted), "{head}: {}", held.counted);
        }
    };
    tokio::task::LocalSet::new().run_until(test).await;
}
