//! What is counted of the requests of routes, and of the connections to Services.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::observe::counter::Counter;
use crate::observe::labels::CLASSES;

/// Upper bounds of the duration histogram of an Ingress, in microseconds; the last bucket has none. A few of those of the
/// door's: each is a series for each Ingress.
pub(super) const BUCKETS: [u64; 5] = [25_000, 100_000, 500_000, 1_000_000, 5_000_000];

/// Requests of one Ingress that one Service answered, by status class. One worker writes them.
#[derive(Debug, Default)]
pub(crate) struct Answers(pub(super) [Counter; CLASSES.len()]);

/// Times and bytes of the requests of one Ingress. One worker writes them.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(super) durations: [Counter; BUCKETS.len() + 1],
    pub(super) micros: Counter,
    pub(super) bytes_in: Counter,
    pub(super) bytes_out: Counter,
}

/// What happens between the door and the endpoints of one Service. All workers write it, none of them for each request.
#[derive(Debug, Default)]
pub(crate) struct ServiceCounts {
    pub(super) connects: AtomicU64,
    pub(super) connect_micros: AtomicU64,
    pub(super) connect_failures: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) ejections: AtomicU64,
}

/// The counters of each worker that has any.
#[derive(Debug)]
pub(super) struct OfWorkers<T>(Vec<(usize, Arc<T>)>);

/// A request that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    /// The place of its status class in [`CLASSES`].
    pub(crate) class: usize,
    pub(crate) micros: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Answers {
    #[inline]
    pub(crate) fn count(&self, class: usize) {
        if let Some(counter) = self.0.get(class) {
            counter.add(1);
        }
    }
}

impl Traffic {
    #[inline]
    pub(crate) fn count(&self, ended: &Ended) {
        // Most requests belong to the first bucket: looking ends there.
        let bucket = BUCKETS.iter().position(|bound| ended.micros <= *bound);
        if let Some(counter) = self.durations.get(bucket.unwrap_or(BUCKETS.len())) {
            counter.add(1);
        }
        self.micros.add(ended.micros);
        self.bytes_in.add(ended.bytes_in);
        self.bytes_out.add(ended.bytes_out);
    }
}

impl ServiceCounts {
    /// A connection was made, with TLS if it has any, in this time.
    pub(crate) fn connected(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.connects.fetch_add(1, Ordering::Relaxed);
        self.connect_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// A connection was not made.
    pub(crate) fn not_connected(&self) {
        self.connect_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// A request is tried once more.
    pub(crate) fn tried_again(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// An endpoint was taken out.
    pub(crate) fn ejected(&self) {
        self.ejections.fetch_add(1, Ordering::Relaxed);
    }
}

impl<T> Default for OfWorkers<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Default> OfWorkers<T> {
    /// Those of this worker.
    pub(super) fn of(&mut self, worker: usize) -> Arc<T> {
        if let Some((_, counts)) = self.0.iter().find(|(of, _)| *of == worker) {
            return Arc::clone(counts);
        }
        let counts = Arc::<T>::default();
        self.0.push((worker, Arc::clone(&counts)));
        counts
    }

    /// Those of all.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, counts)| &**counts)
    }
}
