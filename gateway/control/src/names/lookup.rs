//! What is asked of DNS, and what it answers.

use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use resource::NameFault;
use route::Host;

/// What can be asked for the addresses of a name.
pub(super) trait Lookup {
    /// Asks for both kinds of addresses. Ends within a few seconds.
    fn lookup(&self, name: Host) -> impl Future<Output = Reply>;
}

/// What DNS said, once for each kind of address.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) v4: Answer,
    pub(super) v6: Answer,
}

/// What it said of one kind of address.
pub(super) type Answer = Result<Records, NameFault>;

/// Addresses, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ttl: Duration,
}
