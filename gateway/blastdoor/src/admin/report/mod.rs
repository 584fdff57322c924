//! Pages about what is live: what people on call look at first. Each is made from the shown world, and has a bound.

pub(super) mod certificates;
pub(super) mod endpoints;
pub(super) mod failures;
mod listing;
pub(super) mod problems;
pub(super) mod traffic;
