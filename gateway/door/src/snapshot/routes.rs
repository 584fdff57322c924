//! The routing half of a snapshot: a door's own table, and what it knows of others.

use std::sync::Arc;

use route::{HostSet, ListenerName, RequestHost, RequestPath, Table};

use crate::compile::Route;

/// The routing half of a snapshot.
#[derive(Debug, PartialEq)]
pub(crate) struct Routes {
    pub(crate) table: Arc<Table<Arc<Route>>>,
    /// What the sibling of a `redirect` door serves: hosts and paths, no routes.
    pub(crate) redirect: Option<RedirectProjection>,
    /// Which other doors know a host: only for the cross-door alarm, names and no routes.
    pub(crate) neighbours: Box<[Neighbour]>,
}

/// The hosts and paths of the door that a `redirect` door points to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RedirectProjection {
    pub(crate) table: Arc<Table<()>>,
    /// Hosts that the sibling passes through: every path of them.
    pub(crate) passed: HostSet,
    pub(crate) port: u16,
}

/// Another door, by the hosts that it knows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Neighbour {
    pub(crate) door: ListenerName,
    /// Those of its table.
    pub(crate) hosts: HostSet,
    /// Those whose TLS it passes through.
    pub(crate) passed: HostSet,
}

impl RedirectProjection {
    pub(super) fn serves(&self, host: Option<&RequestHost<'_>>, path: &RequestPath<'_>) -> bool {
        let passed = host.is_some_and(|host| self.passed.names(host) || self.passed.covers(host));
        passed || self.table.find(host, path).is_some()
    }
}

/// The first door that names a host, else the first with a wildcard for it.
pub(super) fn owner<'n>(neighbours: &'n [Neighbour], host: &RequestHost<'_>) -> Option<&'n ListenerName> {
    let names = |other: &&Neighbour| other.hosts.names(host) || other.passed.names(host);
    let covers = |other: &&Neighbour| other.hosts.covers(host) || other.passed.covers(host);
    let named = neighbours.iter().find(names);
    named
        .or_else(|| neighbours.iter().find(covers))
        .map(|other| &other.door)
}
