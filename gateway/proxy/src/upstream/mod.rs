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
mod health;
mod key;
mod multiplexed;
mod places;
mod probe;
mod tries;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use door::{Upstream, UpstreamProtocol};
use foldhash::fast::RandomState;

pub(crate) use balance::Chosen;
pub(crate) use choice::Choice;
use conduct::{Conduct, Fault};
pub(crate) use connect::ConnectError;
use endpoint::FORGET;
pub(crate) use endpoint::{Endpoint, InFlight, Reuse};
pub(crate) use health::HealthBoard;
use key::{Key, ProtocolKey};
pub(crate) use multiplexed::InStream;
pub(crate) use places::Asker;
pub(crate) use tries::Again;

use crate::observe::metrics::WorkerMetrics;
use crate::worker::memory::Memory;
use crate::worker::room::BackendRoom;

/// A kept connection that has been idle for longer is closed.
const IDLE: Duration = Duration::from_secs(30);

/// All endpoints that this worker has used lately.
pub(crate) struct Upstreams {
    endpoints: Rc<Known>,
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
        balance::power_of_two(upstream, choice, |address| {
            let key = Key {
                address,
                protocol,
                namespace_id: upstream.namespace_id,
            };
            let endpoint = self.endpoint(key, &upstream.protocol);
            endpoint.want();
            endpoint
        })
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
                Rc::clone(&self.room),
                Rc::clone(&self.memory),
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
