//! When requests are sent.

use std::time::{Duration, Instant};

/// Turns, evenly spread. The clock of the process may be coarser than they are, so that a turn may come late; the next ones
/// make up for it.
#[derive(Debug)]
pub(super) struct Pace {
    period: Duration,
    next: Instant,
}

/// How much lateness is made up for. More is not: gateways that were slow get no burst.
const CATCH_UP: Duration = Duration::from_millis(20);

impl Pace {
    /// So many turns a second; `None` for 0, where nobody waits.
    pub(super) fn new(rate: u32, now: Instant) -> Option<Self> {
        let period = Duration::from_secs(1).checked_div(rate)?;
        Some(Self { period, next: now })
    }

    /// When the next turn is, seen from now.
    pub(super) fn turn(&mut self, now: Instant) -> Instant {
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        let turn = self.next.max(earliest);
        self.next = turn + self.period;
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock of milliseconds, as timers have it, for a second.
    fn turns_in_a_second(rate: u32) -> u32 {
        let start = Instant::now();
        let mut pace = Pace::new(rate, start).unwrap();
        let mut turns = 0;
        let mut now = start;
        loop {
            let turn = pace.turn(now);
            while now < turn {
                now += Duration::from_millis(1);
            }
            if now >= start + Duration::from_secs(1) {
                return turns;
            }
            turns += 1;
        }
    }

    #[test]
    fn rates_are_kept_whatever_the_clock() {
        assert!(Pace::new(0, Instant::now()).is_none());
        for rate in [1, 7, 50, 700, 1_000, 30_000, 100_000] {
            let turns = turns_in_a_second(rate);
            let tolerance = rate / 500 + 1;
            assert!(turns.abs_diff(rate) <= tolerance, "{turns} of {rate}");
        }
    }

    #[test]
    fn what_was_missed_for_long_is_left_out() {
        let start = Instant::now();
        let mut pace = Pace::new(100, start).unwrap();
        let later = start + Duration::from_secs(10);
        let turns = std::iter::repeat_with(|| pace.turn(later)).take_while(|turn| *turn <= later);
        assert_eq!(turns.count(), 3);
    }
}
