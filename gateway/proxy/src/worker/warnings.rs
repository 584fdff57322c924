//! Lines that clients, tenants or backends can cause, at a limited rate: an operator should learn why a client is refused,
//! and nobody should be able to fill the log.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the lines for one reason are counted together.
const PAUSE: Duration = Duration::from_secs(10);

/// Reasons that are counted individually; all others share one.
const REASONS: usize = 32;

/// Lines by reason, and how many of each have been logged lately.
pub struct Warnings {
    reasons: usize,
    all: Mutex<HashMap<Box<str>, Reported>>,
}

/// The lines for one reason.
struct Reported {
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

impl Default for Warnings {
    fn default() -> Self {
        Self::for_reasons(REASONS)
    }
}

impl Warnings {
    /// For so many reasons, which are counted individually; all others share one.
    #[must_use]
    pub fn for_reasons(reasons: usize) -> Self {
        Self {
            reasons,
            all: Mutex::default(),
        }
    }

    /// How many lines for this reason have been suppressed, if another may be logged now: one in 10 s.
    pub fn admit(&self, reason: &str, now: Instant) -> Option<KeptBack> {
        self.admit_some(reason, 1, now)
    }

    /// As [`Self::admit`], for `most` lines in 10 s.
    pub fn admit_some(&self, reason: &str, most: usize, now: Instant) -> Option<KeptBack> {
        const SHARED: &str = "";
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let has_passed = |reported: &Reported| now.saturating_duration_since(reported.at) >= PAUSE;
        if let Some(reported) = all.get_mut(reason) {
            if has_passed(reported) {
                let kept_back = reported.kept_back;
                *reported = Reported::new(now);
                return Some(KeptBack(kept_back));
            }
            if reported.lines < most {
                reported.lines += 1;
                return Some(KeptBack(0));
            }
            reported.kept_back += 1;
            return None;
        }
        if all.len() < self.reasons {
            all.insert(reason.into(), Reported::new(now));
            return Some(KeptBack(0));
        }
        // Reasons that are not heard of any more give their places up.
        let mut kept_back = 0;
        all.retain(|_, reported| {
            let is_silent = has_passed(reported);
            kept_back += if is_silent { reported.kept_back } else { 0 };
            !is_silent
        });
        if all.len() < self.reasons {
            all.insert(reason.into(), Reported::new(now));
            return Some(KeptBack(kept_back));
        }
        match all.get_mut(SHARED) {
            Some(shared) => {
                shared.kept_back += 1;
                None
            }
            // One place more, for all that have none.
            None => {
                all.insert(SHARED.into(), Reported::new(now));
                Some(KeptBack(kept_back))
            }
        }
    }
}

impl Reported {
    fn new(at: Instant) -> Self {
        Self {
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
        assert_eq!(reported.count(), REASONS + 1);
        assert_eq!(warnings.all.lock().unwrap().len(), REASONS + 1);
        // Those before have given their places up.
        assert_eq!(warnings.admit("new", now + PAUSE), Some(KeptBack(967)));
        assert_eq!(warnings.admit("newer", now + PAUSE), Some(KeptBack(0)));
        assert_eq!(warnings.all.lock().unwrap().len(), 2);
    }
}
