//! One endpoint as one worker sees it: requests in flight, kept connections, connecting, probing.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::health::Health;
use crate::metrics::WorkerMetrics;

/// Kept connections per endpoint and worker.
const KEPT: usize = 256;

/// Many servers close a connection after 5 s without a request (Node.js does by default). A request that must not
/// be sent twice takes only a connection younger than that, with a margin.
const SURE: Duration = Duration::from_secs(4);

/// How often an ejected endpoint is probed, and how long one probe may take.
const PROBE: Duration = Duration::from_secs(1);

/// An endpoint of some upstream.
pub(crate) struct Endpoint {
    address: SocketAddr,
    in_flight: Cell<usize>,
    idle: RefCell<Vec<Idle>>,
    last_used: Cell<Instant>,
    /// Some request would have taken it, had it not been ejected.
    wanted: Cell<bool>,
    health: Arc<Health>,
    metrics: Arc<WorkerMetrics>,
}

struct Idle {
    stream: TcpStream,
    since: Instant,
}

/// Which kept connections a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// Any that lives: the request may be repeated if the connection turns out to be closing.
    Any,
    /// Only one that the backend has no reason to be closing right now.
    Sure,
}

/// Counts a request in flight for as long as it lives.
pub(crate) struct InFlight(Rc<Endpoint>);

impl Endpoint {
    pub(super) fn new(address: SocketAddr, health: Arc<Health>, metrics: Arc<WorkerMetrics>) -> Self {
        Self {
            address,
            in_flight: Cell::new(0),
            idle: RefCell::default(),
            last_used: Cell::new(Instant::now()),
            wanted: Cell::new(false),
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
            self.wanted.set(true);
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
    pub(crate) fn reuse(&self, rule: Reuse, now: Instant) -> Option<TcpStream> {
        let mut idle = self.idle.borrow_mut();
        while let Some(kept) = idle.pop() {
            if !is_silent(&kept.stream) {
                continue;
            }
            if rule == Reuse::Sure && now.duration_since(kept.since) > SURE {
                // Those below are older still.
                idle.push(kept);
                return None;
            }
            self.metrics.upstream_reused.add(1);
            return Some(kept.stream);
        }
        None
    }

    /// Keeps a connection on which an exchange has ended cleanly.
    pub(crate) fn keep(&self, stream: TcpStream, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < KEPT && !self.health.is_ejected() {
            idle.push(Idle { stream, since: now });
        }
        self.last_used.set(now);
    }

    /// Connects, and learns from the outcome.
    pub(crate) async fn connect(self: &Rc<Self>, timeout: Duration) -> io::Result<TcpStream> {
        self.metrics.upstream_connects.add(1);
        let outcome = connect(self.address, timeout).await;
        match &outcome {
            Ok(_) => self.health.succeeded(),
            // Running out of our own descriptors or ports says nothing about the endpoint.
            Err(error) if Self::is_ours(error) => self.metrics.upstream_connect_failures.add(1),
            Err(error) => {
                self.metrics.upstream_connect_failures.add(1);
                if self.health.failed() {
                    self.metrics.upstream_ejections.add(1);
                    self.idle.borrow_mut().clear();
                    tracing::warn!(endpoint = %self.address, %error, "endpoint ejected; probing it once a second");
                    tokio::task::spawn_local(Rc::clone(self).probe());
                }
            }
        }
        outcome
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
            if self.wanted.take() {
                unwanted_since = Instant::now();
            }
        }
        self.health.succeeded();
    }

    /// Errors of this process, not of the endpoint: descriptors, memory, local ports.
    pub(crate) fn is_ours(error: &io::Error) -> bool {
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
            .retain(|kept| now.duration_since(kept.since) < most && is_silent(&kept.stream));
    }

    pub(super) fn is_forgotten(&self, now: Instant, after: Duration) -> bool {
        self.in_flight.get() == 0
            && self.idle.borrow().is_empty()
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

/// Neither data nor an end has arrived on an idle connection.
fn is_silent(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0; 1]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

async fn connect(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(timeout, TcpStream::connect(address))
        .await
        .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}
