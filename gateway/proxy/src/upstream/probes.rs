//! Probes of endpoints that are down: who is probed when, so that nobody can have the gateway connect at their own rate.
//!
//! An endpoint is probed once a second as long as few are down. Of many endpoints of one namespace, 20 are probed in a
//! second, in turn; of all namespaces together 200. Namespaces take turns, too.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::health::{HealthBoard, Probing};
use super::probe::Found;
use crate::observe::metrics::WorkerMetrics;
use crate::worker::warnings::KeptBack;

/// An endpoint that no request has needed for this long is let go.
pub(super) const FORGET: Duration = Duration::from_secs(60);

/// How long an endpoint rests before the next probe of it, unless others take longer.
const REST: Duration = Duration::from_secs(1);

/// Probes in a row that connect and get no answer, after which an endpoint is nevertheless no longer down.
const SILENT: u32 = 3;

/// How often probes are begun, on average.
const STEP: Duration = Duration::from_millis(50);

/// Probes of a namespace that are begun in one step, and under way at once.
const BEGUN: usize = 1;
const UNDER_WAY: usize = 20;

/// The same of all namespaces at this worker.
const BEGUN_OF_ALL: usize = 10;
const UNDER_WAY_OF_ALL: usize = 200;

/// Probes in a second.
#[cfg(test)]
const RATE: u128 = BEGUN as u128 * 1000 / STEP.as_millis();
#[cfg(test)]
const RATE_OF_ALL: u128 = BEGUN_OF_ALL as u128 * 1000 / STEP.as_millis();

/// An endpoint, as far as it is probed.
pub(super) trait Probed {
    fn namespace_id(&self) -> u64;

    fn is_down(&self) -> bool;

    /// Whether a request would have gone there since the last call, if it were not down.
    fn is_wanted(&self) -> bool;

    /// Looks once whether it answers; `None`: that could not be tried.
    fn probe(self: Rc<Self>) -> Pin<Box<dyn Future<Output = Option<Found>>>>;

    /// A probe has found that it is no longer down.
    fn is_back(&self);

    /// No request needs it. If one does later, it may try.
    fn is_let_go(&self);
}

/// The endpoints that this worker probes.
pub(super) struct Probes {
    /// Namespaces with an endpoint that is down; the next one first.
    queues: RefCell<VecDeque<Rc<Queue>>>,
    under_way: Cell<usize>,
    /// A task begins probes.
    runs: Cell<bool>,
    board: Arc<HealthBoard>,
    metrics: Arc<WorkerMetrics>,
}

/// The endpoints of one namespace that are down.
struct Queue {
    namespace_id: u64,
    waiting: RefCell<VecDeque<Down>>,
    under_way: Cell<usize>,
    /// How many may be begun besides: each one that is back vouches for another.
    hopeful: Cell<usize>,
}

/// An endpoint that is down.
struct Down {
    endpoint: Rc<dyn Probed>,
    due: Instant,
    /// Probes in a row that connected and got no answer.
    silent: u32,
    wanted_at: Instant,
    _probing: Probing,
}

/// A probe that is to be made.
struct Begun {
    queue: Rc<Queue>,
    down: Down,
}

impl Probes {
    pub(super) fn new(board: Arc<HealthBoard>, metrics: Arc<WorkerMetrics>) -> Rc<Self> {
        Rc::new(Self {
            queues: RefCell::default(),
            under_way: Cell::new(0),
            runs: Cell::new(false),
            board,
            metrics,
        })
    }

    /// Whether another line about the endpoints of a namespace may be logged.
    pub(super) fn may_tell(&self, namespace_id: u64) -> Option<KeptBack> {
        self.board.may_tell(namespace_id)
    }

    /// Probes an endpoint until it answers, or until no request has needed it for a while: it is then most likely gone. No
    /// request pays for finding out.
    pub(super) fn add(self: &Rc<Self>, endpoint: Rc<dyn Probed>, probing: Probing) {
        self.enter(endpoint, probing, Instant::now());
        if !self.runs.replace(true) {
            tokio::task::spawn_local(Rc::clone(self).run());
        }
    }

    async fn run(self: Rc<Self>) {
        while !self.is_empty() {
            // Gateways that have lost the same endpoints do not probe them in step.
            tokio::time::sleep(STEP.mul_f32(0.5 + fastrand::f32())).await;
            for Begun { queue, down } in self.step(Instant::now()) {
                let probes = Rc::clone(&self);
                tokio::task::spawn_local(async move {
                    let found = Rc::clone(&down.endpoint).probe().await;
                    probes.found(&queue, down, found, Instant::now());
                });
            }
        }
        self.runs.set(false);
    }

