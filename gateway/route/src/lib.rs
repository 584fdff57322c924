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
//! - Every [`HostPattern`] and [`PathPattern`] is in normal form and can match some request: no rule is silently
//!   dead because of how it was written.
//! - A lookup does not allocate. It costs at most two hash lookups for the host and a binary search each among the
//!   host's exact paths and its prefixes; a client's number of slashes does not enter into it.

mod host;
mod host_pattern;
mod host_set;
mod names;
mod path;
mod path_pattern;
#[doc(hidden)]
pub mod properties;
mod table;

pub use host::{Host, HostBuf, HostError, RequestHost, normalise_authority, normalise_sni};
pub use host_pattern::{HostPattern, HostPatternError, HostRestriction};
pub use host_set::HostSet;
pub use names::{InvalidListenerName, ListenerName, ObjectKey};
pub use path::{PathError, PathScratch, RequestPath, normalise_path};
pub use path_pattern::{ExactPath, PathPattern, PathPatternError, PathPrefix};
pub use table::{Row, RowPath, Table, TableBuilder};
