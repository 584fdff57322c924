//! Pipes for `splice(2)`, kept per worker.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::descriptors::{DoorDescriptors, Held};
use crate::worker::memory::{Charge, Memory};

/// The requested capacity of a pipe; the kernel may grant less.
const CAPACITY: usize = 512 * 1024;

/// How many empty pipes a worker keeps.
const KEPT: usize = 16;

/// What an empty pipe of this capacity costs the kernel.
const EMPTY: usize = 8 * 1024;

/// What a pipe may hold while memory is short.
const WHEN_SHORT: usize = 64 * 1024;

/// A pipe between two sockets.
pub(crate) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    holds: usize,
    _charge: Charge,
    _held: [Held; 2],
}

/// The empty pipes of one worker.
pub(crate) struct Pipes {
    memory: Rc<Memory>,
    door: Arc<DoorDescriptors>,
    /// Boxed, because every body has a place for one, which is moved, and only long bodies have one.
    #[expect(clippy::vec_box, reason = "they come and go in their boxes")]
    free: RefCell<Vec<Box<Pipe>>>,
}

impl Pipes {
    pub(crate) fn new(memory: &Rc<Memory>, door: Arc<DoorDescriptors>) -> Self {
        Self {
            memory: Rc::clone(memory),
            door,
            free: RefCell::default(),
        }
    }

    /// How much a pipe may hold, of which it has earned `earned`.
    pub(crate) fn most(&self, earned: usize) -> usize {
        if self.memory.is_short() {
            earned.min(WHEN_SHORT)
        } else {
            earned
        }
    }

    /// Closes half of the empty pipes; they are free again in a while.
    pub(crate) fn trim(&self) {
        let mut free = self.free.borrow_mut();
        let kept = free.len() / 2;
        free.truncate(kept);
    }

    /// An empty pipe; `None` if the door or the process is out of descriptors, and the bytes must be copied.
    pub(crate) fn take(&self) -> Option<Box<Pipe>> {
        if let Some(pipe) = self.free.borrow_mut().pop() {
            return Some(pipe);
        }
        let held = self.door.hold_pipe()?;
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // Without the privilege or the user's pipe budget the default size stays, which also works.
        let _granted = fcntl_setpipe_size(&writer, CAPACITY);
        Some(Box::new(Pipe {
            reader,
            writer,
            holds: 0,
            _charge: self.memory.charge(EMPTY),
            _held: held,
        }))
    }

    /// Keeps an empty pipe for later.
    pub(crate) fn give_back(&self, pipe: Box<Pipe>) {
        let mut free = self.free.borrow_mut();
        if pipe.holds == 0 && free.len() < KEPT && !self.memory.is_short() {
            free.push(pipe);
        }
    }

    /// Closes an empty pipe, if one is kept.
    pub(crate) fn free_one(&self) -> bool {
        self.free.borrow_mut().pop().is_some()
    }
}

impl Pipe {
    /// Bytes in the pipe.
    pub(crate) fn holds(&self) -> usize {
        self.holds
    }

    /// Moves up to `most` bytes from a socket into the pipe; 0 is the end of the stream.
    pub(crate) fn fill(&mut self, from: impl AsFd, most: u64) -> io::Result<usize> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(CAPACITY);
        let moved = splice(
            from,
            None,
            &self.writer,
            None,
            most,
            SpliceFlags::MOVE | SpliceFlags::NONBLOCK,
        )?;
        self.holds += moved;
        Ok(moved)
    }

    /// Moves the pipe's bytes into a socket.
    pub(crate) fn drain(&mut self, to: impl AsFd) -> io::Result<usize> {
        let moved = splice(
            &self.reader,
            None,
            to,
            None,
            self.holds,
            SpliceFlags::MOVE | SpliceFlags::NONBLOCK,
        )?;
        self.holds -= moved;
        Ok(moved)
    }
}
