//! Queries and answers.

use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use resource::NameFault;
use route::Host;

/// Finds the addresses of a name.
pub(super) trait Lookup {
    /// Queries both address families. Ends within a few seconds.
    fn lookup(&self, name: Host) -> impl Future<Output = Reply>;
}

/// The answers for both address families.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) v4: Answer,
    pub(super) v6: Answer,
}

/// The answer for one address family.
pub(super) type Answer = Result<Records, NameFault>;

/// Addresses, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ttl: Duration,
}
