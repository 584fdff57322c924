//! What a peer may send on an HTTP/2 connection besides requests: a bound on control frames, counted as their bytes pass,
//! because each costs an answer or a change of state and none costs the sender anything.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::http2::frames::{
    CONTINUATION, DATA, Frames, HEADERS, PING, PRIORITY, Part, RST_STREAM, SETTINGS,
};
use crate::stream::http2::trailers::{Blocks, END_HEADERS, MalformedTrailers, emptied};
use crate::stream::http2::{Inbox, Outbox, Received};
use crate::stream::socket::Socket;
use crate::worker::memory::{Charge, Memory};

/// SETTINGS, PING and PRIORITY frames in one window of time, besides those that are earned.
const FRAMES: u32 = 1000;
const WINDOW: Duration = Duration::from_secs(10);

/// The preface that comes before the first frame of a client (RFC 9113 3.4).
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// What a connection and the library that speaks on it share.
pub(super) struct Shared {
    /// The library drops the socket when the last stream has ended; the connection ends after that.
    pub(super) socket: RefCell<Socket>,
    /// The peer has sent more control frames than it may.
    pub(super) exceeded: Cell<bool>,
    /// Bytes that have passed, either way.
    pub(super) passed: Cell<u64>,
    /// Since when a block of fields has been arriving; `None` between two.
    pub(super) block_since: Cell<Option<Instant>>,
    pub(super) inbox: Rc<Inbox>,
    pub(super) outbox: Rc<Outbox>,
}

/// A client's socket under HTTP/2: bytes that were read ahead come first, control frames are counted, and field blocks
/// are inspected.
pub(super) struct Counted {
    shared: Rc<Shared>,
    /// Read before it was clear that this is HTTP/2.
    ahead: Vec<u8>,
    taken: usize,
    received: Received,
    sent: Frames,
    budget: Budget,
    blocks: Blocks,
    /// Of the frame with fields that is arriving.
    payload: Vec<u8>,
    /// What a block in several frames holds, here and in the library.
    charge: Charge,
    /// A block of fields has begun, and has not ended.
    in_block: bool,
}

/// Control frames within a window of time. A request and each piece of an answer earn one more: many clients measure
/// their connection with a PING for the data that they receive.
struct Budget {
    spent: u32,
    earned: u32,
    since: Instant,
}

impl Counted {
    /// `longest`: the most bytes that a field block may have.
    pub(super) fn new(
        socket: Socket,
        ahead: Vec<u8>,
        longest: usize,
        outbox: Rc<Outbox>,
        memory: &Rc<Memory>,
    ) -> Self {
        let inbox = Rc::new(Inbox::new(longest));
        Self {
            received: Received::new(PREFACE, Rc::clone(&inbox)),
            shared: Rc::new(Shared {
                socket: RefCell::new(socket),
                exceeded: Cell::new(false),
                passed: Cell::new(0),
                block_since: Cell::new(None),
                inbox,
                outbox,
            }),
            ahead,
            taken: 0,
            sent: Frames::behind(0),
            budget: Budget::new(Instant::now()),
            blocks: Blocks::default(),
            payload: Vec::new(),
            charge: memory.charge(0),
            in_block: false,
        }
    }

    /// The streams with malformed trailers.
    pub(super) fn malformed_trailers(&self) -> MalformedTrailers {
        self.blocks.malformed()
    }

