//! One worker's view of the backends: which endpoint takes the next request, and the connections kept for it.
//!
//! Everything here belongs to one worker thread and needs no lock. Only the verdict that an endpoint is down is
//! shared between the workers of a door ([`health`]).

mod balance;
mod endpoint;
mod health;
mod multiplexed;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use door::{Upstream, UpstreamProtocol};
use foldhash::fast::RandomState;

pub(crate) use endpoint::{ConnectError, Endpoint, InFlight, Reuse};
pub(crate) use health::HealthBoard;
pub(crate) use multiplexed::InStream;

use crate::metrics::WorkerMetrics;

/// A kept connection that has idled longer is closed.
const IDLE: Duration = Duration::from_secs(30);

/// What is known of an endpoint that no request has used for this long is forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// An address and how it is spoken to. Two routes with different trust never share a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    address: SocketAddr,
    protocol: ProtocolKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ProtocolKey {
    Http1,
    H2c,
    /// The settings' place in memory: the endpoint holds them, so the place is theirs while the endpoint is known.
    Tls(usize),
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

    /// Chooses the endpoint for a request: power of two choices on requests in flight. `avoid` is an endpoint that
    /// has just failed this very request. `None` when no endpoint can take it.
    pub(crate) fn choose(&self, upstream: &Upstream, avoid: Option<SocketAddr>) -> Option<Rc<Endpoint>> {
        let protocol = ProtocolKey::of(&upstream.protocol);
        balance::power_of_two(upstream, avoid, |address| {
            self.endpoint(Key { address, protocol }, &upstream.protocol)
        })
    }

    fn endpoint(&self, key: Key, protocol: &UpstreamProtocol) -> Rc<Endpoint> {
        let mut endpoints = self.endpoints.borrow_mut();
        let address = key.address;
        let endpoint = endpoints.entry(key).or_insert_with(|| {
            Rc::new(Endpoint::new(
                address,
                protocol.clone(),
                self.board.health(address),
                Arc::clone(&self.metrics),
            ))
        });
        Rc::clone(endpoint)
    }

    /// Closes kept connections that have idled too long or were closed by the backend, and forgets endpoints that
    /// are out of use. Called once a second.
    pub(crate) fn sweep(&self, now: Instant) {
        self.endpoints.borrow_mut().retain(|_, endpoint| {
            endpoint.sweep(now, IDLE);
            !endpoint.is_forgotten(now, FORGET)
        });
        self.board.sweep();
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
