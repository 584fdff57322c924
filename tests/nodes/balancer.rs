//! A load balancer's part, played: it probes every door of every node on the traffic port, and sends requests to green
//! ones alone. Without probes it is a client that knows all nodes and believes in all of them, as with DNS.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::{Connection, Target};

/// As load balancers do, but quicker: red after 2 s, green after 2 s.
const INTERVAL: Duration = Duration::from_secs(1);
const THRESHOLD: usize = 2;
/// Clients, and what each sends.
const CLIENTS: usize = 24;
const PAUSE: Duration = Duration::from_millis(50);

/// A door, on each node.
#[derive(Clone)]
pub struct Group {
    pub host: String,
    pub targets: Vec<Target>,
}

/// Which nodes get requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Those whose `/healthz` is green.
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
    done: AtomicUsize,
    connections: AtomicUsize,
    turned_red: AtomicUsize,
    slowest: Mutex<Duration>,
    failures: Mutex<Vec<String>>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Requests answered with 200 by the right application.
    pub done: usize,
    /// Connections opened.
    pub connections: usize,
    /// How often a door of a node left the rotation.
    pub turned_red: usize,
    pub took: Duration,
    pub slowest: Duration,
    pub failures: Vec<String>,
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
            done: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            turned_red: AtomicUsize::new(0),
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
        let shared = self.shared;
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        Outcome {
            done: count(&shared.done),
            connections: count(&shared.connections),
            turned_red: count(&shared.turned_red),
            took,
            slowest: *shared.slowest.lock().unwrap(),
            failures: shared.failures.lock().unwrap().clone(),
        }
    }
}

impl Shared {
    fn probe(&self, group: usize, node: usize) {
        let Group { host, targets } = &self.groups[group];
        let green = &self.green[group][node];
        let mut otherwise = 0;
        while !self.stop.load(Ordering::SeqCst) {
            let answer = targets[node].get(host, "/healthz");
            let is_well = answer.is_ok_and(|answer| answer.status == 200);
            if is_well == green.load(Ordering::SeqCst) {
                otherwise = 0;
            } else {
                otherwise += 1;
                if otherwise == THRESHOLD {
                    green.store(is_well, Ordering::SeqCst);
                    self.turned_red.fetch_add(usize::from(!is_well), Ordering::SeqCst);
                    otherwise = 0;
                }
            }
            thread::sleep(INTERVAL);
        }
    }

    /// Asks one door of all nodes in turn; two of three clients keep a connection to each.
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
            // What is kept to a node that has turned red is given up, not waited for.
            kept.retain(|node, _| self.green[group][*node].load(Ordering::SeqCst));
            let node = (0..targets.len())
                .map(|offset| (turn + offset) % targets.len())
                .find(|node| self.green[group][*node].load(Ordering::SeqCst));
            let outcome = match node {
                None => Err("no node is green".to_owned()),
                Some(node) => self.ask(&targets[node], host, node, &mut kept),
            };
            match outcome {
                Ok(()) => {
                    self.done.fetch_add(1, Ordering::SeqCst);
                }
                Err(failure) => {
                    let failure = format!("{host} at {node:?}: {failure}");
                    self.failures.lock().unwrap().push(failure);
                }
            }
        }
    }

    fn ask(
        &self,
        target: &Target,
        host: &str,
        node: usize,
        kept: &mut HashMap<usize, Connection>,
    ) -> Result<(), String> {
        let started = Instant::now();
        let mut connection = match kept.remove(&node) {
            Some(connection) => connection,
            None => {
                self.connections.fetch_add(1, Ordering::SeqCst);
                target.connect(host)?
            }
        };
        let answer = connection.get(host, "/load")?;
        let took = started.elapsed();
        let mut slowest = self.slowest.lock().unwrap();
        *slowest = took.max(*slowest);
        drop(slowest);
        let app = host.split('.').next().unwrap_or_default();
        if answer.status != 200 || !answer.body.starts_with(&format!("{app} ")) {
            return Err(format!("{}: {}", answer.status, answer.body));
        }
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
        let rate = self.done as f64 / self.took.as_secs_f64();
        let shown: Vec<&String> = self.failures.iter().take(20).collect();
        assert!(self.failures.is_empty(), "{what}: {self}, such as {shown:#?}");
        assert!(rate > 200.0, "{what}: only {rate:.0} requests a second");
    }

    /// An answer that breaks off when an application dies cannot be made whole by anyone; the rest can be sent to
    /// another endpoint.
    pub fn assert_nearly_whole(&self, what: &str) {
        println!("  {what}: {self}");
        assert!(
            self.failures.len() * 1000 <= self.done,
            "{what}: {self}, such as {:#?}",
            self.failures
        );
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} requests in {:.0} s on {} connections, {} failed, the slowest took {:.0} ms",
            self.done,
            self.took.as_secs_f64(),
            self.connections,
            self.failures.len(),
            self.slowest.as_secs_f64() * 1000.0
        )
    }
}
