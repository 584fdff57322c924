//! What stands in for a load balancer: groups of targets, one for each door, of which those that pass its health checks
//! get traffic. It behaves as the documentation of the real ones says, five times as fast.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::apps::App;
use crate::client::{PROBE_PATIENCE, Target};
use crate::cluster::until;

/// AWS's with an interval of 5 s, as the presets' README has it: five times as fast.
const INTERVAL: Duration = Duration::from_secs(1);
const THRESHOLD: usize = 2;

/// A target group: of a door, and the application behind it.
pub struct Group {
    pub app: App,
}

/// How a load balancer sends traffic.
#[derive(Clone, Copy)]
pub struct Behaviour {
    pub balances: Balances,
    /// From a target's registration to its first health check.
    pub registration: Duration,
    /// From a target's deregistration to the last that is sent to it.
    pub deregistration: Duration,
    /// Whether a connection that is refused is tried once more elsewhere.
    pub tries_another: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Balances {
    /// Each request by itself: none goes to a target that is out of the rotation.
    Requests,
    /// Connections, which stay where they are. While a target is being deregistered its health does not count, and new
    /// connections go on coming.
    Connections,
}

/// A node or a pod in a group.
pub struct Member {
    pub node: String,
    pub target: Target,
    /// Without one it is assumed to be healthy.
    pub check: Option<Check>,
    state: Mutex<State>,
    deregistered: AtomicBool,
}

/// A health check.
#[derive(Clone)]
pub struct Check {
    pub target: Target,
    pub host: String,
    pub path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not checked often enough yet.
    Initial,
    Healthy,
    Unhealthy,
    /// Gets nothing new.
    Left,
}

/// A load balancer at work.
pub struct Balancer {
    pub pool: Arc<Pool>,
}

/// The groups with their members.
pub struct Pool {
    pub groups: Vec<Group>,
    pub behaviour: Behaviour,
    members: RwLock<Vec<Vec<Arc<Member>>>>,
    left: Mutex<BTreeSet<(usize, String)>>,
    stop: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Behaviour {
    /// Health checks alone.
    pub const fn of_nodes(balances: Balances) -> Self {
        Self {
            balances,
            registration: Duration::ZERO,
            deregistration: Duration::ZERO,
            tries_another: false,
        }
    }
}

impl Member {
    pub fn new(node: &str, target: Target, check: Option<Check>) -> Self {
        let state = match check {
            Some(_) => State::Initial,
            None => State::Healthy,
        };
        Self {
            node: node.to_owned(),
            target,
            check,
            state: Mutex::new(state),
            deregistered: AtomicBool::new(false),
        }
    }

    pub fn is_healthy(&self) -> bool {
        *self.state.lock().unwrap() == State::Healthy
    }
}

impl Check {
    pub fn passes(&self) -> bool {
        let connection = self.target.connect_within(&self.host, PROBE_PATIENCE);
        let answer = connection.and_then(|mut connection| connection.get(&self.host, &self.path));
        answer.is_ok_and(|answer| answer.status == 200)
    }
}

impl Balancer {
    pub fn new(groups: Vec<Group>, behaviour: Behaviour) -> Self {
        let members = groups.iter().map(|_| Vec::new()).collect();
        Self {
            pool: Arc::new(Pool {
                groups,
                behaviour,
                members: RwLock::new(members),
                left: Mutex::default(),
                stop: AtomicBool::new(false),
                threads: Mutex::default(),
            }),
        }
    }

