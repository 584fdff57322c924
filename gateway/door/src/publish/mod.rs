//! From one view of the cluster to the live tables of every door.

mod challenges;
mod changes;
mod comparison;
mod doors;
mod ledger;
mod make;
mod opening;
mod projections;
mod readers;
mod revision;
mod served;
#[cfg(test)]
mod tests;
mod touched;
mod unadmitted;
mod unserved;

pub use changes::{Answer, Aspect, Changed, DoorChange, MOST_LISTED, PlaceChange, PlacePath, TableChange};
pub use doors::{Reports, publish, publish_beside};
pub use ledger::Ledger;
pub use opening::{Door, Publisher, open};
pub use unserved::{Unserved, UnservedIngress};
