//! The addresses of the names that Services of type ExternalName stand for. They are kept here and looked up elsewhere.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use route::Host;

/// The resolution of each name.
pub type Resolutions = Arc<BTreeMap<Host, Arc<Resolution>>>;

/// The answer of DNS for one name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolution {
    /// Sorted, each once; IPv4-mapped addresses as IPv4.
    pub addresses: Vec<IpAddr>,
    /// How many more addresses the answer has than are used.
    pub left_out: usize,
    /// Why the last query failed. The addresses, if any, are those of the answer before.
    pub fault: Option<NameFault>,
}

/// Why a name has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// `NXDOMAIN` (RFC 1035 4.1.1, RFC 2308 2.1).
    #[error("DNS knows no such name")]
    NoSuchName,
    /// Neither A nor AAAA (RFC 2308 2.2).
    #[error("DNS has no address for it")]
    NoAddress,
    /// No answer, or none that can be used.
    #[error("DNS gives no answer: {0}")]
    NoAnswer(Box<str>),
    /// There are more names than are resolved, and this one is not among those of the oldest Ingresses.
    #[error("only {0} names are resolved: those that the oldest Ingresses use")]
    TooMany(usize),
}
