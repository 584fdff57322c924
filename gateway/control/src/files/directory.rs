//! Manifest files as a source: reading a directory, and reading again only what changed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use resource::manifest::{self, Manifest};
use resource::{Problem, Severity};
use rustix::io::Errno;

use crate::source::SourceContent;
use crate::writes::Writes;

/// A directory of Kubernetes manifests: the `*.yaml`, `*.yml` and `*.json` files in it, not below it, in order of
/// their names. Hidden files are left out; symbolic links are followed, as mounted ConfigMaps need.
#[derive(Debug)]
pub struct FileSource {
    directory: PathBuf,
    files: BTreeMap<OsString, ManifestFile>,
    hashes: RandomState,
}

/// Why a directory cannot be a source.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// It does not exist, is not a directory or may not be read.
    #[error("cannot read the manifests directory `{}`; it must exist and be readable", path.display())]
    Directory {
        /// As it was given.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file in it has never been read, and cannot be read because the process lacks descriptors or memory: the content
    /// of the others would be taken for everything.
    #[error("cannot read `{}`, and without it the other manifests are not used either", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It holds more than a sane number of manifests.
    #[error("the manifests directory `{}` has more than {MAX_FILES} manifest files", path.display())]
    TooMany {
        /// As it was given.
        path: PathBuf,
    },
}

/// Manifest files in one directory.
const MAX_FILES: usize = 20_000;
/// Bytes of one file.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// For this long after a change an equal signature proves nothing: the clock of a file system is coarse.
const SETTLING: Duration = Duration::from_secs(2);
/// How often a directory that changes under the reader is read again before it is given time.
const ATTEMPTS: usize = 5;

/// What the last reading of the directory found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refreshed {
    /// Nothing differs from the reading before.
    Same,
    /// Something differs.
    Changed,
    /// It kept changing while it was read, so what was read may be half of a change.
    Restless,
}

/// Distinguishes a changed file from an unchanged one without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signature {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Debug)]
struct ManifestFile {
    signature: Signature,
    /// When it was first read with this signature.
    since: Instant,
    settled: bool,
    hash: u64,
    manifest: Arc<Manifest>,
    /// Why the file could not be read this time; the manifest is then the last good one.
    error_text: Option<String>,
}

