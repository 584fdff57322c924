//! A door's sockets and worker threads.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use door::{Door, Snapshot, Upstream};
use route::ListenerName;
use socket2::Socket;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::cpus::{Cpus, stay_on};
use crate::descriptors::Allotment;
use crate::listen::accept::spare;
use crate::listen::socket::{Bound, bind, local_address};
use crate::listen::thread::WorkerThread;
use crate::listen::verdicts::Verdicts;
use crate::memory::MemoryBudget;
use crate::observe::access::AccessLog;
use crate::observe::metrics::Metrics;
use crate::observe::tracer::Tracer;
use crate::observe::traffic::Traffic;
use crate::settings::{Binding, Drain, Settings};
use crate::upstream::{Availability, HealthBoard, UnwellEndpoint};
use crate::worker::crew::Crew;
use crate::worker::failures::Failure;
use crate::worker::{Phase, Shared, turns};

/// A bound door with its workers.
pub struct Listener {
    shared: Arc<Shared>,
    board: Arc<HealthBoard>,
    /// What the metrics know the door by, for as long as it is open.
    verdicts: Arc<Verdicts>,
    access: AccessLog,
    group: Group,
    /// Worker groups of earlier bindings, until their connections have ended.
    retired: Vec<Group>,
}

/// Sockets that a door will have. They close when they are dropped.
pub struct Sockets(Group);

impl Sockets {
    /// The address that is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }
}

/// The sockets of one binding and the threads that serve them.
struct Group {
    binding: Binding,
    address: SocketAddr,
    phase: watch::Sender<Phase>,
    threads: Vec<JoinHandle<()>>,
    crew: Arc<Crew>,
    /// The signal that the threads wait for; threads that never get it end silently.
    starts: Vec<mpsc::SyncSender<()>>,
}

/// Why a door cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process or another door has the port.
    #[error(
        "listener `{listener}`: address {address} is already in use; stop the process that uses it or choose another `bind`"
    )]
    InUse {
        /// The door.
        listener: ListenerName,
        /// Its address.
        address: SocketAddr,
    },
    /// The port is below 1024 and the process may not bind it.
    #[error(
        "listener `{listener}`: no permission to bind {address}; use a port from 1024, or give the process \
         CAP_NET_BIND_SERVICE, or lower the sysctl net.ipv4.ip_unprivileged_port_start"
    )]
    Permission {
        /// The door.
        listener: ListenerName,
        /// Its address.
        address: SocketAddr,
    },
    /// A worker of the door cannot be started.
    #[error(
        "listener `{listener}`: cannot start worker {worker} of {workers}: {error}; raise the limit of open files \
         (LimitNOFILE of systemd, `ulimit -Hn`) or of threads (`pids.max` of the cgroup, `ulimit -u`), or lower \
         `workers`"
    )]
    Worker {
        /// The door.
        listener: ListenerName,
        /// Which of them, from 1.
        worker: usize,
        /// How many there are to be.
        workers: usize,
        /// The operating system's error.
        error: io::Error,
    },
    /// The process may not use the CPUs of the door.
    #[error(
        "listener `{listener}`: none of the CPUs {cpus} may be used by this process, which may use {allowed} (cpuset of \
         the cgroup, CPUAffinity of systemd); change `cpus`, or remove it"
    )]
    Cpus {
        /// The door.
        listener: ListenerName,
        /// Those that it is to have.
        cpus: Cpus,
        /// Those that there are.
        allowed: String,
    },
    /// Anything else.
    #[error("listener `{listener}`: cannot bind {address}: {error}")]
    Other {
        /// The door.
        listener: ListenerName,
        /// Its address.
        address: SocketAddr,
        /// The operating system's error.
        error: io::Error,
    },
}

