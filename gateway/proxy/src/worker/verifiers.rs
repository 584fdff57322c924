//! Threads of a door that verify passwords: one takes as long as thousands of requests, and no worker waits for it.
//!
//! They start when there is work, never more than are configured, and end when there has been none for a while. They yield
//! to workers: what is left of the processors is theirs. What finds the queue full is refused, so that nobody waits for
//! others' passwords longer than for a queue of them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use route::ListenerName;
use rustix::process::setpriority_process;
use tokio::sync::oneshot;

/// Passwords that may wait.
pub(crate) const QUEUE: usize = 64;

/// How long a thread waits for work before it ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// A tenth of what a worker gets where there is too little for both.
const NICE: i32 = 10;

/// The threads of one door, and what waits for them.
pub(crate) struct Verifiers(Arc<Desk>);

struct Desk {
    door: ListenerName,
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// How many threads there may be.
    most: usize,
    threads: usize,
    /// How many of them wait for work.
    idle: usize,
    /// The door is gone.
    closed: bool,
}

type Job = Box<dyn FnOnce() + Send>;

/// There is no place left in the queue, or there is no thread.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Verifiers {
    /// None yet.
    pub(crate) fn new(door: ListenerName) -> Self {
        Self(Arc::new(Desk {
            door,
            state: Mutex::default(),
            arrived: Condvar::new(),
        }))
    }

    /// Has one of at most `most` threads do some work. It is not begun if nobody waits for its outcome any more. The outcome
    /// is an error if the work panicked.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        most: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Full> {
        let (outcome, receiver) = oneshot::channel();
        let job = Box::new(move || {
            if !outcome.is_closed() {
                let _nobody_waits = outcome.send(work());
            }
        });
        let mut state = self.0.state();
        state.most = most.max(1);
        if state.jobs.len() >= QUEUE {
            return Err(Full);
        }
        state.jobs.push_back(job);
        if state.jobs.len() > state.idle && state.threads < state.most {
            state.threads += 1;
            let desk = Arc::clone(&self.0);
            let thread = std::thread::Builder::new().name(format!("{}-verifier", self.0.door));
            if let Err(error) = thread.spawn(move || desk.work()) {
                state.threads -= 1;
                if state.threads == 0 {
                    state.jobs.pop_back();
                    tracing::error!(listener = %self.0.door, %error, "no thread can be started to verify passwords");
                    return Err(Full);
                }
            }
        }
        drop(state);
        self.0.arrived.notify_one();
        Ok(receiver)
    }
}

impl Drop for Verifiers {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.closed = true;
        state.jobs.clear();
        drop(state);
        self.0.arrived.notify_all();
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        // Where that is not possible, the scheduler shares as it would.
        let _yields = setpriority_process(Some(rustix::thread::gettid()), NICE);
        while let Some(job) = self.next() {
            // Whoever waits for it sees that there is no outcome. The panic itself has been reported.
            let _panicked = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// `None` if the thread is to end.
    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if state.closed || state.threads > state.most {
                break;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state.idle += 1;
            let (woken, waited) = self
                .arrived
                .wait_timeout(state, PATIENCE)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn work_is_done_by_so_many_threads_at_most() {
        let verifiers = Verifiers::new("test".parse().unwrap());
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let outcomes: Vec<_> = (0..40)
            .map(|number| {
                let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                let work = move || {
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                    number
                };
                verifiers.submit(3, work).unwrap()
            })
            .collect();
        for (number, outcome) in outcomes.into_iter().enumerate() {
            assert_eq!(outcome.blocking_recv(), Ok(number));
        }
        assert!(most.load(Ordering::SeqCst) <= 3);
    }

    #[test]
    fn the_queue_has_a_bound_and_takes_again_what_has_room() {
        let verifiers = Verifiers::new("test".parse().unwrap());
        let (begun, begins) = sync_channel(1);
        let (let_go, held) = sync_channel::<()>(1);
        let first = verifiers.submit(1, move || {
            begun.send(()).unwrap();
            held.recv().unwrap();
        });
        begins.recv().unwrap();
        let waiting: Vec<_> = (0..QUEUE).map(|_| verifiers.submit(1, || ()).unwrap()).collect();
        assert_eq!(verifiers.submit(1, || ()).map(|_| ()), Err(Full));
        let_go.send(()).unwrap();
        first.unwrap().blocking_recv().unwrap();
        for outcome in waiting {
            outcome.blocking_recv().unwrap();
        }
        verifiers.submit(1, || ()).unwrap().blocking_recv().unwrap();
    }

    #[test]
    fn what_nobody_waits_for_is_not_begun() {
        let verifiers = Verifiers::new("test".parse().unwrap());
        let (let_go, held) = sync_channel::<()>(1);
        let first = verifiers.submit(1, move || held.recv().unwrap()).unwrap();
        let worked = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let worked = Arc::clone(&worked);
            drop(verifiers.submit(1, move || worked.fetch_add(1, Ordering::SeqCst)));
        }
        let_go.send(()).unwrap();
        first.blocking_recv().unwrap();
        verifiers.submit(1, || ()).unwrap().blocking_recv().unwrap();
        assert_eq!(worked.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_panic_costs_its_own_outcome_alone() {
        let verifiers = Verifiers::new("test".parse().unwrap());
        let panics = verifiers.submit(1, || panic!("on purpose")).unwrap();
        assert!(panics.blocking_recv().is_err());
        assert_eq!(verifiers.submit(1, || 7).unwrap().blocking_recv(), Ok(7));
    }

    #[test]
    fn threads_end_with_the_door() {
        let verifiers = Verifiers::new("test".parse().unwrap());
        verifiers.submit(2, || ()).unwrap().blocking_recv().unwrap();
        let desk = Arc::clone(&verifiers.0);
        drop(verifiers);
        while desk.state().threads > 0 {
            std::thread::yield_now();
        }
    }
}