    /// Waits until each group has as many healthy members, and returns them.
    pub fn healthy(&self, count: usize) -> Vec<Vec<Arc<Member>>> {
        let mut found = Vec::new();
        until("the load balancer's targets", || {
            found = (0..self.pool.groups.len())
                .map(|group| self.pool.healthy(group))
                .collect();
            let missing = (0..).zip(&found).filter(|(_, members)| members.len() != count);
            let missing: Vec<String> = missing
                .map(|(group, members): (usize, _)| {
                    let nodes: Vec<&str> = members.iter().map(|member| &*member.node).collect();
                    format!("{}: {nodes:?} are healthy", self.pool.groups[group].app.door)
                })
                .collect();
            if missing.is_empty() {
                Ok(())
            } else {
                Err(format!("not {count} each: {missing:?}"))
            }
        });
        found
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.pool.stop.store(true, Ordering::SeqCst);
        let threads = std::mem::take(&mut *self.pool.threads.lock().unwrap());
        for thread in threads {
            let ended = thread.join();
            if !thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

impl Pool {
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Runs something beside it, which has to end when it is over.
    pub fn spawn(self: &Arc<Self>, work: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let pool = Arc::clone(self);
        let thread = thread::spawn(move || work(&pool));
        self.threads.lock().unwrap().push(thread);
    }

    /// Adds a target, which gets traffic once it has passed its health checks.
    pub fn register(self: &Arc<Self>, group: usize, member: Member) {
        let member = Arc::new(member);
        self.members.write().unwrap()[group].push(Arc::clone(&member));
        if member.check.is_some() {
            self.spawn(move |pool| pool.check(group, &member));
        }
    }

    /// Takes a target away. It goes on getting traffic for as long as the load balancer takes.
    pub fn deregister(self: &Arc<Self>, group: usize, address: SocketAddr) {
        let gone = self.members.read().unwrap()[group]
            .iter()
            .find(|member| member.target.address == address && !member.deregistered.load(Ordering::SeqCst))
            .map(Arc::clone);
        let Some(member) = gone else { return };
        member.deregistered.store(true, Ordering::SeqCst);
        self.spawn(move |pool| {
            pool.sleep(pool.behaviour.deregistration);
            pool.turn(group, &member, State::Left);
            pool.members.write().unwrap()[group].retain(|other| !Arc::ptr_eq(other, &member));
        });
    }

    pub fn members(&self, group: usize) -> Vec<Arc<Member>> {
        self.members.read().unwrap()[group].clone()
    }

    pub fn healthy(&self, group: usize) -> Vec<Arc<Member>> {
        let mut members = self.members(group);
        members.retain(|member| member.is_healthy());
        members
    }

    /// Those in the rotation. If none is healthy, load balancers send to all.
    pub fn rotation(&self, group: usize) -> Vec<Arc<Member>> {
        let healthy = self.healthy(group);
        if healthy.is_empty() {
            return self.members(group);
        }
        healthy
    }

    /// Which doors of which nodes have left the rotation since this was asked last.
    pub fn take_left(&self) -> BTreeSet<(usize, String)> {
        std::mem::take(&mut *self.left.lock().unwrap())
    }

    fn check(&self, group: usize, member: &Member) {
        let Some(check) = &member.check else { return };
        self.sleep(self.behaviour.registration);
        let (mut last, mut count) = (false, 0);
        while !self.is_over() {
            let passes = check.passes();
            let deregistered = member.deregistered.load(Ordering::SeqCst);
            let is_left = *member.state.lock().unwrap() == State::Left;
            if is_left || (deregistered && self.behaviour.balances == Balances::Connections) {
                return;
            }
            count = if passes == last { count + 1 } else { 1 };
            last = passes;
            if count >= THRESHOLD {
                let turned = if passes { State::Healthy } else { State::Unhealthy };
                self.turn(group, member, turned);
            }
            self.sleep(INTERVAL);
        }
    }

    fn turn(&self, group: usize, member: &Member, to: State) {
        let mut state = member.state.lock().unwrap();
        if *state == State::Healthy && to != State::Healthy {
            self.left.lock().unwrap().insert((group, member.node.clone()));
        }
        if *state != State::Left {
            *state = to;
        }
    }

    /// Sleeps, but not longer than it is at work.
    fn sleep(&self, duration: Duration) {
        let until = Instant::now() + duration;
        while !self.is_over() {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return;
            }
            thread::sleep(rest.min(Duration::from_millis(100)));
        }
    }
}
