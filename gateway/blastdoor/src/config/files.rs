//! Where the files of a configuration are read.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the files of a configuration are read.
#[derive(Debug, Clone, Default)]
pub enum Files {
    /// This machine.
    #[default]
    Host,
    /// A pod that is looked at from outside: these of its files are known. A file that is not known is neither read nor
    /// missed, because it may well be there.
    Pod(Arc<BTreeMap<PathBuf, Vec<u8>>>),
}

impl Files {
    /// The content of a file of at most `most` bytes; `None` if it is not known.
    pub(super) fn read(&self, path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Host => {
                let length = std::fs::metadata(path)?.len();
                if length > most {
                    let message = format!("it has {length} bytes, more than {most}");
                    return Err(io::Error::other(message));
                }
                std::fs::read(path).map(Some)
            }
            Self::Pod(known) => Ok(known.get(path).cloned()),
        }
    }

    /// The text of a file; `None` if it is not known.
    pub(super) fn read_text(&self, path: &Path) -> io::Result<Option<String>> {
        match self {
            Self::Host => std::fs::read_to_string(path).map(Some),
            Self::Pod(known) => {
                let content = known.get(path).cloned();
                let text = content.map(|content| String::from_utf8(content).map_err(io::Error::other));
                text.transpose()
            }
        }
    }

    /// Whether a directory is missing.
    pub(super) fn lacks_directory(&self, path: &Path) -> bool {
        match self {
            Self::Host => !path.is_dir(),
            Self::Pod(_) => false,
        }
    }
}
