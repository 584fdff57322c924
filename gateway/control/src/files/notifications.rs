//! Decides from the kernel's notifications about a directory when to read it again.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::directory::is_manifest;

/// A change is read when nothing has happened for this long,
const QUIET: Duration = Duration::from_millis(30);
/// but not later than this after its beginning,
const LONGEST_DELAY: Duration = Duration::from_millis(500);
/// unless a file is open for writing: then at the latest after this.
pub(crate) const WRITING: Duration = Duration::from_secs(2);
/// Files that are tracked from their first write to their close. Beyond that only the quiet time decides.
const MAX_WRITING: usize = 1_024;

/// What has happened since the directory was last read. Filled by the notification thread.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    state: Mutex<State>,
    woken: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The first and the last notification since the last reading.
    span: Option<(Instant, Instant)>,
    /// Manifest files that have been written to and not closed, with their first write.
    writing: HashMap<PathBuf, Instant>,
}

/// The subscription to a directory's notifications.
pub(crate) struct DirectoryWatch {
    changes: Arc<Changes>,
    /// The directory that is watched. Its path may later name another one.
    watched: Option<(Identity, RecommendedWatcher)>,
    /// It has been reported that this does not work.
    is_failure_reported: bool,
}

/// Device and inode.
type Identity = (u64, u64);

impl Changes {
    /// Something happened.
    pub(crate) fn touch(&self) {
        self.state().touch();
        self.woken.notify_one();
    }

    /// The directory is about to be read, which covers everything so far.
    pub(crate) fn take(&self) {
        self.state().span = None;
    }

    /// Whether a change is still under way.
    pub(crate) fn is_under_way(&self) -> bool {
        self.state().due().is_some()
    }

    /// Waits until a change has come to an end.
    pub(crate) async fn settled(&self) {
        loop {
            let due = self.state().due();
            match due {
                None => self.woken.notified().await,
                Some(due) if due <= Instant::now() => return,
                Some(due) => tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = self.woken.notified() => {}
                },
            }
        }
    }

    fn take_note(&self, directory: &Path, event: &Event) {
        if !event.need_rescan() && !event.paths.iter().any(|path| concerns(directory, path)) {
            return;
        }
        {
            let mut state = self.state();
            match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Remove(_) => {
                    state.closed(&event.paths);
                }
                // Readers, this process among them, change nothing.
                EventKind::Access(_) => return,
                EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => state.written(&event.paths),
                EventKind::Modify(ModifyKind::Name(_)) => state.closed(&event.paths),
                // A file is created empty and then written; a link is created whole.
                EventKind::Create(CreateKind::File) if event.paths.iter().all(|path| is_empty_file(path)) => {
                    state.written(&event.paths);
                }
                EventKind::Create(_)
                | EventKind::Modify(ModifyKind::Metadata(_) | ModifyKind::Other)
                | EventKind::Any
                | EventKind::Other => {}
            }
            state.touch();
        }
        self.woken.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn touch(&mut self) {
        let now = Instant::now();
        self.span = Some((self.span.map_or(now, |(first, _)| first), now));
    }

    fn written(&mut self, paths: &[PathBuf]) {
        for path in paths
            .iter()
            .filter(|path| path.file_name().is_some_and(is_manifest))
        {
            if self.writing.len() < MAX_WRITING {
                self.writing.entry(path.clone()).or_insert_with(Instant::now);
            }
        }
    }

    fn closed(&mut self, paths: &[PathBuf]) {
        for path in paths {
            self.writing.remove(path);
        }
    }

    /// When it is time to read, if anything has happened.
    fn due(&mut self) -> Option<Instant> {
        self.writing.retain(|_, since| since.elapsed() < WRITING);
        let (first, last) = self.span?;
        let quiet = (last + QUIET).min(first + LONGEST_DELAY);
        let written = self
            .writing
            .values()
            .map(|since| (*since + WRITING).min(first + WRITING))
            .max();
        Some(written.map_or(quiet, |written| written.max(quiet)))
    }
}

impl DirectoryWatch {
    pub(crate) fn new(changes: Arc<Changes>) -> Self {
        Self {
            changes,
            watched: None,
            is_failure_reported: false,
        }
    }

    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Subscribes to the directory that `path` names now, unless it is watched already.
    pub(crate) fn follow(&mut self, path: &Path) {
        let identity = fs::metadata(path)
            .ok()
            .map(|metadata| (metadata.dev(), metadata.ino()));
        if identity == self.watched.as_ref().map(|(identity, _)| *identity) {
            return;
        }
        self.watched = None;
        let Some(identity) = identity else { return };
        match self.subscribe(path) {
            Ok(watcher) => {
                self.watched = Some((identity, watcher));
                self.is_failure_reported = false;
            }
            Err(error) if !self.is_failure_reported => {
                self.is_failure_reported = true;
                tracing::warn!(
                    directory = %path.display(),
                    %error,
                    "no change notifications (perhaps fs.inotify.max_user_watches or max_user_instances is \
                     reached); changes are noticed within two seconds"
                );
            }
            Err(_) => {}
        }
    }

    fn subscribe(&self, path: &Path) -> notify::Result<RecommendedWatcher> {
        let changes = Arc::clone(&self.changes);
        let directory = path.to_owned();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| match event {
            Ok(event) => changes.take_note(&directory, &event),
            Err(_) => changes.touch(),
        })?;
        watcher.watch(path, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    }
}

/// Manifests, the directory itself, and the hidden links by which mounted ConfigMaps are swapped (`..data`).
fn concerns(directory: &Path, path: &Path) -> bool {
    let swap = |name: &OsStr| name.as_encoded_bytes().starts_with(b"..");
    path == directory
        || path
            .file_name()
            .is_none_or(|name| is_manifest(name) || swap(name))
}

fn is_empty_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
}
