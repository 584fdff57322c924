//! An API server as a source: everything that doors are compiled from, kept up to date by watches.
//!
//! # Invariants
//! - Nothing is sent before every kind has been listed completely, and a list that is read again replaces the old one in
//!   one step: a table never shrinks because of how it is read.
//! - If the API server is lost, its last known state stays in force.
//! - Objects are converted on arrival, and the rest of them is dropped.
//! - Only the holder of the Lease writes, and it writes nothing that is correct already.

mod connection;
mod door_view;
mod handle;
mod look;
mod options;
mod read;
#[cfg(test)]
mod scripted;
mod shallow;
mod source;
mod status;
mod write;

pub use connection::{ClusterError, Contact, Credentials};
pub use door_view::{DoorView, Publish};
pub use handle::ClusterHandle;
pub use look::{ApiResource, ClusterReader, Listing};
pub use options::{ClusterOptions, SecretScope};
pub use source::ClusterSource;
pub use status::Address;
pub use write::EVENT_REASONS;
