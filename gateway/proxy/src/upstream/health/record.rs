//! What is known of one endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Failures in a row, of connects or of requests, after which an endpoint is ejected.
const TRIES: u32 = 3;

/// How long an endpoint is out for the first time, in milliseconds; twice as long each time after that.
pub(super) const FIRST: Millis = 1_000;
const LONGEST: Millis = 30_000;

/// After an endpoint has been in for this long, the next ejection lasts [`FIRST`] again.
pub(super) const FORGIVEN: Millis = 120_000;

/// If all endpoints are down, requests try one of them: one at a time, and on average this long after the last. A burst
/// of one second's worth need not wait.
const PACE: Millis = 50;
const AHEAD: Millis = 1_000;

/// Milliseconds since the door began; never 0.
pub(super) type Millis = u64;

/// Values of [`Health::verdict`]; any other value is the end of the endpoint's ejection.
pub(super) const IN: Millis = 0;
pub(super) const DOWN: Millis = Millis::MAX;

/// What is known of one endpoint.
#[derive(Debug)]
pub(crate) struct Health {
    epoch: Instant,
    troubled: Arc<AtomicBool>,
    pub(super) verdict: AtomicU64,
    /// Connections in a row that could not be established.
    unreached: AtomicU32,
    /// Requests in a row that it failed.
    faults: AtomicU32,
    /// How often it has been out, and the end of the last time.
    times: AtomicU32,
    pub(super) last: AtomicU64,
    /// A request is finding out whether the ejection may end.
    examined: AtomicBool,
    /// Some request would have gone there if it were not down.
    wanted: AtomicBool,
    /// A worker probes it.
    probed: AtomicBool,
    /// When the next request may try it although it is down, on average; [`DOWN`] while one does.
    pub(super) next_try: AtomicU64,
    /// Counts how often everything above was reset.
    forgotten: AtomicU32,
}

/// What may be sent to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Availability {
    /// Any request.
    In,
    /// One request: the ejection is over, and a request must find out whether it has recovered.
    Due,
    /// None, unless no other endpoint is left.
    Out,
    /// None: no connection can be established.
    Down,
}

/// The right to probe an endpoint that is down. When it is dropped, the next worker may take it: a worker may end before
/// its probes do.
pub(crate) struct Probing(Arc<Health>);

/// The right to try an endpoint that is down, because no other is left.
pub(crate) struct LastResort {
    health: Arc<Health>,
    due: Millis,
}

impl Health {
    pub(super) fn new(epoch: Instant, troubled: Arc<AtomicBool>) -> Self {
        Self {
            epoch,
            troubled,
            verdict: AtomicU64::new(IN),
            unreached: AtomicU32::new(0),
            faults: AtomicU32::new(0),
            times: AtomicU32::new(0),
            last: AtomicU64::new(0),
            examined: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            probed: AtomicBool::new(false),
            next_try: AtomicU64::new(0),
            forgotten: AtomicU32::new(0),
        }
    }

    pub(super) fn verdict(&self) -> Millis {
        self.verdict.load(Relaxed)
    }

    pub(crate) fn availability(&self) -> Availability {
        match self.verdict.load(Relaxed) {
            IN => Availability::In,
            DOWN => Availability::Down,
            until if until <= self.now() => Availability::Due,
            _ => Availability::Out,
        }
    }

    pub(crate) fn is_down(&self) -> bool {
        self.verdict.load(Relaxed) == DOWN
    }

    /// An endpoint answered a request as a working one does.
    pub(crate) fn served(&self) {
        // Loads first: the usual case must not dirty a cache line that the workers share.
        if self.faults.load(Relaxed) != 0 {
            self.faults.store(0, Relaxed);
        }
        let verdict = self.verdict.load(Relaxed);
        if verdict != IN && verdict != DOWN {
            // Success refutes only a verdict of this kind.
            let _another_verdict = self.verdict.compare_exchange(verdict, IN, Relaxed, Relaxed);
        }
    }

    /// It failed a request. True if it should be ejected for that.
    pub(crate) fn failed(&self) -> bool {
        self.troubled.store(true, Relaxed);
        let faults = self.faults.fetch_add(1, Relaxed).saturating_add(1);
        match self.verdict.load(Relaxed) {
            IN => faults >= TRIES,
            DOWN => false,
            // A request sent before the ejection says nothing new.
            _ => self.examined.swap(false, Relaxed),
        }
    }

