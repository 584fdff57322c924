//! What waits to be sent on one HTTP/2 connection: one bound for all its streams together, however many there are.
//!
//! It counts the bytes that the library holds (bodies exactly, because the library drops each [`Piece`] when it has
//! written it; heads by an estimate, until their frame passes), and those that a stream has read and cannot give away.
//! Half of the bound is divided among all possible streams, so that none is ever without room. The other half belongs
//! to those that need it: each may take as much of it as is still free, so that the next one finds as much again
//! ([ADR 28](../../../../../docs/adr/0028-one-bound-for-what-a-connection-owes.md)).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};

use crate::observe::metrics::WorkerMetrics;
use crate::worker::memory::{Charge, Memory};

/// What the library holds for a frame besides its bytes.
const FRAME: usize = 384;

/// The same for a field of a head.
const FIELD: usize = 112;

/// Room that is worth waiting for: less would make frames that are mostly overhead.
const WORTHWHILE: usize = 1024;

/// Frames of one stream's body that may wait at once.
const PIECES: u8 = 8;

/// What each stream may hold at least.
const LEAST: usize = 3 * 1024;

/// Slots that are kept for the next streams while there are none: about a kilobyte. With fewer, clients that send a few
/// requests at a time would have them allocated again each time.
const KEPT: usize = 16;

/// The bound of one connection.
pub(crate) struct Outbox {
    /// What each stream may hold, whatever the others do.
    floor: usize,
    /// What streams may hold together beyond that.
    common: usize,
    /// What they hold of it.
    taken: Cell<usize>,
    /// What the library holds: as long as it holds anything, something will leave and wake who waits.
    queued: Cell<usize>,
    slots: RefCell<Vec<Slot>>,
    /// Where the search for who waits goes on, so that each has its turn.
    turn: Cell<usize>,
    waiting: Cell<usize>,
    /// A stream has waited for room.
    is_full: Cell<bool>,
    memory: Rc<Memory>,
    /// What counts it, if it is a client's.
    metrics: Option<Arc<WorkerMetrics>>,
}

/// What one stream holds.
#[derive(Default)]
struct Slot {
    /// Zero: it is vacant.
    stream: u32,
    /// The gateway still serves it. Otherwise it ends with what the library holds.
    is_served: bool,
    pieces: u8,
    /// Body bytes in the library, and heads.
    queued: usize,
    /// Heads in the library, the oldest first.
    heads: [u32; 4],
    /// Bytes that were read for it and have not been given to the library.
    held: usize,
    waker: Option<Waker>,
}

/// One stream's account with the outbox of its connection.
pub(crate) struct Account {
    outbox: Rc<Outbox>,
    slot: usize,
}

/// Bytes of a body in the library's hands.
pub(crate) struct Piece {
    bytes: Bytes,
    /// `None` if nobody counts it: it is empty.
    owner: Option<(Rc<Outbox>, usize)>,
}

impl Outbox {
    /// A bound of `most` bytes for up to `streams` streams; it is at least 3 KiB for each.
    pub(crate) fn new(
        most: usize,
        streams: usize,
        memory: Rc<Memory>,
        metrics: Option<Arc<WorkerMetrics>>,
    ) -> Rc<Self> {
        let streams = streams.max(1);
        let most = most.max(streams.saturating_mul(LEAST));
        let floor = (most / 2 / streams).max(LEAST / 2);
        Rc::new(Self {
            floor,
            common: most - most / 2,
            taken: Cell::new(0),
            queued: Cell::new(0),
            slots: RefCell::default(),
            turn: Cell::new(0),
            waiting: Cell::new(0),
            is_full: Cell::new(false),
            memory,
            metrics,
        })
    }

    /// Opens the account of a stream.
    pub(crate) fn open(self: &Rc<Self>, stream: u32) -> Account {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.iter().position(Slot::is_vacant).unwrap_or_else(|| {
            slots.push(Slot::default());
            slots.len() - 1
        });
        if let Some(place) = slots.get_mut(slot) {
            (place.stream, place.is_served) = (stream, true);
        }
        Account {
            outbox: Rc::clone(self),
            slot,
        }
    }

    /// Whether a stream has waited for room since the last call.
    pub(crate) fn take_full(&self) -> bool {
        self.is_full.take()
    }

    /// The frame of a head has been written.
    pub(crate) fn head_left(&self, stream: u32) {
        self.of_stream(stream, |slot| {
            let [first, ..] = &mut slot.heads;
            slot.queued = slot.queued.saturating_sub(std::mem::take(first) as usize);
            slot.heads.rotate_left(1);
        });
    }

