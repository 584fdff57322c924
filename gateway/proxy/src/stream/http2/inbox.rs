//! What arrives on one HTTP/2 connection for streams that cannot read now.
//!
//! The library keeps such frames one by one, each at several hundred bytes, and ends the whole connection when there are
//! too many small ones. So the connection counts frames as their bytes pass, and when many have come, every stream whose
//! task waits for its other side takes its own out and stores them together: then their number does not matter. What is
//! stored so is charged to the worker's memory, so every byte counts as long as a stream waits.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

use super::frames::{CONTINUATION, DATA, Frames, HEAD, HEADERS, LongBlocks, SETTINGS};

/// What the library holds for a frame besides its bytes: a frame with as many bytes is no burden, unless it waits.
const FRAME: usize = 256;

/// The burden after which streams take out what has come for them.
const ROUND: usize = 64 * 1024;

/// The burden at which the library ends a connection: more than can arrive in one turn, and never reached if streams
/// take out what is theirs.
pub(crate) const BURDEN: usize = 2 * 1024 * 1024;

/// What a connection and its streams know of arriving frames.
pub(crate) struct Inbox {
    long: LongBlocks,
    /// The burden of what has come since the last round.
    burden: Cell<usize>,
    round: Cell<u32>,
    /// Streams that wait for their other side.
    stalled: RefCell<Vec<(u32, Waker)>>,
    /// The peer has sent its settings.
    has_settings: Cell<bool>,
}

/// What a stream remembers of the rounds.
#[derive(Debug, Default)]
pub(super) struct Stall {
    /// The last round in which it took part.
    round: u32,
    /// It will be woken by the next one.
    is_known: bool,
}

impl Inbox {
    /// `longest`: the most bytes that are allowed in a field block.
    pub(crate) fn new(longest: usize) -> Self {
        Self {
            long: LongBlocks::new(longest),
            burden: Cell::new(0),
            round: Cell::new(0),
            stalled: RefCell::default(),
            has_settings: Cell::new(false),
        }
    }

    /// Records the start of a frame. True if a round begins: reading must pause, so that the streams have their turn.
    pub(crate) fn begins(&self, frame: &Frames) -> bool {
        self.long.begins(frame);
        let (kind, ..) = frame.frame();
        let awaited = !self.stalled.borrow().is_empty();
        let more = match kind {
            DATA if !awaited => FRAME.saturating_sub(frame.length()),
            DATA | HEADERS | CONTINUATION => FRAME + frame.length(),
            // Frames that nobody wants are in the buffers, too, of which a frame that waits keeps all.
            _ if awaited => HEAD + frame.length(),
            _ => return false,
        };
        let burden = self.burden.get() + more;
        if burden < ROUND {
            self.burden.set(burden);
            return false;
        }
        self.burden.set(0);
        self.round.set(self.round.get().wrapping_add(1));
        for (_, waker) in self.stalled.take() {
            waker.wake();
        }
        true
    }

    /// A frame has arrived completely.
    pub(super) fn ends(&self, frame: &Frames) {
        if matches!(frame.frame(), (SETTINGS, 0, _)) {
            self.has_settings.set(true);
        }
    }

    /// Whether the peer has sent its settings.
    pub(crate) fn has_settings(&self) -> bool {
        self.has_settings.get()
    }

    /// Whether the stream has had a long field block.
    pub(super) fn is_long(&self, stream: u32) -> bool {
        self.long.is_long(stream)
    }

    /// The stream waits for its other side. True if it must take out what has come for it.
    pub(super) fn stall(&self, stream: u32, stall: &mut Stall, context: &Context<'_>) -> bool {
        let is_due = stall.round != self.round.get();
        if is_due || !stall.is_known {
            self.leave(stream, stall);
            self.stalled.borrow_mut().push((stream, context.waker().clone()));
            (stall.round, stall.is_known) = (self.round.get(), true);
        }
        is_due
    }

    /// The stream does not wait any longer.
    pub(super) fn leave(&self, stream: u32, stall: &mut Stall) {
        if std::mem::take(&mut stall.is_known) && stall.round == self.round.get() {
            self.stalled.borrow_mut().retain(|(other, _)| *other != stream);
        }
    }
}
