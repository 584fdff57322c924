//! `listeners.toml` and its environment: read, merged, checked as a whole, with every error reported at once.
//!
//! ```text
//! file ──► document ─┐
//!                    ├─► layers ─► typed ─► check, source, listener ─► model
//! environment ───────┘   values    raw      rules, with diagnostics    Config
//! ```
//! Every value knows where it came from: a line and column of the file, or a variable of the environment.

mod addresses;
mod between;
mod check;
mod diagnostics;
mod document;
mod environment;
mod error;
mod files;
mod layers;
mod listener;
mod load;
mod model;
mod networks;
mod options;
mod process;
mod raw;
mod reference;
mod replicas;
mod size;
mod source;
mod tracing;
mod typed;
mod units;

pub(crate) use self::tracing::headers_of;
pub use error::{ConfigError, ConfigErrors, Place, Position};
pub use files::Files;
pub use load::{Loaded, STANDARD, admin, load};
pub use model::{
    AdminBind, Collector, CollectorProtocol, Config, DoorConfig, Endpoint, Headers, Log, LogFormat, Process,
    Replicas, Source, SourceKind,
};
pub use options::Options;
pub use reference::{json_schema, markdown};

#[cfg(test)]
mod tests;
