//! A load through a load balancer's stand-in, on kept and on fresh connections, every answer of which is judged.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::balancer::{Balancer, Balances, Member, Pool};
use crate::client::{Answer, Connection, Fault};

/// Clients, and what each sends.
const CLIENTS: usize = 24;
const PAUSE: Duration = Duration::from_millis(50);
/// How long a client waits for a target that says nothing: load balancers give it up as well.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests that every door of every node has to have answered, on kept connections and on fresh ones each.
const ENOUGH: usize = 20;

/// A load under way.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    started: Instant,
}

struct Shared {
    pool: Arc<Pool>,
    stop: AtomicBool,
    done: Mutex<Counts>,
    connections: AtomicUsize,
    elsewhere: AtomicUsize,
    slowest: Mutex<Duration>,
    failures: Mutex<Vec<Failure>>,
}

/// Of each door and node.
type Counts = BTreeMap<(usize, String), Done>;

/// Requests to a door of a node that were answered with 200 by the right application.
#[derive(Debug, Default)]
struct Done {
    /// On a connection that an earlier one had used.
    kept: usize,
    /// On a connection of its own, or the first of many.
    fresh: usize,
}

/// A request that was not.
pub struct Failure {
    host: &'static str,
    /// Which node it was.
    node: Option<String>,
    why: Why,
}

#[derive(Debug)]
enum Why {
    NoNode,
    Fault(Fault),
    /// Another status, another application, or another client than there was.
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
        write!(formatter, "{} at {:?}: {:?}", self.host, self.node, self.why)
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    groups: usize,
    done: Counts,
    /// Connections opened.
    connections: usize,
    /// Connections that were refused and opened elsewhere.
    pub elsewhere: usize,
    /// Which doors of which nodes have left the rotation.
    pub left: BTreeSet<(usize, String)>,
    took: Duration,
    slowest: Duration,
    failures: Vec<Failure>,
}

/// The connections of one client, by the member's number.
type Kept = HashMap<usize, (Arc<Member>, Connection)>;

fn number(member: &Arc<Member>) -> usize {
    Arc::as_ptr(member) as usize
}

impl Load {
    pub fn start(balancer: &Balancer) -> Self {
        balancer.pool.take_left();
        let shared = Arc::new(Shared {
            pool: Arc::clone(&balancer.pool),
            stop: AtomicBool::new(false),
            done: Mutex::default(),
            connections: AtomicUsize::new(0),
            elsewhere: AtomicUsize::new(0),
            slowest: Mutex::default(),
            failures: Mutex::default(),
        });
        let threads = (0..CLIENTS).map(|client| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.client(client))
        });
        Self {
            threads: threads.collect(),
            shared,
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
            groups: shared.pool.groups.len(),
            done: shared.done.into_inner().unwrap(),
            connections: shared.connections.into_inner(),
            elsewhere: shared.elsewhere.into_inner(),
            left: shared.pool.take_left(),
            took,
            slowest: shared.slowest.into_inner().unwrap(),
            failures: shared.failures.into_inner().unwrap(),
        }
    }
}

impl Shared {
    /// Sends requests to one door of all nodes in turn; two of three clients keep a connection to each.
    fn client(&self, client: usize) {
        let groups = self.pool.groups.len();
        let group = client % groups;
        let mut kept = Kept::new();
        let mut next = Instant::now() + PAUSE.mul_f64(client as f64 / CLIENTS as f64);
        for turn in client / groups.. {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            next = Instant::now().max(next + PAUSE);
            if client.is_multiple_of(3) {
                kept.clear();
            }
            let mut usable = self.pool.rotation(group);
            let is_in = |number: &usize| usable.iter().any(|member| self::number(member) == *number);
            match self.pool.behaviour.balances {
                // A kept connection to a target that has become unhealthy is dropped.
                Balances::Requests => kept.retain(|number, _| is_in(number)),
                Balances::Connections => {
                    let elsewhere = kept.iter().filter(|(number, _)| !is_in(number));
                    let elsewhere: Vec<_> = elsewhere.map(|(_, (member, _))| Arc::clone(member)).collect();
                    usable.extend(elsewhere);
                }
            }
            if usable.is_empty() {
                self.failed(group, None, Why::NoNode);
                continue;
            }
            let member = Arc::clone(&usable[turn % usable.len()]);
            let mut outcome = self.ask(group, &member, &mut kept);
            let mut asked = member;
            if self.pool.behaviour.tries_another
                && usable.len() > 1
                && matches!(outcome, Err(Why::Fault(Fault::Connect(_))))
            {
                self.elsewhere.fetch_add(1, Ordering::SeqCst);
                asked = Arc::clone(&usable[(turn + 1) % usable.len()]);
                outcome = self.ask(group, &asked, &mut kept);
            }
            if let Err(why) = outcome {
                self.failed(group, Some(asked.node.clone()), why);
            }
        }
    }