impl Listener {
    /// Binds a door's sockets. They answer nothing before [`start`](Self::start). `memory` is the budget of all doors.
    ///
    /// # Errors
    /// When the address cannot be bound or a thread cannot be started.
    pub fn bind(
        door: Door<Settings>,
        binding: Binding,
        metrics: &Metrics,
        access: AccessLog,
        memory: MemoryBudget,
        tracer: Tracer,
    ) -> Result<Self, BindError> {
        let metrics = metrics.door(door.name());
        let shared = Arc::new(Shared::new(door, metrics, memory, tracer));
        let board = Arc::new(HealthBoard::default());
        let group = Group::open(&shared, &board, &access, binding)?;
        let verdicts = Arc::new(Verdicts::new(&shared, &board));
        shared.metrics.routes.is_of(Arc::<Verdicts>::downgrade(&verdicts));
        Ok(Self {
            shared,
            board,
            verdicts,
            access,
            group,
            retired: Vec::new(),
        })
    }

    /// Starts the workers. They accept connections when the door has its first table, so that beside a predecessor on
    /// the same port none is answered too early. If that takes long, they accept them anyway and answer 503.
    pub fn start(&mut self) {
        self.group.start();
    }

    /// The door's name.
    #[must_use]
    pub fn name(&self) -> &ListenerName {
        self.shared.door.name()
    }

