//! The budget of memory: what all doors together may hold for their traffic, and how tight it is for each of them.
//!
//! Every door is guaranteed an equal share and may use what is free beyond it. When the process is short, only doors
//! above their share shed ([ADR 27](../../../docs/adr/0027-a-budget-of-memory.md)).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

/// What a door does while memory is short. Each stage includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Stage {
    /// There is enough.
    #[default]
    Calm,
    /// It copies in small pieces, and keeps no spare buffers.
    Lean,
    /// It closes connections that have been idle for longest.
    Idle,
    /// It cuts the exchanges that hold most and whose reader has stalled.
    Stalled,
    /// It refuses new connections.
    Refuse,
    /// It refuses new requests too.
    Full,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::Calm,
        Self::Lean,
        Self::Idle,
        Self::Stalled,
        Self::Refuse,
        Self::Full,
    ];

    /// A word for metrics and log lines.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Lean => "lean",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Refuse => "refuse",
            Self::Full => "full",
        }
    }

    /// From how full a budget on it begins, in thousandths.
    pub(crate) fn begins(self) -> usize {
        match self {
            Self::Calm => 0,
            Self::Lean => 600,
            Self::Idle => 700,
            Self::Stalled => 800,
            Self::Refuse => 900,
            Self::Full => 960,
        }
    }

    /// The stage at which a budget is this full. A stage that has begun ends a little lower, so that it does not come and
    /// go with each buffer.
    fn of(fill: usize, now: Self) -> Self {
        let is_on = |stage: &Self| {
            let margin = if *stage <= now { ENDS_BELOW } else { 0 };
            fill + margin >= stage.begins()
        };
        Self::ALL.into_iter().rev().find(is_on).unwrap_or_default()
    }

    fn stored(value: u8) -> Self {
        Self::ALL.get(usize::from(value)).copied().unwrap_or_default()
    }
}

/// How far below its beginning a stage ends, in thousandths.
const ENDS_BELOW: usize = 50;

/// The part of what is left that new connections and streams of all doors may be expected to take, as a divisor. What others
/// must give up for them is known only a tick after they have taken it.
const OF_LEFT: usize = 4;

/// A whole budget, in thousandths.
pub(crate) const WHOLE: usize = 1000;

/// The budget of the process: one for all doors.
#[derive(Debug, Clone)]
pub struct MemoryBudget(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    /// Bytes that the traffic of all doors may hold.
    bytes: AtomicUsize,
    /// Bytes that it holds, as far as workers have settled.
    used: AtomicUsize,
    /// Bytes that what is new may yet take.
    expected: AtomicUsize,
    doors: AtomicUsize,
    /// Whether what the kernel holds in sockets counts.
    counts_sockets: AtomicBool,
}

impl MemoryBudget {
    /// A budget of `bytes` for the traffic of all doors.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Budget {
            bytes: AtomicUsize::new(bytes),
            used: AtomicUsize::new(0),
            expected: AtomicUsize::new(0),
            doors: AtomicUsize::new(0),
            counts_sockets: AtomicBool::new(true),
        }))
    }

    /// Replaces the number of bytes: what else the process holds has changed.
    pub fn set(&self, bytes: usize) {
        self.0.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether what the kernel holds in sockets counts: if it is not part of the figure that is limited, giving it up frees
    /// nothing.
    pub fn set_counts_sockets(&self, counts: bool) {
        self.0.counts_sockets.store(counts, Ordering::Relaxed);
    }

    /// Bytes that traffic may hold.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Bytes that traffic holds.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }
}

/// What one door holds of the budget.
#[derive(Debug)]
pub(crate) struct DoorMemory {
    budget: MemoryBudget,
    used: AtomicUsize,
    stage: AtomicU8,
}

impl DoorMemory {
    pub(crate) fn new(budget: MemoryBudget) -> Self {
        budget.0.doors.fetch_add(1, Ordering::Relaxed);
        Self {
            budget,
            used: AtomicUsize::new(0),
            stage: AtomicU8::new(0),
        }
    }

