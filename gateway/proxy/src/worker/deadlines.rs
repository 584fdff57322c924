//! One table of deadlines per worker, checked ten times a second.
//!
//! A timer per connection would cost a wheel operation at each request (idle, head, body and write deadlines
//! alternate) and a few hundred bytes on each idle connection. A dense table costs a few stores per change and 40 bytes;
//! scanning it takes microseconds even with tens of thousands of connections. The price is precision: a deadline
//! fires up to one [`TICK`] late.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::clock::Clock;
use super::idle::IdleList;

/// How often deadlines are checked.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Milliseconds since the worker started; [`NEVER`] is no deadline.
type Millis = u64;

const NEVER: Millis = Millis::MAX;

/// [`TICK`]s since the worker started.
type Ticks = u32;

/// The deadlines of one worker's connections.
pub(crate) struct Deadlines {
    clock: Clock,
    epoch: Instant,
    entries: RefCell<Vec<Entry>>,
    vacant: RefCell<Vec<u32>>,
    occupied: Cell<usize>,
    idle: RefCell<IdleList>,
    /// How many are idle and have not been asked to end, for other threads to see.
    shown_idle: Arc<AtomicUsize>,
    /// Connections of the whole door that have been asked to end, and have neither ended nor become busy.
    going: Arc<AtomicUsize>,
    /// Wakes the ticker when there is something to check again.
    work: Notify,
}

struct Entry {
    due: Millis,
    waker: Option<Waker>,
    /// When something last moved; only while it follows.
    moved: Ticks,
    /// KiB that it holds, and why they may be taken from it.
    held: u32,
    held_by: HeldBy,
    /// Ticks without progress, up to [`TOLD`], or to [`AGAIN`] for what looks now and then.
    quiet: u8,
    fired: bool,
    /// It is to end because of what it holds.
    cut: bool,
    /// It is work under way: each publication wakes it, and so does silence.
    follows: bool,
    /// While it is quiet, it is woken now and then to look for what does not wake it.
    looks: bool,
}

impl Entry {
    const VACANT: Self = Self {
        due: NEVER,
        waker: None,
        moved: 0,
        held: 0,
        held_by: HeldBy::Nobody,
        quiet: 0,
        fired: false,
        cut: false,
        follows: false,
        looks: false,
    };
}

/// Whose silence makes something hold memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeldBy {
    Nobody,
    /// The client's: it does not read.
    Reader,
    /// That of both sides of a tunnel.
    Tunnel,
}

/// Ticks after which work that has made no progress is woken, once, to give back what it does not need.
const QUIET: u8 = 2;

/// It has been woken for that.
const TOLD: u8 = QUIET + 1;

/// Ticks after which it is woken again, if it looks now and then: once a second.
const AGAIN: u8 = TOLD + 10;

/// What became of a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It is still to come.
    Running,
    /// It is still to come, and nothing has moved for a while. Said once, or once a second after [`Deadline::look`].
    Quiet,
    /// It has passed.
    Passed,
    /// The exchange must end because of what it holds.
    Cut,
}

/// One connection's deadline. Setting it replaces the one before.
pub(crate) struct Deadline {
    table: Rc<Deadlines>,
    index: u32,
}

impl Deadlines {
    /// `going`: where connections are counted that have been asked to end.
    pub(crate) fn new(clock: Clock, going: Arc<AtomicUsize>) -> Rc<Self> {
        Rc::new(Self {
            epoch: clock.now(),
            clock,
            entries: RefCell::new(Vec::new()),
            vacant: RefCell::new(Vec::new()),
            occupied: Cell::new(0),
            idle: RefCell::default(),
            shown_idle: Arc::default(),
            going,
            work: Notify::new(),
        })
    }

