//! What a door serves at one moment.

mod lookup;
mod standing;

pub use lookup::{
    Action, Blocked, Endpoint, Matched, Route, Snapshot, Tuning, Upstream, UpstreamProtocol, Verdict,
};
pub use standing::Standing;

pub(crate) use lookup::{Neighbour, RedirectProjection, Routes};
