//! One endpoint as one worker sees it: requests in flight, kept connections, connecting, probing.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use door::{BackendTls, UpstreamProtocol};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::health::Health;
use super::multiplexed::Multiplexed;
use crate::metrics::WorkerMetrics;
use crate::refusal::Refusal;
use crate::stream::Socket;

/// Kept connections per endpoint and worker.
const KEPT: usize = 256;

/// Many servers close a connection after 5 s without a request (Node.js does by default). A request that must not
/// be sent twice takes only a connection younger than that, with a margin.
const SURE: Duration = Duration::from_secs(4);

/// How often an ejected endpoint is probed, and how long one probe may take.
const PROBE: Duration = Duration::from_secs(1);

/// An endpoint of some upstream, spoken to in one way: connections of one protocol or trust never serve another.
pub(crate) struct Endpoint {
    address: SocketAddr,
    protocol: UpstreamProtocol,
    in_flight: Cell<usize>,
    idle: RefCell<Vec<Idle>>,
    pub(super) multiplexed: Multiplexed,
    last_used: Cell<Instant>,
    health: Arc<Health>,
    metrics: Arc<WorkerMetrics>,
}

struct Idle {
    socket: Socket,
    since: Instant,
}

/// Why there is no connection to an endpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Nobody takes connections there, or nobody answers.
    #[error(transparent)]
    Tcp(io::Error),
    /// Somebody does, but is not who it should be, or does not want us.
    #[error("TLS: {0}")]
    Tls(io::Error),
}

/// Which kept connections a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// Any that lives: the request may be repeated if the connection turns out to be closing.
    Any,
    /// Only one that the backend has no reason to be closing right now.
    Sure,
    /// None: one has just turned out to be closed, and others may be as well.
    None,
}

/// Counts a request in flight for as long as it lives.
pub(crate) struct InFlight(Rc<Endpoint>);

impl ConnectError {
    /// What the client is told.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Tcp(error) if error.kind() == io::ErrorKind::TimedOut => Refusal::ConnectTimeout,
            Self::Tcp(error) if Endpoint::is_ours(error) => Refusal::Overload,
            Self::Tcp(_) => Refusal::ConnectFailed,
            Self::Tls(_) => Refusal::UpstreamTls,
        }
    }
}