    pub(crate) fn counts_sockets(&self) -> bool {
        self.budget.0.counts_sockets.load(Ordering::Relaxed)
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn stage(&self) -> Stage {
        Stage::stored(self.stage.load(Ordering::Relaxed))
    }

    /// Bytes that this door may always hold.
    pub(crate) fn share(&self) -> usize {
        self.budget.bytes() / self.budget.0.doors.load(Ordering::Relaxed).max(1)
    }

    /// How full the budget is for this door, in thousandths: it is never fuller than the door's own share, so that others
    /// cannot make a door shed that is within its share.
    pub(crate) fn fill(&self) -> usize {
        let of_process = thousandths(self.budget.used(), self.budget.bytes());
        of_process.min(thousandths(self.used(), self.share()))
    }

    /// Whether what is new may take as much. A door within its share sheds nothing, but it waits here while others give back
    /// what they hold beyond theirs.
    ///
    /// `earlier` and `now`: what the worker has said that it expects, and what it does.
    pub(crate) fn may_expect(&self, earlier: usize, now: usize) -> bool {
        let left = self.budget.bytes().saturating_sub(self.budget.used());
        let of_all = self.budget.0.expected.load(Ordering::Relaxed);
        (of_all + now).saturating_sub(earlier) <= left / OF_LEFT
    }

    /// Takes over what a worker expects now instead of earlier.
    pub(crate) fn expect(&self, earlier: usize, now: usize) {
        exchange(&self.budget.0.expected, earlier, now);
    }

    /// Bytes that the door must free so that `stage` ends.
    pub(crate) fn excess(&self, stage: Stage) -> usize {
        let end = stage.begins().saturating_sub(ENDS_BELOW);
        let over = |used: usize, of: usize| used.saturating_sub(of / WHOLE * end);
        over(self.budget.used(), self.budget.bytes()).min(over(self.used(), self.share()))
    }

    /// Takes over what a worker holds now instead of earlier, and judges anew.
    pub(crate) fn settle(&self, earlier: usize, now: usize) -> Stage {
        if now != earlier {
            exchange(&self.used, earlier, now);
            exchange(&self.budget.0.used, earlier, now);
        }
        self.judge()
    }

    /// The stage at which the door is now.
    pub(crate) fn judge(&self) -> Stage {
        let before = self.stage();
        let stage = Stage::of(self.fill(), before);
        if stage != before {
            self.stage.store(stage as u8, Ordering::Relaxed);
        }
        stage
    }
}

impl Drop for DoorMemory {
    fn drop(&mut self) {
        self.budget.0.doors.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts `now` instead of `earlier`.
fn exchange(sum: &AtomicUsize, earlier: usize, now: usize) {
    if now >= earlier {
        sum.fetch_add(now - earlier, Ordering::Relaxed);
    } else {
        sum.fetch_sub(earlier - now, Ordering::Relaxed);
    }
}

fn thousandths(part: usize, whole: usize) -> usize {
    part.saturating_mul(WHOLE) / whole.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn stages_begin_one_after_the_other_and_end_lower() {
        let budget = MemoryBudget::new(100 * MIB);
        let door = DoorMemory::new(budget.clone());
        let mut held = 0;
        let mut at = |mib: usize| {
            let stage = door.settle(held, mib * MIB);
            held = mib * MIB;
            stage
        };
        let steps = [
            (59, Stage::Calm),
            (60, Stage::Lean),
            (56, Stage::Lean),
            (54, Stage::Calm),
            (79, Stage::Idle),
            (85, Stage::Stalled),
            (90, Stage::Refuse),
            (86, Stage::Refuse),
            (84, Stage::Stalled),
            (95, Stage::Refuse),
            (96, Stage::Full),
            (92, Stage::Full),
            (90, Stage::Refuse),
            (200, Stage::Full),
            (0, Stage::Calm),
        ];
        for (mib, stage) in steps {
            assert_eq!(at(mib), stage, "{mib}");
        }
        assert_eq!((budget.used(), door.used()), (0, 0));
    }

    #[test]
    fn a_flood_at_one_door_is_not_shed_at_another() {
        let budget = MemoryBudget::new(100 * MIB);
        let doors: Vec<DoorMemory> = (0..4).map(|_| DoorMemory::new(budget.clone())).collect();
        let [flooded, quiet, half, over] = doors.as_slice() else {
            panic!("four doors")
        };
        assert_eq!(
            flooded.settle(0, 59 * MIB),
            Stage::Calm,
            "what is free may be used"
        );
        assert_eq!(half.settle(0, 14 * MIB), Stage::Calm);
        assert_eq!(over.settle(0, 24 * MIB), Stage::Full);
        assert_eq!(flooded.judge(), Stage::Full);
        assert_eq!(quiet.judge(), Stage::Calm);
        assert_eq!(half.judge(), Stage::Calm);
        // The share of a door that has gone belongs to those that stay.
        assert_eq!(half.share(), 25 * MIB);
        assert_eq!(over.settle(24 * MIB, 0), Stage::Calm);
        drop(doors);
        assert_eq!(DoorMemory::new(budget).share(), 100 * MIB);
    }

    #[test]
    fn a_smaller_budget_is_tighter_at_once() {
        let budget = MemoryBudget::new(100 * MIB);
        let door = DoorMemory::new(budget.clone());
        assert_eq!(door.settle(0, 40 * MIB), Stage::Calm);
        budget.set(50 * MIB);
        assert_eq!(door.judge(), Stage::Stalled);
        budget.set(0);
        assert_eq!(door.judge(), Stage::Full);
    }
}