    /// The stream has been reset, by either side: the library drops its heads unsent.
    pub(crate) fn reset(&self, stream: u32) {
        self.of_stream(stream, |slot| {
            let heads: usize = slot.heads.iter().map(|head| *head as usize).sum();
            slot.heads = [0; 4];
            slot.queued = slot.queued.saturating_sub(heads);
        });
    }

    /// Bytes that its streams hold.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.slots.borrow().iter().map(Slot::total).sum()
    }

    fn of_stream(&self, stream: u32, change: impl FnOnce(&mut Slot)) {
        let slot = self.slots.borrow().iter().position(|slot| slot.stream == stream);
        if let Some(slot) = slot {
            self.change(slot, change);
        }
    }

    /// Changes what a stream holds, and wakes who can go on.
    fn change(&self, slot: usize, change: impl FnOnce(&mut Slot)) {
        let mut slots = self.slots.borrow_mut();
        let Some(place) = slots.get_mut(slot) else {
            return;
        };
        let (before, queued) = (place.total(), place.queued);
        change(place);
        let after = place.total();
        if place.queued != queued {
            self.queued.set(self.queued.get() + place.queued - queued);
            // Whoever read the rest has counted it.
            self.memory.exchange(queued, place.queued);
            if let Some(metrics) = &self.metrics {
                // At once, more or less: the counter wraps.
                let more = (place.queued as u64).wrapping_sub(queued as u64);
                metrics.http2_unsent.add(more);
            }
        }
        if !place.is_served && place.is_empty() {
            self.forget(place);
            self.shrink(&mut slots);
        }
        if after == before {
            return;
        }
        let excess = |bytes: usize| bytes.saturating_sub(self.floor);
        self.taken.set(self.taken.get() + excess(after) - excess(before));
        if after < before && self.waiting.get() > 0 {
            self.wake(&mut slots);
        }
    }

    fn forget(&self, slot: &mut Slot) {
        if slot.waker.take().is_some() {
            self.waiting.set(self.waiting.get().saturating_sub(1));
        }
        *slot = Slot::default();
    }

    /// Frees the memory of many streams when the last of them has ended.
    fn shrink(&self, slots: &mut Vec<Slot>) {
        if slots.len() > KEPT && slots.iter().all(Slot::is_vacant) {
            slots.truncate(KEPT);
            slots.shrink_to_fit();
        }
    }

    /// Wakes the next stream that can go on; all of them if nothing is left that could wake the others later.
    fn wake(&self, slots: &mut [Slot]) {
        let is_last = self.queued.get() == 0;
        let (behind, before) = slots.split_at_mut(self.turn.get().min(slots.len()));
        let start = behind.len();
        let order = (start..).zip(before).chain((0..).zip(behind));
        for (number, slot) in order {
            if slot.waker.is_none() || (!is_last && self.room(slot) < WORTHWHILE) {
                continue;
            }
            if let Some(waker) = slot.waker.take() {
                self.waiting.set(self.waiting.get().saturating_sub(1));
                waker.wake();
            }
            if !is_last {
                self.turn.set(number + 1);
                return;
            }
        }
    }

    /// How many bytes a stream may hold beyond what it holds.
    fn room(&self, slot: &Slot) -> usize {
        let free = self.common.saturating_sub(self.taken.get());
        (self.floor + free).saturating_sub(slot.total())
    }

    fn wait(&self, slot: &mut Slot, context: &Context<'_>) {
        match &mut slot.waker {
            Some(waker) => waker.clone_from(context.waker()),
            vacant => {
                *vacant = Some(context.waker().clone());
                self.waiting.set(self.waiting.get() + 1);
            }
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        // Heads that the library has dropped with the connection.
        let queued = self.queued.get();
        self.memory.exchange(queued, 0);
        if let Some(metrics) = &self.metrics {
            metrics.http2_unsent.subtract(queued as u64);
        }
    }
}

impl Slot {
    fn is_vacant(&self) -> bool {
        self.stream == 0
    }

    fn total(&self) -> usize {
        self.queued + self.held
    }

    fn is_empty(&self) -> bool {
        self.queued == 0 && self.held == 0 && self.pieces == 0
    }
}

