//! Names in DNS: the answers for Services of type ExternalName, kept ahead of requests.
//!
//! # Invariants
//! - Only names that Ingresses of some door ask for are looked up, and of those a bounded number: the names of the
//!   oldest Ingresses, so that a new object takes nothing from an old one.
//! - An answer is used for its TTL, and for a minute more when it cannot be renewed; never longer.
//! - A name that does not resolve costs the others nothing: each has its own clock, and at most a few are under way.
//! - Nothing waits for DNS. What has not been answered is not in [`Names::known`].

mod entry;
mod follower;
mod lookup;
mod resolver;
mod table;
#[cfg(test)]
mod tests;

pub use follower::Names;
pub use resolver::Resolver;
