//! Spans on their way to a collector that may be slow or gone: a queue with a bound. Whoever has spans never waits.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use trace::SpanBytes;

/// Spans that wait to be sent, and what became of those before them.
#[derive(Clone)]
pub struct SpanQueue(Arc<Shared>);

struct Shared {
    /// Most bytes that wait.
    limit: usize,
    /// So many bytes are worth a request to the collector at once.
    enough: usize,
    state: Mutex<State>,
    filled: Notify,
    enough_waits: Notify,
    exported: AtomicU64,
    dropped: [AtomicU64; SpanLoss::ALL.len()],
}

#[derive(Default)]
struct State {
    waiting: VecDeque<SpanBytes>,
    bytes: usize,
}

/// Why spans were lost: a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum SpanLoss {
    /// Too many waited.
    Queue,
    /// The collector did not take them, for as long as they were worth it.
    Collector,
    /// The collector refused them.
    Rejected,
}

/// Spans that are sent together.
#[derive(Debug, Default)]
pub struct SpanBatch {
    /// As a request to a collector contains them.
    pub bytes: Vec<u8>,
    /// How many there are.
    pub count: u64,
}

impl SpanLoss {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Queue, Self::Collector, Self::Rejected];

    /// The label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Queue => "queue_full",
            Self::Collector => "collector_unavailable",
            Self::Rejected => "rejected",
        }
    }
}

impl SpanQueue {
    /// Bytes of spans in one request: a collector's own limit is 4 MiB (gRPC), and 20 MiB (HTTP).
    pub const BATCH: usize = 512 * 1024;

    /// A queue in which at most `limit` bytes wait.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared {
            limit,
            enough: Self::BATCH.min(limit / 2),
            state: Mutex::default(),
            filled: Notify::new(),
            enough_waits: Notify::new(),
            exported: AtomicU64::new(0),
            dropped: Default::default(),
        }))
    }

    /// Adds the spans of one request, or counts them as lost.
    pub(crate) fn push(&self, mut spans: SpanBytes) {
        // What waits is counted by its length.
        spans.shrink_to_fit();
        let mut state = self.lock();
        let length = spans.bytes().len();
        if state.bytes + length > self.0.limit {
            drop(state);
            self.lost(SpanLoss::Queue, u64::from(spans.count()));
            return;
        }
        let was_empty = state.waiting.is_empty();
        let enough = self.0.enough;
        let is_enough_now = state.bytes < enough && state.bytes + length >= enough;
        state.bytes += length;
        state.waiting.push_back(spans);
        drop(state);
        if was_empty {
            self.0.filled.notify_one();
        }
        if is_enough_now {
            self.0.enough_waits.notify_one();
        }
    }

    /// Waits until there are spans.
    pub async fn filled(&self) {
        while self.lock().waiting.is_empty() {
            self.0.filled.notified().await;
        }
    }

    /// Waits until there are enough for a request: [`Self::BATCH`], or half of what may wait.
    pub async fn enough(&self) {
        while self.lock().bytes < self.0.enough {
            self.0.enough_waits.notified().await;
        }
    }

    /// Throws away what waits, and tells how many spans that were.
    pub fn clear(&self) -> u64 {
        let mut state = self.lock();
        state.bytes = 0;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.iter().map(|spans| u64::from(spans.count())).sum()
    }

    /// Takes the oldest, up to so many bytes, and at least those of one request. Empty if there are none.
    #[must_use]
    pub fn take(&self, most: usize) -> SpanBatch {
        let mut batch = SpanBatch::default();
        let mut state = self.lock();
        while let Some(next) = state.waiting.front() {
            let length = next.bytes().len();
            if batch.count > 0 && batch.bytes.len() + length > most {
                break;
            }
            batch.bytes.extend_from_slice(next.bytes());
            batch.count += u64::from(next.count());
            state.bytes -= length;
            state.waiting.pop_front();
        }
        if state.waiting.is_empty() {
            state.waiting.shrink_to(64);
        }
        batch
    }

    /// How many bytes wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().bytes
    }

    /// How many bytes it may still take.
    #[must_use]
    pub fn room(&self) -> usize {
        self.0.limit.saturating_sub(self.lock().bytes)
    }

    /// Counts spans that a collector has taken.
    pub fn exported(&self, count: u64) {
        self.0.exported.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts spans that are lost.
    pub fn lost(&self, why: SpanLoss, count: u64) {
        if let Some(counter) = self.0.dropped.get(why as usize) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// How many a collector has taken.
    #[must_use]
    pub fn count_exported(&self) -> u64 {
        self.0.exported.load(Ordering::Relaxed)
    }

    /// How many were lost, by why.
    #[must_use]
    pub fn count_lost(&self, why: SpanLoss) -> u64 {
        let counter = self.0.dropped.get(why as usize);
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SpanQueue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SpanQueue")
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use trace::{Kind, SpanId, TraceContext, TraceId};

    use super::*;

    fn spans() -> SpanBytes {
        let mut spans = SpanBytes::default();
        let context = TraceContext::new(TraceId::new(1), SpanId::new(2), true);
        spans.add(context, None, Kind::Server, [1, 2], |span| span.name("GET"));
        spans
    }

    #[test]
    fn half_of_the_room_is_enough() {
        let length = spans().bytes().len();
        let queue = SpanQueue::new(length * 4);
        let mut enough = pin!(queue.enough());
        let mut context = Context::from_waker(Waker::noop());
        assert!(enough.as_mut().poll(&mut context).is_pending());
        queue.push(spans());
        assert!(enough.as_mut().poll(&mut context).is_pending());
        queue.push(spans());
        assert!(enough.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn what_finds_no_room_is_lost_and_counted() {
        let length = spans().bytes().len();
        let queue = SpanQueue::new(length * 3);
        for _ in 0..5 {
            queue.push(spans());
        }
        assert_eq!((queue.waiting(), queue.room()), (length * 3, 0));
        assert_eq!(queue.count_lost(SpanLoss::Queue), 2);
        let batch = queue.take(length * 2);
        assert_eq!((batch.bytes.len(), batch.count), (length * 2, 2));
        // One that is larger than a batch may be is a batch by itself.
        assert_eq!(queue.take(1).count, 1);
        assert_eq!((queue.take(1).count, queue.room()), (0, length * 3));
    }
}
