//! Sources of configuration: where objects come from and how their changes arrive.
//!
//! A source is read as a whole and sends [`SourceEvent`]s over a bounded channel. The listener compiles what arrives. A
//! source does not know doors: what an API server must know of them it asks a [`cluster::DoorView`].
//!
//! # Invariants
//! - What a source sends is a function of the objects alone. It remembers earlier content only for when it cannot be read
//!   at all: then what it last held stays in force.
//! - A change of several files is one event: a mounted ConfigMap that is swapped, or a directory that a script writes, is
//!   never seen half done.
//! - Every queue and every file has a bound.
//! - A task that panics begins anew ([`caught`]); what it last sent stays in force.
//!
//! Beside the sources of objects, [`names`] queries DNS for the names that objects refer to.

pub mod cluster;
mod fair;
mod files;
pub mod names;
mod source;
mod survive;
mod writes;

pub use files::{FileSource, FilesError};
pub use source::{SourceContent, SourceEvent};
pub use survive::{Panicked, caught};
pub use writes::{Write, Writes};
