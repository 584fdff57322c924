//! What a worker's connections hold: a figure without atomics, settled with the door's in steps.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::memory::{DoorMemory, Stage};

/// A worker settles with its door when its figure has changed by this much, or at its next tick.
const STEP: usize = 64 * 1024;

/// The same for what it expects that newcomers take.
const EXPECTATION_STEP: usize = 4 * STEP;

/// Blocks that are kept for whoever reads next: as many as streams take turns on a few connections.
const BLOCKS: usize = 256;

/// Looks at a full budget, a tick apart, that may each give something up before new requests are refused all the same.
const IN_VAIN: u8 = 5;

/// What an open connection of a client holds besides its buffers, whatever it speaks: its task and its deadline, and the
/// kernel's socket, which counts too.
pub(crate) const CONNECTION: usize = 5 * 1024;

/// What the library and the gateway hold for a client's HTTP/2 connection besides that, most of it the library's buffers to
/// read and to write, and what they hold for each stream under way.
pub(crate) const HTTP2: usize = 25 * 1024;
pub(crate) const HTTP2_STREAM: usize = 6 * 1024;

/// What something new is expected to take before it is known what it holds: a connection for its handshake, or for a first
/// request with its buffers, pipes and backend; a stream of HTTP/2 for its request.
pub(crate) const NEW_CONNECTION: usize = 48 * 1024;
pub(crate) const NEW_STREAM: usize = 48 * 1024;

/// What a connection to a backend holds.
pub(crate) const BACKEND: usize = 4608;

/// What a session of TLS holds, and what its handshake does before that.
pub(crate) const SESSION: usize = 8 * 1024;
pub(crate) const HANDSHAKE: usize = 24 * 1024;

/// The account of one worker.
pub(crate) struct Memory {
    door: Arc<DoorMemory>,
    held: Cell<usize>,
    /// What the door knows of it.
    settled: Cell<usize>,
    /// Bytes that what is new since the last tick may yet take, and what was at the one before.
    expected: Cell<[usize; 2]>,
    ticks: Cell<u32>,
    /// What the door knows of it.
    expectation: Cell<usize>,
    stage: Cell<Stage>,
    /// The last stage that was acted on.
    acted: Cell<Stage>,
    /// Looks in a row at which the budget was full.
    full: Cell<u8>,
    /// They have not helped: there is nothing left to give up, or not enough.
    spent: Cell<bool>,
    /// Wakes who sheds when a stage begins.
    alarm: Notify,
    /// A connection has waited for room since the last look.
    crowded: Cell<bool>,
    /// Wakes what waits for room.
    room: Notify,
    /// Blocks that exchanges have lent each other: one that waits needs none.
    blocks: RefCell<Vec<Vec<u8>>>,
    /// Those that were not needed since the last trim.
    spare: Cell<usize>,
}

/// Something new that is expected to take so many bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newcomer {
    bytes: usize,
    /// The tick at which it came.
    tick: u32,
}

/// Bytes that something holds, counted for as long as it lives.
pub(crate) struct Charge {
    memory: Rc<Memory>,
    bytes: usize,
}

impl Memory {
    pub(crate) fn new(door: Arc<DoorMemory>) -> Rc<Self> {
        let stage = Cell::new(door.judge());
        Rc::new(Self {
            door,
            held: Cell::new(0),
            settled: Cell::new(0),
            expected: Cell::default(),
            ticks: Cell::new(0),
            expectation: Cell::new(0),
            stage,
            acted: Cell::new(Stage::Calm),
            full: Cell::new(0),
            spent: Cell::new(false),
            alarm: Notify::new(),
            crowded: Cell::new(false),
            room: Notify::new(),
            blocks: RefCell::default(),
            spare: Cell::new(0),
        })
    }

    /// Keeps a block for whoever reads next, which would have to clear another. It counts on, unless it is not kept.
    pub(super) fn lend(&self, block: Vec<u8>) {
        let mut blocks = self.blocks.borrow_mut();
        if blocks.len() < BLOCKS && !self.is_short() {
            blocks.push(block);
        } else {
            self.exchange(block.len(), 0);
        }
    }

    /// The block that was lent last, with its former content. It has been counted all the time.
    pub(super) fn borrow(&self) -> Option<Vec<u8>> {
        let mut blocks = self.blocks.borrow_mut();
        let block = blocks.pop();
        self.spare.set(self.spare.get().min(blocks.len()));
        block
    }

    /// Frees half of the blocks that nobody has needed since the last call; all of them while memory is short.
    pub(crate) fn trim(&self) {
        let mut blocks = self.blocks.borrow_mut();
        let unneeded = if self.is_short() {
            blocks.len()
        } else {
            self.spare.get().min(blocks.len()).div_ceil(2)
        };
        let freed: usize = blocks.drain(..unneeded).map(|block| block.len()).sum();
        self.spare.set(blocks.len());
        self.exchange(freed, 0);
    }

