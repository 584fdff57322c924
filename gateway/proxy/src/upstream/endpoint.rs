//! One endpoint as one worker sees it: requests in flight, failure rate, kept connections, connecting, probing.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use door::UpstreamProtocol;
use http::Request;
use route::ObjectKey;

use super::connect::{ConnectError, connect, is_ours, is_out_of_descriptors, secure};
use super::health::{Availability, Health, LastResort};
use super::key::{Key, WeakProtocol};
use super::multiplexed::{InStream, Multiplexed};
use super::places::Asker;
use super::probe::{Found, probe};
use super::probes::{Probed, Probes};
use crate::observe::labels::EjectionCause;
use crate::observe::metrics::WorkerMetrics;
use crate::observe::route_counts::ServiceCounts;
use crate::stream::http2::Http2Stream;
use crate::stream::socket::Socket;
use crate::worker::backend_room::BackendRoom;
use crate::worker::memory::{BACKEND, Memory, SESSION};
use crate::worker::warnings::KeptBack;

/// Kept connections per endpoint and worker.
const KEPT: usize = 256;

/// Many servers close a connection after 5 s without a request (Node.js does by default). A request that must not be
/// sent twice uses only a connection that has been idle for less, with a margin.
const SURE: Duration = Duration::from_secs(4);

/// If a connection is not established by then, its first packet was lost or ignored. This counts even if no request
/// waits for it any longer.
const UNANSWERED: Duration = Duration::from_secs(1);

/// The highest failure rate, of 256: an endpoint must get a request now and then, or it could never recover.
const WORST: u8 = 240;

/// The fraction of the way to [`WORST`], or back, that one request moves the rate.
const STEP: u8 = 8;

/// An endpoint of some upstream with one protocol and trust: its connections never serve another protocol or trust.
pub(crate) struct Endpoint {
    key: Key,
    protocol: WeakProtocol,
    in_flight: Cell<usize>,
    /// It has answered a request, so it is known to speak HTTP.
    has_answered: Cell<bool>,
    /// Its recent failure rate, of 256.
    failing: Cell<u8>,
    idle: RefCell<Vec<Idle>>,
    multiplexed: Multiplexed,
    last_used: Cell<Instant>,
    health: Arc<Health>,
    /// How often the health had been reset when this was last checked.
    forgotten: Cell<u32>,
    metrics: Arc<WorkerMetrics>,
    /// What is counted of the Service for which it was connected to last.
    service: RefCell<Option<Arc<ServiceCounts>>>,
    room: Rc<BackendRoom>,
    memory: Rc<Memory>,
    probes: Weak<Probes>,
}

struct Idle {
    socket: Socket,
    since: Instant,
}

/// Which kept connections a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// Any open one: the request may be repeated if the connection turns out to be closing.
    Any,
    /// Only one that the backend has no reason to be closing now.
    Sure,
    /// None: one has just turned out to be closed, and others may be closed too.
    None,
}

/// Counts a request in flight for as long as it lives.
pub(crate) struct InFlight(Rc<Endpoint>);

