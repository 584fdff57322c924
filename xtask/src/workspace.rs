//! Where the files are.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The checked-out repository.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The repository that this program was built from.
    pub(crate) fn here() -> Result<Workspace> {
        let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = xtask
            .parent()
            .context("xtask is a folder of the repository")?
            .to_owned();
        Ok(Workspace { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// All files below `folder` for which `wanted` holds, sorted, relative to the root. Build output and hidden
    /// folders are skipped; a missing folder has no files.
    pub(crate) fn files(&self, folder: &str, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut folders = vec![self.path(folder)];
        while let Some(folder) = folders.pop() {
            if !folder.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
                let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
                let kind = entry
                    .file_type()
                    .with_context(|| format!("reading {}", entry.path().display()))?;
                if kind.is_dir() && !is_passed_over(&entry.file_name()) {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    found.extend(entry.path().strip_prefix(&self.root).map(Path::to_owned));
                }
            }
        }
        found.retain(|file| wanted(file));
        found.sort();
        Ok(found)
    }
}

fn is_passed_over(folder: &OsStr) -> bool {
    folder == "target" || folder.as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_own_source_and_no_build_output() {
        let workspace = Workspace::here().expect("a workspace");
        let files = workspace
            .files("", |file| file.extension() == Some(OsStr::new("rs")))
            .expect("files");
        assert!(
            files.contains(&PathBuf::from("xtask/src/workspace.rs")),
            "{files:?}"
        );
        assert_eq!(files.iter().find(|file| file.starts_with("target")), None);
        assert_eq!(
            workspace.files("no/such/folder", |_| true).expect("no files"),
            Vec::<PathBuf>::new()
        );
    }
}
