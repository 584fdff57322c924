//! A directory of manifest files as a source.

mod directory;
mod notifications;
mod watch;

pub use directory::{FileSource, FilesError};
