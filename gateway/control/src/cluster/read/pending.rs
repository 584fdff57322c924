//! Changes that wait to be sent.

use std::time::Duration;

use tokio::time::Instant;

use super::store::Changed;

/// A change is sent when nothing has happened for this long,
const QUIET: Duration = Duration::from_millis(2);
/// but not later than this after its beginning.
const LONGEST_DELAY: Duration = Duration::from_millis(20);

/// Changes that have not been sent.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) changed: Changed,
    /// The first and the last happening.
    span: Option<(Instant, Instant)>,
    /// Since when objects are waited for that belong to them.
    held: Option<Instant>,
}

impl Pending {
    pub(super) fn add(&mut self, changed: Changed) {
        if changed == Changed::default() {
            return;
        }
        self.changed.merge(changed);
        let now = Instant::now();
        self.span = Some((self.span.map_or(now, |(first, _)| first), now));
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let (first, last) = self.span?;
        Some((last + QUIET).min(first + LONGEST_DELAY))
    }

    /// What waits until then is looked at again, if nothing else is due before.
    pub(super) fn again_at(&mut self, at: Instant) {
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.min(at)));
    }

    /// Nothing is due before `until`, unless something new happens, but at most for `longest` in all. Says whether there
    /// is anything to wait for: who keeps naming more objects does not put off for ever what is new for everybody.
    pub(super) fn hold(&mut self, until: Instant, longest: Duration) -> bool {
        let first = *self.held.get_or_insert_with(Instant::now);
        let until = until.min(first + longest);
        let waits = until > Instant::now();
        if waits {
            self.span = Some((until, until));
        }
        waits
    }
}
