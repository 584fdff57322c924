//! Hosts, paths and precedence: the routing rules of Ingress v1 as data structures.
//!
//! Pure: no I/O, no clock, no Kubernetes types. A [`Table`] answers one question, which action belongs to a host
//! and path, and knows nothing of listeners: whoever holds a table holds one door's routes and no others.
//!
//! # Invariants
//! - One normaliser each for hosts and paths, used for rules and requests alike, so that both compare as bytes.
//! - The normal form is for matching only; the bytes that the client sent are forwarded.
//! - A path that some server could read as another one (`..`, encoded or hidden behind `;` and `\`) has no normal
//!   form and is refused.
//! - A lookup neither allocates nor grows with the number of hosts, nor with a client's number of slashes.

mod host;
mod index;
mod names;
mod path;
mod table;

pub use host::{
    Host, HostBuf, HostError, HostPattern, HostPatternError, HostRestriction, RequestHost,
    normalise_authority,
};
pub use index::HostIndex;
pub use names::{InvalidListenerName, ListenerName, ObjectKey};
pub use path::{PathError, PathPattern, PathPatternError, PathScratch, RequestPath, normalise_path};
pub use table::{Row, RowPath, Table, TableBuilder};