impl Endpoint {
    pub(super) fn new(
        key: Key,
        protocol: &UpstreamProtocol,
        health: Arc<Health>,
        metrics: Arc<WorkerMetrics>,
        room: Rc<BackendRoom>,
        memory: Rc<Memory>,
        probes: Weak<Probes>,
    ) -> Self {
        Self {
            key,
            protocol: WeakProtocol::of(protocol),
            in_flight: Cell::new(0),
            has_answered: Cell::new(false),
            failing: Cell::new(0),
            idle: RefCell::default(),
            multiplexed: Multiplexed::new(Rc::clone(&memory)),
            memory,
            last_used: Cell::new(Instant::now()),
            forgotten: Cell::new(health.forgotten()),
            health,
            metrics,
            service: RefCell::default(),
            room,
            probes,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.key.address
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Its failure rate, from 0 to [`WORST`] of 256.
    pub(super) fn failing(&self) -> u8 {
        self.failing.get()
    }

    pub(super) fn availability(&self) -> Availability {
        self.health.availability()
    }

    pub(crate) fn is_down(&self) -> bool {
        self.health.is_down()
    }

    pub(super) fn examine(&self) -> bool {
        self.health.examine()
    }

    pub(super) fn last_resort(&self) -> Option<LastResort> {
        self.health.last_resort()
    }

    pub(super) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// It has answered a request as a working endpoint does.
    pub(crate) fn served(&self) {
        self.has_answered.set(true);
        self.recover();
        self.health.served();
    }

    /// It has answered with a failure, or not completely: it gets fewer requests.
    pub(crate) fn worsen(&self) {
        let failing = self.failing.get();
        let more = WORST.saturating_sub(failing).div_ceil(STEP);
        self.failing.set(failing.saturating_add(more));
    }

    fn recover(&self) {
        let failing = self.failing.get();
        if failing > 0 {
            self.failing.set(failing - failing.div_ceil(STEP));
        }
    }

    /// If it is down, records that a request would have gone there, and ensures that it is probed.
    pub(super) fn want(self: &Rc<Self>) {
        if !self.health.is_down() {
            return;
        }
        self.health.want();
        if let Some(probing) = self.health.probing()
            && let Some(probes) = self.probes.upgrade()
        {
            probes.add(Rc::<Self>::clone(self), probing);
        }
    }

    /// It has been ejected: its kept connections are most likely no better.
    pub(super) fn ejected(&self, cause: EjectionCause) {
        self.metrics.ejected(cause);
        if let Some(service) = &*self.service.borrow() {
            service.ejected();
        }
        self.idle.borrow_mut().clear();
    }

    /// Counts one request as in flight.
    pub(crate) fn begin(self: &Rc<Self>) -> InFlight {
        self.in_flight.set(self.in_flight.get() + 1);
        InFlight(Rc::clone(self))
    }

    /// A kept connection, if there is an open one. The check costs no system call: the runtime knows from its last poll
    /// whether anything has arrived, and on an idle connection anything is a reason to drop it.
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
                // Those below are even older.
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
        if idle.len() < KEPT && !self.health.is_down() {
            idle.push(Idle { socket, since: now });
        }
        self.last_used.set(now);
    }

    /// A connection is made for this Service next. Services of a namespace may share endpoints: what happens at one counts for
    /// the Service that connected to it last.
    pub(crate) fn connects_for(&self, service: &ObjectKey) {
        self.service.replace(Some(self.metrics.routes.service(service)));
    }

    /// Connects, and learns from the outcome.
    pub(crate) async fn connect(self: &Rc<Self>, timeout: Duration) -> Result<Socket, ConnectError> {
        // The request holds its route, and that holds them.
        let Some(protocol) = self.protocol.upgrade() else {
            return Err(ConnectError::Tcp(io::ErrorKind::NotConnected.into()));
        };
        self.metrics.upstream_connects.add(1);
        let held = match self.room.hold().await {
            Ok(held) => held,
            Err(error) => {
                let none = Err(ConnectError::Tcp(error));
                self.learn(&none);
                return none;
            }
        };
        let service = self.service.borrow().clone();
        let started = Instant::now();
        let mut waiting = Waiting {
            endpoint: self,
            since: Some(started),
        };
        let mut connected = connect(self.key.address, timeout).await;
        // The process may be out of descriptors although the door is not.
        if connected.as_ref().is_err_and(is_out_of_descriptors) && self.room.free_one() {
            connected = connect(self.key.address, timeout).await;
        }
        let connected = connected.map_err(ConnectError::Tcp);
        waiting.since = None;
        let outcome = match (connected, &protocol) {
            (Ok(stream), UpstreamProtocol::Tls(tls)) => {
                // A handshake takes a few more round trips than a connection.
                let left = (timeout * 2).saturating_sub(started.elapsed());
                Box::pin(secure(tls, stream, left)).await
            }
            (connected, _) => connected.map(Socket::plain),
        };
        let session = match &protocol {
            UpstreamProtocol::Tls(_) => SESSION,
            UpstreamProtocol::Http1 | UpstreamProtocol::H2c => 0,
        };
        let outcome = outcome.map(|socket| socket.held(held, self.memory.charge(BACKEND + session)));
        if let Some(service) = service {
            match &outcome {
                Ok(_) => service.connected(started.elapsed()),
                Err(_) => service.not_connected(),
            }
        }
        self.learn(&outcome);
        outcome
    }

    /// Sends the head of a request on a connection with room for it, or on a new one if there is none. `ends`: no body
    /// follows.
    pub(crate) async fn open_stream(
        self: &Rc<Self>,
        request: Request<()>,
        ends: bool,
        asker: Asker,
        timeout: Duration,
    ) -> Result<(Http2Stream, InStream), ConnectError> {
        let connect = async || self.connect(timeout).await;
        self.multiplexed
            .open(request, ends, asker, timeout, connect)
            .await
    }

    fn learn(self: &Rc<Self>, outcome: &Result<Socket, ConnectError>) {
        match outcome {
            Ok(_) => self.health.reached(),
            // It accepts connections; the fault says what it does with them.
            Err(ConnectError::Tls(_) | ConnectError::Closed) => {
                self.health.reached();
                self.metrics.upstream_connect_failures.add(1);
            }
            Err(ConnectError::Full) => {}
            // Running out of the gateway's own descriptors or ports says nothing about the endpoint.
            Err(ConnectError::Tcp(error)) if is_ours(error) => {
                self.metrics.upstream_connect_failures.add(1);
            }
            Err(ConnectError::Tcp(error)) => self.not_reached(error),
        }
    }

    fn not_reached(self: &Rc<Self>, error: &dyn std::fmt::Display) {
        self.metrics.upstream_connect_failures.add(1);
        if self.health.not_reached() {
            self.ejected(EjectionCause::Unreached);
            if let Some(kept_back) = self.may_tell() {
                tracing::warn!(endpoint = %self.key.address, %error, "endpoint ejected; probing it{kept_back}");
            }
            self.want();
        }
    }

    /// Whether another line about an endpoint of its namespace may be logged.
    fn may_tell(&self) -> Option<KeptBack> {
        self.probes.upgrade()?.may_tell(self.key.namespace_id)
    }

    /// When the connection was last used that has been kept for longest, and whether it can be shared.
    pub(super) fn oldest_kept(&self) -> Option<(Instant, bool)> {
        let exclusive = self.idle.borrow().first().map(|kept| (kept.since, false));
        let shared = self.multiplexed.oldest_idle().map(|since| (since, true));
        exclusive.into_iter().chain(shared).min()
    }

    /// Closes the one that has been kept for longest.
    pub(super) fn drop_oldest_kept(&self, shared: bool) {
        if shared {
            self.multiplexed.drop_oldest_idle();
        } else if !self.idle.borrow().is_empty() {
            self.idle.borrow_mut().remove(0);
        }
    }

    pub(super) fn sweep(&self, now: Instant, most: Duration) {
        // Connections hold settings too.
        let most = if self.protocol.is_gone() {
            Duration::ZERO
        } else {
            most
        };
        self.idle
            .borrow_mut()
            .retain_mut(|kept| now.duration_since(kept.since) < most && kept.socket.is_silent());
        self.multiplexed.sweep(now, most);
        // Failures count less with time, even while it gets no requests.
        self.recover();
        if self.forgotten.replace(self.health.forgotten()) != self.forgotten.get() {
            self.failing.set(0);
        }
    }

    pub(super) fn is_forgotten(&self, now: Instant, after: Duration) -> bool {
        // If it were forgotten while down or out, requests would go there again.
        let is_unneeded = || {
            self.health.availability() == Availability::In
                && now.saturating_duration_since(self.last_used.get()) > after
        };
        self.in_flight.get() == 0
            && self.idle.borrow().is_empty()
            && self.multiplexed.is_empty()
            && (self.protocol.is_gone() || is_unneeded())
    }

    #[cfg(test)]
    pub(super) fn take_down_for_test(&self) {
        while !self.health.is_down() {
            self.health.not_reached();
        }
    }
}

impl Probed for Endpoint {
    fn namespace_id(&self) -> u64 {
        self.key.namespace_id
    }

