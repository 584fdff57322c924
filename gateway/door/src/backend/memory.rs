//! What is remembered of backends from one publication to the next.

use std::collections::HashMap;
use std::sync::Arc;

use resource::{ClusterView, Difference};
use route::ObjectKey;

use super::tls::{BackendTls, TlsClients};
use super::upstream::Endpoint;

/// Lists with fewer endpoints are made again rather than remembered.
const MANY: usize = 16;

/// After so many new endpoints, lists that no route uses any more are looked for: rarely, because looking at all lists costs
/// more than a small change should, and often enough that tenants who use one list after the other leave few behind.
const MOST_NEW: usize = 4_096;

/// What compiling has found out about backends, and need not find out again. It decides how much work is done and how much
/// memory it takes, and never what the result is.
#[derive(Debug, Default)]
pub(crate) struct BackendMemory {
    pub(super) clients: TlsClients,
    pub(super) lists: EndpointMemory,
}

/// The longer lists of endpoints that routes use. Without it each change of a rule would leave another copy behind.
#[derive(Debug, Default)]
pub(super) struct EndpointMemory {
    of: HashMap<ObjectKey, Vec<Remembered>>,
    /// How many endpoints have been added since the lists that nothing uses were dropped last.
    new: usize,
}

/// The endpoints of one port of a Service.
#[derive(Debug)]
struct Remembered {
    /// The name of the port.
    port: Box<str>,
    endpoints: Arc<[Endpoint]>,
    /// Nothing that it was made from has changed since, and nothing was reported.
    is_current: bool,
}

/// What is in memory because it is remembered.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// Secrets and ConfigMaps, with what was read from them.
    pub(crate) objects: usize,
    /// TLS settings for clients.
    pub(crate) settings: usize,
    /// Endpoints in lists.
    pub(crate) endpoints: usize,
}

impl BackendMemory {
    #[cfg(test)]
    pub(crate) fn held(&self) -> Held {
        Held {
            objects: self.clients.objects(),
            settings: self.clients.settings_held(),
            endpoints: self.lists.len(),
        }
    }

    /// Remembers settings that are live.
    pub(crate) fn add(&mut self, tls: &Arc<BackendTls>) {
        self.clients.add(tls);
    }

    /// Anything may have changed: what is remembered is made again, and shared if it is equal.
    pub(crate) fn doubt(&mut self) {
        self.lists.of.values_mut().for_each(|lists| doubt(lists));
    }

    /// The `view` differs so from the one before.
    pub(crate) fn changed(&mut self, difference: &Difference, view: &ClusterView) {
        for service in &difference.services {
            if let Some(lists) = self.lists.of.get_mut(service) {
                // Its port may have had another name.
                lists.retain(is_used);
                doubt(lists);
            }
        }
        for object in &difference.objects {
            self.clients.changed(object, view);
        }
    }

    /// Drops what no route uses any more, after everything has been compiled.
    pub(crate) fn tidy(&mut self, view: &ClusterView) {
        self.clients.tidy(view);
        self.lists.tidy();
    }

    /// The same after a change, if there may be much to drop: looking at everything costs more than a change should.
    pub(crate) fn tidy_if_worthwhile(&mut self, view: &ClusterView) {
        if self.clients.is_untidy() {
            self.clients.tidy(view);
        }
        if self.lists.new > MOST_NEW {
            self.lists.tidy();
        }
    }
}

/// Whether a route, or a request, uses it.
fn is_used(list: &Remembered) -> bool {
    Arc::strong_count(&list.endpoints) > 1
}

fn doubt(lists: &mut [Remembered]) {
    lists.iter_mut().for_each(|list| list.is_current = false);
}

impl EndpointMemory {
    /// The endpoints of a port, if nothing has changed since they were remembered.
    pub(super) fn current(&self, service: &ObjectKey, port: &str) -> Option<Arc<[Endpoint]>> {
        let lists = self.of.get(service)?;
        // Why a list is empty is not remembered.
        let is_known = |list: &&Remembered| list.is_current && !list.endpoints.is_empty();
        let list = lists.iter().find(|list| is_known(list) && *list.port == *port)?;
        Some(Arc::clone(&list.endpoints))
    }

    /// Remembers a list; returns an equal one that is in use already.
    pub(super) fn share(
        &mut self,
        service: &ObjectKey,
        port: &str,
        endpoints: Vec<Endpoint>,
        is_current: bool,
    ) -> Arc<[Endpoint]> {
        let known = self
            .of
            .get_mut(service)
            .and_then(|lists| lists.iter_mut().find(|list| *list.port == *port));
        if let Some(known) = known {
            if *known.endpoints != *endpoints {
                known.endpoints = endpoints.into();
            }
            known.is_current = is_current;
            return Arc::clone(&known.endpoints);
        }
        let endpoints: Arc<[Endpoint]> = endpoints.into();
        if endpoints.len() >= MANY {
            self.new += endpoints.len();
            self.of.entry(service.clone()).or_default().push(Remembered {
                port: port.into(),
                endpoints: Arc::clone(&endpoints),
                is_current,
            });
        }
        endpoints
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let lists = self.of.values().flatten();
        lists.map(|list| list.endpoints.len()).sum()
    }

    fn tidy(&mut self) {
        self.of.retain(|_, lists| {
            lists.retain(is_used);
            !lists.is_empty()
        });
        self.new = 0;
    }
}
