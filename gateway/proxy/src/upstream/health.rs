//! Passive health: what the workers of one door have learned of an endpoint, shared by them.
//!
//! An endpoint is *down* if no connection can be established. That is a fact for every client, and probes find out when
//! it changes. It is *out*, for a while, if it accepts connections and fails the requests on them. A few bad requests may
//! be the cause, so at most half of an upstream's endpoints are out, and one request finds out whether it has recovered.
//! The usual case, a request that succeeds at an endpoint that is in, reads one cache line and writes none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use door::Upstream;

use super::key::Key;

/// Failures in a row, of connects or of requests, after which an endpoint is ejected.
const TRIES: u32 = 3;

/// How long an endpoint is out for the first time, in milliseconds; twice as long each time after that.
const FIRST: Millis = 1_000;
const LONGEST: Millis = 30_000;

/// After an endpoint has been in for this long, the next ejection lasts [`FIRST`] again.
const FORGIVEN: Millis = 120_000;

/// If all endpoints are down, requests try one of them: one at a time, and on average this long after the last. A burst
/// of one second's worth need not wait.
const PACE: Millis = 50;
const AHEAD: Millis = 1_000;

/// Milliseconds since the door began; never 0.
type Millis = u64;

/// Values of [`Health::verdict`]; any other value is the end of the endpoint's ejection.
const IN: Millis = 0;
const DOWN: Millis = Millis::MAX;

/// What is known of the endpoints of one door.
#[derive(Debug)]
pub(crate) struct HealthBoard {
    epoch: Instant,
    /// Some endpoint may not be well.
    troubled: Arc<AtomicBool>,
    known: Mutex<HashMap<Key, Weak<Health>>>,
}

/// What is known of one endpoint.
#[derive(Debug)]
pub(crate) struct Health {
    epoch: Instant,
    troubled: Arc<AtomicBool>,
    verdict: AtomicU64,
    /// Connections in a row that could not be established.
    unreached: AtomicU32,
    /// Requests in a row that it failed.
    faults: AtomicU32,
    /// How often it has been out, and the end of the last time.
    times: AtomicU32,
    last: AtomicU64,
    /// A request is finding out whether the ejection may end.
    examined: AtomicBool,
    /// Some request would have gone there if it were not down.
    wanted: AtomicBool,
    /// A worker probes it.
    probed: AtomicBool,
    /// When the next request may try it although it is down, on average; [`DOWN`] while one does.
    next_try: AtomicU64,
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

impl Default for HealthBoard {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            troubled: Arc::default(),
            known: Mutex::default(),
        }
    }
}

impl HealthBoard {
    /// The shared record of an endpoint. Taken once per worker and endpoint, not per request.
    pub(super) fn health(&self, key: Key) -> Arc<Health> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entry(key).or_default();
        if let Some(health) = entry.upgrade() {
            return health;
        }
        let health = Arc::new(Health::new(self.epoch, Arc::clone(&self.troubled)));
        *entry = Arc::downgrade(&health);
        health
    }

    /// Ejects an endpoint and returns for how long; not if fewer than half of `all`, the endpoints of the upstream that it
    /// failed, would be left.
    pub(super) fn take_out(
        &self,
        health: &Health,
        all: impl ExactSizeIterator<Item = Key>,
    ) -> Option<Duration> {
        // Held throughout, so that two workers cannot eject one too many.
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_out = |key| {
            let health = known.get(&key).and_then(Weak::upgrade);
            health.is_some_and(|health| health.verdict.load(Relaxed) != IN)
        };
        if health.verdict.load(Relaxed) == IN {
            let count = all.len();
            let out = all.filter(|key| is_out(*key)).count();
            if (out + 1) * 2 > count {
                return None;
            }
        }
        Some(health.take_out(health.now()))
    }

    /// Resets what is known of endpoints that none of the door's upstreams has any more: what comes back at such an address
    /// is another instance. Has a cost only while some endpoint is not well.
    pub(crate) fn forget_all_but<'u>(&self, upstreams: impl Iterator<Item = &'u Upstream>) {
        if !self.troubled.swap(false, Relaxed) {
            return;
        }
        let mut unwell: HashMap<Key, Arc<Health>> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let records = known
                .iter()
                .filter_map(|(key, health)| Some((*key, health.upgrade()?)));
            records.filter(|(_, health)| !health.is_blank()).collect()
        };
        for upstream in upstreams {
            if unwell.is_empty() {
                break;
            }
            for key in Key::all(upstream) {
                if unwell.remove(&key).is_some() {
                    self.troubled.store(true, Relaxed);
                }
            }
        }
        for health in unwell.values() {
            health.forget();
        }
    }

    /// Drops addresses that no worker uses.
    pub(crate) fn sweep(&self) {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, health| health.strong_count() > 0);
    }
}