    /// The time that deadlines are set and checked by.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// A new entry without a deadline.
    pub(crate) fn register(self: &Rc<Self>) -> Deadline {
        let entry = Entry::VACANT;
        let mut entries = self.entries.borrow_mut();
        let index = match self.vacant.borrow_mut().pop() {
            Some(index) => {
                if let Some(slot) = entries.get_mut(index as usize) {
                    *slot = entry;
                }
                index
            }
            None => {
                entries.push(entry);
                u32::try_from(entries.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.idle.borrow_mut().add(index);
        self.occupied.set(self.occupied.get() + 1);
        self.work.notify_one();
        Deadline {
            table: Rc::clone(self),
            index,
        }
    }

    /// Whether any connection is registered.
    pub(crate) fn is_empty(&self) -> bool {
        self.occupied.get() == 0
    }

    /// Resolves when a connection registers or [`Deadlines::nudge`] is called.
    pub(crate) async fn work(&self) {
        self.work.notified().await;
    }

    /// Wakes the ticker for a reason other than a deadline.
    pub(crate) fn nudge(&self) {
        self.work.notify_one();
    }

    /// Wakes every connection whose deadline has passed, and work under way that has become quiet.
    pub(crate) fn fire(&self, now: Instant) {
        let now = self.millis(now);
        for entry in self.entries.borrow_mut().iter_mut() {
            if entry.due <= now {
                entry.due = NEVER;
                entry.fired = true;
            } else if entry.follows && entry.quiet < QUIET {
                entry.quiet += 1;
                if entry.quiet < QUIET {
                    continue;
                }
            } else if entry.looks && entry.quiet >= TOLD {
                entry.quiet += 1;
                if entry.quiet < AGAIN {
                    continue;
                }
                entry.quiet = QUIET;
            } else {
                continue;
            }
            if let Some(waker) = &entry.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Ends exchanges whose reader has stalled for `silence`, those first that hold most, until they have held `bytes`.
    /// Returns how many.
    pub(crate) fn cut_stalled(&self, silence: Duration, bytes: usize) -> usize {
        self.cut(HeldBy::Reader, silence, bytes, usize::MAX, |entry| {
            (Reverse(entry.held), entry.moved)
        })
    }

    /// Ends up to `most` tunnels in which nothing has moved for `silence`, the most silent first, until they have held
    /// `bytes`. Returns how many.
    pub(crate) fn cut_silent(&self, silence: Duration, bytes: usize, most: usize) -> usize {
        self.cut(HeldBy::Tunnel, silence, bytes, most, |entry| entry.moved)
    }

    fn cut<K: Ord>(
        &self,
        held_by: HeldBy,
        silence: Duration,
        bytes: usize,
        most: usize,
        key: impl Fn(&Entry) -> K,
    ) -> usize {
        let Some(latest) = self.latest(silence) else {
            return 0;
        };
        let mut entries = self.entries.borrow_mut();
        let mut silent: Vec<&mut Entry> = entries
            .iter_mut()
            .filter(|entry| entry.held_by == held_by && !entry.fired && entry.moved <= latest)
            .collect();
        silent.sort_unstable_by_key(|entry| key(entry));
        let (mut cut, mut freed) = (0, 0);
        for entry in silent {
            if freed >= bytes || cut == most {
                break;
            }
            freed += entry.held as usize * 1024;
            cut += 1;
            (entry.due, entry.fired, entry.cut) = (NEVER, true, true);
            if let Some(waker) = &entry.waker {
                waker.wake_by_ref();
            }
        }
        cut
    }

    /// How many connections are idle and have not been asked to end, and have been for `silence`: up to a part of all that
    /// are idle, as a divisor, or `fewest`.
    pub(super) fn long_idle(&self, silence: Duration, part: usize, fewest: usize) -> usize {
        let Some(latest) = self.latest(silence) else {
            return 0;
        };
        let (idle, entries) = (self.idle.borrow(), self.entries.borrow());
        let is_old = |index: &u32| {
            let entry = entries.get(*index as usize);
            entry.is_some_and(|entry| entry.moved <= latest)
        };
        let most = (idle.count() / part).max(fewest);
        idle.iter().take(most).take_while(is_old).count()
    }

    /// How many connections have been asked to end and have not yet.
    pub(super) fn asked_to_end(&self) -> usize {
        self.idle.borrow().asked()
    }

    /// The last tick of what has been silent for so long, if that is possible yet.
    fn latest(&self, silence: Duration) -> Option<Ticks> {
        ticks(self.millis(self.now())).checked_sub(ticks(whole_millis(silence)))
    }

    /// Asks up to `most` idle connections to end, those first that have been idle for longest, as if their deadlines had
    /// passed. Returns how many.
    pub(super) fn close_oldest(&self, most: usize) -> usize {
        let (mut idle, mut closed) = (self.idle.borrow_mut(), 0);
        while closed < most {
            let Some(index) = idle.take_oldest() else { break };
            self.with(index, |entry| {
                entry.due = NEVER;
                entry.fired = true;
                if let Some(waker) = &entry.waker {
                    waker.wake_by_ref();
                }
            });
            closed += 1;
        }
        self.shown_idle.store(idle.count(), Ordering::Relaxed);
        self.going.fetch_add(closed, Ordering::Relaxed);
        closed
    }

    /// How many connections are idle and have not been asked to end.
    pub(super) fn shown_idle(&self) -> &Arc<AtomicUsize> {
        &self.shown_idle
    }

    /// Wakes every connection, so that it looks at the worker's phase.
    pub(crate) fn wake_all(&self) {
        self.wake(|_| true);
    }

    /// Wakes every task with work under way, so that it checks what has been published.
    pub(crate) fn wake_followers(&self) {
        self.wake(|entry| entry.follows);
    }

    fn wake(&self, which: impl Fn(&Entry) -> bool) {
        let entries = self.entries.borrow();
        let chosen = entries.iter().filter(|entry| which(entry));
        chosen
            .filter_map(|entry| entry.waker.as_ref())
            .for_each(Waker::wake_by_ref);
    }

    fn millis(&self, at: Instant) -> Millis {
        whole_millis(at.saturating_duration_since(self.epoch)).min(NEVER - 1)
    }

    fn with<R>(&self, index: u32, change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        self.entries.borrow_mut().get_mut(index as usize).map(change)
    }
}

impl Deadline {
    /// The time that deadlines are set and checked by.
    pub(crate) fn now(&self) -> Instant {
        self.table.now()
    }

    /// Due `after` from now.
    pub(crate) fn set(&self, after: Duration) {
        self.set_from(self.now(), after);
    }

    /// Due `after` from `start`, which may be now: then the clock need not be read again.
    pub(crate) fn set_from(&self, start: Instant, after: Duration) {
        self.arm(start, after, false);
    }

    /// The same, and woken by each publication until it is set again.
    pub(crate) fn set_following(&self, start: Instant, after: Duration) {
        self.arm(start, after, true);
    }

    /// As [`Deadline::set_following`], for a reader that goes on as it did: a slow one remains quiet.
    pub(crate) fn prolong(&self, start: Instant, after: Duration) {
        let start = self.table.millis(start);
        self.table.with(self.index, |entry| {
            entry.due = start.saturating_add(whole_millis(after));
            entry.moved = ticks(start);
        });
    }

    fn arm(&self, start: Instant, after: Duration, follows: bool) {
        let start = self.table.millis(start);
        self.table.with(self.index, |entry| {
            *entry = Entry {
                due: start.saturating_add(whole_millis(after)),
                waker: entry.waker.take(),
                moved: ticks(start),
                follows,
                ..Entry::VACANT
            }
        });
    }

    /// The client of what is under way does not read, and so many bytes are held for it.
    pub(crate) fn holds_for_reader(&self, bytes: usize) {
        self.holds(HeldBy::Reader, bytes);
    }

    /// Nothing moves in a tunnel, which holds so many bytes.
    pub(crate) fn holds_for_tunnel(&self, bytes: usize) {
        self.holds(HeldBy::Tunnel, bytes);
    }

    /// Whether to say once a second that nothing has moved, for as long as nothing does, because something could happen
    /// that does not wake the task.
    pub(crate) fn look(&self, looks: bool) {
        self.table.with(self.index, |entry| entry.looks = looks);
    }

    fn holds(&self, by: HeldBy, bytes: usize) {
        let held = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        self.table
            .with(self.index, |entry| (entry.held, entry.held_by) = (held, by));
    }

    /// The connection is idle from now on: it may be asked to end, as if its deadline had passed. If it is idle already, it
    /// keeps its age.
    pub(crate) fn idle(&self) {
        let mut idle = self.table.idle.borrow_mut();
        self.no_longer_asked(idle.is_asked(self.index));
        idle.enter(self.index);
        self.table.shown_idle.store(idle.count(), Ordering::Relaxed);
    }

    /// The connection has something to do, and continues whether it has been asked to end or not.
    pub(crate) fn busy(&self) {
        let mut idle = self.table.idle.borrow_mut();
        self.no_longer_asked(idle.leave(self.index));
        self.table.shown_idle.store(idle.count(), Ordering::Relaxed);
    }

    /// Whether it has been asked to end since it became idle.
    pub(crate) fn is_asked_to_end(&self) -> bool {
        self.table.idle.borrow().is_asked(self.index)
    }

    fn no_longer_asked(&self, was_asked: bool) {
        if was_asked {
            self.table.going.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether the deadline has passed; else the task is woken when it does.
    pub(crate) fn has_passed(&self, context: &mut Context<'_>) -> bool {
        matches!(self.wait(context), Wait::Passed | Wait::Cut)
    }

    /// The same in detail; the task is woken when it changes.
    pub(crate) fn wait(&self, context: &mut Context<'_>) -> Wait {
        self.table
            .with(self.index, |entry| {
                if entry.fired {
                    return if entry.cut { Wait::Cut } else { Wait::Passed };
                }
                // The waker of a task does not change while it lives, so this stores once.
                match &mut entry.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    vacant => *vacant = Some(context.waker().clone()),
                }
                if entry.quiet == QUIET {
                    entry.quiet = TOLD;
                    return Wait::Quiet;
                }
                Wait::Running
            })
            .unwrap_or(Wait::Passed)
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.busy();
        self.table.with(self.index, |entry| *entry = Entry::VACANT);
        self.table.vacant.borrow_mut().push(self.index);
        self.table
            .occupied
            .set(self.table.occupied.get().saturating_sub(1));
    }
}

fn whole_millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(NEVER)
}

fn ticks(millis: Millis) -> Ticks {
    Ticks::try_from(millis / whole_millis(TICK)).unwrap_or(Ticks::MAX)
}

#[cfg(test)]
mod tests;