impl FileSource {
    /// A source over `directory`, which must be readable now.
    ///
    /// # Errors
    /// When it is not.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, FilesError> {
        let source = Self::unread(directory.into());
        source.scan()?;
        Ok(source)
    }

    pub(crate) fn unread(directory: PathBuf) -> Self {
        Self {
            directory,
            files: BTreeMap::new(),
            hashes: RandomState::new(),
        }
    }

    /// The directory, as it was given.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Reads what changed since the last time, and returns everything.
    ///
    /// # Errors
    /// When the directory as a whole cannot be read. The source then still knows what it last held.
    pub fn load(&mut self) -> Result<SourceContent, FilesError> {
        self.refresh()?;
        Ok(self.assemble())
    }

    /// Reads what changed since the last time.
    pub(crate) fn refresh(&mut self) -> Result<Refreshed, FilesError> {
        let mut changed = false;
        let mut before = self.scan()?;
        for _ in 0..ATTEMPTS {
            changed |= self.read_changed(&before)?;
            let after = self.scan()?;
            if after == before {
                return Ok(if changed {
                    Refreshed::Changed
                } else {
                    Refreshed::Same
                });
            }
            before = after;
        }
        self.read_changed(&before)?;
        Ok(Refreshed::Restless)
    }

    /// Everything as of the last [`refresh`](Self::refresh).
    pub(crate) fn assemble(&self) -> SourceContent {
        let (view, duplicates) = manifest::collect(self.files.values().map(|entry| &*entry.manifest));
        let mut problems = Vec::new();
        for (name, entry) in &self.files {
            problems.extend(entry.manifest.problems.iter().cloned());
            if let Some(error_text) = &entry.error_text {
                problems.push(Problem::of_file(
                    Severity::Error,
                    &self.shown(name),
                    error_text.as_str(),
                ));
            }
        }
        problems.extend(duplicates);
        SourceContent {
            view,
            problems: problems.into_iter().collect(),
            writes: Writes::default(),
        }
    }

    /// The manifest files and what they look like from outside.
    fn scan(&self) -> Result<BTreeMap<OsString, Signature>, FilesError> {
        let failed = |source| FilesError::Directory {
            path: self.directory.clone(),
            source,
        };
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if !is_manifest(&name) {
                continue;
            }
            if found.len() >= MAX_FILES {
                return Err(FilesError::TooMany {
                    path: self.directory.clone(),
                });
            }
            // A file that vanished in between does not count. One that may not be inspected may not be read either; that
            // is reported when it is tried.
            let signature = match fs::metadata(self.directory.join(&name)) {
                Ok(metadata) if metadata.is_dir() => continue,
                Ok(metadata) => Signature::of(&metadata),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(_) => Signature::UNKNOWN,
            };
            found.insert(name, signature);
        }
        Ok(found)
    }

    fn read_changed(&mut self, found: &BTreeMap<OsString, Signature>) -> Result<bool, FilesError> {
        let known = self.files.len();
        self.files.retain(|name, _| found.contains_key(name));
        let mut changed = self.files.len() != known;
        for (name, signature) in found {
            let entry = self.files.get_mut(name);
            if entry
                .as_ref()
                .is_some_and(|entry| entry.settled && entry.signature == *signature)
            {
                continue;
            }
            let bytes = read(&self.directory.join(name));
            let shown = self.shown(name);
            changed |= match (self.files.get_mut(name), bytes) {
                (Some(entry), Ok(bytes)) => {
                    entry.update(*signature, self.hashes.hash_one(&bytes), &shown, &bytes)
                }
                (Some(entry), Err(error)) => entry.keep(*signature, &error),
                (None, Ok(bytes)) => {
                    let manifest = Arc::new(manifest::parse(&shown, &bytes));
                    let entry = ManifestFile::new(*signature, self.hashes.hash_one(&bytes), manifest);
                    self.files.insert(name.clone(), entry);
                    true
                }
                (None, Err(source)) if is_shortage(&source) => {
                    let path = self.directory.join(name);
                    return Err(FilesError::File { path, source });
                }
                (None, Err(error)) => {
                    let mut entry = ManifestFile::new(*signature, 0, Arc::default());
                    entry.error_text = Some(format!("cannot be read: {error}"));
                    self.files.insert(name.clone(), entry);
                    true
                }
            };
        }
        Ok(changed)
    }

    fn shown(&self, name: &OsStr) -> String {
        self.directory.join(name).display().to_string()
    }
}

impl ManifestFile {
    fn new(signature: Signature, hash: u64, manifest: Arc<Manifest>) -> Self {
        Self {
            signature,
            since: Instant::now(),
            settled: false,
            hash,
            manifest,
            error_text: None,
        }
    }

    /// Takes what was read. Returns whether it differs from before.
    fn update(&mut self, signature: Signature, hash: u64, shown: &str, bytes: &[u8]) -> bool {
        if self.signature != signature {
            self.signature = signature;
            self.since = Instant::now();
        }
        self.settled = self.since.elapsed() >= SETTLING;
        let recovered = self.error_text.take().is_some();
        if self.hash == hash {
            return recovered;
        }
        self.hash = hash;
        self.manifest = Arc::new(manifest::parse(shown, bytes));
        true
    }

    /// Keeps the last good content. Returns whether the error is new.
    fn keep(&mut self, signature: Signature, error: &io::Error) -> bool {
        self.signature = signature;
        self.settled = false;
        let error_text = format!("cannot be read, its last good content stays: {error}");
        let known = self.error_text.as_ref() == Some(&error_text);
        self.error_text = Some(error_text);
        !known
    }
}

impl Signature {
    const UNKNOWN: Self = Self {
        device: 0,
        inode: 0,
        length: 0,
        modified: (0, 0),
        changed: (0, 0),
    };

    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Whether a file of this name is read.
pub(crate) fn is_manifest(name: &OsStr) -> bool {
    let path = Path::new(name);
    let hidden = name.as_encoded_bytes().starts_with(b".");
    !hidden
        && matches!(
            path.extension().and_then(OsStr::to_str),
            Some("yaml" | "yml" | "json")
        )
}

/// Whether a file cannot be read because the process lacks descriptors or memory: the next attempt may succeed.
fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| shortages.contains(&code))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_in_the_process_is_not_an_error_of_the_file() {
        // Too many open files, here and in the system; no memory; not permitted; a loop of links; gone.
        let table = [
            (24, true),
            (23, true),
            (12, true),
            (13, false),
            (40, false),
            (2, false),
        ];
        for (code, expected) in table {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(is_shortage(&error), expected, "{error}");
        }
    }
}
