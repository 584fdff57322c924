//! Accepting a door's connections on one worker, within the door's budget and until its drain has ended.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinError;

use crate::head::downstream::Downstream;
use crate::head::identity::Peer;
use crate::listen::overflow::Overflow;
use crate::listen::prepare;
use crate::listen::socket::Bound;
use crate::observe::access::Lines;
use crate::observe::labels::{Reason, Shortage};
use crate::request::requester::Server;
use crate::serve::http1::Http1Connection;
use crate::settings::ProxyProtocol;
use crate::stream::socket::Socket;
use crate::upstream::HealthBoard;
use crate::worker::crew::Crew;
use crate::worker::deadlines::TICK;
use crate::worker::{Open, Phase, Shared, Worker};

/// How long the worker still accepts from a socket that admits no new connections, so that handshakes under way can
/// complete.
const LAST_ACCEPTS: Duration = Duration::from_millis(300);

/// How long a worker waits for its door's first table before it listens anyway and answers 503.
const FIRST_TABLE: Duration = Duration::from_secs(2);

/// How long accepting pauses when the process is out of descriptors, and when an idle connection ends for the next one.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);
const UNTIL_ONE_ENDS: Duration = Duration::from_millis(10);

/// How long it pauses when it is not known yet what the last connections hold.
const UNTIL_KNOWN: Duration = Duration::from_millis(10);

/// Connections that are accepted before what the others have sent is looked at.
const ACCEPTED_AT_ONCE: u32 = 16;

/// Connections that are refused one after the other while the process is out of descriptors.
const REFUSED_AT_ONCE: usize = 64;

/// Accepts the connections of one socket and serves them.
pub(crate) struct Acceptor {
    server: Rc<Server>,
    overflow: Overflow,
    crew: Arc<Crew>,
    /// A descriptor with which connections can be refused when there is no other.
    spare: RefCell<Option<OwnedFd>>,
}

impl Acceptor {
    pub(crate) fn new(
        shared: Arc<Shared>,
        board: Arc<HealthBoard>,
        lines: Lines,
        crew: Arc<Crew>,
        spare: Option<OwnedFd>,
    ) -> Self {
        Self {
            server: Server::new(shared, board, lines),
            overflow: Overflow::default(),
            crew,
            spare: RefCell::new(spare),
        }
    }

    pub(super) fn worker(&self) -> Rc<Worker> {
        Rc::clone(&self.server.worker)
    }

    /// Counts how often its worker has begun anew.
    pub(super) fn count_restarts(&self, restarts: u64) {
        self.server.worker.metrics.worker_restarts.add(restarts);
    }

    /// Accepts and serves until the listener has closed and its connections have ended. Panics when one of the tasks that
    /// every connection depends on does.
    pub(super) async fn run(self, bound: &mut Bound, phase: watch::Receiver<Phase>) -> io::Result<()> {
        let mut ticker = tokio::task::spawn_local(tick(Rc::clone(&self.server)));
        let mut heeding = tokio::task::spawn_local(heed(Rc::clone(&self.server)));
        let outcome = tokio::select! {
            biased;
            outcome = self.serve(bound, phase) => outcome,
            Err(ended) = &mut ticker => pass_on(ended),
            Err(ended) = &mut heeding => pass_on(ended),
        };
        ticker.abort();
        heeding.abort();
        self.server.worker.lines.borrow_mut().hand_over();
        outcome
    }