impl Endpoint {
    pub(super) fn new(
        address: SocketAddr,
        protocol: UpstreamProtocol,
        health: Arc<Health>,
        metrics: Arc<WorkerMetrics>,
    ) -> Self {
        Self {
            address,
            protocol,
            in_flight: Cell::new(0),
            idle: RefCell::default(),
            multiplexed: Multiplexed::default(),
            last_used: Cell::new(Instant::now()),
            health,
            metrics,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Whether requests may go there now.
    pub(super) fn is_usable(&self) -> bool {
        let ejected = self.health.is_ejected();
        if ejected {
            self.health.want();
        }
        !ejected
    }

    /// Counts one request as in flight.
    pub(crate) fn begin(self: &Rc<Self>) -> InFlight {
        self.in_flight.set(self.in_flight.get() + 1);
        InFlight(Rc::clone(self))
    }

    /// A kept connection, if there is one that lives. The check costs no system call: the runtime knows from its
    /// last poll whether anything has arrived, and on an idle connection anything is a reason to drop it.
    pub(crate) fn reuse(&self, rule: Reuse, now: Instant) -> Option<Socket> {
        if rule == Reuse::None {
            return None;
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(mut kept) = idle.pop() {
            if !kept.socket.is_silent() {
                continue;
            }
            if rule == Reuse::Sure && now.duration_since(kept.since) > SURE {
                // Those below are older still.
                idle.push(kept);
                return None;
            }
            self.metrics.upstream_reused.add(1);
            return Some(kept.socket);
        }
        None
    }

    /// Keeps a connection on which an exchange has ended cleanly.
    pub(crate) fn keep(&self, socket: Socket, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < KEPT && !self.health.is_ejected() {
            idle.push(Idle { socket, since: now });
        }
        self.last_used.set(now);
    }

    /// Connects, and learns from the outcome.
    pub(crate) async fn connect(self: &Rc<Self>, timeout: Duration) -> Result<Socket, ConnectError> {
        self.metrics.upstream_connects.add(1);
        let started = Instant::now();
        let connected = connect(self.address, timeout).await.map_err(ConnectError::Tcp);
        let outcome = match (connected, &self.protocol) {
            (Ok(stream), UpstreamProtocol::Tls(tls)) => {
                // A handshake takes a few turns more than a connection does.
                let left = (timeout * 2).saturating_sub(started.elapsed());
                Box::pin(secure(tls, stream, left)).await
            }
            (connected, _) => connected.map(Socket::Plain),
        };
        self.learn(&outcome);
        outcome
    }

    fn learn(self: &Rc<Self>, outcome: &Result<Socket, ConnectError>) {
        match outcome {
            Ok(_) => self.health.succeeded(),
            // It answers: that it is not who this route takes it for says nothing to other routes.
            Err(ConnectError::Tls(_)) => self.metrics.upstream_connect_failures.add(1),
            // Running out of our own descriptors or ports says nothing about the endpoint.
            Err(ConnectError::Tcp(error)) if Self::is_ours(error) => {
                self.metrics.upstream_connect_failures.add(1);
            }
            Err(ConnectError::Tcp(error)) => {
                self.metrics.upstream_connect_failures.add(1);
                if self.health.failed() {
                    self.metrics.upstream_ejections.add(1);
                    self.idle.borrow_mut().clear();
                    tracing::warn!(endpoint = %self.address, %error, "endpoint ejected; probing it once a second");
                    tokio::task::spawn_local(Rc::clone(self).probe());
                }
            }
        }
    }

    /// Probes until the endpoint answers, or until no request has wanted it for a while: it is then most likely
    /// gone for good. No user's request pays for finding out.
    async fn probe(self: Rc<Self>) {
        let mut unwanted_since = Instant::now();
        while unwanted_since.elapsed() < super::FORGET {
            tokio::time::sleep(PROBE).await;
            if connect(self.address, PROBE).await.is_ok() {
                tracing::info!(endpoint = %self.address, "endpoint is back");
                break;
            }
            if self.health.take_wanted() {
                unwanted_since = Instant::now();
            }
        }
        self.health.succeeded();
    }

    /// Errors of this process, not of the endpoint: descriptors, memory, local ports.
    fn is_ours(error: &io::Error) -> bool {
        use rustix::io::Errno;
        [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::ADDRNOTAVAIL,
        ]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
    }

    pub(super) fn sweep(&self, now: Instant, most: Duration) {
        self.idle
            .borrow_mut()
            .retain_mut(|kept| now.duration_since(kept.since) < most && kept.socket.is_silent());
        self.multiplexed.sweep(now, most);
    }

    pub(super) fn is_forgotten(&self, now: Instant, after: Duration) -> bool {
        // Whoever forgets that it is down sends requests there again.
        !self.health.is_ejected()
            && self.in_flight.get() == 0
            && self.idle.borrow().is_empty()
            && self.multiplexed.is_empty()
            && now.saturating_duration_since(self.last_used.get()) > after
    }

    #[cfg(test)]
    pub(super) fn eject_for_test(&self) {
        while !self.health.is_ejected() {
            self.health.failed();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get().saturating_sub(1));
    }
}

async fn connect(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(timeout, TcpStream::connect(address))
        .await
        .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn secure(tls: &BackendTls, stream: TcpStream, timeout: Duration) -> Result<Socket, ConnectError> {
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    let handshake = connector.connect(tls.server_name.clone(), stream);
    let stream = tokio::time::timeout(timeout, handshake)
        .await
        // Silence is no word of TLS: it is as if nobody had answered.
        .map_err(|_elapsed| ConnectError::Tcp(io::ErrorKind::TimedOut.into()))?
        .map_err(ConnectError::Tls)?;
    if tls.h2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        let message = "the backend does not speak HTTP/2 (ALPN)";
        return Err(ConnectError::Tls(io::Error::new(
            io::ErrorKind::InvalidData,
            message,
        )));
    }
    Ok(Socket::Tls(Box::new(stream.into())))
}
