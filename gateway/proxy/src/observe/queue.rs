//! Lines on their way to a sink that may be slow, full or gone: a queue with a bound, and a thread that writes.
//!
//! Whoever has lines never waits for the sink. What finds no room is lost, and so is what a failed write did not take.
//! Both are counted, and a diagnostic says how many there were once the sink takes lines again.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much time passes between two lines that say how many were lost.
const PAUSE: Duration = Duration::from_secs(10);

/// A queue that is larger than this grows by an eighth, not to double its size: what it allocates counts.
const LARGE: usize = 64 * 1024;

/// How long to wait when a sink that never blocks (`O_NONBLOCK`, set by whoever shares it) has no room.
const NO_ROOM: Duration = Duration::from_millis(20);

/// A queue of whole lines, and the thread that writes them.
#[derive(Clone)]
pub struct LineQueue(Arc<Shared>);

struct Shared {
    /// The name of the sink, as the metric and the diagnostic show it.
    name: &'static str,
    /// Most bytes that wait or are being written.
    limit: usize,
    lost: AtomicU64,
    state: Mutex<State>,
    /// There is something to write.
    filled: Condvar,
    /// Something has been written, or given up.
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    /// What waits to be written.
    waiting: Vec<u8>,
    /// How many bytes the writer has taken and not yet dealt with.
    in_hand: usize,
    /// All bytes ever accepted, and of those all that the writer has dealt with.
    accepted: u64,
    settled: u64,
}

impl State {
    /// Makes room for more bytes, of `limit`.
    fn grow(&mut self, more: usize, limit: usize) {
        let (length, capacity) = (self.waiting.len(), self.waiting.capacity());
        let needed = length + more;
        if needed > capacity.max(LARGE) {
            let target = (capacity + capacity / 8).min(limit).max(needed);
            self.waiting.reserve_exact(target - length);
        }
    }
}

impl LineQueue {
    /// Starts the thread that writes to `sink`. At most `limit` bytes wait for it.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(name: &'static str, limit: usize, sink: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            name,
            limit,
            lost: AtomicU64::new(0),
            state: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            sink,
            is_torn: false,
            told: 0,
            told_at: None,
        };
        std::thread::Builder::new()
            .name(format!("log-{name}"))
            .spawn(move || writer.run())?;
        Ok(Self(shared))
    }

    /// The name of the sink.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Adds whole lines, or counts them as lost. Never waits for the sink.
    pub fn push(&self, lines: &[u8]) {
        let mut state = self.0.lock();
        if state.waiting.len() + state.in_hand + lines.len() > self.0.limit {
            drop(state);
            self.0.lose(lines);
            return;
        }
        let was_empty = state.waiting.is_empty();
        state.grow(lines.len(), self.0.limit);
        state.waiting.extend_from_slice(lines);
        state.accepted += lines.len() as u64;
        drop(state);
        if was_empty {
            self.0.filled.notify_one();
        }
    }

    /// How many bytes it may still take.
    #[must_use]
    pub fn room(&self) -> usize {
        let state = self.0.lock();
        self.0.limit.saturating_sub(state.waiting.len() + state.in_hand)
    }

    /// How many lines the sink has not taken.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Waits until everything added so far is written or lost, at most until `deadline`.
    pub fn flush(&self, deadline: Instant) {
        let mut state = self.0.lock();
        let target = state.accepted;
        while state.settled < target {
            let Some(patience) = deadline.checked_duration_since(Instant::now()) else {
                return;
            };
            let waited = self.0.emptied.wait_timeout(state, patience);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl fmt::Debug for LineQueue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LineQueue")
            .field("name", &self.0.name)
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self, lines: &[u8]) {
        let count = memchr::memchr_iter(b'\n', lines).count() as u64;
        self.lost.fetch_add(count, Ordering::Relaxed);
    }
}

/// The thread that writes.
struct Writer<S> {
    shared: Arc<Shared>,
    sink: S,
    /// The last write stopped within a line.
    is_torn: bool,
    /// How many lost lines have been reported, and when.
    told: u64,
    told_at: Option<Instant>,
}

impl<S: Write> Writer<S> {
    /// Runs until the process ends, or nobody else has the queue and it is empty.
    fn run(mut self) {
        let mut takes_lines = false;
        loop {
            if takes_lines {
                self.tell();
            }
            let Some(lines) = self.next(takes_lines) else {
                return;
            };
            if lines.is_empty() {
                continue;
            }
            takes_lines = self.write(&lines);
            let mut state = self.shared.lock();
            state.in_hand = 0;
            state.settled += lines.len() as u64;
            drop(state);
            self.shared.emptied.notify_all();
        }
    }

