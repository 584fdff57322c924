//! How much traffic may hold, from what the kernel counts and what traffic holds.
//!
//! What traffic may hold is what it holds and what is left. But memory that was freed mostly stays with the allocator,
//! which uses it again: to the kernel it is in use, to traffic it is free. So the estimate keeps account of it. It falls
//! as the kernel's figure falls (the memory has gone back), as traffic holds more (it is used again), and fast as the
//! kernel's figure rises (had there been something to use again, that would not have happened). It is never more than what
//! the kernel counts beyond what the process used at first, because what traffic holds is partly an assumption.

use super::system::Look;

/// Traffic may hold this part of the limit at most, in quarters; the rest is for objects, tables and the program.
const OF_LIMIT: u64 = 3;

/// Traffic may always hold this part of the limit, as a divisor, whatever else there is.
const ALWAYS: u64 = 16;

/// How much faster freed memory is written off than the kernel's figure rises.
const WRITTEN_OFF: u64 = 4;

/// While traffic holds little, this part of what was written off is believed to be free after all, as a divisor, at each look
/// at which the kernel's figure has not risen.
const BELIEVED: u64 = 64;

/// The account of what was freed.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    before: Option<(Look, u64)>,
    /// The first figure of the kernel, before there was traffic.
    first: Option<u64>,
    /// Bytes that traffic has freed and the kernel still counts.
    freed: u64,
    /// Bytes of it that were written off.
    written_off: u64,
}

impl Estimate {
    /// What traffic may hold that holds `held` now, if others may still take what is `promised` to them.
    pub(super) fn budget(&mut self, look: Look, held: u64, promised: u64) -> usize {
        let mut is_calm = false;
        if let Some((before, held_before)) = self.before.replace((look, held)) {
            let used_again = held.saturating_sub(held_before);
            let returned = before.used.saturating_sub(look.used);
            let grown = look.used.saturating_sub(before.used);
            is_calm = grown == 0 && held <= look.limit / ALWAYS;
            self.freed += held_before.saturating_sub(held);
            self.freed = self.freed.saturating_sub(used_again).saturating_sub(returned);
            self.written_off = self.written_off.saturating_sub(returned);
            let written_off = grown.saturating_mul(WRITTEN_OFF).min(self.freed);
            self.freed -= written_off;
            self.written_off += written_off;
        }
        let first = *self.first.get_or_insert(look.used);
        let most = look.used.saturating_sub(first).saturating_sub(held);
        self.freed = self.freed.min(most);
        self.written_off = self.written_off.min(most - self.freed);
        if is_calm {
            let believed = self.written_off.div_ceil(BELIEVED);
            self.written_off -= believed;
            self.freed += believed;
        }
        let left = look
            .left()
            .saturating_add_unsigned(self.freed)
            .saturating_sub_unsigned(promised);
        let budget = u64::try_from(left.saturating_add_unsigned(held)).unwrap_or_default();
        let (least, most) = (look.limit / ALWAYS, look.limit / 4 * OF_LIMIT);
        usize::try_from(budget.clamp(least, most)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel counts, what traffic holds, and the budget, in MiB.
    fn budgets(steps: &[(u64, u64, usize)]) {
        let mut estimate = Estimate::default();
        for (step, (used, held, budget)) in steps.iter().enumerate() {
            let look = Look {
                limit: 1000 << 20,
                used: *used << 20,
                sockets: true,
            };
            assert_eq!(
                estimate.budget(look, *held << 20, 0) >> 20,
                *budget,
                "step {step}"
            );
        }
    }

    #[test]
    fn traffic_gets_what_is_left() {
        budgets(&[
            (50, 0, 750),
            (300, 0, 600),
            // Held by traffic, it is in both figures.
            (500, 200, 600),
            // Objects have grown.
            (700, 200, 400),
            (700, 200, 400),
            (890, 200, 210),
            // Somebody else has taken everything.
            (2000, 200, 62),
        ]);
    }

    #[test]
    fn what_was_freed_can_be_used_again() {
        budgets(&[
            (300, 0, 600),
            (800, 500, 600),
            // Traffic has freed all of it, and the kernel has got some back.
            (800, 0, 600),
            (700, 0, 600),
            (700, 300, 600),
            // It is used again in vain: this is growth.
            (750, 300, 450),
        ]);
    }

    #[test]
    fn what_was_written_off_is_believed_again_once_there_is_peace() {
        let mut estimate = Estimate::default();
        let mut budget = |used: u64, held: u64| {
            let look = Look {
                limit: 1000 << 20,
                used: used << 20,
                sockets: true,
            };
            estimate.budget(look, held << 20, 0) >> 20
        };
        budget(50, 0);
        budget(700, 500);
        assert_eq!(budget(850, 300), 350, "it grows although much was freed");
        let busy = (0..100).map(|_| budget(850, 300)).last();
        assert_eq!(busy, Some(350));
        let quiet: Vec<usize> = (0..500).map(|_| budget(850, 10)).collect();
        assert_eq!(quiet.first(), Some(&353));
        assert_eq!(quiet.last(), Some(&549));
    }

    #[test]
    fn what_the_kernel_never_counted_was_never_free() {
        budgets(&[
            (50, 0, 750),
            // Traffic seemed to hold more than it did.
            (150, 1900, 750),
            (150, 10, 750),
            (500, 250, 650),
        ]);
    }

    #[test]
    fn what_seemed_free_is_written_off_fast() {
        budgets(&[
            (0, 0, 750),
            (300, 400, 750),
            (300, 0, 750),
            (350, 0, 650),
            (400, 0, 500),
        ]);
    }

    #[test]
    fn what_is_promised_to_others_is_not_planned_with() {
        let mut estimate = Estimate::default();
        let mut budget = |used: u64, promised: u64| {
            let look = Look {
                limit: 1000 << 20,
                used: used << 20,
                sockets: true,
            };
            estimate.budget(look, 0, promised << 20) >> 20
        };
        assert_eq!(budget(500, 100), 300);
        // They take it.
        assert_eq!(budget(600, 0), 300);
        assert_eq!(budget(600, 500), 62);
    }
}
