//! One worker of a door: a thread with its own runtime, and everything its connections share without locks.

pub(crate) mod backend_room;
pub(crate) mod buffers;
pub(crate) mod clients;
pub(crate) mod clock;
pub(crate) mod crew;
pub(crate) mod date;
pub(crate) mod deadlines;
pub(crate) mod failures;
mod idle;
pub(crate) mod memory;
pub(crate) mod peers;
pub(crate) mod pipes;
pub(crate) mod place;
pub(crate) mod read_buffer;
pub(crate) mod room;
pub(crate) mod routes;
mod shed;
pub(crate) mod stores;
pub(crate) mod turns;
pub(crate) mod verifiers;
pub(crate) mod warnings;

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::memory::{DoorMemory, MemoryBudget};
use crate::observe::access::Lines;
use crate::observe::labels::Shortage;
use crate::observe::metrics::{DoorMetrics, WorkerMetrics};
use crate::observe::tracer::Tracer;
use crate::settings::{PerClient, Settings};
use crate::worker::backend_room::BackendRoom;
use crate::worker::buffers::Pool;
use crate::worker::clients::{Client, ClientCounts};
use crate::worker::clock::Clock;
use crate::worker::date::DateClock;
use crate::worker::deadlines::Deadlines;
use crate::worker::failures::{Failed, Failures};
use crate::worker::memory::{CONNECTION, Charge, Memory, NEW_CONNECTION, Newcomer};
use crate::worker::peers::{Peer, Peers};
use crate::worker::pipes::Pipes;
use crate::worker::routes::Routes;
use crate::worker::stores::Stores;
use crate::worker::turns::Turns;
use crate::worker::verifiers::Verifiers;
use crate::worker::warnings::Warnings;
use door::Door;
use route::{ListenerName, ObjectKey, RequestHost};
use text::Shown;

/// Ingresses and what is wrong with their applications: so many are told apart.
const TROUBLES: usize = 256;

/// What is wrong with an application, for whoever runs it.
pub(crate) struct Trouble<'a> {
    pub(crate) ingress: &'a str,
    pub(crate) service: Option<&'a ObjectKey>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) pod: Option<&'a str>,
    /// The label of the refusal.
    pub(crate) reason: &'static str,
    /// What was wrong with one request.
    pub(crate) detail: Option<&'a str>,
}

/// The stages of a listener's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It accepts and serves.
    Serving,
    /// It still accepts, and asks every client to close: load balancers are deregistering it.
    Draining,
    /// It accepts no more connections; requests in flight continue.
    Closing,
    /// What remains is cut.
    Ended,
}

/// What all workers of a door share.
pub(crate) struct Shared {
    pub(crate) door: Door<Settings>,
    pub(crate) metrics: Arc<DoorMetrics>,
    pub(crate) connections: AtomicUsize,
    pub(crate) clients: ClientCounts,
    /// Connections to backends that are in use, by client; counted when they are scarce.
    pub(crate) backend_clients: ClientCounts,
    /// Requests that were cut when the drain ended.
    pub(crate) cut: AtomicUsize,
    pub(crate) warnings: Warnings,
    /// About applications, by their Ingress and what is wrong.
    troubles: Warnings,
    /// For people who look at the running gateway.
    pub(crate) failures: Failures,
    /// About requests for hosts of other doors, by the door: what tenants cause must not keep them back.
    probes: Warnings,
    pub(crate) memory: Arc<DoorMemory>,
    /// Bytes of bodies that are gathered for filters.
    gathered: AtomicUsize,
    verifiers: Verifiers,
    stores: Arc<Stores>,
    peers: Arc<Peers>,
    tracer: Tracer,
}