    async fn serve(&self, bound: &mut Bound, mut phase: watch::Receiver<Phase>) -> io::Result<()> {
        let worker = &self.server.worker;
        self.wait_for_a_table(&phase).await;
        let listener = bound.listen()?;
        let listens = self.crew.listens();
        let mut in_turn = 0;
        while *phase.borrow_and_update() < Phase::Closing {
            worker.enter(*phase.borrow());
            in_turn = (in_turn + 1) % ACCEPTED_AT_ONCE;
            if in_turn == 0 {
                tokio::task::yield_now().await;
            }
            if !(worker.memory.has_room() || worker.memory.refuses_connections()) {
                worker.memory.crowd();
                tokio::time::sleep(UNTIL_KNOWN).await;
                continue;
            }
            tokio::select! {
                biased;
                changed = phase.changed() => if changed.is_err() { break },
                accepted = listener.accept() => self.accepted(accepted, listener).await,
            }
        }
        self.last_accepts(listener).await;
        bound.close();
        worker.enter(Phase::Closing);
        while worker.open_connections() > 0 && *phase.borrow_and_update() < Phase::Ended {
            tokio::select! {
                changed = phase.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
        }
        self.cut().await;
        drop(listens);
        Ok(())
    }

    /// While a predecessor listens on the same port, the kernel distributes connections to both. So this worker listens
    /// only once it can answer, or once it is clear that no other process does.
    async fn wait_for_a_table(&self, phase: &watch::Receiver<Phase>) {
        let until = Instant::now() + FIRST_TABLE;
        while !self.server.worker.door.snapshot().is_synced()
            && *phase.borrow() < Phase::Closing
            && Instant::now() < until
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends what is left, and gives it a moment to notice.
    async fn cut(&self) {
        let worker = &self.server.worker;
        worker.count_cut();
        worker.enter(Phase::Ended);
        for _ in 0..20 {
            if worker.open_connections() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Accepts the connections whose handshakes had begun, and none that begin now: their first packets are dropped, so
    /// that the client's kernel sends them again, to another process on the port or to a closed port. Closing at once
    /// would reset the connections in the queue.
    async fn last_accepts(&self, listener: &TcpListener) {
        if let Err(error) = socket2::SockRef::from(listener).attach_filter(&DROP_SYN) {
            // There is no better way; the line explains resets to an operator.
            tracing::info!(
                listener = %self.server.worker.door.name(),
                %error,
                "the kernel lets no filter be set on the socket: connections that begin in this moment may be reset, \
                 unless net.ipv4.tcp_migrate_req is 1"
            );
        }
        let until = tokio::time::Instant::now() + LAST_ACCEPTS;
        while let Ok(accepted) = tokio::time::timeout_at(until, listener.accept()).await {
            self.accepted(accepted, listener).await;
        }
    }

    async fn accepted(&self, accepted: io::Result<(TcpStream, SocketAddr)>, listener: &TcpListener) {
        #[cfg(test)]
        crate::listen::tests::panic_if_asked(self.server.worker.door.name());
        match accepted {
            Ok((stream, peer)) => {
                if self.server.worker.is_full() {
                    // Only now is it known which of those that came before are idle, and those that give way have ended.
                    tokio::task::yield_now().await;
                }
                self.admit(stream, peer);
            }
            Err(error) if is_about_the_client(&error) => {}
            Err(error) => self.cannot_accept(&error, listener).await,
        }
    }

    /// The process or the host is out of descriptors although the door may use more. An idle connection gives way, so that
    /// the next one can be accepted after a pause. If none is idle, those that wait are refused.
    async fn cannot_accept(&self, error: &io::Error, listener: &TcpListener) {
        let worker = &self.server.worker;
        worker.warn_of_itself("cannot accept a connection", error);
        if worker.make_room(1, Shortage::Descriptors) {
            tokio::time::sleep(UNTIL_ONE_ENDS).await;
            return;
        }
        self.refuse_waiting(listener).await;
        tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
    }

    async fn refuse_waiting(&self, listener: &TcpListener) {
        if self.spare.take().is_none() {
            return;
        }
        let worker = &self.server.worker;
        let ends_tls = worker.door.snapshot().ends_tls();
        for _ in 0..REFUSED_AT_ONCE {
            let accepted = poll_fn(|context| Poll::Ready(listener.poll_accept(context))).await;
            let Poll::Ready(Ok((stream, _))) = accepted else {
                break;
            };
            self.overflow.turn_away_at_once(worker, &stream, ends_tls);
        }
        // If it is taken meanwhile, the next time nobody is refused.
        self.spare.replace(spare().ok());
    }

    /// Serves a connection within the door's budget; refuses it otherwise.
    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let server = &self.server;
        server.worker.turns.give_way(Instant::now());
        let snapshot = server.worker.door.snapshot();
        let settings = snapshot.settings();
        let client = peer.ip().to_canonical();
        let counted = Open::new(&server.worker);
        // A worker that had nothing to do has not looked for a while.
        server.worker.memory.settle();
        let is_short = server.worker.memory.refuses_connections();
        // Behind a PROXY header the peer is the load balancer; the client becomes known later. Nobody makes room for a
        // client that has its share.
        let is_one_too_many =
            settings.proxy_protocol == ProxyProtocol::Off && !counted.enter(client, false, settings);
        // Nobody makes room for one that is refused all the same.
        let has_room = !is_one_too_many && (is_short || counted.has_room(settings));
        if !has_room || is_short {
            let why = if has_room {
                Reason::Overload
            } else {
                Reason::ConnectionLimit
            };
            self.overflow
                .turn_away(&server.worker, stream, snapshot.ends_tls(), why);
            return;
        }
        let server = Rc::clone(server);
        if prepare::is_needed(&snapshot) {
            let overflow = self.overflow.clone();
            tokio::task::spawn_local(prepare::serve(stream, client, counted, overflow, server));
            return;
        }
        // Created outside the task, so that idle connections hold nothing else.
        let downstream = Downstream::clear(Peer::of_socket(client));
        let served = Box::new(Http1Connection::new(
            Socket::plain(stream),
            downstream,
            counted.take_newcomer(),
            server,
        ))
        .serve();
        tokio::task::spawn_local(async move {
            let _counted = counted;
            served.await;
        });
    }
}

/// The panic of a task is the worker's.
fn pass_on(ended: JoinError) -> io::Result<()> {
    match ended.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(cancelled) => Err(cancelled.into()),
    }
}

/// A descriptor to be held in reserve: any file will do.
pub(super) fn spare() -> io::Result<OwnedFd> {
    std::fs::File::open("/dev/null").map(OwnedFd::from)
}

/// Makes the room that other workers ask for.
async fn heed(server: Rc<Server>) {
    let worker = &server.worker;
    loop {
        for _ in 0..worker.heed().await {
            if !worker.backend_room.free_one() {
                break;
            }
        }
    }
}

/// Checks deadlines, looks for a publication, passes on log lines, sweeps the pools.
async fn tick(server: Rc<Server>) {
    let worker = &server.worker;
    let mut swept = worker.deadlines.now();
    loop {
        if worker.deadlines.is_empty() && worker.lines.borrow().is_empty() {
            tokio::select! {
                () = worker.deadlines.work() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
        worker.shed_for(TICK).await;
        let now = worker.deadlines.now();
        worker.deadlines.fire(now);
        worker.notice_publication();
        worker.shed();
        worker.memory.tick();
        worker.lines.borrow_mut().hand_over();
        if now.duration_since(swept) >= Duration::from_secs(1) {
            swept = now;
            server.upstreams.sweep(now);
            worker.routes.sweep();
            worker.buffers.trim();
            worker.memory.trim();
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
