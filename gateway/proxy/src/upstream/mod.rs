//! One worker's view of the backends: which endpoint takes the next request, and the connections kept for it.
//!
//! Everything here belongs to one worker thread and needs no lock. The workers of a door share only the health of
//! endpoints ([`health`]).

mod balance;
mod call;
mod choice;
pub(crate) mod conduct;
mod connect;
pub(crate) mod connecting;
mod connection;
mod endpoint;
mod fetch;
mod health;
mod key;
mod multiplexed;
mod places;
mod probe;
mod probes;
mod tls_fault;
mod tries;

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use door::{Upstream, UpstreamProtocol};
use foldhash::fast::RandomState;

pub(crate) use balance::Chosen;
use balance::Search;
pub(crate) use call::body;
pub(crate) use choice::{Choice, Preference};
use conduct::{Conduct, Fault};
pub(crate) use connect::ConnectError;
pub(crate) use endpoint::{Endpoint, InFlight, Reuse};
pub use health::UnwellEndpoint;
pub(crate) use health::{Availability, HealthBoard};
use key::{Key, ProtocolKey};
pub(crate) use multiplexed::InStream;
pub(crate) use places::Asker;
use probes::{FORGET, Probes};
pub(crate) use tries::Again;

use crate::observe::metrics::WorkerMetrics;
use crate::worker::backend_room::BackendRoom;
use crate::worker::memory::Memory;

/// A kept connection that has been idle for longer is closed.
const IDLE: Duration = Duration::from_secs(30);

/// How many endpoints of one namespace a worker remembers. It uses others, too, and learns nothing of them.
const KNOWN: usize = 10_000;

/// All endpoints that this worker has used lately.
pub(crate) struct Upstreams {
    endpoints: Rc<Known>,
    /// How many of them each namespace has.
    counts: RefCell<HashMap<u64, usize>>,
    /// Where requests search in upstreams with many endpoints that are not usable.
    searches: RefCell<HashMap<u64, Rc<Search>>>,
    hasher: std::hash::RandomState,
    probes: Rc<Probes>,
    board: Arc<HealthBoard>,
    metrics: Arc<WorkerMetrics>,
    room: Rc<BackendRoom>,
    memory: Rc<Memory>,
}

type Known = RefCell<HashMap<Key, Rc<Endpoint>, RandomState>>;

impl Upstreams {
    pub(crate) fn new(
        board: Arc<HealthBoard>,
        metrics: Arc<WorkerMetrics>,
        room: Rc<BackendRoom>,
        memory: Rc<Memory>,
    ) -> Self {
        Self {
            endpoints: Rc::default(),
            counts: RefCell::default(),
            searches: RefCell::default(),
            hasher: std::hash::RandomState::new(),
            probes: Probes::new(Arc::clone(&board), Arc::clone(&metrics)),
            board,
            metrics,
            room,
            memory,
        }
    }