    pub(super) fn shared(&self) -> Rc<Shared> {
        Rc::clone(&self.shared)
    }
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self {
            spent: 0,
            earned: 0,
            since: now,
        }
    }

    fn earn(&mut self) {
        self.earned = self.earned.saturating_add(1);
    }

    /// Counts a frame from the peer. False if it is one too many.
    fn receive(&mut self, frame: &Frames, now: impl Fn() -> Instant) -> bool {
        let (kind, ..) = frame.frame();
        match kind {
            HEADERS => self.earn(),
            PRIORITY | SETTINGS | PING | DATA if kind != DATA || frame.is_idle_data() => {
                self.spent += 1;
                if self.spent > FRAMES.saturating_add(self.earned) {
                    let now = now();
                    let within = now.duration_since(self.since) < WINDOW;
                    (self.spent, self.earned, self.since) = (0, 0, now);
                    return !within;
                }
            }
            _ => {}
        }
        true
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.received.pauses(context) {
            return Poll::Pending;
        }
        let before = into.filled().len();
        let ahead = this.ahead.get(this.taken..).unwrap_or_default();
        if ahead.is_empty() {
            ready!(this.shared.socket.borrow_mut().poll_read(context, into))?;
        } else {
            let count = ahead.len().min(into.remaining());
            into.put_slice(ahead.get(..count).unwrap_or_default());
            this.taken += count;
            if this.taken == this.ahead.len() {
                (this.ahead, this.taken) = (Vec::new(), 0);
            }
        }
        let new = into.filled_mut().get_mut(before..).unwrap_or_default();
        let (budget, shared) = (&mut this.budget, &this.shared);
        shared.passed.set(shared.passed.get() + new.len() as u64);
        let (blocks, fields, in_block) = (&mut this.blocks, &mut this.payload, &mut this.in_block);
        let charge = &mut this.charge;
        this.received.follow(new, |frames, part| {
            let (kind, flags, stream) = frames.frame();
            let is_within = match part {
                Part::Begins => {
                    *in_block |= kind == HEADERS;
                    if kind == RST_STREAM {
                        shared.outbox.reset(stream);
                    }
                    budget.receive(frames, Instant::now)
                }
                // The preface belongs to no frame: it passes as the payload of a DATA frame.
                _ if kind != HEADERS && kind != CONTINUATION => true,
                Part::Payload(payload) => {
                    fields.extend_from_slice(payload);
                    true
                }
                Part::Ends => {
                    let is_within = blocks.frame(kind == HEADERS, flags, stream, fields);
                    *fields = emptied(std::mem::take(fields));
                    let goes_on = flags & END_HEADERS == 0;
                    if goes_on || kind == CONTINUATION {
                        charge.resize(if goes_on { 2 * blocks.held() } else { 0 });
                    }
                    *in_block = goes_on;
                    is_within
                }
            };
            if !is_within {
                shared.exceeded.set(true);
            }
        });
        // Nearly every block arrives in one piece, and then the clock is not read.
        let since = this.shared.block_since.get();
        if *in_block != since.is_some() {
            this.shared.block_since.set(in_block.then(Instant::now));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut socket = this.shared.socket.borrow_mut();
        let count = ready!(Pin::new(&mut *socket).poll_write_vectored(context, bytes))?;
        let mut left = count;
        this.shared.passed.set(this.shared.passed.get() + count as u64);
        for part in bytes {
            let written = part.get(..left.min(part.len())).unwrap_or_default();
            left -= written.len();
            this.sent.follow(written, |frames, part| {
                let Part::Begins = part else { return };
                match frames.frame() {
                    (DATA, ..) => this.budget.earn(),
                    (HEADERS, _, stream) => this.shared.outbox.head_left(stream),
                    (RST_STREAM, _, stream) => this.shared.outbox.reset(stream),
                    _ => {}
                }
            });
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().shared.socket.borrow_mut().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().shared.socket.borrow_mut().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

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
    fn only_control_frames_have_a_budget() {
        // Frames by type, length and number.
        type Case = (&'static [(u8, u8, usize)], bool);
        let table: [Case; 8] = [
            (&[(SETTINGS, 6, 1), (PING, 8, 999)], true),
            (&[(SETTINGS, 6, 1), (PING, 8, 1000)], false),
            (&[(PRIORITY, 5, 1001)], false),
            (&[(DATA, 200, 5000), (0x8, 4, 5000), (0xff, 3, 5000)], true),
            (&[(DATA, 0, 1000)], true),
            (&[(DATA, 0, 1001)], false),
            (&[(HEADERS, 20, 50), (PING, 8, 1050)], true),
            (&[(HEADERS, 20, 50), (PING, 8, 1051)], false),
        ];
        let now = Instant::now();
        for (frames, expected) in table {
            let bytes = connection(frames);
            for size in [1, 7, 9, 16 * 1024] {
                let (mut follower, mut budget) = (Frames::behind(PREFACE), Budget::new(now));
                let mut fine = true;
                for part in bytes.chunks(size) {
                    follower.follow(part, |frames, part| {
                        if let Part::Begins = part {
                            fine &= budget.receive(frames, || now);
                        }
                    });
                }
                assert_eq!(fine, expected, "{frames:?} in pieces of {size}");
            }
        }
    }

    #[tokio::test]
    async fn a_long_head_is_charged_while_it_arrives_and_leaves_nothing_behind() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, ours) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut client, socket) = (client.unwrap(), Socket::plain(ours.unwrap().0));
        let memory = Memory::of_tests();
        let outbox = Outbox::new(1 << 20, 1, Rc::clone(&memory), None);
        let mut counted = Counted::new(socket, Vec::new(), usize::MAX, outbox, &memory);
        client.write_all(&connection(&[])).await.unwrap();
        let mut bytes = vec![0; 16 * 1024];
        counted.read_exact(&mut bytes[..PREFACE]).await.unwrap();
        // Frames of a head by their flags and length, and what is charged and kept after each.
        type Step = (u8, u8, usize, usize, usize);
        let steps: [Step; 6] = [
            (HEADERS, END_HEADERS, 1000, 0, 1000),
            (HEADERS, 0, 16_000, 2 * 16_000, 16_000),
            (CONTINUATION, 0, 16_000, 4 * 16_000, 32_000),
            (CONTINUATION, END_HEADERS, 16_000, 0, 0),
            (HEADERS, END_HEADERS, 5_000, 0, 0),
            (HEADERS, END_HEADERS, 1000, 0, 1000),
        ];
        for (kind, flags, length, charged, kept) in steps {
            let size = u32::try_from(length).unwrap().to_be_bytes();
            let head = [size[1], size[2], size[3], kind, flags, 0, 0, 0, 1];
            client.write_all(&head).await.unwrap();
            client.write_all(&vec![0x82; length]).await.unwrap();
            counted
                .read_exact(&mut bytes[..head.len() + length])
                .await
                .unwrap();
            let held = counted.payload.capacity() + counted.blocks.held();
            assert!((kept..=kept + 1500).contains(&held), "{kind} {length}: {held}");
            assert_eq!(memory.held(), charged, "{kind} {length}");
        }
    }

    #[test]
    fn the_budget_is_renewed_with_time() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let mut ping = Frames::behind(0);
        ping.follow(&frame(PING, 8), |_, _| {});
        assert!((0..1000).all(|_| budget.receive(&ping, || start)));
        assert!((0..1001).all(|_| budget.receive(&ping, || start + WINDOW)));
        assert!(!budget.receive(&ping, || start + WINDOW));
    }
}
