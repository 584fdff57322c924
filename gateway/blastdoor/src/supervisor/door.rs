//! A door that serves, and one that serves to its end.

use std::sync::Arc;

use door::Publisher;
use proxy::{AccessLog, Allotment, BindError, Listener, ListenerStatus, MemoryBudget, Metrics, Settings};
use tokio::task::{Id, JoinSet};

use crate::config::DoorConfig;
use crate::descriptors::{OF_WORKER, Wanted};
use crate::world::{WorldDoor, open};

/// A door with its listener: the two ends of one [`door::open`] and what they were opened with.
pub(super) struct RunningDoor {
    allotment: Option<Allotment>,
    pub(super) config: Arc<DoorConfig>,
    pub(super) publisher: Publisher<Settings>,
    pub(super) listener: Listener,
}

impl RunningDoor {
    /// Opens a door and binds its address. It does not listen before [`RunningDoor::start`].
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(super) fn bind(
        config: &Arc<DoorConfig>,
        metrics: &Metrics,
        access: &AccessLog,
        memory: &MemoryBudget,
    ) -> Result<Self, BindError> {
        let (publisher, reader) = open(config);
        let (access, memory) = (access.clone(), memory.clone());
        let listener = Listener::bind(reader, config.binding.clone(), metrics, access, memory)?;
        Ok(Self {
            allotment: None,
            config: Arc::clone(config),
            publisher,
            listener,
        })
    }

    /// What it wants of the descriptors of the process.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            connections: self.config.settings.limits.connections,
            workers: self.listener.workers(),
        }
    }

    /// Gives it descriptors. Whether they are others than before.
    pub(super) fn allot(&mut self, allotment: Allotment) -> bool {
        self.listener.allot(allotment);
        self.allotment.replace(allotment) != Some(allotment)
    }

    pub(super) fn start(&mut self) {
        self.listener.start();
        let selector = self.config.policy.selector.to_string();
        tracing::info!(listener = %self.config.name, address = %self.listener.address(), selector, "door bound");
    }

    /// Takes over another configuration, which goes live with the next publication. The socket stays.
    pub(super) fn reconfigure(&mut self, config: &Arc<DoorConfig>) {
        self.publisher
            .reconfigure(config.policy.clone(), config.settings.clone());
        self.config = Arc::clone(config);
    }

    /// Drains the listener in a task, which returns how many requests it cut.
    pub(super) fn leave(self, drains: &mut JoinSet<usize>, why: Leaving) -> LeavingDoor {
        let drain = self.config.settings.drain;
        LeavingDoor {
            status: self.listener.status(),
            drain: drains.spawn(self.listener.shut_down(drain)).id(),
            publisher: self.publisher,
            why,
        }
    }
}

impl WorldDoor for RunningDoor {
    fn config(&self) -> &DoorConfig {
        &self.config
    }

    fn publisher(&self) -> &Publisher<Settings> {
        &self.publisher
    }

    fn publisher_mut(&mut self) -> &mut Publisher<Settings> {
        &mut self.publisher
    }
}

/// Why a door leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It is no longer configured.
    Removed,
    /// The process ends.
    ProcessEnds,
}

/// A door whose listener drains. What it serves follows the objects to its end.
pub(super) struct LeavingDoor {
    status: ListenerStatus,
    pub(super) publisher: Publisher<Settings>,
    /// The task in which it drains.
    pub(super) drain: Id,
    pub(super) why: Leaving,
}

impl LeavingDoor {
    /// How many descriptors it still uses.
    pub(super) fn descriptors(&self) -> usize {
        let (_, workers) = self.status.workers();
        self.status.descriptors() + workers * OF_WORKER
    }
}