    /// Counts `bytes` for as long as the charge lives.
    pub(crate) fn charge(self: &Rc<Self>, bytes: usize) -> Charge {
        self.exchange(0, bytes);
        Charge {
            memory: Rc::clone(self),
            bytes,
        }
    }

    /// The stage of the door, as of the last settlement.
    pub(crate) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Whether to take on no new connection.
    pub(crate) fn refuses_connections(&self) -> bool {
        self.stage.get() >= Stage::Refuse
    }

    /// Whether something new may begin, or waits until it is known what the last ones hold.
    pub(crate) fn has_room(&self) -> bool {
        let expected = self.expected.get().iter().sum();
        // One at a time always goes on.
        expected == 0 || self.door.may_expect(self.expectation.get(), expected)
    }

    /// Notes that a connection waits for room.
    pub(crate) fn crowd(&self) {
        self.crowded.set(true);
    }

    /// Whether one has, since this was asked last.
    pub(super) fn take_crowded(&self) -> bool {
        self.crowded.replace(false)
    }

    /// Expects that something new takes `bytes`, until it is known what it holds, or two ticks have passed.
    pub(crate) fn expect(&self, bytes: usize) -> Newcomer {
        let [new, before] = self.expected.get();
        self.expect_now([new + bytes, before]);
        Newcomer {
            bytes,
            tick: self.ticks.get(),
        }
    }

    /// It is known what this one holds.
    pub(crate) fn know(&self, newcomer: Newcomer) {
        let [new, before] = self.expected.get();
        let Newcomer { bytes, tick } = newcomer;
        self.expect_now(match self.ticks.get().wrapping_sub(tick) {
            0 => [new.saturating_sub(bytes), before],
            1 => [new, before.saturating_sub(bytes)],
            _ => return,
        });
    }

    /// What was new two ticks ago is not any more.
    pub(crate) fn tick(&self) {
        let [new, _] = self.expected.get();
        self.ticks.set(self.ticks.get().wrapping_add(1));
        self.expect_now([0, new]);
        self.room.notify_waiters();
    }

    /// Resolves when there may be room again.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    fn expect_now(&self, expected: [usize; 2]) {
        self.expected.set(expected);
        let now: usize = expected.iter().sum();
        let told = self.expectation.get();
        if now.abs_diff(told) >= EXPECTATION_STEP || now == 0 && told > 0 {
            self.expectation.set(now);
            self.door.expect(told, now);
        }
    }

    /// Whether to take on no new request either. Those who hold the memory give it up first.
    pub(crate) fn refuses_requests(&self) -> bool {
        self.stage.get() == Stage::Full && self.spent.get()
    }

    /// Notes how much a look at this stage has given up.
    pub(super) fn looked(&self, stage: Stage, given_up: usize) {
        let full = match stage {
            Stage::Full => self.full.get().saturating_add(1),
            Stage::Calm | Stage::Lean | Stage::Idle | Stage::Stalled | Stage::Refuse => 0,
        };
        self.full.set(full);
        // Who holds something without moving is known only a tick after it has begun to.
        self.spent.set(full > IN_VAIN || full > 1 && given_up == 0);
    }

    /// Whether to do with as little as possible.
    pub(crate) fn is_short(&self) -> bool {
        self.stage.get() > Stage::Calm
    }

    /// Bytes that the worker's connections hold.
    pub(crate) fn held(&self) -> usize {
        self.held.get()
    }

    /// Counts `now` bytes instead of `before`.
    pub(crate) fn exchange(&self, before: usize, now: usize) {
        self.change((self.held.get() + now).saturating_sub(before));
    }

    /// Tells the door what has changed since the last time, and learns its stage.
    pub(crate) fn settle(&self) {
        let held = self.held.get();
        let earlier = self.settled.replace(held);
        let stage = self.door.settle(earlier, held);
        if stage > self.stage.replace(stage) {
            self.alarm.notify_one();
        }
    }

    /// Resolves when a stage has begun.
    pub(super) async fn alarm(&self) {
        self.alarm.notified().await;
    }

    /// Notes the stage that is acted on. Whether it differs from the last one.
    pub(super) fn turn_to(&self, stage: Stage) -> bool {
        self.acted.replace(stage) != stage
    }

    pub(super) fn door(&self) -> &DoorMemory {
        &self.door
    }

    /// What this worker must free for the stage to end: its part of what the door must free.
    pub(super) fn excess(&self, stage: Stage) -> usize {
        let used = self.door.used().max(1);
        let part = self.held.get().min(used) as u128 * self.door.excess(stage) as u128 / used as u128;
        usize::try_from(part).unwrap_or(usize::MAX)
    }

    fn change(&self, held: usize) {
        self.held.set(held);
        if held.abs_diff(self.settled.get()) >= STEP {
            self.settle();
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.door.settle(self.settled.get(), 0);
        self.door.expect(self.expectation.get(), 0);
    }
}

