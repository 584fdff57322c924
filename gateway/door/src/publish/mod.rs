//! From one view of the cluster to the live tables of every door.

mod challenges;
mod doors;
mod ledger;
mod make;
mod opening;
mod projections;
mod readers;
mod revision;
#[cfg(test)]
mod tests;
mod touched;
mod unadmitted;

pub use doors::{Reports, publish, publish_beside};
pub use ledger::Ledger;
pub use opening::{Door, Publisher, open};
