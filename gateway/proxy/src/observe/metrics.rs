//! What a door counts. Each worker writes its own set without contention; a scrape adds the sets up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use route::ListenerName;
use trace::TraceId;
use wire::Method;

use crate::descriptors::DoorDescriptors;
use crate::memory::DoorMemory;
use crate::observe::counter::Counter;
use crate::observe::labels::{CLASSES, EjectionCause, FilterKind, Held, Reason, Shortage};
use crate::observe::route_book::RouteBook;

/// Upper bounds of the duration histogram, in microseconds; the last bucket has none.
pub(super) const BUCKETS: [u64; 13] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];

pub(super) const METHODS: [Method; 10] = [
    Method::Get,
    Method::Head,
    Method::Post,
    Method::Put,
    Method::Delete,
    Method::Options,
    Method::Patch,
    Method::Connect,
    Method::Trace,
    Method::Other,
];

/// A request that stands for those of its bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exemplar {
    pub(super) trace: TraceId,
    pub(super) duration: Duration,
    pub(super) time: SystemTime,
}

/// One worker's counters.
#[derive(Debug, Default)]
pub(crate) struct WorkerMetrics {
    /// The number of the worker among those of the door.
    pub(crate) number: usize,
    /// What the door counts by route.
    pub(crate) routes: Arc<RouteBook>,
    pub(super) requests: [[Counter; CLASSES.len()]; METHODS.len()],
    pub(super) durations: [Counter; BUCKETS.len() + 1],
    pub(super) duration_micros: Counter,
    /// Of the durations, by bucket: the last request that was traced. Only such requests, and scrapes, take this lock.
    exemplars: Mutex<[Option<Exemplar>; BUCKETS.len() + 1]>,
    pub(super) refusals: Refusals,
    pub(crate) connections_accepted: Counter,
    pub(crate) connections_open: Counter,
    pub(crate) connections_active: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) upstream_connects: Counter,
    pub(crate) upstream_connect_failures: Counter,
    pub(crate) upstream_reused: Counter,
    pub(crate) upstream_retries: Counter,
    /// What all streams of HTTP/2 connections hold unsent.
    pub(crate) http2_unsent: Counter,
    /// Connections that held all they may.
    pub(crate) http2_full: Counter,
    pub(crate) upstream_probes: Counter,
    pub(super) upstream_ejections: [Counter; EjectionCause::ALL.len()],
    pub(super) idle_closed: [Counter; Shortage::ALL.len()],
    pub(super) cut: [Counter; Held::ALL.len()],
    pub(super) filter_refusals: [Counter; FilterKind::ALL.len()],
    /// Buckets of rate limits that lost their places to others.
    pub(crate) filter_evictions: Counter,
    /// Requests that were counted here because the server of their limit did not answer.
    pub(crate) filter_store_errors: Counter,
    /// Requests that a trusted peer says came with the other scheme than the door's.
    pub(crate) scheme_mismatches: Counter,
    pub(crate) panics: Counter,
    pub(crate) worker_restarts: Counter,
}

/// One counter per reason.
#[derive(Debug)]
pub(super) struct Refusals(pub(super) [Counter; Reason::COUNT]);

impl Default for Refusals {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

/// The counters of one door: those of all its workers, past and present.
#[derive(Debug)]
pub(crate) struct DoorMetrics {
    pub(super) listener: ListenerName,
    pub(crate) descriptors: Arc<DoorDescriptors>,
    workers: Mutex<Vec<Arc<WorkerMetrics>>>,
    /// What is counted by route.
    pub(crate) routes: Arc<RouteBook>,
    /// Only a request for a foreign host takes this lock.
    pub(super) probes: Mutex<BTreeMap<ListenerName, u64>>,
    /// The account of the door, while it is open.
    pub(super) memory: Mutex<Weak<DoorMemory>>,
    /// When what is left is cut, while the door drains.
    pub(super) drain_end: Mutex<Option<Instant>>,
    /// Requests that drains have cut.
    pub(super) drain_cut: AtomicU64,
}

/// The bucket of a duration.
fn bucket_of(micros: u64) -> usize {
    BUCKETS
        .iter()
        .position(|bound| micros <= *bound)
        .unwrap_or(BUCKETS.len())
}

impl WorkerMetrics {
    /// Counts one finished request. Returns the place of its status among [`CLASSES`], and its duration in microseconds.
    pub(crate) fn finished(&self, method: Method, status: u16, duration: Duration) -> (usize, u64) {
        let class = usize::from(status / 100).wrapping_sub(1);
        let method = METHODS.iter().position(|known| *known == method);
        if let Some(counter) = method
            .and_then(|row| self.requests.get(row))
            .and_then(|row| row.get(class))
        {
            counter.add(1);
        }
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = bucket_of(micros);
        if let Some(counter) = self.durations.get(bucket) {
            counter.add(1);
        }
        self.duration_micros.add(micros);
        (class, micros)
    }

    /// Shows this request, which is recorded and has ended at `time`, as an example of those that took as long.
    pub(crate) fn exemplify(&self, trace: TraceId, duration: Duration, time: SystemTime) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let mut exemplars = self.exemplars.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = exemplars.get_mut(bucket_of(micros)) {
            *place = Some(Exemplar {
                trace,
                duration,
                time,
            });
        }
    }

