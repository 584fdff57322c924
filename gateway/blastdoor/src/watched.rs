//! Files beside the objects that may change while the process runs: the configuration, trust lists, certificates.

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

/// What a look has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// A file holds something else than before.
    pub(crate) is_changed: bool,
    /// There is something else to be told of.
    pub(crate) is_news: bool,
}

impl WatchedFiles {
    /// Reads these files, and forgets others. One that cannot be read is no change: what it held stays in force.
    pub(crate) fn look<'p>(&mut self, paths: impl Iterator<Item = &'p Path>) -> Look {
        let mut look = Look::default();
        let mut known = std::mem::take(&mut self.files);
        for path in paths {
            let mut file = known.remove(path).unwrap_or_default();
            let trouble = match std::fs::read(path) {
                Ok(content) => {
                    let hash = Some(self.hashes.hash_one(content));
                    look.is_changed |= file.hash != hash;
                    file.hash = hash;
                    None
                }
                Err(error) => Some(error.to_string()),
            };
            look.is_news |= file.trouble != trouble;
            file.trouble = trouble;
            self.files.insert(path.to_owned(), file);
        }
        look.is_news |= known.values().any(|file| file.trouble.is_some());
        look
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

    const NOTHING: Look = Look {
        is_changed: false,
        is_news: false,
    };
    const CHANGED: Look = Look {
        is_changed: true,
        is_news: false,
    };
    const NEWS: Look = Look {
        is_changed: false,
        is_news: true,
    };

    #[test]
    fn an_unreadable_file_changes_nothing_and_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        let [a, b] = &paths;
        let mut files = WatchedFiles::default();
        let mut look = || {
            let look = files.look(paths.iter().map(PathBuf::as_path));
            let told: Vec<String> = files.problems().map(|problem| problem.to_string()).collect();
            (look, told)
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
        let both = Look {
            is_changed: true,
            is_news: true,
        };
        assert_eq!(look(), (both, vec![]));

        std::fs::remove_file(b).unwrap();
        look();
        let look = files.look([a.as_path()].into_iter());
        assert_eq!(look, NEWS, "nobody asks for it any more");
        assert_eq!(files.problems().count(), 0);
    }
}
