//! Sources of configuration: where objects come from and how their changes arrive.
//!
//! A source is read as a whole and sends [`SourceEvent`]s over a bounded channel. It knows nothing of doors; whoever
//! listens compiles what arrives.
//!
//! # Invariants
//! - What a source sends is a function of the objects alone. It remembers earlier content for one purpose: when it
//!   cannot be read at all, what it last held stays in force.
//! - A change of several files is one event: a mounted ConfigMap that is swapped, or a directory that is written
//!   by a script, is not seen half done.
//! - Every queue and every file has a bound.
//!
//! Beside the sources of objects, [`names`] asks DNS for what objects refer to by name.

pub mod cluster;
mod fair;
mod files;
pub mod names;
mod source;

pub use files::{FileSource, FilesError};
pub use source::{SourceContent, SourceEvent};
