//! Warnings about clients, at a limited rate: an operator should learn why a client is refused, and no client should be
//! able to fill the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long nothing more is reported for the same reason.
const PAUSE: Duration = Duration::from_secs(10);

/// Reasons that are counted individually; all others share one.
const REASONS: usize = 32;

/// The warnings of one door, by reason.
#[derive(Default)]
pub(crate) struct Warnings(Mutex<Vec<ReportedReason>>);

struct ReportedReason {
    reason: Box<str>,
    at: Instant,
    /// How many have been suppressed since.
    kept_back: u64,
}

impl Warnings {
    /// How many warnings for this reason have been suppressed, if another may be logged now.
    pub(super) fn admit(&self, reason: &str, now: Instant) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = all.len() >= REASONS;
        let known = all.iter().position(|reported| *reported.reason == *reason);
        let place = known.or_else(|| is_full.then(|| all.len() - 1));
        if let Some(reported) = place.and_then(|place| all.get_mut(place)) {
            if now.saturating_duration_since(reported.at) < PAUSE {
                reported.kept_back += 1;
                return None;
            }
            reported.at = now;
            return Some(std::mem::take(&mut reported.kept_back));
        }
        all.push(ReportedReason {
            reason: reason.into(),
            at: now,
            kept_back: 0,
        });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_logged_at_a_limited_rate() {
        let (warnings, start) = (Warnings::default(), Instant::now());
        let late = start + PAUSE;
        assert_eq!(warnings.admit("a", start), Some(0));
        assert_eq!(warnings.admit("b", start), Some(0));
        assert_eq!(warnings.admit("a", start), None);
        assert_eq!(warnings.admit("a", late - Duration::from_millis(1)), None);
        assert_eq!(warnings.admit("a", late), Some(2));
        assert_eq!(warnings.admit("a", late), None);
        assert_eq!(warnings.admit("b", late), Some(0));
    }

    #[test]
    fn reasons_beyond_the_limit_share_an_entry() {
        let (warnings, now) = (Warnings::default(), Instant::now());
        let reported = (0..1000).filter(|number| warnings.admit(&number.to_string(), now).is_some());
        assert_eq!(reported.count(), REASONS);
        assert_eq!(warnings.0.lock().unwrap().len(), REASONS);
        assert_eq!(warnings.admit("new", now + PAUSE), Some(968));
    }
}