    /// Waits for lines; returns none when it is time to report lost ones, which is done only while the sink takes lines.
    fn next(&self, takes_lines: bool) -> Option<Vec<u8>> {
        let mut state = self.shared.lock();
        while state.waiting.is_empty() {
            if Arc::strong_count(&self.shared) == 1 {
                return None;
            }
            let untold = takes_lines && self.shared.lost.load(Ordering::Relaxed) > self.told;
            // Without anything to report it looks now and then whether the queue is still in use.
            let waited = self.shared.filled.wait_timeout(state, PAUSE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if untold {
                break;
            }
        }
        let lines = std::mem::take(&mut state.waiting);
        state.in_hand = lines.len();
        Some(lines)
    }

    /// Writes whole lines. Returns whether the sink has taken them all; those that it has not are lost.
    fn write(&mut self, lines: &[u8]) -> bool {
        if self.is_torn && self.write_all(b"\n") == 0 {
            self.shared.lose(lines);
            return false;
        }
        self.is_torn = false;
        let written = self.write_all(lines);
        let (taken, rest) = lines.split_at_checked(written).unwrap_or((lines, &[]));
        self.is_torn = taken.last().is_some_and(|last| *last != b'\n');
        self.shared.lose(rest);
        rest.is_empty()
    }

    /// Writes as much as the sink takes before it fails.
    fn write_all(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.sink.write(rest) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(NO_ROOM),
                Err(_) => break,
            }
        }
        written
    }

    /// Says how many lines were lost since it was last said, now and then.
    fn tell(&mut self) {
        let lost = self.shared.lost.load(Ordering::Relaxed);
        let is_early = self.told_at.is_some_and(|at| at.elapsed() < PAUSE);
        if lost == self.told || is_early {
            return;
        }
        let count = lost - self.told;
        (self.told, self.told_at) = (lost, Some(Instant::now()));
        tracing::warn!(
            stream = self.shared.name,
            lost = count,
            "log lines were lost: {} was full, too slow or closed",
            self.shared.name
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// What a sink does with the next write.
    enum Does {
        Takes(usize),
        Fails(io::ErrorKind),
    }

    /// A sink that asks before each write what to do, and shows what it took.
    struct Sink {
        orders: Receiver<Does>,
        taken: SyncSender<Vec<u8>>,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.orders.recv() {
                Ok(Does::Takes(most)) => {
                    let count = most.min(bytes.len());
                    let _nobody = self.taken.send(bytes[..count].to_vec());
                    Ok(count)
                }
                Ok(Does::Fails(kind)) => Err(kind.into()),
                Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue(limit: usize) -> (LineQueue, SyncSender<Does>, Receiver<Vec<u8>>) {
        let (order, orders) = sync_channel(64);
        let (taken, shown) = sync_channel(64);
        let queue = LineQueue::start("test", limit, Sink { orders, taken }).unwrap();
        (queue, order, shown)
    }

    fn flushed(queue: &LineQueue) {
        queue.flush(Instant::now() + PATIENCE);
    }

    #[test]
    fn a_blocked_sink_costs_lines_and_nobody_waits() {
        let (queue, order, shown) = queue(16);
        // Eight bytes are in the writer's hand or wait; the rest finds no room.
        for _ in 0..100 {
            queue.push(b"a line\n");
        }
        assert_eq!(queue.lost(), 98);
        for _ in 0..2 {
            order.send(Does::Takes(usize::MAX)).unwrap();
        }
        flushed(&queue);
        let written: Vec<u8> = shown.try_iter().flatten().collect();
        assert_eq!(written, b"a line\na line\n");
        assert_eq!(queue.lost(), 98);
    }

    #[test]
    fn what_a_failed_write_did_not_take_is_lost_and_counted() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::BrokenPipe] {
            let (queue, order, shown) = queue(1024);
            order.send(Does::Fails(kind)).unwrap();
            queue.push(b"one\ntwo\n");
            flushed(&queue);
            assert_eq!((queue.lost(), shown.try_iter().count()), (2, 0), "{kind}");
            order.send(Does::Takes(usize::MAX)).unwrap();
            queue.push(b"three\n");
            flushed(&queue);
            assert_eq!(
                (queue.lost(), shown.try_iter().next()),
                (2, Some(b"three\n".to_vec()))
            );
        }
    }

    #[test]
    fn no_line_follows_another_that_was_torn() {
        let (queue, order, shown) = queue(1024);
        for does in [
            Does::Fails(io::ErrorKind::Interrupted),
            Does::Takes(6),
            Does::Fails(io::ErrorKind::WouldBlock),
            Does::Fails(io::ErrorKind::StorageFull),
        ] {
            order.send(does).unwrap();
        }
        queue.push(b"one\ntwo\nthree\n");
        flushed(&queue);
        assert_eq!(queue.lost(), 2);
        // Not even the end of the torn line can be written.
        order.send(Does::Fails(io::ErrorKind::StorageFull)).unwrap();
        queue.push(b"four\n");
        flushed(&queue);
        assert_eq!(queue.lost(), 3);
        for _ in 0..2 {
            order.send(Does::Takes(usize::MAX)).unwrap();
        }
        queue.push(b"five\n");
        flushed(&queue);
        let written: Vec<u8> = shown.try_iter().flatten().collect();
        assert_eq!(written, b"one\ntw\nfive\n");
        assert_eq!(queue.lost(), 3);
    }

    #[test]
    fn flushing_a_blocked_sink_ends() {
        let (queue, _order, _shown) = queue(1024);
        queue.push(b"one\n");
        queue.flush(Instant::now());
        assert_eq!(queue.lost(), 0);
    }

    /// What it may still take and what it has allocated are at most its limit, and a little more in hand.
    #[test]
    fn what_it_may_still_take_counts() {
        const LIMIT: usize = 1 << 20;
        let (queue, order, shown) = queue(LIMIT);
        assert_eq!(queue.room(), LIMIT);
        let line = [b"a line".repeat(100), b"\n".to_vec()].concat();
        while queue.lost() == 0 {
            let before = queue.room();
            queue.push(&line);
            let state = queue.0.lock();
            assert!(state.waiting.capacity() <= LIMIT);
            drop(state);
            assert!(queue.lost() == 1 || queue.room() == before - line.len());
        }
        assert!(queue.room() < line.len());
        // All of it has been written.
        while queue.room() < LIMIT {
            order.send(Does::Takes(usize::MAX)).unwrap();
            shown.recv_timeout(PATIENCE).unwrap();
            queue.flush(Instant::now() + Duration::from_millis(20));
        }
    }
}
