//! Memory that a connection holds only while a request is in flight, from a free list per worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use route::{HostBuf, PathScratch};
use wire::{Field, RequestHead, ResponseHead};

use crate::memory::Stage;
use crate::worker::memory::{Charge, Memory};
use crate::worker::place::Place;
use crate::worker::read_buffer::{READ, ReadBuffer};

/// How many sets one worker keeps at most.
const KEPT: usize = 1024;

/// The same while memory is short.
const KEPT_WHEN_SHORT: usize = 8;

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
    /// What the kernel holds, read and unread, for an exchange that makes no progress.
    in_kernel: usize,
    /// Of what is counted, the two buffers of output.
    output: usize,
    /// Everything besides the two read buffers, which count themselves.
    charge: Charge,
}

/// The free list of one worker.
pub(crate) struct Pool {
    memory: Rc<Memory>,
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

impl Scratch {
    fn new(memory: &Rc<Memory>) -> Self {
        let mut new = Self {
            from_client: ReadBuffer::new(memory),
            from_upstream: ReadBuffer::new(memory),
            to_upstream: Vec::new(),
            to_client: Vec::new(),
            request: RequestHead::new(),
            response: ResponseHead::new(),
            protocols: Vec::new(),
            host: HostBuf::new(),
            path: PathScratch::default(),
            place: Place::default(),
            in_kernel: 0,
            output: 0,
            charge: memory.charge(0),
        };
        new.count();
        new
    }

    /// Frees what is known of the message: another protocol follows.
    pub(crate) fn forget_heads(&mut self) {
        for text in [&mut self.to_upstream, &mut self.to_client, &mut self.protocols] {
            text.clear();
        }
        self.request.fields = Vec::new();
        self.response.fields = Vec::new();
    }

    /// Counts what it holds besides the two read buffers.
    pub(crate) fn count(&mut self) {
        self.output = self.to_upstream.capacity() + self.to_client.capacity();
        let fields = self.request.fields.capacity() + self.response.fields.capacity();
        let bytes = self.output + self.protocols.capacity() + fields * size_of::<Field>();
        let in_kernel = self.charge.in_kernel(self.in_kernel);
        self.charge.resize(size_of::<Self>() + bytes + in_kernel);
    }

    /// Counts what the kernel may hold from now on for a reader that does not keep pace.
    pub(crate) fn expect_in_kernel(&mut self, bytes: usize) {
        if self.in_kernel < bytes {
            self.in_kernel = bytes;
            self.count();
        }
    }

    /// Counts output that has grown beyond what was counted.
    pub(crate) fn count_output(&mut self) {
        if self.to_upstream.capacity() + self.to_client.capacity() > self.output {
            self.count();
        }
    }

    /// Gives back all memory that holds nothing, because nothing has moved for a while, and may not for long; counts what
    /// the kernel holds meanwhile.
    pub(crate) fn rest(&mut self, in_kernel: usize) {
        self.in_kernel = in_kernel;
        self.from_client.rest();
        self.from_upstream.rest();
        for out in [&mut self.to_upstream, &mut self.to_client, &mut self.protocols] {
            out.shrink_to_fit();
        }
        self.count();
    }

    /// Of these, what the kernel holds.
    #[cfg(test)]
    pub(crate) fn in_kernel(&self) -> usize {
        self.in_kernel
    }

    /// Bytes that it holds.
    pub(crate) fn held(&self) -> usize {
        self.from_client.held() + self.from_upstream.held() + self.charge.bytes()
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
        self.in_kernel = 0;
        self.count();
    }
}

impl Pool {
    pub(crate) fn new(memory: &Rc<Memory>) -> Rc<Self> {
        Rc::new(Self {
            memory: Rc::clone(memory),
            free: RefCell::default(),
            spare: Cell::new(0),
        })
    }

    /// A clean set, used before or new.
    pub(crate) fn borrow(self: &Rc<Self>) -> Loan {
        let mut free = self.free.borrow_mut();
        let scratch = free.pop().unwrap_or_else(|| Box::new(Scratch::new(&self.memory)));
        self.spare.set(self.spare.get().min(free.len()));
        Loan {
            scratch: Some(scratch),
            pool: Rc::clone(self),
        }
    }

    /// Frees half of what no request has needed since the last call, so that the memory of a burst is released. While memory
    /// is short, everything but a few sets.
    pub(crate) fn trim(&self) {
        let mut free = self.free.borrow_mut();
        let unneeded = self.spare.get().min(free.len()).div_ceil(2);
        let unneeded = unneeded.max(free.len().saturating_sub(self.most()));
        free.drain(..unneeded);
        self.spare.set(free.len());
    }

    /// How many sets may be kept.
    fn most(&self) -> usize {
        match self.memory.stage() {
            Stage::Calm => KEPT,
            Stage::Lean | Stage::Idle | Stage::Stalled | Stage::Refuse | Stage::Full => KEPT_WHEN_SHORT,
        }
    }
}

impl Loan {
    /// The set, which exists as long as the loan does.
    pub(crate) fn scratch(&mut self) -> &mut Scratch {
        let memory = &self.pool.memory;
        self.scratch.get_or_insert_with(|| Box::new(Scratch::new(memory)))
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Some(mut scratch) = self.scratch.take() else {
            return;
        };
        let mut free = self.pool.free.borrow_mut();
        if free.len() < self.pool.most() {
            scratch.reset();
            free.push(scratch);
        }
    }
}