    /// The bound address, with the actual port if 0 was requested.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.group.address
    }

    /// The requested binding.
    #[must_use]
    pub fn binding(&self) -> &Binding {
        &self.group.binding
    }

    /// Whether the door has a table.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.shared.door.snapshot().is_synced()
    }

    /// The phase of the listener.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.group.phase.borrow()
    }

    /// A handle that reports whether the door takes traffic, for the admin port.
    #[must_use]
    pub fn status(&self) -> ListenerStatus {
        ListenerStatus {
            shared: Arc::clone(&self.shared),
            board: Arc::clone(&self.board),
            phase: self.group.phase.subscribe(),
            crew: Arc::clone(&self.group.crew),
            address: self.group.address,
        }
    }

    /// Opens the sockets of another binding beside those in use. They answer nothing yet.
    ///
    /// # Errors
    /// When the address cannot be bound or a thread cannot be started.
    pub fn open(&self, binding: Binding) -> Result<Sockets, BindError> {
        Group::open(&self.shared, &self.board, &self.access, binding).map(Sockets)
    }

    /// Replaces the sockets. The old ones close, and their connections end in order.
    pub fn move_to(&mut self, Sockets(mut group): Sockets) {
        group.start();
        let old = std::mem::replace(&mut self.group, group);
        old.phase.send_replace(Phase::Closing);
        self.retired.push(old);
    }

    /// Says how many descriptors the door may use from now on.
    pub fn allot(&self, allotment: Allotment) {
        self.shared.metrics.descriptors.allot(allotment);
    }

    /// How many workers it has, those included that only serve what is left on earlier sockets.
    #[must_use]
    pub fn workers(&self) -> usize {
        let left = self.retired.iter().filter(|group| !group.is_finished());
        left.chain([&self.group]).map(|group| group.threads.len()).sum()
    }

    /// Forgets earlier sockets with which nothing is connected any more. Returns whether there were any.
    pub fn forget_finished(&mut self) -> bool {
        let before = self.retired.len();
        self.retired.retain(|group| !group.is_finished());
        self.retired.len() < before
    }

    /// What the door has learned of its endpoints.
    #[must_use]
    pub fn verdicts(&self) -> Verdicts {
        Verdicts::clone(&self.verdicts)
    }

    /// Asks every client to close, and continues accepting.
    pub fn start_draining(&self) {
        self.group.phase.send_if_modified(|phase| {
            std::mem::replace(phase, (*phase).max(Phase::Draining)) < Phase::Draining
        });
    }

    /// The whole drain: accept for `drain.wait` while load balancers deregister the target, close, wait at most
    /// `drain.timeout` for requests in flight. Returns how many requests were cut.
    pub async fn shut_down(mut self, drain: Drain) -> usize {
        self.start_draining();
        let metrics = Arc::clone(&self.shared.metrics);
        metrics.drains_until(Instant::now() + drain.wait + drain.timeout);
        tokio::time::sleep(drain.wait).await;
        let mut groups = std::mem::take(&mut self.retired);
        groups.push(self.group);
        for group in &groups {
            group.phase.send_replace(Phase::Closing);
        }
        let finished = async {
            while !groups.iter().all(Group::is_finished) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(drain.timeout, finished).await.is_err() {
            for group in &groups {
                group.phase.send_replace(Phase::Ended);
            }
            let patience = tokio::time::Instant::now() + Duration::from_millis(500);
            while !groups.iter().all(Group::is_finished) && tokio::time::Instant::now() < patience {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let cut = self.shared.cut.load(Ordering::Relaxed);
        metrics.drained(cut);
        cut
    }
}

/// What a door has learned of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointHealth {
    /// No request has gone there lately.
    Unknown,
    /// It gets requests.
    In,
    /// It was ejected, and the next request finds out whether it has recovered.
    Due,
    /// It is ejected: it accepts connections and fails the requests on them.
    Ejected,
    /// No connection can be established.
    Down,
}

/// A view of a listener that outlives it.
#[derive(Clone)]
pub struct ListenerStatus {
    shared: Arc<Shared>,
    board: Arc<HealthBoard>,
    phase: watch::Receiver<Phase>,
    crew: Arc<Crew>,
    address: SocketAddr,
}

impl ListenerStatus {
    /// The door's name.
    #[must_use]
    pub fn name(&self) -> &ListenerName {
        self.shared.door.name()
    }

    /// What failed lately, once for each Ingress and reason, or for each host and reason; the last first.
    #[must_use]
    pub fn failures(&self) -> Vec<Failure> {
        self.shared.failures.all()
    }

    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the door has a table.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.shared.door.snapshot().is_synced()
    }

    /// What the door serves now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot<Settings>> {
        Arc::clone(&self.shared.door.snapshot())
    }

    /// What the door has learned of the first `most` endpoints of one of its upstreams, in their order.
    #[must_use]
    pub fn health(&self, upstream: &Upstream, most: usize) -> Vec<EndpointHealth> {
        let known = self.board.availabilities(upstream, most).into_iter();
        known
            .map(|known| match known {
                None => EndpointHealth::Unknown,
                Some(Availability::In) => EndpointHealth::In,
                Some(Availability::Due) => EndpointHealth::Due,
                Some(Availability::Out) => EndpointHealth::Ejected,
                Some(Availability::Down) => EndpointHealth::Down,
            })
            .collect()
    }

    /// Whether the door takes connections with all its workers, and has a table to answer them by.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_synced() && self.crew.is_complete()
    }

    /// How many workers take connections, and how many are configured.
    #[must_use]
    pub fn workers(&self) -> (usize, usize) {
        (self.crew.listening(), self.crew.workers())
    }

    /// The phase of the listener.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// How many descriptors it uses for clients and backends.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let clients = self.shared.connections.load(Ordering::Relaxed);
        clients + self.shared.metrics.descriptors.used()
    }

    /// Open client connections.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.metrics.open_connections()
    }

    /// What the door has counted so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.shared.metrics.traffic()
    }

    /// The endpoints that it has found not to be well, in order.
    #[must_use]
    pub fn unwell(&self) -> Vec<UnwellEndpoint> {
        self.board.unwell()
    }

    /// How many rules the door serves.
    #[must_use]
    pub fn routes(&self) -> usize {
        self.shared.door.snapshot().routes().count()
    }
}