    fn is_empty(&self) -> bool {
        self.under_way.get() == 0 && self.queues.borrow().is_empty()
    }

    fn enter(&self, endpoint: Rc<dyn Probed>, probing: Probing, now: Instant) {
        let namespace_id = endpoint.namespace_id();
        let down = Down {
            endpoint,
            due: now + REST.mul_f32(0.5 + fastrand::f32() / 2.0),
            silent: 0,
            wanted_at: now,
            _probing: probing,
        };
        let mut queues = self.queues.borrow_mut();
        let known = queues.iter().find(|queue| queue.namespace_id == namespace_id);
        let queue = known.cloned().unwrap_or_else(|| {
            let queue = Rc::new(Queue {
                namespace_id,
                waiting: RefCell::default(),
                under_way: Cell::new(0),
                hopeful: Cell::new(0),
            });
            queues.push_back(Rc::clone(&queue));
            queue
        });
        queue.waiting.borrow_mut().push_back(down);
    }

    /// The probes that may begin now. The namespace that had the last one is asked last in the next step.
    fn step(&self, now: Instant) -> Vec<Begun> {
        let mut begun = Vec::new();
        let count = self.queues.borrow().len();
        for _ in 0..count {
            let Some(queue) = self.queues.borrow_mut().pop_front() else {
                break;
            };
            let most = BEGUN + queue.hopeful.take();
            for _ in 0..most {
                if begun.len() >= BEGUN_OF_ALL || self.under_way.get() >= UNDER_WAY_OF_ALL {
                    break;
                }
                let Some(down) = queue.next(now) else { break };
                queue.under_way.set(queue.under_way.get() + 1);
                self.under_way.set(self.under_way.get() + 1);
                self.metrics.upstream_probes.add(1);
                begun.push(Begun {
                    queue: Rc::clone(&queue),
                    down,
                });
            }
            if !queue.is_empty() {
                self.queues.borrow_mut().push_back(queue);
            }
        }
        begun
    }

    /// A probe has ended with this result; `None`: it could not be made.
    fn found(&self, queue: &Rc<Queue>, mut down: Down, found: Option<Found>, now: Instant) {
        queue.under_way.set(queue.under_way.get().saturating_sub(1));
        self.under_way.set(self.under_way.get().saturating_sub(1));
        down.silent = if found == Some(Found::Silence) {
            down.silent + 1
        } else {
            0
        };
        // It accepts connections; it may just not know the probe's request.
        if found == Some(Found::Answer) || down.silent == SILENT {
            down.endpoint.is_back();
            queue.hopeful.set(UNDER_WAY.min(queue.hopeful.get() + 1));
            return;
        }
        down.due = now + REST;
        // While a probe is under way, its queue has its turns.
        queue.waiting.borrow_mut().push_back(down);
    }
}

