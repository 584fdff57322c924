//! What a door serves at one moment.

mod lookup;
mod routes;
mod standing;

pub use lookup::{Matched, Snapshot, Verdict};
pub use standing::Standing;

pub(crate) use routes::{Neighbour, RedirectProjection, Routes};
