//! A door that serves, and one that serves to its end.

use std::sync::{Arc, Mutex};

use proxy::{
    AccessLog, Allotment, BindError, Binding, Listener, ListenerStatus, MemoryBudget, Metrics, Sockets,
    Tracer, Verdicts,
};
use tokio::task::{Id, JoinSet};

use super::compiler::{JobDoor, SharedPublisher};
use crate::config::DoorConfig;
use crate::descriptors::OF_WORKER;
use crate::world::{WorldDoor, open};

/// A door with its listener: the two ends of one [`door::open`] and what they were opened with.
pub(super) struct RunningDoor {
    /// Its part of the descriptors, once it has been told.
    allotment: Option<Allotment>,
    pub(super) config: Arc<DoorConfig>,
    pub(super) publisher: SharedPublisher,
    pub(super) listener: Listener,
    /// The publisher still has the configuration before this one.
    is_new: bool,
    /// It accepts connections.
    listens: bool,
    /// Its next sockets, and the binding for which they were opened.
    next: Option<(Binding, Sockets)>,
}

impl RunningDoor {
    /// Opens a door and binds its address. It does not listen before [`RunningDoor::start`], and never without a part of the
    /// descriptors.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(super) fn bind(
        config: &Arc<DoorConfig>,
        allotment: Allotment,
        metrics: &Metrics,
        access: &AccessLog,
        memory: &MemoryBudget,
        tracer: &Tracer,
    ) -> Result<Self, BindError> {
        let (publisher, reader) = open(config);
        let (access, memory, tracer) = (access.clone(), memory.clone(), tracer.clone());
        let listener = Listener::bind(reader, config.binding.clone(), metrics, access, memory, tracer)?;
        listener.allot(allotment);
        Ok(Self {
            allotment: None,
            config: Arc::clone(config),
            publisher: Arc::new(Mutex::new(publisher)),
            listener,
            is_new: false,
            listens: false,
            next: None,
        })
    }

    /// How many workers it has beside those of the sockets of this binding.
    pub(super) fn workers_beside(&self, binding: &Binding) -> usize {
        let workers = self.listener.workers();
        if *binding == *self.listener.binding() {
            workers.saturating_sub(binding.workers)
        } else {
            workers
        }
    }

    /// Gives it descriptors. Whether they are others than before.
    pub(super) fn allot(&mut self, allotment: Allotment) -> bool {
        self.listener.allot(allotment);
        self.allotment.replace(allotment) != Some(allotment)
    }

    /// Accepts connections from now on.
    pub(super) fn start(&mut self) {
        if std::mem::replace(&mut self.listens, true) {
            return;
        }
        self.listener.start();
        let selector = self.config.policy.membership();
        tracing::info!(listener = %self.config.name, address = %self.listener.address(), selector, "door bound");
    }

    /// Whether it has sockets with this binding, or will have them.
    pub(super) fn has(&self, binding: &Binding) -> bool {
        let next = self.next.as_ref().map(|(binding, _)| binding);
        *binding == *self.listener.binding() || next == Some(binding)
    }

    /// Takes over another configuration, which goes live with the next publication, and sockets for it if those that it has
    /// are others.
    pub(super) fn reconfigure(&mut self, config: &Arc<DoorConfig>, sockets: Option<Sockets>) {
        if let Some(sockets) = sockets {
            self.next = Some((config.binding.clone(), sockets));
        } else if *self.listener.binding() == config.binding {
            self.next = None;
        }
        if self.config != *config {
            self.config = Arc::clone(config);
            self.is_new = true;
        }
    }

    /// Has the next publication take over its configuration, whether or not an earlier one has.
    pub(super) fn renew(&mut self) {
        self.is_new = true;
    }

    /// Its configuration is live: it accepts connections, at the sockets that it is to have.
    pub(super) fn open_up(&mut self) {
        self.start();
        if let Some((_, sockets)) = self.next.take() {
            self.listener.move_to(sockets);
            tracing::info!(listener = %self.config.name, address = %self.listener.address(), "door bound anew");
        }
    }

    pub(super) fn listens(&self) -> bool {
        self.listens
    }

    /// Its part of the next publication.
    pub(super) fn job(&mut self) -> JobDoor {
        JobDoor {
            publisher: Arc::clone(&self.publisher),
            config: std::mem::take(&mut self.is_new).then(|| Arc::clone(&self.config)),
            verdicts: Some(self.listener.verdicts()),
            is_shown: true,
        }
    }

    /// Drains the listener in a task, which returns how many requests it cut.
    pub(super) fn leave(self, drains: &mut JoinSet<usize>, why: Leaving) -> LeavingDoor {
        let drain = self.config.settings.drain;
        let (status, workers) = (self.listener.status(), self.listener.workers());
        let verdicts = self.listener.verdicts();
        let task = if self.listens {
            drains.spawn(self.listener.shut_down(drain))
        } else {
            // It has no connections.
            drains.spawn(std::future::ready(0))
        };
        LeavingDoor {
            status,
            workers,
            drain: task.id(),
            config: self.config,
            publisher: self.publisher,
            verdicts,
            is_new: self.is_new,
            why,
        }
    }
}