/// What all connections of a worker share.
pub(crate) struct Worker {
    pub(crate) door: DoorRef,
    pub(crate) door_metrics: Arc<DoorMetrics>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    pub(crate) routes: Routes,
    pub(crate) memory: Rc<Memory>,
    pub(crate) buffers: Rc<Pool>,
    pub(crate) pipes: Rc<Pipes>,
    /// Where connections to backends get their descriptors.
    pub(crate) backend_room: Rc<BackendRoom>,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) lines: RefCell<Lines>,
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    phase: Cell<Phase>,
    /// The last publication that the worker has noticed.
    publication: Cell<u64>,
    /// Requests under way, including those that became tunnels.
    requests: Cell<usize>,
    upgraded: Cell<usize>,
    open: Cell<usize>,
    pub(crate) clock: DateClock,
    pub(crate) turns: Turns,
}

impl Shared {
    pub(crate) fn new(
        door: Door<Settings>,
        metrics: Arc<DoorMetrics>,
        memory: MemoryBudget,
        tracer: Tracer,
    ) -> Self {
        let memory = Arc::new(DoorMemory::new(memory));
        metrics.shows(&memory);
        let verifiers = Verifiers::new(door.name().clone());
        let stores = Arc::new(Stores::new(door.name().clone()));
        Self {
            door,
            verifiers,
            stores,
            metrics,
            connections: AtomicUsize::new(0),
            clients: ClientCounts::default(),
            backend_clients: ClientCounts::default(),
            cut: AtomicUsize::new(0),
            warnings: Warnings::default(),
            troubles: Warnings::for_reasons(TROUBLES),
            failures: Failures::default(),
            probes: Warnings::default(),
            peers: Arc::default(),
            memory,
            gathered: AtomicUsize::new(0),
            tracer,
        }
    }
}

/// The door, reached through what the workers share.
pub(crate) struct DoorRef(Arc<Shared>);

impl std::ops::Deref for DoorRef {
    type Target = Door<Settings>;

    fn deref(&self) -> &Self::Target {
        &self.0.door
    }
}

/// Counts a request for as long as it is under way.
pub(crate) struct UnderWay(Rc<Worker>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.requests.set(self.0.requests.get().saturating_sub(1));
    }
}

/// Counts an upgraded connection for as long as it lives.
pub(crate) struct Upgraded(Rc<Worker>);

impl Drop for Upgraded {
    fn drop(&mut self) {
        self.0.upgraded.set(self.0.upgraded.get().saturating_sub(1));
    }
}

/// Counts one open connection for as long as it lives, and a panic that ends it.
pub(crate) struct Open {
    worker: Rc<Worker>,
    /// The client to which it is counted, once that is known.
    client: Cell<Option<Client>>,
    newcomer: Cell<Option<Newcomer>>,
    _held: Charge,
}

impl Open {
    /// Counts it.
    pub(crate) fn new(worker: &Rc<Worker>) -> Self {
        worker.metrics.connections_accepted.add(1);
        worker.metrics.connections_open.add(1);
        worker.open.set(worker.open.get() + 1);
        worker.shared.connections.fetch_add(1, Ordering::Relaxed);
        worker.shared.metrics.descriptors.opened();
        Self {
            worker: Rc::clone(worker),
            client: Cell::new(None),
            newcomer: Cell::new(Some(worker.memory.expect(NEW_CONNECTION))),
            _held: worker.memory.charge(CONNECTION),
        }
    }

    /// What it is expected to take, for whoever will know what it holds.
    pub(crate) fn take_newcomer(&self) -> Option<Newcomer> {
        self.newcomer.take()
    }

    /// Whether the door has room for it, or will have in a moment because idle connections end for it.
    pub(crate) fn has_room(&self, settings: &Settings) -> bool {
        let worker = &self.worker;
        let excess = worker.shared.excess(settings);
        // Kept connections to backends are the first to go, if the door's part is used up.
        let used_up = worker.shared.metrics.descriptors.are_used_up();
        let freed = (0..excess).take_while(|_| used_up && worker.backend_room.free_one());
        let excess = excess - freed.count();
        excess == 0 || worker.make_room(excess, Shortage::Connections)
    }

