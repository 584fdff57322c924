//! A simulated load balancer: it probes every door of every node on the traffic port, and sends requests to healthy ones
//! only. Without probes it is a client that knows all nodes and uses all of them, as with DNS.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::{Answer, Connection, Fault, Target};

/// As load balancers do, but quicker: unhealthy after 2 s, healthy after 2 s.
const INTERVAL: Duration = Duration::from_secs(1);
const THRESHOLD: usize = 2;
/// Clients, and what each sends.
const CLIENTS: usize = 24;
const PAUSE: Duration = Duration::from_millis(50);
/// Requests that every door of every node has to have answered, on kept connections and on fresh ones each.
const ENOUGH: usize = 20;

/// A door, on each node.
#[derive(Clone)]
pub struct Group {
    pub host: String,
    pub targets: Vec<Target>,
}

/// Which nodes get requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Those whose `/healthz` is healthy.
    Probed,
    /// All of them.
    Assumed,
}

/// A load under way.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    started: Instant,
}

struct Shared {
    groups: Vec<Group>,
    green: Vec<Vec<AtomicBool>>,
    stop: AtomicBool,
    done: Vec<Vec<Done>>,
    connections: AtomicUsize,
    turned_red: Mutex<BTreeSet<(usize, usize)>>,
    slowest: Mutex<Duration>,
    failures: Mutex<Vec<Failure>>,
}

/// Requests to a door of a node that were answered with 200 by the right application.
#[derive(Debug, Default)]
struct Done {
    /// On a connection that an earlier one had used.
    kept: AtomicUsize,
    /// On a connection of its own, or the first of many.
    fresh: AtomicUsize,
}

/// A request that was not.
pub struct Failure {
    /// The door's host, and which node it was.
    at: (String, Option<usize>),
    why: Why,
}

#[derive(Debug)]
enum Why {
    NoNode,
    Fault(Fault),
    /// Another status, or another application.
    Answer(Answer),
}

impl Failure {
    /// The request of an application that died in the middle of it: no gateway can repair that.
    fn is_of_a_death(&self) -> bool {
        match &self.why {
            Why::NoNode => false,
            Why::Fault(fault) => matches!(fault, Fault::Broken(_)),
            Why::Answer(answer) => answer.status == 502,
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, node) = &self.at;
        write!(formatter, "{host} at {node:?}: {:?}", self.why)
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Of each door and node.
    done: Vec<Vec<Done>>,
    /// Connections opened.
    connections: usize,
    /// Which doors of which nodes have left the rotation.
    pub turned_red: BTreeSet<(usize, usize)>,
    took: Duration,
    slowest: Duration,
    failures: Vec<Failure>,
}

impl Load {
    pub fn start(groups: &[Group], health: Health) -> Self {
        let green = groups
            .iter()
            .map(|group| group.targets.iter().map(|_| AtomicBool::new(true)).collect());
        let shared = Arc::new(Shared {
            groups: groups.to_vec(),
            green: green.collect(),
            stop: AtomicBool::new(false),
            done: groups
                .iter()
                .map(|group| group.targets.iter().map(|_| Done::default()).collect())
                .collect(),
            connections: AtomicUsize::new(0),
            turned_red: Mutex::default(),
            slowest: Mutex::default(),
            failures: Mutex::default(),
        });
        let mut threads = Vec::new();
        if health == Health::Probed {
            for (number, group) in groups.iter().enumerate() {
                for node in 0..group.targets.len() {
                    let shared = Arc::clone(&shared);
                    threads.push(thread::spawn(move || shared.probe(number, node)));
                }
            }
        }
        for client in 0..CLIENTS {
            let shared = Arc::clone(&shared);
            threads.push(thread::spawn(move || shared.client(client)));
        }
        Self {
            shared,
            threads,
            started: Instant::now(),
        }
    }

    pub fn finish(self) -> Outcome {
        self.shared.stop.store(true, Ordering::SeqCst);
        let took = self.started.elapsed();
        for thread in self.threads {
            thread.join().unwrap();
        }
        let shared = Arc::into_inner(self.shared).expect("all threads have ended");
        Outcome {
            done: shared.done,
            connections: shared.connections.into_inner(),
            turned_red: shared.turned_red.into_inner().unwrap(),
            took,
            slowest: shared.slowest.into_inner().unwrap(),
            failures: shared.failures.into_inner().unwrap(),
        }
    }
}

impl Shared {
    fn probe(&self, group: usize, node: usize) {
        let Group { host, targets } = &self.groups[group];
        let green = &self.green[group][node];
        let mut otherwise = 0;
        while !self.stop.load(Ordering::SeqCst) {
            let is_well = targets[node].is_well(host);
            if is_well == green.load(Ordering::SeqCst) {
                otherwise = 0;
            } else {
                otherwise += 1;
                if otherwise == THRESHOLD {
                    green.store(is_well, Ordering::SeqCst);
                    if !is_well {
                        self.turned_red.lock().unwrap().insert((group, node));
                    }
                    otherwise = 0;
                }
            }
            thread::sleep(INTERVAL);
        }
    }

