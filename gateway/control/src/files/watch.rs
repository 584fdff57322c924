//! Following a directory of manifests: when to read it again.
//!
//! The kernel's notifications say that something happened. A slow comparison of file signatures finds what they miss
//! (network file systems, exhausted inotify limits, a replaced directory). The content itself is always read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use resource::{Problem, Severity};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::directory::{FileSource, FilesError, Refreshed};
use super::notifications::{Changes, DirectoryWatch, WRITING};
use crate::source::SourceEvent;
use crate::survive::survive;

/// How often file signatures are compared, with or without notifications.
const POLL: Duration = Duration::from_secs(2);
/// How often, while the directory is lost.
const POLL_LOST: Duration = Duration::from_millis(200);

impl FileSource {
    /// Sends what the directory holds now, and then again whenever it changes, until nobody listens any more.
    ///
    /// A change of several files arrives as one event, and a file that is open for writing is given two seconds to
    /// be closed. When the directory as a whole is lost, one [`SourceEvent::Unavailable`] is sent; a
    /// [`SourceEvent::Loaded`] follows once it is back.
    pub async fn watch(self, events: mpsc::Sender<SourceEvent>) {
        let directory = self.directory().to_owned();
        survive("the watch of the manifests", || {
            Self::unread(directory.clone()).watch_once(events.clone())
        })
        .await;
    }

    async fn watch_once(self, events: mpsc::Sender<SourceEvent>) {
        let changes = Arc::new(Changes::default());
        let mut follower = DirectoryFollower::new(self, Arc::clone(&changes));
        loop {
            changes.take();
            let directory = follower.source.directory().to_owned();
            let event;
            (follower, event) = match spawn_blocking(move || follower.follow()).await {
                Ok(followed) => followed,
                Err(_panicked) => DirectoryFollower::after_panic(directory, Arc::clone(&changes)),
            };
            if let Some(event) = event
                && events.send(event).await.is_err()
            {
                return;
            }
            let poll = if follower.last_event == LastEvent::Lost {
                POLL_LOST
            } else {
                POLL
            };
            tokio::select! {
                () = changes.settled() => {}
                // Not while a file is being written: half of it would be read.
                () = tokio::time::sleep(poll) => if changes.is_under_way() { changes.settled().await },
                () = events.closed() => return,
            }
        }
    }
}

/// The last event that the listener got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastEvent {
    None,
    Loaded,
    Lost,
}

/// Reads the directory and decides what to report.
struct DirectoryFollower {
    source: FileSource,
    watching: DirectoryWatch,
    last_event: LastEvent,
    /// Since when something has been read that the listener does not know.
    unreported: Option<std::time::Instant>,
}

impl DirectoryFollower {
    fn new(source: FileSource, changes: Arc<Changes>) -> Self {
        Self {
            source,
            watching: DirectoryWatch::new(changes),
            last_event: LastEvent::None,
            unreported: None,
        }
    }

    /// A panic while reading must not end the watch: what was last reported stays in force.
    fn after_panic(directory: PathBuf, changes: Arc<Changes>) -> (Self, Option<SourceEvent>) {
        let message = "reading the manifests failed unexpectedly; the last good content stays in force";
        let problem = Problem::of_file(Severity::Error, &directory.display().to_string(), message);
        (
            Self::new(FileSource::unread(directory), changes),
            Some(SourceEvent::Unavailable(problem)),
        )
    }

    fn follow(mut self) -> (Self, Option<SourceEvent>) {
        // First, so that no change from now on is missed.
        self.watching.follow(self.source.directory());
        let event = match self.source.refresh() {
            Ok(refreshed) => self.after_reading(refreshed),
            Err(error) => self.after_loss(&error),
        };
        (self, event)
    }

    fn after_reading(&mut self, refreshed: Refreshed) -> Option<SourceEvent> {
        if refreshed != Refreshed::Same || self.last_event != LastEvent::Loaded {
            self.unreported.get_or_insert_with(std::time::Instant::now);
        }
        let since = self.unreported?;
        if refreshed == Refreshed::Restless
            && self.last_event == LastEvent::Loaded
            && since.elapsed() < WRITING
        {
            self.watching.changes().touch();
            return None;
        }
        self.unreported = None;
        self.last_event = LastEvent::Loaded;
        Some(SourceEvent::Loaded(self.source.assemble()))
    }

    fn after_loss(&mut self, error: &FilesError) -> Option<SourceEvent> {
        if self.last_event == LastEvent::Lost {
            return None;
        }
        self.last_event = LastEvent::Lost;
        let cause = std::error::Error::source(error)
            .map(|cause| format!(" ({cause})"))
            .unwrap_or_default();
        let message = format!("{error}{cause}; the last good content stays in force");
        let directory = self.source.directory().display().to_string();
        Some(SourceEvent::Unavailable(Problem::of_file(
            Severity::Error,
            &directory,
            message,
        )))
    }
}