impl Charge {
    /// Of what the kernel holds in sockets, the bytes that count.
    pub(crate) fn in_kernel(&self, bytes: usize) -> usize {
        if self.memory.door.counts_sockets() {
            bytes
        } else {
            0
        }
    }

    /// The bytes that it counts.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts this many instead.
    pub(crate) fn resize(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if before != bytes {
            self.memory.exchange(before, bytes);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.exchange(self.bytes, 0);
    }
}

#[cfg(test)]
impl Memory {
    /// An account without limits.
    pub(crate) fn of_tests() -> Rc<Self> {
        Self::new(Arc::new(DoorMemory::new(crate::memory::MemoryBudget::new(
            usize::MAX,
        ))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryBudget;

    #[test]
    fn a_worker_settles_in_steps_and_at_its_end() {
        let budget = MemoryBudget::new(STEP * 4);
        let memory = Memory::new(Arc::new(DoorMemory::new(budget.clone())));
        let mut charge = memory.charge(STEP - 1);
        assert_eq!((memory.held(), budget.used()), (STEP - 1, 0));
        charge.resize(3 * STEP);
        assert_eq!((memory.held(), budget.used()), (3 * STEP, 3 * STEP));
        assert_eq!(memory.stage(), Stage::Idle);
        charge.resize(2 * STEP + 1);
        assert_eq!((charge.bytes(), budget.used()), (2 * STEP + 1, 3 * STEP));
        memory.settle();
        assert_eq!((memory.stage(), budget.used()), (Stage::Calm, 2 * STEP + 1));
        drop(charge);
        assert_eq!((memory.held(), budget.used()), (0, 0));
        memory.exchange(0, 5);
        memory.settle();
        drop(memory);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_new_waits_until_it_is_known_what_the_last_ones_hold() {
        // A quarter of what is left is room for two connections.
        let door = Arc::new(DoorMemory::new(MemoryBudget::new(9 * NEW_CONNECTION)));
        let memory = Memory::new(Arc::clone(&door));
        let first = memory.expect(NEW_CONNECTION);
        let second = memory.expect(NEW_CONNECTION);
        assert!(memory.has_room());
        let third = memory.expect(NEW_CONNECTION);
        assert!(!memory.has_room());
        memory.know(second);
        assert!(memory.has_room());
        // What is held leaves less.
        memory.exchange(0, 2 * NEW_CONNECTION);
        assert!(!memory.has_room());
        memory.tick();
        assert!(!memory.has_room(), "they were new a moment ago");
        memory.know(first);
        assert!(memory.has_room());
        memory.tick();
        assert_eq!(memory.expected.get(), [0, 0]);
        // It was given up two ticks ago.
        memory.know(third);
        assert_eq!(memory.expected.get(), [0, 0]);
    }

    #[test]
    fn what_is_new_at_other_workers_counts() {
        const MANY: usize = 6;
        let door = Arc::new(DoorMemory::new(MemoryBudget::new(4 * MANY * NEW_CONNECTION)));
        let (other, memory) = (Memory::new(Arc::clone(&door)), Memory::new(door));
        let new: Vec<Newcomer> = (0..MANY).map(|_| other.expect(NEW_CONNECTION)).collect();
        assert!(memory.has_room(), "one at a time always goes on");
        let own = memory.expect(NEW_CONNECTION);
        assert!(!memory.has_room());
        new.into_iter().for_each(|one| other.know(one));
        assert!(memory.has_room());
        memory.know(own);
        let left: Vec<Newcomer> = (0..2 * MANY).map(|_| other.expect(NEW_CONNECTION)).collect();
        assert_eq!(left.len(), 2 * MANY);
        drop(other);
        let _own = memory.expect(NEW_CONNECTION);
        assert!(memory.has_room(), "a worker that has ended expects nothing");
    }

    #[test]
    fn requests_are_refused_when_nothing_is_left_to_give_up() {
        let memory = Memory::new(Arc::new(DoorMemory::new(MemoryBudget::new(STEP))));
        memory.exchange(0, STEP);
        assert!(memory.refuses_connections());
        let look = |stage, given_up| {
            memory.looked(stage, given_up);
            memory.refuses_requests()
        };
        assert!(!look(Stage::Full, 0), "who stands still is not known yet");
        assert!(look(Stage::Full, 0));
        assert!(!look(Stage::Refuse, 0));
        let helping: Vec<bool> = (0..=IN_VAIN).map(|_| look(Stage::Full, 1)).collect();
        assert_eq!(helping, [false, false, false, false, false, true]);
        memory.exchange(STEP, 0);
        assert!(!memory.refuses_connections() && !memory.refuses_requests());
    }
}