impl Health {
    fn new(epoch: Instant, troubled: Arc<AtomicBool>) -> Self {
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

    fn take_out(&self, now: Millis) -> Duration {
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

    fn is_blank(&self) -> bool {
        self.verdict.load(Relaxed) == IN
            && [&self.unreached, &self.faults, &self.times]
                .iter()
                .all(|count| count.load(Relaxed) == 0)
    }

    fn forget(&self) {
        for count in [&self.unreached, &self.faults, &self.times] {
            count.store(0, Relaxed);
        }
        self.last.store(0, Relaxed);
        self.verdict.store(IN, Relaxed);
        self.forgotten.fetch_add(1, Relaxed);
    }

    fn now(&self) -> Millis {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::key::ProtocolKey;

    fn key(port: u16) -> Key {
        Key {
            address: ([10, 0, 0, 1], port).into(),
            protocol: ProtocolKey::Http1,
            namespace_id: 0,
        }
    }

    fn fail(health: &Health, times: u32) -> Vec<bool> {
        (0..times).map(|_| health.failed()).collect()
    }

    #[test]
    fn three_failed_connects_eject_and_one_success_restores() {
        let board = HealthBoard::default();
        let health = board.health(key(80));
        assert!(!health.not_reached() && !health.not_reached());
        health.reached();
        assert!(!health.not_reached() && !health.not_reached());
        assert!(health.not_reached(), "the third in a row");
        assert!(!health.not_reached(), "and only that one");
        assert_eq!(
            board.health(key(80)).availability(),
            Availability::Down,
            "every worker sees it"
        );
        health.served();
        assert!(health.is_down(), "an old connection's answer opens no new one");
        health.reached();
        assert_eq!(health.availability(), Availability::In);
    }

    #[test]
    fn three_faults_in_a_row_eject() {
        let board = HealthBoard::default();
        let health = board.health(key(1));
        assert_eq!(fail(&health, 2), [false, false]);
        health.served();
        assert_eq!(fail(&health, 3), [false, false, true]);
        let all = [key(1), key(2)];
        let first = board.take_out(&health, all.into_iter());
        assert_eq!(first, Some(Duration::from_millis(FIRST)));
        assert_eq!(health.availability(), Availability::Out);
        assert_eq!(
            fail(&health, 5),
            [false; 5],
            "those were sent before it was taken out"
        );
        assert!(!health.examine(), "not before its time");
        health.served();
        assert_eq!(health.availability(), Availability::In);
    }

    #[test]
    fn one_request_tries_an_ejected_endpoint_and_each_ejection_is_twice_as_long() {
        let board = HealthBoard::default();
        let health = board.health(key(1));
        let mut terms = Vec::new();
        for _ in 0..7 {
            let term = board.take_out(&health, [key(1), key(2)].into_iter()).unwrap();
            terms.push(term.as_millis());
            // Time passes.
            health.verdict.store(health.now(), Relaxed);
            assert_eq!(health.availability(), Availability::Due);
            assert!(health.examine(), "one");
            assert!(!health.examine(), "and no other");
            assert!(health.failed(), "it is no better");
        }
        assert_eq!(terms, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        health.served();
        health.last.store(health.now() - FORGIVEN - 1, Relaxed);
        let forgiven = board.take_out(&health, [key(1), key(2)].into_iter());
        assert_eq!(forgiven, Some(Duration::from_millis(FIRST)));
    }

    #[test]
    fn at_least_half_of_the_endpoints_stay_in() {
        for (count, most) in [(1_u16, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
            let board = HealthBoard::default();
            let healths: Vec<_> = (0..count).map(|port| board.health(key(port))).collect();
            let keys: Vec<Key> = (0..count).map(key).collect();
            let out = healths
                .iter()
                .filter(|health| board.take_out(health, keys.iter().copied()).is_some())
                .count();
            assert_eq!(out, most, "of {count}");
        }
        // Those that are down count.
        let board = HealthBoard::default();
        let (one, two) = (board.health(key(1)), board.health(key(2)));
        while !one.is_down() {
            one.not_reached();
        }
        assert_eq!(board.take_out(&two, [key(1), key(2)].into_iter()), None);
    }

    #[test]
    fn one_request_at_a_time_tries_an_ejected_endpoint() {
        let health = HealthBoard::default().health(key(1));
        let probing = health.probing();
        assert!(probing.is_some() && health.probing().is_none());
        drop(probing);
        assert!(health.probing().is_some(), "the next one takes over");
        let attempt = health.last_resort();
        assert!(attempt.is_some() && health.last_resort().is_none());
        drop(attempt);
        let tries = (0..100).filter(|_| health.last_resort().is_some()).count();
        assert!((19..=60).contains(&tries), "{tries} at once");
        health.next_try.store(health.now(), Relaxed);
        assert!(health.last_resort().is_some());
    }

    #[test]
    fn an_unused_address_is_dropped() {
        let board = HealthBoard::default();
        drop(board.health(key(80)));
        board.sweep();
        assert!(board.known.lock().unwrap().is_empty());
    }

    #[test]
    fn an_endpoint_that_returns_starts_anew() {
        let board = HealthBoard::default();
        let healths: Vec<_> = (1..=3).map(|port| board.health(key(port))).collect();
        for health in &healths {
            while !health.is_down() {
                health.not_reached();
            }
        }
        let upstream = |ports: &[u16], namespace_id| {
            let mut upstream = crate::upstream::balance::tests::upstream(ports);
            upstream.namespace_id = namespace_id;
            upstream
        };
        // The same address of another namespace is another endpoint.
        let (one, two, other) = (upstream(&[1], 0), upstream(&[1, 2], 0), upstream(&[3], 1));
        board.forget_all_but([&one, &two, &other].into_iter());
        let states: Vec<Availability> = healths.iter().map(|health| health.availability()).collect();
        assert_eq!(states, [Availability::Down, Availability::Down, Availability::In]);
        board.forget_all_but([&one].into_iter());
        let states: Vec<Availability> = healths.iter().map(|health| health.availability()).collect();
        assert_eq!(states, [Availability::Down, Availability::In, Availability::In]);
    }
}