    fn failed(&self, group: usize, node: Option<String>, why: Why) {
        let host = self.pool.groups[group].app.host;
        self.failures.lock().unwrap().push(Failure { host, node, why });
    }

    fn ask(&self, group: usize, member: &Arc<Member>, kept: &mut Kept) -> Result<(), Why> {
        let asked = &self.pool.groups[group];
        let host = asked.app.host;
        let started = Instant::now();
        let (mut connection, is_kept) = match kept.remove(&number(member)) {
            Some((_, connection)) => (connection, true),
            None => {
                self.connections.fetch_add(1, Ordering::SeqCst);
                let opened = member.target.connect_within(host, PATIENCE);
                (opened.map_err(Why::Fault)?, false)
            }
        };
        let answer = connection.get(host, "/load").map_err(Why::Fault)?;
        let took = started.elapsed();
        let mut slowest = self.slowest.lock().unwrap();
        *slowest = took.max(*slowest);
        drop(slowest);
        if !member.target.is_answered(&asked.app, &answer) {
            return Err(Why::Answer(answer));
        }
        let mut counts = self.done.lock().unwrap();
        let done = counts.entry((group, member.node.clone())).or_default();
        if is_kept {
            done.kept += 1;
        } else {
            done.fresh += 1;
        }
        drop(counts);
        if !answer.closes() {
            kept.insert(number(member), (Arc::clone(member), connection));
        }
        Ok(())
    }
}

impl Outcome {
    /// Nothing failed, and there was a load to speak of at every door of so many nodes.
    pub fn assert_whole(&self, what: &str, nodes: usize) {
        println!("  {what}: {self}");
        let shown: Vec<&Failure> = self.failures.iter().take(20).collect();
        assert!(self.failures.is_empty(), "{what}: {self}, such as {shown:#?}");
        self.assert_enough(what, nodes);
    }

    /// No gateway can repair a request that an application holds when it dies. Each client has one at a time, so each pod
    /// that is killed can break one request of each client of its application. Everything else can be sent to another
    /// endpoint.
    pub fn assert_nearly_whole(&self, what: &str, nodes: usize, killed_of_each: usize) {
        println!("  {what}: {self}");
        let (of_a_death, other): (Vec<&Failure>, Vec<&Failure>) =
            self.failures.iter().partition(|failure| failure.is_of_a_death());
        assert!(other.is_empty(), "{what}: {self}, such as {other:#?}");
        let most = CLIENTS * killed_of_each;
        assert!(
            of_a_death.len() <= most,
            "{what}: {self}, at most {most}: {of_a_death:#?}"
        );
        self.assert_enough(what, nodes);
    }

    /// Requests failed at the node that was lost, until the load balancer knew it, and nowhere else.
    pub fn assert_whole_but_at(&self, what: &str, lost: &str, nodes: usize) {
        println!("  {what}: {self}");
        let elsewhere = |failure: &&Failure| failure.node.as_deref() != Some(lost);
        let elsewhere: Vec<&Failure> = self.failures.iter().filter(elsewhere).take(20).collect();
        assert!(elsewhere.is_empty(), "{what}: {self}, such as {elsewhere:#?}");
        self.assert_enough(what, nodes);
    }

    fn assert_enough(&self, what: &str, nodes: usize) {
        let is_enough = |done: &&Done| done.kept >= ENOUGH && done.fresh >= ENOUGH;
        let enough = self.done.values().filter(is_enough).count();
        assert_eq!(
            enough,
            self.groups * nodes,
            "{what}: too few at a door of a node: {:#?}",
            self.done
        );
    }

    fn done(&self) -> usize {
        self.done.values().map(|done| done.kept + done.fresh).sum()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut nodes: BTreeMap<&str, usize> = BTreeMap::new();
        for ((_, node), done) in &self.done {
            *nodes.entry(node).or_default() += done.kept + done.fresh;
        }
        write!(
            formatter,
            "{} requests in {:.0} s ({:.0} a second) on {} connections, {} failed, the slowest took {:.0} ms; {nodes:?}",
            self.done(),
            self.took.as_secs_f64(),
            self.done() as f64 / self.took.as_secs_f64(),
            self.connections,
            self.failures.len(),
            self.slowest.as_secs_f64() * 1000.0
        )?;
        if self.elsewhere > 0 {
            write!(
                formatter,
                "; {} connections refused and opened elsewhere",
                self.elsewhere
            )?;
        }
        Ok(())
    }
}