    /// Counts the connection as its client's, unless that has as many as it may. `named`: a PROXY header names the client
    /// at this address; otherwise it is the peer.
    pub(crate) fn enter(&self, address: IpAddr, named: bool, settings: &Settings) -> bool {
        let limit = settings.limits.connections_per_client;
        let most = self.worker.shared.most_connections(settings);
        let is_exempt = match limit {
            PerClient::Unlimited => true,
            // Its connections belong to many clients.
            _ if !named && settings.trusted.contains(address) => true,
            PerClient::Fixed(_) => false,
            // Health checks, and proxies on the same machine.
            PerClient::Share(_) => address.is_loopback(),
        };
        if is_exempt {
            return true;
        }
        let shared = &self.worker.shared;
        // This connection is open by now.
        let others = shared.connections.load(Ordering::Relaxed).saturating_sub(1);
        let client = Client::of(address);
        let within = shared.clients.enter(client, limit, others, most);
        if within {
            self.client.set(Some(client));
        } else {
            let reason = match limit {
                PerClient::Fixed(_) => "its address has `limits.connections_per_client` already",
                PerClient::Share(_) | PerClient::Unlimited => {
                    "its address has its share of the door's connections already (`limits.client_share`); \
                     if it stands for many clients, set `limits.connections_per_client`"
                }
            };
            self.worker.warn(address, "connection refused", reason);
        }
        within
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.metrics.connections_open.subtract(1);
        self.worker.open.set(self.worker.open.get().saturating_sub(1));
        self.worker.shared.connections.fetch_sub(1, Ordering::Relaxed);
        self.worker.shared.metrics.descriptors.closed();
        if let Some(newcomer) = self.newcomer.take() {
            self.worker.memory.know(newcomer);
        }
        if let Some(client) = self.client.take() {
            self.worker.shared.clients.leave(client);
        }
        if std::thread::panicking() {
            self.worker.metrics.panics.add(1);
        }
        self.worker.deadlines.nudge();
        // Ends come in crowds, too.
        self.worker.turns.give_way(Instant::now());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.leaves(&self.peer);
    }
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, lines: Lines) -> Rc<Self> {
        let metrics = shared.metrics.worker();
        let most = shared.door.snapshot().settings().limits.route_series;
        let routes = Routes::new(Arc::clone(&shared.metrics.routes), metrics.number, most);
        let memory = Memory::new(Arc::clone(&shared.memory));
        let descriptors = &shared.metrics.descriptors;
        let deadlines = Deadlines::new(Clock::default(), Arc::clone(descriptors.going()));
        let peer = shared.peers.join(Arc::clone(deadlines.shown_idle()));
        Rc::new(Self {
            door: DoorRef(Arc::clone(&shared)),
            door_metrics: Arc::clone(&shared.metrics),
            metrics,
            routes,
            buffers: Pool::new(&memory),
            pipes: Rc::new(Pipes::new(&memory, Arc::clone(descriptors))),
            memory,
            backend_room: BackendRoom::new(
                Arc::clone(descriptors),
                Arc::clone(&shared.peers),
                Arc::clone(&peer),
            ),
            deadlines,
            lines: RefCell::new(lines),
            shared,
            peer,
            phase: Cell::new(Phase::Serving),
            publication: Cell::new(0),
            requests: Cell::new(0),
            upgraded: Cell::new(0),
            open: Cell::new(0),
            clock: DateClock::new(),
            turns: Turns::new(),
        })
    }

    /// The servers that keep limits for all replicas.
    pub(crate) fn stores(&self) -> Arc<Stores> {
        Arc::clone(&self.shared.stores)
    }

    /// Bytes of bodies that all workers of the door have gathered for filters, or have promised room to.
    pub(crate) fn gathered(&self) -> &AtomicUsize {
        &self.shared.gathered
    }

    /// The threads of the door that verify passwords.
    pub(crate) fn verifiers(&self) -> &Verifiers {
        &self.shared.verifiers
    }

    /// Where the stories of requests go.
    pub(crate) fn tracer(&self) -> &Tracer {
        &self.shared.tracer
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// The last publication of the door that the worker has noticed.
    pub(crate) fn publication(&self) -> u64 {
        self.publication.get()
    }

    /// Logs why a client is refused: `what` happened to it, and the `reason`, which must not differ from client to
    /// client.
    pub(crate) fn warn(&self, client: IpAddr, what: &str, reason: &str) {
        let Some(kept_back) = self.shared.warnings.admit(reason, Instant::now()) else {
            return;
        };
        tracing::warn!(listener = %self.door.name(), %client, "{what}: {}{kept_back}", Shown(reason));
    }

    /// Counts a request for a host that only another door knows, and logs it at a limited rate. The client must not learn
    /// of it: what it is answered depends on nothing here.
    pub(crate) fn probed(&self, owner: &ListenerName, host: Option<&RequestHost<'_>>, client: IpAddr) {
        self.door_metrics.probed(owner);
        let Some(kept_back) = self.shared.probes.admit(owner.as_str(), Instant::now()) else {
            return;
        };
        let host = host.map(RequestHost::as_str).unwrap_or_default();
        tracing::warn!(
            listener = %self.door.name(),
            cross_door_owner = %owner,
            %client,
            host,
            "a request for a host that only another door knows; it was answered as for a host that nobody knows{kept_back}"
        );
    }

    /// As [`Self::warn`], of what nobody needs to do anything about in most cases.
    pub(crate) fn inform(&self, client: IpAddr, what: &str, reason: &str) {
        if let Some(kept_back) = self.shared.warnings.admit(reason, Instant::now()) {
            tracing::info!(listener = %self.door.name(), %client, "{what}: {}{kept_back}", Shown(reason));
        }
    }

    /// Logs at a limited rate what is wrong with an application: one line in 10 s for each Ingress and reason.
    pub(crate) fn warn_of_application(&self, trouble: &Trouble<'_>) {
        let (ingress, reason) = (trouble.ingress, trouble.reason);
        let key = format!("{reason} {ingress}");
        let Some(kept_back) = self.shared.troubles.admit(&key, Instant::now()) else {
            return;
        };
        tracing::warn!(
            listener = %self.door.name(),
            ingress,
            service = trouble.service.map(tracing::field::display),
            endpoint = trouble.endpoint.map(tracing::field::display),
            pod = trouble.pod,
            "request failed: {reason}: {}{kept_back}",
            Shown(trouble.detail.unwrap_or("no more is known"))
        );
    }

    /// Shows a failure to people who look at the running gateway.
    pub(crate) fn remember(&self, failed: &Failed<'_>, now: Instant) {
        self.shared.failures.note(failed, now);
    }

    /// Logs at a limited rate what the worker itself cannot do. The error must not differ from time to time.
    pub(crate) fn warn_of_itself(&self, what: &str, error: &std::io::Error) {
        if let Some(kept_back) = self.shared.warnings.admit(what, Instant::now()) {
            tracing::warn!(listener = %self.door.name(), %error, "{what}{kept_back}");
        }
    }

    pub(crate) fn upgraded(self: &Rc<Self>) -> Upgraded {
        self.upgraded.set(self.upgraded.get() + 1);
        Upgraded(Rc::clone(self))
    }

    pub(crate) fn under_way(self: &Rc<Self>) -> UnderWay {
        self.requests.set(self.requests.get() + 1);
        UnderWay(Rc::clone(self))
    }

    /// Takes over the phase of the listener.
    pub(crate) fn enter(&self, phase: Phase) {
        if self.phase.replace(phase) != phase {
            self.deadlines.wake_all();
        }
    }

    /// Checks whether something has been published, and wakes work under way to check it too.
    pub(crate) fn notice_publication(&self) {
        let snapshot = self.door.snapshot();
        let now = snapshot.publication();
        if self.publication.replace(now) != now {
            self.deadlines.wake_followers();
            self.routes.published(snapshot.settings().limits.route_series);
        }
        self.routes.look();
    }

    /// How many of its connections are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.open.get()
    }

    /// Requests that are under way, counted as cut.
    pub(crate) fn count_cut(&self) {
        let cut = self.requests.get().saturating_sub(self.upgraded.get());
        self.shared.cut.fetch_add(cut, Ordering::Relaxed);
    }
}