    /// Counts one ejection of an endpoint.
    pub(crate) fn ejected(&self, cause: EjectionCause) {
        if let Some(counter) = self.upstream_ejections.get(cause as usize) {
            counter.add(1);
        }
    }

    /// Counts idle connections that are closed before their time.
    pub(crate) fn idle_closed(&self, shortage: Shortage, count: u64) {
        if let Some(counter) = self.idle_closed.get(shortage as usize) {
            counter.add(count);
        }
    }

    /// Counts exchanges that are cut for the memory that they hold.
    pub(crate) fn cut(&self, held: Held, count: usize) {
        if let Some(counter) = self.cut.get(held as usize) {
            counter.add(u64::try_from(count).unwrap_or_default());
        }
    }

    /// Counts one request that a filter refused.
    pub(crate) fn filtered(&self, kind: FilterKind) {
        if let Some(counter) = self.filter_refusals.get(kind as usize) {
            counter.add(1);
        }
    }

    /// Counts one answer that the gateway made itself, or one exchange that it cut.
    pub(crate) fn refused(&self, reason: Reason) {
        if let Some(counter) = self.refusals.0.get(reason as usize) {
            counter.add(1);
        }
    }
}

impl DoorMetrics {
    pub(crate) fn new(listener: ListenerName) -> Self {
        Self {
            listener,
            descriptors: Arc::default(),
            workers: Mutex::default(),
            routes: Arc::default(),
            probes: Mutex::default(),
            memory: Mutex::default(),
            drain_end: Mutex::default(),
            drain_cut: AtomicU64::default(),
        }
    }

    /// The door drains, at most until `end`.
    pub(crate) fn drains_until(&self, end: Instant) {
        *self.drain_end.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }

    /// The drain has ended and cut this many requests.
    pub(crate) fn drained(&self, cut: usize) {
        *self.drain_end.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.drain_cut.fetch_add(cut as u64, Ordering::Relaxed);
    }

    /// The account to show.
    pub(crate) fn shows(&self, memory: &Arc<DoorMemory>) {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(memory);
    }

    /// A new worker's counters. They still count when the worker has ended; another continues with them then, so that workers
    /// that begin anew again and again take no more memory.
    pub(crate) fn worker(&self) -> Arc<WorkerMetrics> {
        let mut workers = self.lock();
        // Nobody else has them, and what was written to them is visible here.
        let left = workers
            .iter_mut()
            .position(|metrics| Arc::get_mut(metrics).is_some());
        if let Some(metrics) = left.and_then(|place| workers.get(place)) {
            return Arc::clone(metrics);
        }
        let metrics = Arc::new(WorkerMetrics {
            number: workers.len(),
            routes: Arc::clone(&self.routes),
            ..WorkerMetrics::default()
        });
        workers.push(Arc::clone(&metrics));
        metrics
    }

    /// Counts a request for a host that only another door knows.
    pub(crate) fn probed(&self, owner: &ListenerName) {
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        match probes.get_mut(owner) {
            Some(count) => *count += 1,
            None => {
                probes.insert(owner.clone(), 1);
            }
        }
    }

    /// Open client connections.
    pub(crate) fn open_connections(&self) -> u64 {
        self.sum(|worker| &worker.connections_open)
    }

    /// Of each bucket of the durations, from the shortest: the last request that was recorded.
    pub(super) fn exemplars(&self) -> [Option<Exemplar>; BUCKETS.len() + 1] {
        let mut latest = [None; BUCKETS.len() + 1];
        for worker in self.lock().iter() {
            let exemplars = *worker.exemplars.lock().unwrap_or_else(PoisonError::into_inner);
            for (place, exemplar) in latest.iter_mut().zip(exemplars) {
                let time = |exemplar: &Option<Exemplar>| exemplar.map(|exemplar| exemplar.time);
                if time(&exemplar) > time(place) {
                    *place = exemplar;
                }
            }
        }
        latest
    }

    pub(super) fn sum(&self, counter: impl Fn(&WorkerMetrics) -> &Counter) -> u64 {
        self.lock()
            .iter()
            .fold(0, |sum, worker| sum.wrapping_add(counter(worker).value()))
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<WorkerMetrics>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Exposes the counters of a set of doors to a Prometheus registry.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) doors: Arc<Mutex<Vec<Arc<DoorMetrics>>>>,
}

impl Metrics {
    /// The counters of the door with this name; one set per name for the life of the process, so that the counters of a
    /// reconfigured door continue.
    pub(crate) fn door(&self, listener: &ListenerName) -> Arc<DoorMetrics> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(door) = doors.iter().find(|door| door.listener == *listener) {
            return Arc::clone(door);
        }
        let door = Arc::new(DoorMetrics::new(listener.clone()));
        doors.push(Arc::clone(&door));
        door
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_continues_with_the_counters_of_one_that_has_ended() {
        let door = DoorMetrics::new("one".parse().unwrap());
        let (first, second) = (door.worker(), door.worker());
        first.panics.add(2);
        second.panics.add(1);
        drop(first);
        for _ in 0..100 {
            door.worker().panics.add(1);
        }
        assert_eq!(door.sum(|worker| &worker.panics), 103);
        assert_eq!(door.lock().len(), 2);
    }
}