    /// What closes the connection that has been kept for longest, for as long as there are upstreams.
    pub(crate) fn drop_oldest_kept(&self) -> impl Fn() -> bool + 'static {
        let endpoints = Rc::downgrade(&self.endpoints);
        move || {
            let Some(endpoints) = endpoints.upgrade() else {
                return false;
            };
            let endpoints = endpoints.borrow();
            let kept = endpoints
                .values()
                .filter_map(|endpoint| Some((endpoint.oldest_kept()?, endpoint)));
            match kept.min_by_key(|(kept, _)| *kept) {
                Some(((_, shared), endpoint)) => {
                    endpoint.drop_oldest_kept(shared);
                    true
                }
                None => false,
            }
        }
    }

    /// Chooses the endpoint for a request: power of two choices on requests in flight. `None` when no endpoint that the
    /// choice allows can take it.
    pub(crate) fn choose(&self, upstream: &Upstream, choice: &Choice) -> Option<Chosen> {
        let protocol = ProtocolKey::of(&upstream.protocol);
        let known = |address| {
            let key = Key {
                address,
                protocol,
                namespace_id: upstream.namespace_id,
            };
            let endpoint = self.endpoint(key, &upstream.protocol);
            endpoint.want();
            endpoint
        };
        balance::power_of_two(upstream, choice, known, || self.search(upstream, protocol))
    }

    /// Whether one of the first endpoints may take a request.
    pub(crate) fn has_usable(&self, upstream: &Upstream) -> bool {
        let protocol = ProtocolKey::of(&upstream.protocol);
        upstream.endpoints.iter().take(balance::LOOKS).any(|endpoint| {
            let key = Key {
                address: endpoint.address,
                protocol,
                namespace_id: upstream.namespace_id,
            };
            let endpoint = self.endpoint(key, &upstream.protocol);
            match endpoint.availability() {
                Availability::In | Availability::Due => true,
                Availability::Out | Availability::Down => false,
            }
        })
    }

    fn search(&self, upstream: &Upstream, protocol: ProtocolKey) -> Rc<Search> {
        let identity = (&upstream.service, upstream.port, protocol);
        let mut searches = self.searches.borrow_mut();
        Rc::clone(searches.entry(self.hasher.hash_one(identity)).or_default())
    }

    /// Records how an endpoint behaved in an attempt. Everything that must learn of it is notified here.
    pub(crate) fn report(&self, upstream: &Upstream, endpoint: &Endpoint, conduct: Conduct) {
        match conduct {
            Conduct::Good => endpoint.served(),
            Conduct::Poor => endpoint.worsen(),
            Conduct::Bad(fault) => self.failed(upstream, endpoint, fault),
            Conduct::Unknown => {}
        }
    }

    /// Records that an endpoint failed a request; several failures in a row eject it for a while.
    fn failed(&self, upstream: &Upstream, endpoint: &Endpoint, fault: Fault) {
        endpoint.worsen();
        if !endpoint.health().failed() {
            return;
        }
        let Some(time) = self.board.take_out(endpoint.health(), upstream) else {
            return;
        };
        endpoint.ejected(fault.cause());
        if let Some(kept_back) = self.board.may_tell(upstream.namespace_id) {
            tracing::warn!(
                endpoint = %endpoint.address(),
                service = %upstream.service,
                "endpoint ejected for {time:?}: {}{kept_back}", fault.words()
            );
        }
    }

    fn endpoint(&self, key: Key, protocol: &UpstreamProtocol) -> Rc<Endpoint> {
        let mut endpoints = self.endpoints.borrow_mut();
        if let Some(endpoint) = endpoints.get(&key) {
            return Rc::clone(endpoint);
        }
        let mut counts = self.counts.borrow_mut();
        let count = counts.entry(key.namespace_id).or_default();
        let is_kept = *count < KNOWN;
        // Beyond that it serves one request, and nothing is learned.
        let health = if is_kept {
            self.board.health(key)
        } else {
            self.board.unshared()
        };
        let endpoint = Rc::new(Endpoint::new(
            key,
            protocol,
            health,
            Arc::clone(&self.metrics),
            Rc::clone(&self.room),
            Rc::clone(&self.memory),
            Rc::downgrade(&self.probes),
        ));
        if is_kept {
            *count += 1;
            endpoints.insert(key, Rc::clone(&endpoint));
        }
        endpoint
    }

    /// Closes kept connections that have been idle for too long or were closed by the backend, and drops endpoints that
    /// are out of use. Called once a second.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut counts = self.counts.borrow_mut();
        self.endpoints.borrow_mut().retain(|key, endpoint| {
            endpoint.sweep(now, IDLE);
            let is_kept = !endpoint.is_forgotten(now, FORGET);
            if !is_kept && let Some(count) = counts.get_mut(&key.namespace_id) {
                *count -= 1;
            }
            is_kept
        });
        counts.retain(|_, count| *count > 0);
        let mut searches = self.searches.borrow_mut();
        searches.retain(|_, search| !search.is_forgotten(now, FORGET));
        self.board.sweep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstreams() -> Upstreams {
        Upstreams::new(Arc::default(), Arc::default(), Rc::default(), Memory::of_tests())
    }

    #[test]
    fn one_namespace_does_not_fill_the_memory_of_endpoints() {
        let upstreams = upstreams();
        let key = |namespace_id, number: u32| Key {
            address: (std::net::Ipv4Addr::from(number), 80).into(),
            protocol: ProtocolKey::Http1,
            namespace_id,
        };
        for number in (0..).take(2 * KNOWN) {
            upstreams.endpoint(key(1, number), &UpstreamProtocol::Http1);
        }
        assert_eq!(upstreams.endpoints.borrow().len(), KNOWN);
        upstreams.endpoint(key(2, 1), &UpstreamProtocol::Http1);
        assert_eq!(upstreams.endpoints.borrow().len(), KNOWN + 1);
        upstreams.sweep(Instant::now() + 2 * FORGET);
        assert!(upstreams.endpoints.borrow().is_empty() && upstreams.counts.borrow().is_empty());
        assert_eq!(upstreams.board.count(), 0);
    }

    /// A tenant replaces what its backend is trusted by again and again, and has a request sent each time: what no route uses
    /// any more is not kept by the endpoint, nor the endpoint.
    #[test]
    fn settings_that_no_route_uses_are_not_kept() {
        let upstreams = upstreams();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let config = Arc::new(config);
        let use_settings = || {
            let name = "a.test".try_into().unwrap();
            let tls = Arc::new(door::BackendTls::new(Arc::clone(&config), name, false));
            let protocol = UpstreamProtocol::Tls(Arc::clone(&tls));
            let key = Key {
                address: ([10, 0, 0, 1], 443).into(),
                protocol: ProtocolKey::of(&protocol),
                namespace_id: 1,
            };
            drop(upstreams.endpoint(key, &protocol));
            tls
        };
        for _ in 0..10 {
            drop(use_settings());
        }
        let live = use_settings();
        assert_eq!(Arc::strong_count(&config), 2, "those that are live");
        upstreams.sweep(Instant::now());
        assert_eq!(upstreams.endpoints.borrow().len(), 1);
        drop(live);
        upstreams.sweep(Instant::now());
        assert!(upstreams.endpoints.borrow().is_empty() && upstreams.counts.borrow().is_empty());
    }
}