impl Queue {
    /// Nothing is left of it.
    fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty() && self.under_way.get() == 0
    }

    /// The next endpoint that is to be probed. Those that no request needs any more, and those that are not down any more,
    /// are let go.
    fn next(&self, now: Instant) -> Option<Down> {
        if self.under_way.get() >= UNDER_WAY {
            return None;
        }
        let mut waiting = self.waiting.borrow_mut();
        loop {
            if waiting.front()?.due > now {
                return None;
            }
            let mut down = waiting.pop_front()?;
            if down.endpoint.is_wanted() {
                down.wanted_at = now;
            }
            if !down.endpoint.is_down() {
                continue;
            }
            if now.saturating_duration_since(down.wanted_at) < FORGET {
                return Some(down);
            }
            down.endpoint.is_let_go();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::endpoint::Endpoint;
    use crate::upstream::endpoint::tests::endpoint;

    const SECONDS: u64 = 30;

    struct Rig {
        probes: Rc<Probes>,
        now: Instant,
        all: Vec<Rc<Endpoint>>,
        endless: Vec<Down>,
    }

    impl Rig {
        /// So many endpoints of so many namespaces that are all down.
        fn new(namespaces: u64, each: u16) -> Self {
            let board = Arc::<HealthBoard>::default();
            let mut rig = Self {
                probes: Probes::new(Arc::clone(&board), Arc::default()),
                now: Instant::now(),
                all: Vec::new(),
                endless: Vec::new(),
            };
            for namespace in 0..namespaces {
                for port in 1..=each {
                    let endpoint = endpoint(&board, namespace, port);
                    endpoint.take_down_for_test();
                    let probing = endpoint.health().probing().unwrap();
                    let probed: Rc<dyn Probed> = Rc::<Endpoint>::clone(&endpoint);
                    rig.probes.enter(probed, probing, rig.now);
                    rig.all.push(endpoint);
                }
            }
            rig
        }

        /// Lets so many seconds pass while requests need everything; how many probes each second has, and how many are
        /// under way at once at most. `found`: what they find, at once or never.
        fn pass(
            &mut self,
            seconds: u64,
            wanted: bool,
            found: impl Fn() -> Option<Found>,
        ) -> (Vec<usize>, usize) {
            let (mut counts, mut most) = (Vec::new(), 0);
            for _ in 0..seconds {
                let mut count = 0;
                for _ in 0..1000 / STEP.as_millis() {
                    self.now += STEP;
                    if wanted {
                        self.all.iter().for_each(|endpoint| endpoint.health().want());
                    }
                    let begun = self.probes.step(self.now);
                    most = most.max(self.probes.under_way.get());
                    count += begun.len();
                    for Begun { queue, down } in begun {
                        if let Some(found) = found() {
                            self.probes.found(&queue, down, Some(found), self.now);
                        } else {
                            // It never ends.
                            self.endless.push(down);
                        }
                    }
                }
                counts.push(count);
            }
            (counts, most)
        }
    }

    fn refused() -> Option<Found> {
        Some(Found::Nobody)
    }

    #[test]
    fn few_endpoints_are_probed_once_a_second_each() {
        let mut rig = Rig::new(1, 3);
        let (counts, _) = rig.pass(SECONDS, true, refused);
        let all: usize = counts.iter().sum();
        assert!((80..=90).contains(&all), "{all}: {counts:?}");
    }

    #[test]
    fn thousands_that_refuse_cost_a_few_probes_a_second() {
        let mut rig = Rig::new(1, 4000);
        let (counts, _) = rig.pass(SECONDS, true, refused);
        assert!(counts.iter().all(|count| *count as u128 <= RATE), "{counts:?}");
        // Every one has its turn.
        let (counts, _) = rig.pass(170, true, refused);
        assert!(counts.iter().sum::<usize>() >= 3390, "{counts:?}");
    }

    #[test]
    fn many_namespaces_share_what_the_worker_probes() {
        let mut rig = Rig::new(50, 100);
        let (counts, most) = rig.pass(SECONDS, true, refused);
        assert!(
            counts.iter().all(|count| *count as u128 <= RATE_OF_ALL),
            "{counts:?}"
        );
        assert!(most <= UNDER_WAY_OF_ALL);
        // Silence occupies places, and no more than there are.
        let mut rig = Rig::new(50, 100);
        let (counts, most) = rig.pass(SECONDS, true, || None);
        assert_eq!(
            (counts.iter().sum::<usize>(), most),
            (UNDER_WAY_OF_ALL, UNDER_WAY_OF_ALL)
        );
        let mut rig = Rig::new(1, 100);
        let (counts, _) = rig.pass(SECONDS, true, || None);
        assert_eq!(counts.iter().sum::<usize>(), UNDER_WAY);
    }

    #[test]
    fn nothing_is_probed_for_nobody() {
        let mut rig = Rig::new(2, 500);
        let (counts, _) = rig.pass(70, false, refused);
        assert!(counts[0] > 0);
        assert!(rig.probes.is_empty(), "{} wait", rig.probes.queues.borrow().len());
        // A request finds out whether they are gone.
        assert!(rig.all.iter().all(|endpoint| !endpoint.is_down()));
    }

    #[test]
    fn what_is_back_vouches_for_the_others() {
        let mut rig = Rig::new(1, 400);
        let (counts, _) = rig.pass(12, true, || Some(Found::Answer));
        assert_eq!(counts.iter().sum::<usize>(), 400, "{counts:?}");
        assert!(rig.all.iter().all(|endpoint| !endpoint.is_down()));
        assert!(rig.probes.is_empty());
    }

    #[test]
    fn silence_in_a_row_is_an_answer() {
        let mut rig = Rig::new(1, 1);
        let (counts, _) = rig.pass(10, true, || Some(Found::Silence));
        assert_eq!(counts.iter().sum::<usize>(), SILENT as usize);
        assert!(rig.probes.is_empty());
    }
}
