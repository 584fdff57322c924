//! DNS: the addresses of Services of type ExternalName, resolved ahead of requests.
//!
//! # Invariants
//! - A bounded number of names is resolved, in the order in which they are given: a new object does not displace an old
//!   one.
//! - An answer is used for its TTL, and for a minute more if it cannot be renewed, but never longer.
//! - A name that does not resolve does not delay the others: each has its own schedule, and few of these are queried at a
//!   time.
//! - Nothing waits for DNS. A name without an answer is not in [`Names::known`].

mod entry;
mod follower;
mod lookup;
mod resolver;
mod table;
#[cfg(test)]
mod tests;

pub use follower::Names;
pub use resolver::Resolver;
