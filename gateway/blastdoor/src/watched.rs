//! Watched files that hold no objects: the configuration, trust lists, certificates.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};

use resource::{Problem, Severity};

/// What files held when they were last read.
#[derive(Debug, Default)]
pub(crate) struct WatchedFiles {
    files: BTreeMap<PathBuf, File>,
    hashes: RandomState,
}

#[derive(Debug, Default)]
struct File {
    /// Of its content; `None` when it has never been read.
    hash: Option<u64>,
    /// Why it cannot be read now.
    trouble: Option<String>,
}

/// What is different since the last reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FileChanges {
    /// A file holds something else.
    pub(crate) content: bool,
    /// Other files cannot be read, or for other reasons.
    pub(crate) trouble: bool,
}

impl WatchedFiles {
    /// Reads these files, and forgets others. One that cannot be read is no change: what it held stays in force.
    pub(crate) fn read<'p>(&mut self, paths: impl Iterator<Item = &'p Path>) -> FileChanges {
        let mut changes = FileChanges::default();
        let mut known = std::mem::take(&mut self.files);
        for path in paths {
            // Several doors may name one file. Taken for another the second time, it would change for ever.
            if self.files.contains_key(path) {
                continue;
            }
            let mut file = known.remove(path).unwrap_or_default();
            let trouble = match std::fs::read(path) {
                Ok(content) => {
                    let hash = Some(self.hashes.hash_one(content));
                    changes.content |= file.hash != hash;
                    file.hash = hash;
                    None
                }
                Err(error) => Some(error.to_string()),
            };
            changes.trouble |= file.trouble != trouble;
            file.trouble = trouble;
            self.files.insert(path.to_owned(), file);
        }
        changes.trouble |= known.values().any(|file| file.trouble.is_some());
        changes
    }

    /// One for each file that cannot be read now.
    pub(crate) fn problems(&self) -> impl Iterator<Item = Problem> {
        self.files.iter().filter_map(|(path, file)| {
            let trouble = file.trouble.as_ref()?;
            Some(Problem::of_file(
                Severity::Error,
                &path.display().to_string(),
                format!("cannot be read, its last good content stays in force: {trouble}"),
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: FileChanges = FileChanges {
        content: false,
        trouble: false,
    };
    const CHANGED: FileChanges = FileChanges {
        content: true,
        trouble: false,
    };
    const NEWS: FileChanges = FileChanges {
        content: false,
        trouble: true,
    };

    /// Two doors may name one file, such as the networks of the same load balancer.
    #[test]
    fn a_file_that_is_named_twice_changes_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("networks");
        let mut files = WatchedFiles::default();
        let mut look = || files.read([&*path, &*path].into_iter());
        std::fs::write(&path, "one").unwrap();
        assert_eq!(look(), CHANGED);
        assert_eq!(look(), NOTHING);
        std::fs::write(&path, "two").unwrap();
        assert_eq!(look(), CHANGED);
        assert_eq!(look(), NOTHING);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(look(), NEWS);
        assert_eq!(look(), NOTHING);
        assert_eq!(files.problems().count(), 1);
    }

    #[test]
    fn an_unreadable_file_changes_nothing_and_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        let [a, b] = &paths;
        let mut files = WatchedFiles::default();
        let mut look = || {
            let changes = files.read(paths.iter().map(PathBuf::as_path));
            let reported: Vec<String> = files.problems().map(|problem| problem.to_string()).collect();
            (changes, reported)
        };
        std::fs::write(a, "one").unwrap();
        std::fs::write(b, "two").unwrap();
        assert_eq!(look(), (CHANGED, vec![]), "all of it is new");
        assert_eq!(look(), (NOTHING, vec![]));

        std::fs::remove_file(b).unwrap();
        let told = format!(
            "error: File {}: cannot be read, its last good content stays in force: No such file or directory (os error 2)",
            b.display()
        );
        assert_eq!(look(), (NEWS, vec![told.clone()]));
        assert_eq!(look(), (NOTHING, vec![told.clone()]));
        std::fs::write(a, "three").unwrap();
        assert_eq!(look(), (CHANGED, vec![told]), "the others are followed");

        std::fs::write(b, "two").unwrap();
        assert_eq!(look(), (NEWS, vec![]), "it says what it said");
        std::fs::remove_file(b).unwrap();
        look();
        std::fs::write(b, "four").unwrap();
        let both = FileChanges {
            content: true,
            trouble: true,
        };
        assert_eq!(look(), (both, vec![]));

        std::fs::remove_file(b).unwrap();
        look();
        let changes = files.read([a.as_path()].into_iter());
        assert_eq!(changes, NEWS, "nobody asks for it any more");
        assert_eq!(files.problems().count(), 0);
    }
}
