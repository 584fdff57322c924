//! Turns, on two scales: between the tasks of a worker, and between the threads of the process.
//!
//! Between tasks: the runtime looks for events of sockets after every few dozen tasks. If each of these is a handshake,
//! requests of other connections wait for all of them. So a worker takes one costly step per turn of its runtime.
//!
//! Between threads: the kernel lets a busy thread continue for milliseconds before another one of the same core gets its
//! turn. So a worker that has been busy for a while offers the core to the others, most of all to the workers of other
//! doors ([ADR 34](../../../../docs/adr/0034-workers-give-way.md)).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long a worker is busy before it offers its core. Shorter, and a busy gateway spends its time on changing threads.
const BUSY: Duration = Duration::from_micros(100);

thread_local! {
    /// The thread has slept since it last looked.
    static RESTED: Cell<bool> = const { Cell::new(true) };
}

/// To be called by the runtime whenever the thread has slept.
pub(crate) fn rested() {
    RESTED.set(true);
}

/// The turns of one worker.
pub(crate) struct Turns {
    /// When it offers its core, if it is still busy then.
    until: Cell<Instant>,
    /// A costly step has been taken in this turn.
    taken: Cell<bool>,
    /// Steps that wait for a turn of their own, in order.
    line: RefCell<VecDeque<Rc<Waiting>>>,
}

/// A step that waits.
struct Waiting {
    waker: RefCell<Waker>,
    admitted: Cell<bool>,
}

/// The place in the line of a task that takes costly steps. Dropping it leaves the line.
#[derive(Default)]
pub(crate) struct PlaceInLine(Option<Rc<Waiting>>);

impl Turns {
    pub(crate) fn new() -> Self {
        Self {
            until: Cell::new(Instant::now()),
            taken: Cell::new(false),
            line: RefCell::default(),
        }
    }

    /// Runs everything that a worker does. Each poll is one turn of the runtime.
    pub(crate) async fn drive<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.begin();
            let polled = work.as_mut().poll(context);
            if !self.line.borrow().is_empty() {
                context.waker().wake_by_ref();
            }
            polled
        })
        .await
    }

    fn begin(&self) {
        self.taken.set(false);
        let mut line = self.line.borrow_mut();
        // One whose task has ended meanwhile is held by the line alone.
        while let Some(next) = line.pop_front() {
            if Rc::strong_count(&next) > 1 {
                self.taken.set(true);
                next.admitted.set(true);
                next.waker.borrow().wake_by_ref();
                break;
            }
        }
    }

    /// Ready when a task may take one costly step: at once, or behind those that have asked before.
    pub(crate) fn poll_step(&self, place: &mut PlaceInLine, context: &Context<'_>) -> Poll<()> {
        if let Some(waiting) = &place.0 {
            if !waiting.admitted.get() {
                waiting.waker.borrow_mut().clone_from(context.waker());
                return Poll::Pending;
            }
            place.0 = None;
            return Poll::Ready(());
        }
        if !self.taken.replace(true) {
            return Poll::Ready(());
        }
        let waiting = Rc::new(Waiting {
            waker: RefCell::new(context.waker().clone()),
            admitted: Cell::new(false),
        });
        self.line.borrow_mut().push_back(Rc::clone(&waiting));
        place.0 = Some(waiting);
        Poll::Pending
    }

    /// Offers the core to other threads if the worker has been busy for a while. `now` is whatever the caller has just
    /// read, because reading the clock is what this would cost otherwise. Without such a thread it costs one system call.
    pub(crate) fn give_way(&self, now: Instant) {
        if RESTED.replace(false) {
            self.until.set(now + BUSY);
        } else if now >= self.until.get() {
            rustix::thread::sched_yield();
            // As after a sleep: the next look begins anew, which spares a reading of the clock.
            RESTED.set(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;

    /// Tasks that each take `steps` costly steps; returns how many were taken in each turn.
    fn steps_by_turn(tasks: usize, steps: usize) -> Vec<usize> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let turns = Rc::new(Turns::new());
        let log = Rc::new(RefCell::new(vec![0]));
        let local = LocalSet::new();
        runtime.block_on(async {
            let work = local.run_until(async {
                let tasks: Vec<_> = (0..tasks)
                    .map(|_| {
                        let (turns, log) = (Rc::clone(&turns), Rc::clone(&log));
                        spawn_local(async move {
                            let mut place = PlaceInLine::default();
                            for _ in 0..steps {
                                poll_fn(|context| turns.poll_step(&mut place, context)).await;
                                *log.borrow_mut().last_mut().unwrap() += 1;
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
            let mut work = pin!(turns.drive(work));
            poll_fn(|context| {
                log.borrow_mut().push(0);
                work.as_mut().poll(context)
            })
            .await;
        });
        log.take()
    }

    #[test]
    fn one_costly_step_is_taken_per_turn() {
        let by_turn = steps_by_turn(40, 2);
        assert_eq!(by_turn.iter().sum::<usize>(), 80);
        assert_eq!(by_turn.iter().max(), Some(&1), "{by_turn:?}");
    }

    #[test]
    fn other_tasks_are_served_between_two_costly_steps() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let turns = Rc::new(Turns::new());
        let local = LocalSet::new();
        let (taken, seen) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
        runtime.block_on(turns.drive(local.run_until(async {
            for _ in 0..20 {
                let (turns, taken) = (Rc::clone(&turns), Rc::clone(&taken));
                spawn_local(async move {
                    let mut place = PlaceInLine::default();
                    poll_fn(|context| turns.poll_step(&mut place, context)).await;
                    taken.set(taken.get() + 1);
                });
            }
            for _ in 0..10 {
                yield_now().await;
                seen.borrow_mut().push(taken.get());
            }
        })));
        let gaps: Vec<i32> = seen.borrow().windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap <= 1), "{gaps:?}");
        assert!(gaps.contains(&1), "{gaps:?}");
    }

    #[test]
    fn a_task_that_ends_while_it_waits_delays_nobody() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let turns = Rc::new(Turns::new());
        let local = LocalSet::new();
        runtime.block_on(turns.drive(local.run_until(async {
            turns.taken.set(true);
            let waiting: Vec<_> = (0..30)
                .map(|_| {
                    let turns = Rc::clone(&turns);
                    spawn_local(async move {
                        let mut place = PlaceInLine::default();
                        poll_fn(|context| turns.poll_step(&mut place, context)).await;
                        pending::<()>().await;
                    })
                })
                .collect();
            yield_now().await;
            let left = turns.line.borrow().len();
            assert!(left > 20, "{left}");
            waiting.iter().for_each(tokio::task::JoinHandle::abort);
            for _ in 0..3 {
                yield_now().await;
            }
            assert!(turns.line.borrow().is_empty());
            let mut place = PlaceInLine::default();
            poll_fn(|context| turns.poll_step(&mut place, context)).await;
            assert!(place.0.is_none());
        })));
    }
}