    fn is_down(&self) -> bool {
        self.health.is_down()
    }

    fn is_wanted(&self) -> bool {
        self.health.take_wanted()
    }

    fn probe(self: Rc<Self>) -> Pin<Box<dyn Future<Output = Option<Found>>>> {
        Box::pin(async move {
            let protocol = self.protocol.upgrade().filter(|_| self.has_answered.get());
            // Without a descriptor for it, the endpoint is probed later.
            let _held = self.room.hold().await.ok()?;
            Some(probe(self.key.address, protocol.as_ref()).await)
        })
    }

    fn is_back(&self) {
        if let Some(kept_back) = self.may_tell() {
            tracing::info!(endpoint = %self.key.address, "endpoint is back{kept_back}");
        }
        self.health.reached();
    }

    fn is_let_go(&self) {
        self.health.reached();
    }
}

/// Waits for a connection. If the caller stops waiting after a long time, that is recorded as a failure.
struct Waiting<'e> {
    endpoint: &'e Rc<Endpoint>,
    since: Option<Instant>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() >= UNANSWERED) {
            self.endpoint.not_reached(&"no answer while anybody waited");
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get().saturating_sub(1));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::upstream::HealthBoard;
    use crate::upstream::key::ProtocolKey;

    /// An endpoint of this namespace.
    pub(in crate::upstream) fn endpoint(board: &HealthBoard, namespace_id: u64, port: u16) -> Rc<Endpoint> {
        let key = Key {
            address: ([10, 0, 0, 1], port).into(),
            protocol: ProtocolKey::Http1,
            namespace_id,
        };
        let health = board.health(key);
        Rc::new(Endpoint::new(
            key,
            &UpstreamProtocol::Http1,
            health,
            Arc::default(),
            Rc::default(),
            Memory::of_tests(),
            Weak::new(),
        ))
    }
}
