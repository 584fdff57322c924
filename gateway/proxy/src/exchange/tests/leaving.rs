//! Clients that leave while nobody reads what they send: exchanges and tunnels whose clock the test moves.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use wire::{BodyFraming, RequestHead};

use super::LIMITS;
use super::slowness::{Client, client, frame, narrow, settle};
use crate::exchange::relay::Relay;
use crate::exchange::tunnel::Tunnel;
use crate::exchange::{Exchange, ExchangeTimeouts, Parts};
use crate::head::traits::RequestTraits;
use crate::settings::Settings;
use crate::stream::Stream;
use crate::stream::body::Sink;
use crate::stream::trailer_limits::TrailerLimits;
use crate::worker::buffers::Pool;
use crate::worker::clock::Clock;
use crate::worker::date::DateClock;
use crate::worker::deadlines::{Deadlines, TICK};
use crate::worker::memory::Memory;
use crate::worker::pipes::Pipes;

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    /// It does not.
    Not,
    /// It closes its connection, or resets its stream.
    InOrder,
    /// It resets the connection.
    Abruptly,
    /// It ends its direction.
    Half,
}

/// What the client has sent, and the backend does not read.
#[derive(Debug, Clone, Copy)]
enum Sent {
    /// A part of its body.
    Body,
    /// The same, and the backend has begun to answer.
    BodyAnswered,
    /// A request without a body, and other requests ahead.
    Ahead,
}

const LENGTH: usize = 300_000;

/// Less than that, more than all buffers on the way to the backend hold, and so little that the kernel takes it and the
/// end that may follow.
const PART: usize = 100_000;

/// The same of what comes ahead, for which there is one buffer.
const NEXT: usize = 30_000;

/// Sends so many bytes, as far as there is room.
async fn send(client: &mut Client, count: usize) {
    let bytes = vec![b'x'; count];
    match client {
        Client::Http1(socket) => {
            let sent = tokio::time::timeout(Duration::from_secs(1), socket.write_all(&bytes)).await;
            assert!(sent.is_ok(), "the kernel takes it");
        }
        Client::Http2(socket) => {
            for part in bytes.chunks(16_000) {
                socket.write_all(&frame(0x0, 0, 1, part)).await.unwrap();
            }
        }
    }
}

async fn leave(client: Client, leaves: Leaves) -> Option<Client> {
    match (client, leaves) {
        (client, Leaves::Not) => Some(client),
        (Client::Http1(mut socket), Leaves::Half) => {
            socket.shutdown().await.unwrap();
            Some(Client::Http1(socket))
        }
        (Client::Http1(socket), Leaves::Abruptly) => {
            SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
            None
        }
        (Client::Http2(mut socket), Leaves::InOrder) => {
            socket.write_all(&frame(0x3, 0, 1, &[0, 0, 0, 8])).await.unwrap();
            Some(Client::Http2(socket))
        }
        (Client::Http1(_), Leaves::InOrder) | (Client::Http2(_), Leaves::Abruptly | Leaves::Half) => None,
    }
}

/// Lets time pass, in which something may notice.
async fn pass(clock: &Clock, table: &Deadlines) {
    for _ in 0..15 {
        clock.advance(TICK);
        table.fire(table.now());
        settle().await;
    }
}

