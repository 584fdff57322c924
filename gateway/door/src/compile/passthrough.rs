//! Names whose connections are passed through to a backend.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use route::{Host, HostPattern, RequestHost};

use super::route::Route;

/// The names of one door whose TLS is passed through.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Passthrough {
    /// `None`: the door terminates TLS for this name, although a wildcard covers it.
    exact: HashMap<Host, Option<Arc<Route>>, RandomState>,
    wildcard: HashMap<Host, Arc<Route>, RandomState>,
}

impl Passthrough {
    /// Passes connections for a name through.
    pub(crate) fn insert(&mut self, host: HostPattern, route: Arc<Route>) {
        match host {
            HostPattern::Any => {}
            HostPattern::Exact(host) => {
                self.exact.insert(host, Some(route));
            }
            HostPattern::Wildcard(suffix) => {
                self.wildcard.insert(suffix, route);
            }
        }
    }

    /// Keeps a name for the door itself.
    pub(crate) fn keep(&mut self, host: &Host) {
        self.exact.entry(host.clone()).or_insert(None);
    }

    /// This with the names of `hosts` taken from `other`, which must have no others; `None` when they are the same there.
    pub(crate) fn with_hosts(&self, hosts: &BTreeSet<HostPattern>, other: &Self) -> Option<Self> {
        let same = |host: &HostPattern| match host {
            HostPattern::Any => true,
            HostPattern::Exact(host) => self.exact.get(host) == other.exact.get(host),
            HostPattern::Wildcard(suffix) => self.wildcard.get(suffix) == other.wildcard.get(suffix),
        };
        if hosts.iter().all(same) {
            return None;
        }
        let mut merged = self.clone();
        for host in hosts {
            match host {
                HostPattern::Any => {}
                HostPattern::Exact(host) => {
                    merged.exact.remove(host);
                }
                HostPattern::Wildcard(suffix) => {
                    merged.wildcard.remove(suffix);
                }
            }
        }
        let new = other
            .exact
            .iter()
            .map(|(host, route)| (host.clone(), route.clone()));
        merged.exact.extend(new);
        let new = other.wildcard.iter();
        merged
            .wildcard
            .extend(new.map(|(suffix, route)| (suffix.clone(), Arc::clone(route))));
        Some(merged)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcard.is_empty()
    }

    /// The route that takes a name.
    pub(crate) fn find(&self, name: &RequestHost<'_>) -> Option<&Arc<Route>> {
        if name.is_address() {
            return None;
        }
        match self.exact.get(name.as_str()) {
            Some(route) => route.as_ref(),
            None => self.wildcard.get(name.parent()?),
        }
    }

    /// The route that takes the names of a pattern.
    pub(crate) fn of(&self, pattern: &HostPattern) -> Option<&Arc<Route>> {
        match pattern {
            HostPattern::Any => None,
            HostPattern::Exact(host) => match self.exact.get(host) {
                Some(route) => route.as_ref(),
                None => {
                    let (_, parent) = host.as_str().split_once('.')?;
                    self.wildcard.get(parent)
                }
            },
            HostPattern::Wildcard(suffix) => self.wildcard.get(suffix),
        }
    }

    /// Every name that is passed through.
    pub(crate) fn routes(&self) -> impl Iterator<Item = (HostPattern, &Arc<Route>)> {
        let exact = self
            .exact
            .iter()
            .filter_map(|(host, route)| Some((HostPattern::Exact(host.clone()), route.as_ref()?)));
        let wildcard = self.wildcard.iter();
        exact.chain(wildcard.map(|(suffix, route)| (HostPattern::Wildcard(suffix.clone()), route)))
    }
}