impl Group {
    fn open(
        shared: &Arc<Shared>,
        board: &Arc<HealthBoard>,
        access: &AccessLog,
        binding: Binding,
    ) -> Result<Self, BindError> {
        let listener = shared.door.name();
        let cpus = binding.cpus.as_ref().map(|cpus| {
            cpus.available().map_err(|allowed| BindError::Cpus {
                listener: listener.clone(),
                cpus: cpus.clone(),
                allowed,
            })
        });
        let cpus = cpus.transpose()?;
        let sockets =
            sockets(&binding).map_err(|(address, error)| BindError::of(listener.clone(), address, error))?;
        let failed = |address| move |error| BindError::of(listener.clone(), address, error);
        // The actual port must be known, because it must not be a backend.
        let address = match sockets.first() {
            Some(socket) => local_address(socket).map_err(failed(binding.address))?,
            None => binding.address,
        };
        let (phase, _) = watch::channel(Phase::Serving);
        let crew = Crew::new(sockets.len());
        let workers = sockets.len();
        let mut threads = Vec::with_capacity(sockets.len());
        let mut starts = Vec::with_capacity(sockets.len());
        for (index, socket) in sockets.into_iter().enumerate() {
            let failed = |error| BindError::Worker {
                listener: listener.clone(),
                worker: index + 1,
                workers,
                error,
            };
            let worker = WorkerThread {
                shared: Arc::clone(shared),
                board: Arc::clone(board),
                access: access.clone(),
                crew: Arc::clone(&crew),
                bound: Bound::Silent(socket),
                phase: phase.subscribe(),
            };
            let thread = std::thread::Builder::new().name(format!("{listener}-{index}"));
            let (start, waiting) = mpsc::sync_channel(1);
            let (told, outcome) = mpsc::sync_channel(1);
            let thread = thread.spawn(move || {
                // Now, because this fails if the process is out of descriptors, and an unserved socket is worse than none.
                let (runtime, spare) = match runtime_with_spare() {
                    Ok(both) => both,
                    Err(error) => {
                        let _heard = told.send(Err(error));
                        return;
                    }
                };
                let _heard = told.send(Ok(()));
                if let Ok(()) = waiting.recv() {
                    if let Some(Err(error)) = cpus.as_ref().map(stay_on) {
                        let listener = worker.shared.door.name();
                        tracing::warn!(%listener, %error, "a worker cannot be kept on its CPUs, and runs on any");
                    }
                    worker.run(&runtime, spare);
                }
            });
            starts.push(start);
            threads.push(thread.map_err(failed)?);
            outcome
                .recv()
                .unwrap_or_else(|lost| Err(io::Error::other(lost)))
                .map_err(failed)?;
        }
        Ok(Self {
            binding,
            address,
            phase,
            threads,
            crew,
            starts,
        })
    }

    fn start(&mut self) {
        for start in self.starts.drain(..) {
            // The thread waits for this.
            let _heard = start.send(());
        }
    }

    fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

fn runtime_with_spare() -> io::Result<(Runtime, OwnedFd)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_unpark(turns::rested)
        .build()?;
    Ok((runtime, spare()?))
}

/// One socket per worker with `SO_REUSEPORT`; otherwise one socket that the workers share.
fn sockets(binding: &Binding) -> Result<Vec<Socket>, (SocketAddr, io::Error)> {
    let first = bind(binding.address, binding.reuse_port)?;
    let bound = local_address(&first).map_err(|error| (binding.address, error))?;
    let mut sockets = vec![first];
    for _ in 1..binding.workers {
        let next = match sockets.first() {
            Some(first) if !binding.reuse_port => first.try_clone(),
            _ => bind(bound, true).map_err(|(_, error)| error),
        };
        sockets.push(next.map_err(|error| (bound, error))?);
    }
    Ok(sockets)
}

impl BindError {
    fn of(listener: ListenerName, address: SocketAddr, error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::AddrInUse {
            Self::InUse { listener, address }
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            Self::Permission { listener, address }
        } else {
            Self::Other {
                listener,
                address,
                error,
            }
        }
    }
}
