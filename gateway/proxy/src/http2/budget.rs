//! What a peer may ask of an HTTP/2 connection beside requests: a bound on control frames, counted as their bytes
//! pass, because each costs an answer or a change of state and none costs the sender anything.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::Socket;

/// SETTINGS, PING and PRIORITY frames in one window of time.
const FRAMES: u32 = 1000;
const WINDOW: Duration = Duration::from_secs(10);

/// Bytes of a frame's head (RFC 9113 4.1).
const HEAD: usize = 9;

/// A client's socket under HTTP/2: bytes that were read ahead come first, and control frames are counted.
pub(super) struct Counted {
    socket: Socket,
    /// Read before it was clear that this is HTTP/2.
    ahead: Vec<u8>,
    taken: usize,
    frames: Frames,
    exceeded: Rc<Cell<bool>>,
}

/// Follows the frames of a connection.
struct Frames {
    /// Bytes until the next frame's head.
    skip: usize,
    head: [u8; HEAD],
    filled: usize,
    count: u32,
    since: Instant,
}

impl Counted {
    pub(super) fn new(socket: Socket, ahead: Vec<u8>) -> Self {
        Self {
            socket,
            ahead,
            taken: 0,
            frames: Frames::new(Instant::now()),
            exceeded: Rc::default(),
        }
    }

    /// Becomes true when the peer has sent more control frames than it may.
    pub(super) fn exceeded(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.exceeded)
    }
}

impl Frames {
    fn new(now: Instant) -> Self {
        Self {
            // The preface comes first (RFC 9113 3.4).
            skip: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len(),
            head: [0; HEAD],
            filled: 0,
            count: 0,
            since: now,
        }
    }

    /// Follows the next bytes. False when there were too many control frames.
    fn follow(&mut self, mut bytes: &[u8], now: impl Fn() -> Instant) -> bool {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let wanted = (HEAD - self.filled).min(bytes.len());
            let (part, rest) = bytes.split_at(wanted);
            if let Some(place) = self.head.get_mut(self.filled..self.filled + wanted) {
                place.copy_from_slice(part);
            }
            self.filled += wanted;
            bytes = rest;
            if self.filled == HEAD {
                self.filled = 0;
                let [high, middle, low, kind, ..] = self.head;
                self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                if !self.allows(kind, &now) {
                    return false;
                }
            }
        }
        true
    }

    fn allows(&mut self, kind: u8, now: impl Fn() -> Instant) -> bool {
        // PRIORITY, SETTINGS, PING (RFC 9113 6.3, 6.5, 6.7).
        if !matches!(kind, 0x2 | 0x4 | 0x6) {
            return true;
        }
        self.count += 1;
        if self.count <= FRAMES {
            return true;
        }
        let now = now();
        if now.duration_since(self.since) < WINDOW {
            return false;
        }
        (self.count, self.since) = (0, now);
        true
    }
}

impl AsyncRead for Counted {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        let ahead = this.ahead.get(this.taken..).unwrap_or_default();
        if ahead.is_empty() {
            std::task::ready!(this.socket.poll_read(context, into))?;
        } else {
            let count = ahead.len().min(into.remaining());
            into.put_slice(ahead.get(..count).unwrap_or_default());
            this.taken += count;
            if this.taken == this.ahead.len() {
                (this.ahead, this.taken) = (Vec::new(), 0);
            }
        }
        let new = into.filled().get(before..).unwrap_or_default();
        if !this.frames.follow(new, Instant::now) {
            this.exceeded.set(true);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().socket.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, 0];
        frame.extend(std::iter::repeat_n(0xff, usize::from(length)));
        frame
    }

    fn connection(frames: &[(u8, u8, usize)]) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for (kind, length, count) in frames {
            bytes.extend(frame(*kind, *length).repeat(*count));
        }
        bytes
    }

    #[test]
    fn control_frames_have_a_budget_and_others_do_not() {
        let table: [(&[(u8, u8, usize)], bool); 5] = [
            (&[(0x4, 6, 1), (0x6, 8, 999)], true),
            (&[(0x4, 6, 1), (0x6, 8, 1000)], false),
            (&[(0x2, 5, 1001)], false),
            (&[(0x0, 200, 5000), (0x1, 20, 5000), (0x8, 4, 5000)], true),
            (&[(0xff, 3, 5000)], true),
        ];
        let now = Instant::now();
        for (frames, expected) in table {
            let bytes = connection(frames);
            for size in [1, 7, 9, 16 * 1024] {
                let mut follower = Frames::new(now);
                let fine = bytes.chunks(size).all(|part| follower.follow(part, || now));
                assert_eq!(fine, expected, "{frames:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn the_budget_is_renewed_with_time() {
        let start = Instant::now();
        let mut follower = Frames::new(start);
        assert!(follower.follow(&connection(&[(0x6, 8, 1000)]), || start));
        assert!(follower.follow(&frame(0x6, 8), || start + WINDOW));
        assert!(follower.follow(&frame(0x6, 8).repeat(999), || start + WINDOW));
    }
}