impl WorldDoor for RunningDoor {
    fn config(&self) -> &DoorConfig {
        &self.config
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
    pub(super) status: ListenerStatus,
    workers: usize,
    pub(super) config: Arc<DoorConfig>,
    pub(super) publisher: SharedPublisher,
    verdicts: Verdicts,
    /// The publisher still has the configuration before this one.
    is_new: bool,
    /// The task in which it drains.
    pub(super) drain: Id,
    pub(super) why: Leaving,
}

impl LeavingDoor {
    /// How many descriptors it still uses.
    pub(super) fn descriptors(&self) -> usize {
        self.status.descriptors() + self.workers * OF_WORKER
    }

    /// Has the next publication take over its configuration, whether or not an earlier one has.
    pub(super) fn renew(&mut self) {
        self.is_new = true;
    }

    /// Its part of the next publication. A door that is no longer configured is not shown any more.
    pub(super) fn job(&mut self) -> JobDoor {
        JobDoor {
            publisher: Arc::clone(&self.publisher),
            config: std::mem::take(&mut self.is_new).then(|| Arc::clone(&self.config)),
            verdicts: Some(self.verdicts.clone()),
            is_shown: self.why == Leaving::ProcessEnds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Options};

    const CONFIG: &str = "\
[listeners.a]
bind = \"127.0.0.1:0\"
selector = \"expose=a\"
scheme = \"http\"
workers = 1
";

    fn config(selector: &str) -> Arc<DoorConfig> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("listeners.toml");
        std::fs::write(&path, CONFIG.replace("expose=a", selector)).unwrap();
        let options = Options {
            config: Some(path),
            ..Options::default()
        };
        Arc::clone(&config::load(&options).unwrap().config.doors[0])
    }

    /// A reload may wait for the end of a compilation when the door begins to leave. It serves for a while.
    #[tokio::test]
    async fn a_door_that_leaves_takes_its_new_configuration_along() {
        let (metrics, access) = (Metrics::default(), AccessLog::off());
        let memory = MemoryBudget::new(usize::MAX);
        let bind = || {
            RunningDoor::bind(
                &config("expose=a"),
                Allotment::UNLIMITED,
                &metrics,
                &access,
                &memory,
                &Tracer::off(),
            )
        };
        let mut door = bind().unwrap();
        let stricter = config("expose=a,team=one");
        door.reconfigure(&stricter, None);
        let mut drains = JoinSet::new();
        let mut leaving = door.leave(&mut drains, Leaving::ProcessEnds);
        assert_eq!(leaving.job().config, Some(stricter));
        assert_eq!(leaving.job().config, None, "it is live");
        let mut same = bind().unwrap().leave(&mut drains, Leaving::Removed);
        assert_eq!(same.job().config, None);
        drains.join_all().await;
    }
}
