//! An API server as a source, put together.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use resource::{Problem, Severity};
use tokio::sync::mpsc;

use super::connection::{ClusterError, Connection, Contact};
use super::door_view::DoorView;
use super::handle::ClusterHandle;
use super::options::ClusterOptions;
use super::read::{Follower, Store};
use super::write::{self, Installation};
use crate::source::{SourceContent, SourceEvent};
use crate::survive::survive;

/// An API server as a source of objects.
#[derive(Clone)]
pub struct ClusterSource {
    connection: Connection,
    options: ClusterOptions,
    handle: ClusterHandle,
}

/// How long [`ClusterSource::load`] waits for everything to be listed.
const LOAD_TIMEOUT: Duration = Duration::from_secs(30);

impl ClusterSource {
    /// Finds credentials. Sends no request. Needs a runtime.
    ///
    /// # Errors
    /// When there are none, or none that can be used.
    pub fn open(options: ClusterOptions, doors: Arc<dyn DoorView>) -> Result<Self, ClusterError> {
        Ok(Self {
            connection: Connection::open(&options.credentials)?,
            options,
            handle: ClusterHandle::new(doors),
        })
    }

    /// When the API server last answered.
    #[must_use]
    pub fn contact(&self) -> Contact {
        self.connection.contact.clone()
    }

    /// The way to this source while it runs.
    #[must_use]
    pub fn handle(&self) -> ClusterHandle {
        self.handle.clone()
    }

    /// Sends everything as soon as it is known completely, and again whenever it changes, until nobody listens any
    /// more. Writes status and Events while this process holds the Lease. Needs a `LocalSet`.
    pub async fn watch(self, events: mpsc::Sender<SourceEvent>) {
        let mut is_first = true;
        survive("the watch of the API server", || {
            let was_first = std::mem::replace(&mut is_first, false);
            let source = &self;
            let events = &events;
            async move {
                if !was_first && events.send(source.broken()).await.is_err() {
                    return;
                }
                Box::pin(source.clone().watch_once(events)).await;
            }
        })
        .await;
    }

    /// Until everything has been listed anew, what is known is not up to date.
    fn broken(&self) -> SourceEvent {
        let message = "the watch of the API server has failed, by a fault of the program, and begins anew; what was read \
                       last stays in force";
        SourceEvent::Unavailable(Problem::of_cluster(
            Severity::Error,
            &self.connection.server,
            message.to_owned(),
        ))
    }

    async fn watch_once(self, events: &mpsc::Sender<SourceEvent>) {
        let connection = self.connection;
        let store = Rc::new(RefCell::new(Store::default()));
        let doors = self.handle.doors.subscribe();
        let installation = Installation::new(self.options.instance.as_deref(), &connection);
        let (follower, changes) = Follower::new(connection.clone(), self.options, Rc::clone(&store), doors);
        let reporter = write::run(connection, installation, store, changes, &self.handle);
        tokio::select! {
            () = follower.run(events) => {}
            () = reporter => {}
            () = events.closed() => {}
        }
    }

    /// Everything, once. Writes nothing. Needs a `LocalSet`.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn load(self) -> Result<SourceContent, ClusterError> {
        let connection = self.connection;
        let server = Rc::clone(&connection.server);
        let doors = self.handle.doors.subscribe();
        let (follower, _changes) = Follower::new(connection, self.options, Rc::default(), doors);
        let (sender, mut events) = mpsc::channel(1);
        let mut obstacle = None;
        let wait = async {
            loop {
                match events.recv().await {
                    Some(SourceEvent::Loaded(content)) => return Some(content),
                    Some(SourceEvent::Unavailable(problem)) => obstacle = Some(problem),
                    None => return None,
                }
            }
        };
        let content = tokio::select! {
            content = tokio::time::timeout(LOAD_TIMEOUT, wait) => content.ok().flatten(),
            () = follower.run(&sender) => None,
        };
        content.ok_or_else(|| {
            ClusterError::NoAnswer(match obstacle {
                Some(problem) => format!("{server}: {}", problem.message),
                None => format!(
                    "{server}: not everything was listed within {} seconds",
                    LOAD_TIMEOUT.as_secs()
                ),
            })
        })
    }
}
