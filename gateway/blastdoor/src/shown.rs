//! What readers of a world see: pages of the admin port, and reports of commands. They need not know whether it is a running
//! gateway's or one that was only loaded.

use std::sync::Arc;

use door::Snapshot;
use proxy::{ListenerStatus, Settings};
use resource::{ClusterView, ProblemLists};
use route::ListenerName;

use crate::config::{Config, DoorConfig};

/// A world at one moment, for readers. It never changes, and a clone shares everything.
#[derive(Debug, Clone)]
pub(crate) struct ShownWorld {
    /// The configuration from which the doors were compiled.
    pub(crate) config: Arc<Config>,
    /// The objects from which they were compiled; `None` before the first publication.
    pub(crate) view: Option<ClusterView>,
    /// What was wrong at that moment, with configuration, objects and the source of objects.
    pub(crate) problems: ProblemLists,
    /// The doors of this process, by name.
    pub(crate) doors: Vec<ShownDoor>,
}

/// A door of such a world.
#[derive(Clone)]
pub(crate) struct ShownDoor {
    /// The configuration under which it serves.
    pub(crate) config: Arc<DoorConfig>,
    /// What it serves.
    pub(crate) snapshot: Arc<Snapshot<Settings>>,
    /// Its listener, which tells how it is now; `None` where nothing listens.
    pub(crate) status: Option<ListenerStatus>,
}

impl ShownDoor {
    pub(crate) fn name(&self) -> &ListenerName {
        &self.config.name
    }
}

impl std::fmt::Debug for ShownDoor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ShownDoor")
            .field("name", self.name())
            .finish_non_exhaustive()
    }
}