    /// A connection was established, or another attempt is worthwhile.
    pub(crate) fn reached(&self) {
        if self.unreached.load(Relaxed) != 0 {
            self.unreached.store(0, Relaxed);
        }
        if self.is_down() {
            let _another_verdict = self.verdict.compare_exchange(DOWN, IN, Relaxed, Relaxed);
        }
    }

    /// No connection was established. True if it is down because of this one.
    pub(crate) fn not_reached(&self) -> bool {
        self.troubled.store(true, Relaxed);
        let unreached = self.unreached.fetch_add(1, Relaxed).saturating_add(1);
        unreached >= TRIES && self.verdict.swap(DOWN, Relaxed) != DOWN
    }

    /// Whether the caller's request is the one to try an endpoint whose ejection is over. If it has no outcome, another
    /// request may try after the same time again.
    pub(crate) fn examine(&self) -> bool {
        let (verdict, now) = (self.verdict.load(Relaxed), self.now());
        if verdict == IN || verdict == DOWN || verdict > now {
            return false;
        }
        let again = now + self.term();
        let ours = self
            .verdict
            .compare_exchange(verdict, again, Relaxed, Relaxed)
            .is_ok();
        if ours {
            self.examined.store(true, Relaxed);
        }
        ours
    }

    /// The right to try an endpoint that is down, unless another request is trying or it has been tried often lately.
    pub(crate) fn last_resort(self: &Arc<Self>) -> Option<LastResort> {
        let due = self.next_try.load(Relaxed);
        let free = due <= self.now() + AHEAD
            && self
                .next_try
                .compare_exchange(due, Millis::MAX, Relaxed, Relaxed)
                .is_ok();
        free.then(|| LastResort {
            health: Arc::clone(self),
            due,
        })
    }

    /// The right to probe it, unless another worker does.
    pub(crate) fn probing(self: &Arc<Self>) -> Option<Probing> {
        let free = !self.probed.load(Relaxed) && !self.probed.swap(true, Relaxed);
        free.then(|| Probing(Arc::clone(self)))
    }

    /// Records that a request would have gone there.
    pub(crate) fn want(&self) {
        if !self.wanted.load(Relaxed) {
            self.wanted.store(true, Relaxed);
        }
    }

    /// Whether any request would have gone there since the last call.
    pub(crate) fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Relaxed)
    }

    /// How often everything that was known has been reset.
    pub(crate) fn forgotten(&self) -> u32 {
        self.forgotten.load(Relaxed)
    }

    pub(super) fn take_out(&self, now: Millis) -> Duration {
        if now.saturating_sub(self.last.load(Relaxed)) > FORGIVEN {
            self.times.store(0, Relaxed);
        } else {
            self.times.fetch_add(1, Relaxed);
        }
        let term = self.term();
        self.last.store(now + term, Relaxed);
        self.verdict.store(now + term, Relaxed);
        Duration::from_millis(term)
    }

    /// How long it is out this time.
    fn term(&self) -> Millis {
        let doublings = self.times.load(Relaxed).min(10);
        (FIRST << doublings).min(LONGEST)
    }

    pub(super) fn is_blank(&self) -> bool {
        self.verdict.load(Relaxed) == IN
            && [&self.unreached, &self.faults, &self.times]
                .iter()
                .all(|count| count.load(Relaxed) == 0)
    }

    pub(super) fn forget(&self) {
        for count in [&self.unreached, &self.faults, &self.times] {
            count.store(0, Relaxed);
        }
        self.last.store(0, Relaxed);
        self.verdict.store(IN, Relaxed);
        self.forgotten.fetch_add(1, Relaxed);
    }

    pub(super) fn now(&self) -> Millis {
        let since = self.epoch.elapsed().as_millis();
        // Far from 0, so that events that never happened count as long ago.
        Millis::try_from(since).unwrap_or(DOWN / 2) + 2 * FORGIVEN
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.0.probed.store(false, Relaxed);
    }
}

impl Drop for LastResort {
    fn drop(&mut self) {
        let next = self.due.max(self.health.now()) + PACE;
        self.health.next_try.store(next, Relaxed);
    }
}
