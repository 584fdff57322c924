//! What an exchange or a tunnel holds while nothing moves.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::{BodyFraming, RequestHead};

use super::{LIMITS, pair};
use crate::exchange::relay::Relay;
use crate::exchange::tunnel::Tunnel;
use crate::exchange::{Ended, Exchange, ExchangeTimeouts, Failure, Parts};
use crate::head::traits::RequestTraits;
use crate::settings::Settings;
use crate::stream::Stream;
use crate::stream::body::Sink;
use crate::stream::socket::{Socket, bound_unsent};
use crate::stream::trailer_limits::TrailerLimits;
use crate::worker::buffers::Pool;
use crate::worker::clock::Clock;
use crate::worker::date::DateClock;
use crate::worker::deadlines::{Deadlines, TICK};
use crate::worker::memory::{BACKEND, Memory};
use crate::worker::pipes::Pipes;
use crate::worker::read_buffer::READ;

const KIB: usize = 1024;

/// What remains of a set of buffers, with the connection to a backend for which it stands.
const BARE: usize = BACKEND + KIB;

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

/// An exchange whose backend sends without end, and whose client reads nothing: what it holds in its own buffers when it
/// has stalled, and how it ends when a worker cuts those that have stalled.
async fn stalled(head: &'static str) -> (usize, Result<Ended, Failure>) {
    let ((client, ours), (mut backend, theirs)) = (pair().await, pair().await);
    // As at a door.
    bound_unsent(&SockRef::from(&ours)).unwrap();
    let (mut ours, mut theirs) = (Stream::plain(ours), Stream::plain(theirs));
    let rig = Rig::new();
    let pool = Pool::new(&rig.memory);
    let mut loan = pool.borrow();
    let scratch = loan.scratch();
    let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut request = RequestHead::new();
    let length = request.parse(text, &LIMITS).unwrap().unwrap();
    let traits = RequestTraits::of(&request, &text[..length]);
    scratch.to_upstream.clear();
    scratch.to_upstream.extend_from_slice(b"head\r\n\r\n");
    let settings = Settings::of_tests();
    let mut upload = Relay::new(
        BodyFraming::None,
        Sink::Plain,
        u64::MAX,
        TrailerLimits::of(&settings.limits),
    );
    let (deadline, date) = (rig.table.register(), DateClock::new());
    let minute = Duration::from_secs(60);
    let parts = Parts {
        client: &mut ours,
        upstream: &mut theirs,
        scratch,
        upload: &mut upload,
        deadline: &deadline,
        clock: &date,
        pipes: &rig.pipes,
        limits: &settings.limits,
    };
    let timeouts = ExchangeTimeouts {
        body_idle: minute,
        write_stall: minute,
        response_head: minute,
        response_idle: minute,
        until: None,
    };
    let mut under_way = Exchange::new(parts, timeouts, traits, false);
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
        let in_kernel = under_way.scratch().in_kernel();
        (held - in_kernel, end)
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
        let (held, end) = stalled(head).await;
        // And an empty pipe.
        assert!(held <= BARE + READ + 12 * KIB, "{head}: {held}");
        let refusal = end.unwrap_err().refusal;
        assert_eq!(format!("{refusal:?}"), "Overload", "{head}");
    }
}