/// How an exchange ends, by the name of the refusal, if it ends within 1.5 s after the client has left; otherwise how
/// many exchanges are cut then, because of what they hold.
async fn exchange(sent: Sent, is_http2: bool, leaves: Leaves) -> Result<usize, String> {
    let (mut client, mut ours) = client(is_http2).await;
    let (mut backend, theirs) = narrow().await;
    let mut theirs = Stream::plain(theirs);
    let memory = Memory::of_tests();
    let pool = Pool::new(&memory);
    let mut loan = pool.borrow();
    let scratch = loan.scratch();
    let (length, now) = match sent {
        Sent::Body | Sent::BodyAnswered => (LENGTH as u64, PART),
        Sent::Ahead => (0, NEXT),
    };
    let text = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    let mut head = RequestHead::new();
    let end = head.parse(text.as_bytes(), &LIMITS).unwrap().unwrap();
    let traits = RequestTraits::of(&head, &text.as_bytes()[..end]);
    scratch.to_upstream.clear();
    scratch.to_upstream.extend_from_slice(b"head\r\n\r\n");
    let settings = Settings::of_tests();
    let trailers = TrailerLimits::of(&settings.limits);
    let mut upload = Relay::new(BodyFraming::Length(length), Sink::Plain, u64::MAX, trailers);
    let clock = Clock::stopped();
    let table = Deadlines::new(clock.clone(), Arc::default());
    let deadline = table.register();
    let minute = Duration::from_secs(60);
    let timeouts = ExchangeTimeouts {
        body_idle: minute,
        write_stall: minute,
        response_head: minute,
        response_idle: minute,
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
    let play = async {
        send(&mut client, now).await;
        if let Sent::BodyAnswered = sent {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
            backend.write_all(head).await.unwrap();
        }
        settle().await;
        pass(&clock, &table).await;
        let left = leave(client, leaves).await;
        pass(&clock, &table).await;
        (left, table.cut_stalled(Duration::from_secs(1), 1))
    };
    tokio::select! {
        biased;
        outcome = poll_fn(|context| under_way.poll(context)) => Err(match outcome {
            Ok(ended) => format!("{ended:?}"),
            Err(failure) => format!("{:?}", failure.refusal),
        }),
        (_, cut) = play => Ok(cut),
    }
}

#[tokio::test]
async fn a_client_is_noticed_that_leaves_while_nobody_reads_what_it_sends() {
    let test = async {
        for (sent, cut) in [(Sent::Body, 1), (Sent::BodyAnswered, 1), (Sent::Ahead, 0)] {
            for is_http2 in [false, true] {
                if is_http2 && matches!(sent, Sent::Ahead) {
                    // Its next requests are other streams.
                    continue;
                }
                for leaves in [Leaves::Not, Leaves::InOrder, Leaves::Abruptly] {
                    let end = exchange(sent, is_http2, leaves).await;
                    let expected = match leaves {
                        Leaves::Not => Ok(cut),
                        Leaves::InOrder | Leaves::Abruptly | Leaves::Half => Err("ClientGone".to_owned()),
                    };
                    assert_eq!(end, expected, "{sent:?} {leaves:?} (HTTP/2: {is_http2})");
                }
            }
        }
    };
    tokio::task::LocalSet::new().run_until(test).await;
}

/// Whether a tunnel whose backend does not read ends after its client has left.
async fn tunnel_ends(is_http2: bool, leaves: Leaves) -> bool {
    let (mut client, mut ours) = client(is_http2).await;
    let (_backend, theirs): (TcpStream, TcpStream) = narrow().await;
    let mut theirs = Stream::plain(theirs);
    let memory = Memory::of_tests();
    let pool = Pool::new(&memory);
    let mut loan = pool.borrow();
    let clock = Clock::stopped();
    let table = Deadlines::new(clock.clone(), Arc::default());
    let deadline = table.register();
    let pipes = Pipes::new(&memory, Arc::default());
    let stall = Duration::from_secs(30);
    let mut tunnel = Tunnel::new(&mut ours, &mut theirs, loan.scratch(), &deadline, &pipes, stall);
    let play = async {
        send(&mut client, PART).await;
        settle().await;
        pass(&clock, &table).await;
        let left = leave(client, leaves).await;
        pass(&clock, &table).await;
        left
    };
    tokio::select! {
        biased;
        _ = poll_fn(|context| tunnel.poll(context)) => true,
        _ = play => false,
    }
}

#[tokio::test]
async fn a_tunnel_ends_with_a_client_that_leaves_and_not_with_one_that_half_closes() {
    let test = async {
        let table = [
            (false, Leaves::Not, false),
            (false, Leaves::Half, false),
            (false, Leaves::Abruptly, true),
            (true, Leaves::Not, false),
            (true, Leaves::InOrder, true),
            (true, Leaves::Abruptly, true),
        ];
        for (is_http2, leaves, ends) in table {
            assert_eq!(
                tunnel_ends(is_http2, leaves).await,
                ends,
                "{leaves:?} (HTTP/2: {is_http2})"
            );
        }
    };
    tokio::task::LocalSet::new().run_until(test).await;
}
