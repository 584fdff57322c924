//! The end of a connection whose last bytes the client has yet to read.
//!
//! A socket that is closed while the client still sends is reset, and a reset discards data that waits to be sent and, on
//! some systems, data that waits to be read (RFC 9112 9.6). So the sending side ends first, and what still arrives is read
//! and discarded until the client closes too.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};

use crate::stream::socket::Socket;
use crate::worker::deadlines::Deadline;
use crate::worker::{Phase, Worker};

/// How much a client may still send after the last bytes, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LingerLimits {
    /// Without a byte from the client.
    pub(crate) silence: Duration,
    /// In total.
    pub(crate) most: Duration,
    pub(crate) bytes: usize,
}

impl LingerLimits {
    /// For a short ending: an answer of the gateway's own, an alert.
    pub(crate) const SHORT: Self = Self {
        silence: Duration::from_secs(2),
        most: Duration::from_secs(2),
        bytes: 1024 * 1024,
    };

    /// For an idle connection whose place is needed: as long as it takes until deadlines are checked next.
    pub(crate) const TO_MAKE_ROOM: Self = Self {
        silence: Duration::ZERO,
        most: Duration::ZERO,
        bytes: 64 * 1024,
    };

    /// For a client that may still have megabytes to read, and sends something now and then as it reads. `stall` is how
    /// long it may read nothing at all.
    pub(crate) fn for_a_reader(stall: Duration) -> Self {
        Self {
            silence: stall,
            most: stall.saturating_mul(10),
            bytes: 4 * 1024 * 1024,
        }
    }
}

/// Ends the sending side, and reads until the client closes, a limit is reached, or the worker does.
pub(crate) async fn linger(socket: &mut Socket, deadline: &Deadline, worker: &Worker, limits: LingerLimits) {
    let began = deadline.now();
    deadline.set_from(began, limits.silence);
    let mut left = limits.bytes;
    let mut told = false;
    let closed = poll_fn(|context| {
        loop {
            if deadline.has_passed(context) || worker.phase() == Phase::Ended {
                return Poll::Ready(false);
            }
            // Reading continues while this waits for room: the client may be waiting for that.
            match (!told).then(|| socket.poll_shutdown(context)) {
                Some(Poll::Ready(Ok(()))) => told = true,
                Some(Poll::Ready(Err(_))) => return Poll::Ready(true),
                Some(Poll::Pending) | None => {}
            }
            // Beneath TLS: the content does not matter, and after a fatal alert there are no keys to decrypt it.
            // On the stack: who lingers should hold nothing meanwhile.
            let mut bytes = [MaybeUninit::uninit(); 16 * 1024];
            let mut room = ReadBuf::uninit(&mut bytes);
            match ready!(Pin::new(socket.tcp()).poll_read(context, &mut room)) {
                Ok(()) if !room.filled().is_empty() && left > 0 => {
                    left = left.saturating_sub(room.filled().len());
                    let now = deadline.now();
                    let rest = limits.most.saturating_sub(now.duration_since(began));
                    deadline.set_from(now, rest.min(limits.silence));
                }
                Ok(()) if !room.filled().is_empty() => return Poll::Ready(false),
                Ok(()) | Err(_) => return Poll::Ready(true),
            }
        }
    })
    .await;
    match (closed, told) {
        (true, _) => socket.note_full(false),
        // The kernel has all of it.
        (false, true) => socket.let_go(),
        (false, false) => socket.reset(),
    }
}
