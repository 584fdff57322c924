//! One worker of a door: a thread with its own runtime, and everything its connections share without locks.

pub(crate) mod buffers;
pub(crate) mod clients;
pub(crate) mod date;
pub(crate) mod deadlines;
pub(crate) mod pipes;
pub(crate) mod place;
pub(crate) mod warnings;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use door::Door;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::head::downstream::Downstream;
use crate::head::identity::Peer;
use crate::listen::overflow::{self, Overflow};
use crate::listen::prepare;
use crate::observe::access::Lines;
use crate::observe::metrics::{DoorMetrics, WorkerMetrics};
use crate::serve::http1::Client;
use crate::settings::{ProxyProtocol, Settings};
use crate::stream::Stream;
use crate::upstream::Upstreams;
use crate::worker::buffers::Pool;
use crate::worker::clients::ClientCounts;
use crate::worker::date::DateClock;
use crate::worker::deadlines::{Deadlines, TICK};
use crate::worker::pipes::Pipes;
use crate::worker::warnings::Warnings;

/// How long the worker still accepts from a socket that admits no new connections, so that handshakes under way can
/// complete.
const LAST_ACCEPTS: Duration = Duration::from_millis(300);

/// How long a worker waits for its door's first table before it listens anyway and answers 503.
const FIRST_TABLE: Duration = Duration::from_secs(2);

/// Connections that may wait to be accepted, per socket.
const BACKLOG: i32 = 4096;

/// How long accepting pauses when the process is out of descriptors.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

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
    /// Requests that were cut when the drain ended.
    pub(crate) cut: AtomicUsize,
    /// A worker accepts connections.
    pub(crate) listening: AtomicBool,
    pub(crate) warnings: Warnings,
}

/// What all connections of a worker share.
pub(crate) struct Worker {
    pub(crate) door: DoorRef,
    pub(crate) door_metrics: Arc<DoorMetrics>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    pub(crate) upstreams: Upstreams,
    pub(crate) buffers: Rc<Pool>,
    pub(crate) pipes: Pipes,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) lines: RefCell<Lines>,
    shared: Arc<Shared>,
    phase: Cell<Phase>,
    /// The last publication that the worker has noticed.
    publication: Cell<u64>,
    /// Requests under way, including those that became tunnels.
    requests: Cell<usize>,
    upgraded: Cell<usize>,
    open: Cell<usize>,
    pub(crate) clock: DateClock,
    pub(crate) overflow: Overflow,
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
    client: Cell<Option<IpAddr>>,
}

