//! Lines that clients, tenants or backends can cause, at a limited rate: an operator should learn why a client is refused,
//! and nobody should be able to fill the log.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the lines for one reason are counted together.
const PAUSE: Duration = Duration::from_secs(10);

/// Reasons that are counted individually; all others share one.
const REASONS: usize = 32;

/// Lines by reason, and how many of each have been logged lately.
#[derive(Default)]
pub struct Warnings(Mutex<Vec<ReportedReason>>);

struct ReportedReason {
    reason: Box<str>,
    /// When the first of the lines that are counted together was logged.
    at: Instant,
    lines: usize,
    /// How many have been suppressed since.
    kept_back: u64,
}

/// How many lines like this one were suppressed before it; shown as the end of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptBack(pub u64);

impl fmt::Display for KeptBack {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(out, " ({count} more like it have not been reported)"),
        }
    }
}

impl Warnings {
    /// How many lines for this reason have been suppressed, if another may be logged now: one in 10 s.
    pub fn admit(&self, reason: &str, now: Instant) -> Option<KeptBack> {
        self.admit_some(reason, 1, now)
    }

    /// As [`Self::admit`], for `most` lines in 10 s.
    pub fn admit_some(&self, reason: &str, most: usize, now: Instant) -> Option<KeptBack> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_passed = |reported: &ReportedReason| now.saturating_duration_since(reported.at) >= PAUSE;
        let known = all.iter().position(|reported| *reported.reason == *reason);
        let place = known.or_else(|| {
            let is_full = all.len() >= REASONS;
            // A reason that is not heard of any more gives its place up.
            let silent = all
                .iter()
                .enumerate()
                .filter(|(_, reported)| has_passed(reported));
            let silent = silent.max_by_key(|(_, reported)| reported.kept_back);
            is_full.then(|| silent.map_or(all.len() - 1, |(place, _)| place))
        });
        if let Some(reported) = place.and_then(|place| all.get_mut(place)) {
            if has_passed(reported) {
                let kept_back = std::mem::take(&mut reported.kept_back);
                *reported = ReportedReason::new(reason, now);
                return Some(KeptBack(kept_back));
            }
            // A reason without a place of its own has used up what it shares.
            if reported.lines < most && *reported.reason == *reason {
                reported.lines += 1;
                return Some(KeptBack(0));
            }
            reported.kept_back += 1;
            return None;
        }
        all.push(ReportedReason::new(reason, now));
        Some(KeptBack(0))
    }
}

impl ReportedReason {
    fn new(reason: &str, at: Instant) -> Self {
        Self {
            reason: reason.into(),
            at,
            lines: 1,
            kept_back: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_logged_at_a_limited_rate() {
        let (warnings, start) = (Warnings::default(), Instant::now());
        let late = start + PAUSE;
        let table = [
            ("a", start, Some(0)),
            ("b", start, Some(0)),
            ("a", start, None),
            ("a", late - Duration::from_millis(1), None),
            ("a", late, Some(2)),
            ("a", late, None),
            ("b", late, Some(0)),
        ];
        for (reason, now, expected) in table {
            assert_eq!(warnings.admit(reason, now), expected.map(KeptBack));
        }
    }

    #[test]
    fn a_reason_may_have_several_lines() {
        let (warnings, start) = (Warnings::default(), Instant::now());
        let admitted = (0..10).filter(|_| warnings.admit_some("a", 3, start).is_some());
        assert_eq!(admitted.count(), 3);
        assert_eq!(warnings.admit_some("a", 3, start + PAUSE), Some(KeptBack(7)));
        assert_eq!(warnings.admit_some("a", 3, start + PAUSE), Some(KeptBack(0)));
    }

    #[test]
    fn reasons_beyond_the_limit_share_an_entry() {
        let (warnings, now) = (Warnings::default(), Instant::now());
        let reported = (0..1000).filter(|number| warnings.admit(&number.to_string(), now).is_some());
        assert_eq!(reported.count(), REASONS);
        assert_eq!(warnings.0.lock().unwrap().len(), REASONS);
        assert_eq!(warnings.admit("new", now + PAUSE), Some(KeptBack(968)));
        assert_eq!(warnings.admit("newer", now + PAUSE), Some(KeptBack(0)));
        assert_eq!(warnings.0.lock().unwrap().len(), REASONS);
    }
}