    /// Sends requests to one door of all nodes in turn; two of three clients keep a connection to each.
    fn client(&self, number: usize) {
        let group = number % self.groups.len();
        let Group { host, targets } = &self.groups[group];
        let mut kept: HashMap<usize, Connection> = HashMap::new();
        let mut next = Instant::now() + PAUSE.mul_f64(number as f64 / CLIENTS as f64);
        for turn in number / self.groups.len().. {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            next = Instant::now().max(next + PAUSE);
            if number.is_multiple_of(3) {
                kept.clear();
            }
            // A kept connection to a node that has become unhealthy is dropped.
            kept.retain(|node, _| self.green[group][*node].load(Ordering::SeqCst));
            let node = (0..targets.len())
                .map(|offset| (turn + offset) % targets.len())
                .find(|node| self.green[group][*node].load(Ordering::SeqCst));
            let outcome = match node {
                None => Err(Why::NoNode),
                Some(node) => self.ask(group, node, &mut kept),
            };
            if let Err(why) = outcome {
                let at = (host.clone(), node);
                self.failures.lock().unwrap().push(Failure { at, why });
            }
        }
    }

    fn ask(&self, group: usize, node: usize, kept: &mut HashMap<usize, Connection>) -> Result<(), Why> {
        let Group { host, targets } = &self.groups[group];
        let done = &self.done[group][node];
        let started = Instant::now();
        let (mut connection, counter) = match kept.remove(&node) {
            Some(connection) => (connection, &done.kept),
            None => {
                self.connections.fetch_add(1, Ordering::SeqCst);
                (targets[node].connect(host).map_err(Why::Fault)?, &done.fresh)
            }
        };
        let answer = connection.get(host, "/load").map_err(Why::Fault)?;
        let took = started.elapsed();
        let mut slowest = self.slowest.lock().unwrap();
        *slowest = took.max(*slowest);
        drop(slowest);
        let app = host.split('.').next().unwrap_or_default();
        if answer.status != 200 || !answer.body.starts_with(&format!("{app} ")) {
            return Err(Why::Answer(answer));
        }
        counter.fetch_add(1, Ordering::SeqCst);
        if !answer.closes() {
            kept.insert(node, connection);
        }
        Ok(())
    }
}

impl Outcome {
    /// Nothing failed, and there was a load to speak of.
    pub fn assert_whole(&self, what: &str) {
        println!("  {what}: {self}");
        let shown: Vec<&Failure> = self.failures.iter().take(20).collect();
        assert!(self.failures.is_empty(), "{what}: {self}, such as {shown:#?}");
        self.assert_enough(what);
    }

    /// No gateway can repair a request that an application holds when it dies. Each client has one at a time, so each pod
    /// that is killed can break one request of each client of its application. Everything else can be sent to another
    /// endpoint.
    pub fn assert_nearly_whole(&self, what: &str, killed_of_each: usize) {
        println!("  {what}: {self}");
        let (of_a_death, other): (Vec<&Failure>, Vec<&Failure>) =
            self.failures.iter().partition(|failure| failure.is_of_a_death());
        assert!(other.is_empty(), "{what}: {self}, such as {other:#?}");
        let most = CLIENTS * killed_of_each;
        assert!(
            of_a_death.len() <= most,
            "{what}: {self}, at most {most}: {of_a_death:#?}"
        );
        self.assert_enough(what);
    }

    fn assert_enough(&self, what: &str) {
        for done in self.done.iter().flatten() {
            for counter in [&done.kept, &done.fresh] {
                let is_enough = counter.load(Ordering::SeqCst) >= ENOUGH;
                assert!(is_enough, "{what}: too few at a door of a node: {:#?}", self.done);
            }
        }
    }

    fn done(&self) -> usize {
        let count = |done: &Done| done.kept.load(Ordering::SeqCst) + done.fresh.load(Ordering::SeqCst);
        self.done.iter().flatten().map(count).sum()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} requests in {:.0} s ({:.0} a second) on {} connections, {} failed, the slowest took {:.0} ms",
            self.done(),
            self.took.as_secs_f64(),
            self.done() as f64 / self.took.as_secs_f64(),
            self.connections,
            self.failures.len(),
            self.slowest.as_secs_f64() * 1000.0
        )
    }
}
