//! Opening a door: one value in, a publisher and a reader out.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use route::ListenerName;

use super::unserved::Unserved;
use crate::admission::{Ownership, Policy};
use crate::filters::FilterMemory;
use crate::snapshot::{Routes, Snapshot};
use crate::tls::{DoorTls, TlsMemory};

/// Opens a door with its admission half and its serving half.
///
/// `settings` is whatever the listener needs to serve: this crate swaps it together with the routes, and never looks
/// inside.
#[must_use]
pub fn open<S>(name: ListenerName, policy: Policy, settings: S) -> (Publisher<S>, Door<S>) {
    let settings = Arc::new(settings);
    let current = Arc::new(ArcSwap::from_pointee(Snapshot {
        publication: 0,
        scheme: policy.scheme,
        forwarded_port: policy.forwarded_port,
        ends_tls: policy.tls.is_some(),
        settings: Arc::clone(&settings),
        tls: None,
        routes: None,
    }));
    let unserved = Arc::new(ArcSwap::default());
    let door = Door {
        name: name.clone(),
        current: Arc::clone(&current),
        unserved: Arc::clone(&unserved),
    };
    (
        Publisher {
            name,
            policy,
            settings,
            routes: None,
            tls: TlsMemory::default(),
            filters: FilterMemory::default(),
            ownership: Arc::default(),
            stale: false,
            publication: 0,
            current,
            unserved,
        },
        door,
    )
}

/// The writing end of a door: the only thing that can change what it serves, and only from Ingresses that its own
/// policy admits. Cannot be cloned.
pub struct Publisher<S> {
    name: ListenerName,
    policy: Policy,
    settings: Arc<S>,
    routes: Option<Arc<Routes>>,
    tls: TlsMemory,
    filters: FilterMemory,
    /// The owners of the hosts that the door serves.
    ownership: Arc<Ownership>,
    /// The settings changed since the last swap.
    stale: bool,
    /// How often it has swapped.
    publication: u64,
    current: Arc<ArcSwap<Snapshot<S>>>,
    unserved: Arc<ArcSwap<Unserved>>,
}

/// The reading end of a door, consumed by the listener that binds its socket. Cannot be cloned.
pub struct Door<S> {
    name: ListenerName,
    current: Arc<ArcSwap<Snapshot<S>>>,
    unserved: Arc<ArcSwap<Unserved>>,
}

impl<S> Publisher<S> {
    /// The door's name.
    #[must_use]
    pub fn name(&self) -> &ListenerName {
        &self.name
    }

    /// The door's admission half.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How often the door has got something else to serve.
    #[must_use]
    pub fn publication(&self) -> u64 {
        self.publication
    }

    /// Replaces both halves of the door's configuration. They go live together with the next publication, so that
    /// no request meets new settings with routes that the old policy admitted.
    pub fn reconfigure(&mut self, policy: Policy, settings: S) {
        self.policy = policy;
        self.settings = Arc::new(settings);
        self.stale = true;
    }

    /// The routes that are live.
    pub(crate) fn live(&self) -> Option<&Arc<Routes>> {
        self.routes.as_ref()
    }

    /// What the door serves now, for reports.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot<S>> {
        self.current.load_full()
    }

    /// The certificates that are live; `None` at a door that terminates no TLS, and before the first publication.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<DoorTls>> {
        self.tls.live.as_ref()
    }

    /// What the filters of the door remember.
    pub(crate) fn filters(&self) -> &FilterMemory {
        &self.filters
    }

    /// The owners of the hosts that the door serves; empty if hosts have no owners.
    pub(crate) fn ownership(&self) -> &Arc<Ownership> {
        &self.ownership
    }

    pub(crate) fn own(&mut self, ownership: Ownership) {
        self.ownership = Arc::new(ownership);
    }

    /// Whether the settings have changed since the last swap.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Name, policy and memory, borrowed separately.
    pub(crate) fn parts(&mut self) -> (&ListenerName, &Policy, &mut TlsMemory) {
        (&self.name, &self.policy, &mut self.tls)
    }

    /// Shows the log the hosts that nobody serves, if they are others than before.
    pub(crate) fn show_unserved(&self, unserved: &Arc<Unserved>) {
        if !Arc::ptr_eq(&self.unserved.load(), unserved) {
            self.unserved.store(Arc::clone(unserved));
        }
    }

    /// Makes routes and certificates live, in one swap.
    pub(crate) fn swap(&mut self, routes: Arc<Routes>, tls: Option<Arc<DoorTls>>) {
        self.stale = false;
        self.publication += 1;
        self.routes = Some(Arc::clone(&routes));
        self.tls.live.clone_from(&tls);
        self.current.store(Arc::new(Snapshot {
            publication: self.publication,
            scheme: self.policy.scheme,
            forwarded_port: self.policy.forwarded_port,
            ends_tls: self.policy.tls.is_some(),
            settings: Arc::clone(&self.settings),
            tls,
            routes: Some(routes),
        }));
    }
}

impl<S> Door<S> {
    /// The door's name.
    #[must_use]
    pub fn name(&self) -> &ListenerName {
        &self.name
    }

    /// What the door serves now. Wait-free.
    #[must_use]
    pub fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot<S>>> {
        self.current.load()
    }

    /// The hosts that no door serves, for the log alone: what is answered must not depend on them. Wait-free.
    #[must_use]
    pub fn unserved(&self) -> arc_swap::Guard<Arc<Unserved>> {
        self.unserved.load()
    }
}

impl<S> fmt::Debug for Publisher<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Publisher")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for Door<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Door")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