impl Account {
    /// Ready with the number of bytes for which there is room, of `wanted`.
    pub(super) fn poll_room(&self, context: &Context<'_>, wanted: usize) -> Poll<usize> {
        let outbox = &self.outbox;
        let mut slots = outbox.slots.borrow_mut();
        let Some(slot) = slots.get_mut(self.slot) else {
            return Poll::Ready(wanted);
        };
        // What the stream holds itself is what it wants to write.
        let room = outbox.room(slot) + slot.held;
        if slot.pieces < PIECES && room >= wanted.min(WORTHWHILE) + FRAME {
            return Poll::Ready(wanted.min(room - FRAME));
        }
        outbox.is_full.set(outbox.is_full.get() || slot.pieces < PIECES);
        outbox.wait(slot, context);
        Poll::Pending
    }

    /// How many bytes may be read for the stream now.
    pub(super) fn room(&self) -> usize {
        let slots = self.outbox.slots.borrow();
        slots.get(self.slot).map_or(0, |slot| self.outbox.room(slot))
    }

    /// Ready when more may be read for the stream, which `has` as many bytes: with how many.
    pub(super) fn poll_hold(&self, context: &Context<'_>, has: usize) -> Poll<usize> {
        let outbox = &self.outbox;
        let mut slots = outbox.slots.borrow_mut();
        let Some(slot) = slots.get_mut(self.slot) else {
            return Poll::Ready(usize::MAX);
        };
        let room = (outbox.room(slot) + slot.held).saturating_sub(has);
        if room > 0 {
            return Poll::Ready(room);
        }
        outbox.is_full.set(true);
        outbox.wait(slot, context);
        Poll::Pending
    }

    /// What the library holds for the stream.
    pub(super) fn queued(&self) -> usize {
        let slots = self.outbox.slots.borrow();
        slots.get(self.slot).map_or(0, |slot| slot.queued)
    }

    /// An account of the worker's memory for what else is stored for the stream.
    pub(super) fn charge(&self) -> Charge {
        self.outbox.memory.charge(0)
    }

    /// Ready when no head waits to be sent.
    pub(super) fn poll_heads_left(&self, context: &Context<'_>) -> Poll<()> {
        let outbox = &self.outbox;
        let mut slots = outbox.slots.borrow_mut();
        match slots.get_mut(self.slot) {
            Some(slot) if slot.heads != [0; 4] => {
                outbox.wait(slot, context);
                Poll::Pending
            }
            Some(_) | None => Poll::Ready(()),
        }
    }

    /// What has been read for the stream and waits.
    pub(super) fn hold(&self, bytes: usize) {
        let slots = self.outbox.slots.borrow();
        let is_same = slots.get(self.slot).is_none_or(|slot| slot.held == bytes);
        drop(slots);
        if !is_same {
            self.outbox.change(self.slot, |slot| slot.held = bytes);
        }
    }

    /// A head goes to the library, whose fields have this many bytes.
    pub(super) fn head(&self, fields: usize, bytes: usize) {
        let weight = FRAME + fields * FIELD + bytes;
        self.outbox.change(self.slot, |slot| {
            // More than an interim head, the head and the trailers never wait.
            if let Some(place) = slot.heads.iter_mut().find(|place| **place == 0) {
                *place = u32::try_from(weight).unwrap_or(u32::MAX);
                slot.queued += *place as usize;
            }
        });
    }

    /// Bytes of a body for the library.
    pub(super) fn piece(&self, bytes: Bytes) -> Piece {
        if bytes.is_empty() {
            return Piece::EMPTY;
        }
        let length = bytes.len() + FRAME;
        self.outbox.change(self.slot, |slot| {
            slot.queued += length;
            slot.held = slot.held.saturating_sub(bytes.len());
            slot.pieces = slot.pieces.saturating_add(1);
        });
        Piece {
            bytes,
            owner: Some((Rc::clone(&self.outbox), self.slot)),
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.outbox.change(self.slot, |slot| {
            (slot.is_served, slot.held) = (false, 0);
        });
    }
}

impl Piece {
    pub(super) const EMPTY: Self = Self {
        bytes: Bytes::new(),
        owner: None,
    };

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some((outbox, slot)) = &self.owner {
            outbox.change(*slot, |slot| slot.queued = slot.queued.saturating_sub(count));
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some((outbox, slot)) = &self.owner {
            outbox.change(*slot, |slot| {
                slot.queued = slot.queued.saturating_sub(self.bytes.len() + FRAME);
                slot.pieces = slot.pieces.saturating_sub(1);
            });
        }
    }
}

#[cfg(test)]
mod tests;
