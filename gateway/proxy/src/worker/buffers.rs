//! Memory that a connection holds only while a request is in flight, from a free list per worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use route::{HostBuf, PathScratch};
use wire::{RequestHead, ResponseHead};

use crate::worker::place::Place;

/// The size of the first reads: room for a head and a small body, and for one page-sized body copy.
const READ: usize = 16 * 1024;

/// The same if one side is an HTTP/2 stream, whatever the length of the body.
pub(crate) const SHORT_READ: usize = 64 * 1024;

/// The size of reads once a body turns out to be long.
pub(crate) const LONG_READ: usize = 256 * 1024;

/// How many sets one worker keeps at most.
const KEPT: usize = 1024;

/// Bytes read and not yet consumed.
pub(crate) struct ReadBuffer {
    /// Always initialised to its whole length, so that reading needs no unsafe code.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// Everything one exchange needs besides its sockets.
pub(crate) struct Scratch {
    pub(crate) from_client: ReadBuffer,
    pub(crate) from_upstream: ReadBuffer,
    pub(crate) to_upstream: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
    /// The protocols of a request that asks for an upgrade.
    pub(crate) protocols: Vec<u8>,
    pub(crate) host: HostBuf,
    pub(crate) path: PathScratch,
    /// What the request is for, once its head has left the buffer.
    pub(crate) place: Place,
}

/// The free list of one worker.
#[derive(Default)]
pub(crate) struct Pool {
    /// Boxed, because each request moves a set out and in.
    #[expect(
        clippy::vec_box,
        reason = "a pointer is moved at each request, not half a kilobyte"
    )]
    free: RefCell<Vec<Box<Scratch>>>,
    /// Sets that were not needed since the last trim.
    spare: Cell<usize>,
}

/// A set on loan; it returns to the pool when dropped.
pub(crate) struct Loan {
    scratch: Option<Box<Scratch>>,
    pool: Rc<Pool>,
}

impl ReadBuffer {
    fn new() -> Self {
        Self {
            bytes: vec![0; READ],
            start: 0,
            end: 0,
        }
    }

    /// The bytes not yet consumed.
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room for more bytes, at least one if `limit` allows: the buffer holds at most `limit` unconsumed bytes.
    pub(crate) fn room(&mut self, limit: usize) -> &mut [u8] {
        if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else if self.bytes.len() < limit {
                self.bytes.resize((self.bytes.len() * 2).min(limit), 0);
            }
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Records that `count` bytes were read into [`ReadBuffer::room`].
    pub(crate) fn filled_by(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Appends bytes.
    pub(crate) fn load(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        if let Some(place) = self.bytes.get_mut(self.end..end) {
            place.copy_from_slice(bytes);
            self.end = end;
        }
    }

    /// Makes room for long reads; used only when the buffer is empty.
    pub(crate) fn widen(&mut self) {
        if self.bytes.len() < LONG_READ {
            self.bytes.resize(LONG_READ, 0);
        }
    }

    fn reset(&mut self) {
        (self.start, self.end) = (0, 0);
        if self.bytes.len() > READ {
            self.bytes.truncate(READ);
            self.bytes.shrink_to(READ);
        }
    }
}

impl Scratch {
    fn new() -> Self {
        Self {
            from_client: ReadBuffer::new(),
            from_upstream: ReadBuffer::new(),
            to_upstream: Vec::with_capacity(4096),
            to_client: Vec::with_capacity(4096),
            request: RequestHead::new(),
            response: ResponseHead::new(),
            protocols: Vec::new(),
            host: HostBuf::new(),
            path: PathScratch::default(),
            place: Place::default(),
        }
    }

    fn reset(&mut self) {
        self.from_client.reset();
        self.from_upstream.reset();
        for out in [&mut self.to_upstream, &mut self.to_client, &mut self.protocols] {
            out.clear();
            out.shrink_to(READ);
        }
        self.request.reset();
        self.response.reset();
        self.place.shrink();
    }
}

impl Pool {
    /// A clean set, used before or new.
    pub(crate) fn borrow(self: &Rc<Self>) -> Loan {
        let mut free = self.free.borrow_mut();
        let scratch = free.pop().unwrap_or_else(|| Box::new(Scratch::new()));
        self.spare.set(self.spare.get().min(free.len()));
        Loan {
            scratch: Some(scratch),
            pool: Rc::clone(self),
        }
    }

    /// Frees half of what no request has needed since the last call, so that the memory of a burst is released.
    pub(crate) fn trim(&self) {
        let mut free = self.free.borrow_mut();
        let unneeded = self.spare.get().min(free.len()).div_ceil(2);
        free.drain(..unneeded);
        self.spare.set(free.len());
    }
}

impl Loan {
    /// The set, which exists as long as the loan does.
    pub(crate) fn scratch(&mut self) -> &mut Scratch {
        self.scratch.get_or_insert_with(|| Box::new(Scratch::new()))
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Some(mut scratch) = self.scratch.take() else {
            return;
        };
        let mut free = self.pool.free.borrow_mut();
        if free.len() < KEPT {
            scratch.reset();
            free.push(scratch);
        }
    }
}