impl Open {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.metrics.connections_accepted.add(1);
        worker.metrics.connections_open.add(1);
        worker.open.set(worker.open.get() + 1);
        Self {
            worker: Rc::clone(worker),
            client: Cell::new(None),
        }
    }

    /// Counts the connection as the client's, unless that has `limit` already.
    pub(crate) fn enter(&self, client: IpAddr, limit: usize) -> bool {
        let within = self.worker.shared.clients.enter(client, limit);
        if within && limit > 0 {
            self.client.set(Some(client));
        }
        within
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.metrics.connections_open.subtract(1);
        self.worker.open.set(self.worker.open.get().saturating_sub(1));
        self.worker.shared.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(client) = self.client.take() {
            self.worker.shared.clients.leave(client);
        }
        if std::thread::panicking() {
            self.worker.metrics.panics.add(1);
        }
        self.worker.deadlines.nudge();
    }
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        board: Arc<crate::upstream::HealthBoard>,
        lines: Lines,
    ) -> Rc<Self> {
        let metrics = shared.metrics.worker();
        Rc::new(Self {
            door: DoorRef(Arc::clone(&shared)),
            door_metrics: Arc::clone(&shared.metrics),
            upstreams: Upstreams::new(board, Arc::clone(&metrics)),
            metrics,
            buffers: Rc::default(),
            pipes: Pipes::default(),
            deadlines: Deadlines::new(),
            lines: RefCell::new(lines),
            shared,
            phase: Cell::new(Phase::Serving),
            publication: Cell::new(0),
            requests: Cell::new(0),
            upgraded: Cell::new(0),
            open: Cell::new(0),
            clock: DateClock::new(),
            overflow: Overflow::default(),
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// The last publication of the door that the worker has noticed.
    pub(crate) fn publication(&self) -> u64 {
        self.publication.get()
    }

    /// Checks whether something has been published, and wakes work under way to check it too.
    fn notice_publication(&self) {
        let now = self.door.snapshot().publication();
        if self.publication.replace(now) != now {
            self.deadlines.wake_followers();
        }
    }

    /// Logs why a client is refused: `what` happened to it, and the `reason`, which must not differ from client to
    /// client.
    pub(crate) fn warn(&self, client: IpAddr, what: &str, reason: &str) {
        let Some(kept_back) = self.shared.warnings.admit(reason, Instant::now()) else {
            return;
        };
        let more = match kept_back {
            0 => String::new(),
            count => format!(" ({count} more like it have not been reported)"),
        };
        tracing::warn!(listener = %self.door.name(), %client, "{what}: {reason}{more}");
    }

    pub(crate) fn upgraded(self: &Rc<Self>) -> Upgraded {
        self.upgraded.set(self.upgraded.get() + 1);
        Upgraded(Rc::clone(self))
    }

    pub(crate) fn under_way(self: &Rc<Self>) -> UnderWay {
        self.requests.set(self.requests.get() + 1);
        UnderWay(Rc::clone(self))
    }

    /// Accepts and serves until the listener has closed and its connections have ended.
    pub(crate) async fn run(
        self: Rc<Self>,
        socket: socket2::Socket,
        mut phase: watch::Receiver<Phase>,
    ) -> io::Result<()> {
        let ticker = tokio::task::spawn_local(Rc::clone(&self).tick());
        self.wait_for_a_table(&phase).await;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        self.shared.listening.store(true, Ordering::Release);
        while *phase.borrow_and_update() < Phase::Closing {
            self.enter(*phase.borrow());
            tokio::select! {
                biased;
                changed = phase.changed() => if changed.is_err() { break },
                accepted = listener.accept() => self.accepted(accepted).await,
            }
        }
        self.last_accepts(&listener).await;
        drop(listener);
        self.enter(Phase::Closing);
        while self.open.get() > 0 && *phase.borrow_and_update() < Phase::Ended {
            tokio::select! {
                changed = phase.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
        }
        self.cut().await;
        ticker.abort();
        self.lines.borrow_mut().hand_over();
        Ok(())
    }

    /// While a predecessor listens on the same port, the kernel distributes connections to both. So this worker listens
    /// only once it can answer, or once it is clear that no other process does.
    async fn wait_for_a_table(&self, phase: &watch::Receiver<Phase>) {
        let until = Instant::now() + FIRST_TABLE;
        while !self.door.snapshot().is_synced() && *phase.borrow() < Phase::Closing && Instant::now() < until
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn enter(&self, phase: Phase) {
        if self.phase.replace(phase) != phase {
            self.deadlines.wake_all();
        }
    }

    /// Ends what is left, and gives it a moment to notice.
    async fn cut(&self) {
        let cut = self.requests.get().saturating_sub(self.upgraded.get());
        self.shared.cut.fetch_add(cut, Ordering::Relaxed);
        self.enter(Phase::Ended);
        for _ in 0..20 {
            if self.open.get() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Accepts the connections whose handshakes had begun, and none that begin now: their first packets are dropped, so
    /// that the client's kernel sends them again, to another process on the port or to a closed port. Closing at once
    /// would reset the connections in the queue.
    async fn last_accepts(self: &Rc<Self>, listener: &TcpListener) {
        if let Err(error) = socket2::SockRef::from(listener).attach_filter(&DROP_SYN) {
            // There is no better way; the line explains resets to an operator.
            tracing::info!(
                listener = %self.door.name(),
                %error,
                "the kernel lets no filter be set on the socket: connections that begin in this moment may be reset, \
                 unless net.ipv4.tcp_migrate_req is 1"
            );
        }
        let until = tokio::time::Instant::now() + LAST_ACCEPTS;
        while let Ok(accepted) = tokio::time::timeout_at(until, listener.accept()).await {
            self.accepted(accepted).await;
        }
    }

    async fn accepted(self: &Rc<Self>, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, peer)) => self.admit(stream, peer),
            Err(error) if is_about_the_client(&error) => {}
            Err(error) => {
                tracing::warn!(listener = %self.door.name(), %error, "cannot accept; pausing");
                tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
            }
        }
    }

    /// Serves a connection within the door's budget; refuses it otherwise.
    fn admit(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr) {
        let snapshot = self.door.snapshot();
        let settings = snapshot.settings();
        let client = peer.ip().to_canonical();
        let open = self.shared.connections.fetch_add(1, Ordering::Relaxed);
        let counted = Open::new(self);
        // Behind a PROXY header the peer is the load balancer; the client becomes known later.
        let within = open < settings.limits.connections
            && (settings.proxy_protocol != ProxyProtocol::Off
                || counted.enter(client, settings.limits.connections_per_client));
        if !within {
            overflow::turn_away(self, stream, snapshot.ends_tls());
            return;
        }
        let worker = Rc::clone(self);
        if prepare::is_needed(&snapshot) {
            tokio::task::spawn_local(prepare::serve(stream, client, counted, worker));
            return;
        }
        // Created outside the task, so that idle connections hold nothing else.
        let client = Client::new(
            Stream::plain(stream),
            Downstream::clear(Peer::of_socket(client)),
            worker,
        );
        let served = Box::new(client).serve();
        tokio::task::spawn_local(async move {
            let _counted = counted;
            served.await;
        });
    }

    /// Checks deadlines, looks for a publication, passes on log lines, sweeps the pools.
    async fn tick(self: Rc<Self>) {
        let mut swept = Instant::now();
        loop {
            if self.deadlines.is_empty() && self.lines.borrow().is_empty() {
                tokio::select! {
                    () = self.deadlines.work() => {}
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
            }
            tokio::time::sleep(TICK).await;
            let now = Instant::now();
            self.deadlines.fire(now);
            self.notice_publication();
            self.lines.borrow_mut().hand_over();
            if now.duration_since(swept) >= Duration::from_secs(1) {
                swept = now;
                self.upstreams.sweep(now);
                self.buffers.trim();
            }
        }
    }
}

/// Classic BPF on a TCP socket, whose packets begin with the TCP header: drop what has SYN and not ACK.
const DROP_SYN: [socket2::SockFilter; 5] = [
    socket2::SockFilter::new(0x30, 0, 0, 13),
    socket2::SockFilter::new(0x54, 0, 0, 0x12),
    socket2::SockFilter::new(0x15, 0, 1, 0x02),
    socket2::SockFilter::new(0x06, 0, 0, 0),
    socket2::SockFilter::new(0x06, 0, 0, u32::MAX),
];

/// Errors of one connection that was never accepted (accept(2)).
fn is_about_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
