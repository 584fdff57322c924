//! From one view of the cluster to the live tables of every door.

mod doors;
mod opening;
mod projections;
mod revision;

pub use doors::{Ledger, leave_to_others, publish};
pub use opening::{Door, Publisher, open};
