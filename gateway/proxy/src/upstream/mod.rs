//! One worker's view of the backends: which endpoint takes the next request, and the connections kept for it.
//!
//! Everything here belongs to one worker thread and needs no lock. The workers of a door share only the health of
//! endpoints ([`health`]).

mod balance;
pub(crate) mod connecting;
mod endpoint;
mod health;
mod multiplexed;
mod tries;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use door::{Upstream, UpstreamProtocol};
use foldhash::fast::RandomState;

pub(crate) use balance::Chosen;
pub(crate) use endpoint::{ConnectError, Endpoint, InFlight, Reuse};
pub(crate) use health::HealthBoard;
pub(crate) use multiplexed::InStream;
pub(crate) use tries::{Again, Tries};

use crate::observe::labels::Cause;
use crate::observe::metrics::WorkerMetrics;

/// A kept connection that has been idle for longer is closed.
const IDLE: Duration = Duration::from_secs(30);

/// An endpoint that no request has used for this long is dropped.
const FORGET: Duration = Duration::from_secs(60);

/// An address, the protocol and trust with which it is called, and the namespace. Two routes with different trust never
/// share a connection, and what the requests of one namespace reveal about an address counts in that namespace only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    address: SocketAddr,
    protocol: ProtocolKey,
    space: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ProtocolKey {
    Http1,
    H2c,
    /// The address of the settings in memory: the endpoint holds them, so the address stays theirs while it is known.
    Tls(usize),
}

/// Faults of an endpoint that are as bad as refusing connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It closed a new connection, or reset the request, before any byte of the response.
    Broken,
    /// Its response is not HTTP, or cannot be forwarded.
    Malformed,
    /// Its response did not begin in time.
    Slow,
    /// It did not prove its identity, or refused the gateway's.
    Tls,
}

/// All endpoints that this worker has used lately.
pub(crate) struct Upstreams {
    endpoints: RefCell<HashMap<Key, Rc<Endpoint>, RandomState>>,
    board: Arc<HealthBoard>,
    metrics: Arc<WorkerMetrics>,
}

impl Upstreams {
    pub(crate) fn new(board: Arc<HealthBoard>, metrics: Arc<WorkerMetrics>) -> Self {
        Self {
            endpoints: RefCell::default(),
            board,
            metrics,
        }
    }

    /// Chooses the endpoint for a request: power of two choices on requests in flight. `tries` is where this very request
    /// has failed. `None` when no other endpoint can take it.
    pub(crate) fn choose(&self, upstream: &Upstream, tries: &Tries) -> Option<Chosen> {
        let protocol = ProtocolKey::of(&upstream.protocol);
        balance::power_of_two(upstream, tries, |address| {
            let key = Key {
                address,
                protocol,
                space: upstream.space,
            };
            let endpoint = self.endpoint(key, &upstream.protocol);
            endpoint.want();
            endpoint
        })
    }

    /// Records that an endpoint failed a request; several failures in a row eject it for a while.
    pub(crate) fn failed(&self, upstream: &Upstream, endpoint: &Endpoint, fault: Fault) {
        endpoint.disappointed();
        if !endpoint.health().failed() {
            return;
        }
        if let Some(time) = self.board.take_out(endpoint.health(), Key::all(upstream)) {
            endpoint.ejected(fault.cause());
            tracing::warn!(
                endpoint = %endpoint.address(),
                service = %upstream.service,
                "endpoint ejected for {time:?}: {}", fault.words()
            );
        }
    }

    fn endpoint(&self, key: Key, protocol: &UpstreamProtocol) -> Rc<Endpoint> {
        let mut endpoints = self.endpoints.borrow_mut();
        let address = key.address;
        let endpoint = endpoints.entry(key).or_insert_with(|| {
            Rc::new(Endpoint::new(
                address,
                protocol.clone(),
                self.board.health(key),
                Arc::clone(&self.metrics),
            ))
        });
        Rc::clone(endpoint)
    }

    /// Closes kept connections that have been idle for too long or were closed by the backend, and drops endpoints that
    /// are out of use. Called once a second.
    pub(crate) fn sweep(&self, now: Instant) {
        self.endpoints.borrow_mut().retain(|_, endpoint| {
            endpoint.sweep(now, IDLE);
            !endpoint.is_forgotten(now, FORGET)
        });
        self.board.sweep();
    }
}

impl Key {
    /// Every endpoint of an upstream.
    fn all(upstream: &Upstream) -> impl ExactSizeIterator<Item = Self> {
        let protocol = ProtocolKey::of(&upstream.protocol);
        upstream.endpoints.iter().map(move |endpoint| Self {
            address: endpoint.address,
            protocol,
            space: upstream.space,
        })
    }
}

impl Fault {
    fn cause(self) -> Cause {
        match self {
            Self::Broken => Cause::Broken,
            Self::Malformed => Cause::Malformed,
            Self::Slow => Cause::Slow,
            Self::Tls => Cause::Tls,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Broken => "it breaks connections before it answers",
            Self::Malformed => "its responses are malformed",
            Self::Slow => "its responses do not begin in time",
            Self::Tls => "TLS handshakes with it fail",
        }
    }
}

impl ProtocolKey {
    fn of(protocol: &UpstreamProtocol) -> Self {
        match protocol {
            UpstreamProtocol::Http1 => Self::Http1,
            UpstreamProtocol::H2c => Self::H2c,
            UpstreamProtocol::Tls(tls) => Self::Tls(Arc::as_ptr(tls).addr()),
        }
    }
}
