//! Hosts, paths and precedence: the routing rules of Ingress v1 as data structures.
//!
//! Pure: no I/O, no clock, no Kubernetes types. A [`Table`] answers one question, which action belongs to a host and
//! path. It knows nothing about listeners: a table holds the routes of one door and no others.
//!
//! # Invariants
//! - Hosts have one normaliser, and so have paths. Rules and requests both go through it, so that they compare as bytes.
//! - The normal form is only for matching. What is forwarded are the bytes that the client sent.
//! - A path that some server could read as another one (`..`, encoded or hidden behind `;` and `\`) has no normal form
//!   and is refused.
//! - Every [`HostPattern`] and [`PathPattern`] is in normal form and can match some request. No rule is silently dead
//!   because of its spelling.
//! - A lookup costs at most two hash lookups for the host, and one binary search each among its exact paths and its
//!   prefixes, however many slashes a client sends. It does not allocate. Only a host that has patterns costs more: each of
//!   those that are longer than the prefix is tried in turn.

mod host;
mod host_pattern;
mod host_set;
mod names;
mod path;
mod path_pattern;
mod path_regex;
mod table;

pub use host::{Host, HostBuf, HostError, RequestHost, normalise_authority, normalise_sni};
pub use host_pattern::{HostPattern, HostPatternError, HostRestriction};
pub use host_set::HostSet;
pub use names::{InvalidListenerName, ListenerName, ObjectKey};
pub use path::{PathError, PathScratch, RequestPath, normalise_path};
pub use path_pattern::{ExactPath, PathPattern, PathPatternError, PathPrefix};
pub use path_regex::{PathRegex, PathRegexError, RegexDialect};
pub use table::{MOST_REGEXES, Row, RowPath, Table, TableBuilder};
