//! What the admin port is shown: the listeners, and the world that is live.

use std::sync::Arc;

use proxy::ListenerStatus;
use route::ListenerName;

use super::Supervisor;
use super::door::Leaving;
use crate::config::{Config, DoorConfig};
use crate::shown::{ShownDoor, ShownWorld};

impl Supervisor {
    /// Shows the listeners on the admin port. Those of a process that drains stay on it.
    pub(super) fn show_listeners(&self) {
        if !self.world.doors.is_empty() {
            let doors = self.world.doors.iter().filter(|door| door.listens());
            let mut statuses: Vec<ListenerStatus> = doors.map(|door| door.listener.status()).collect();
            statuses.sort_by(|left, right| left.name().cmp(right.name()));
            self.reporting.board.show(statuses);
        }
        self.show_world();
    }

    /// Shows what is live, and what is wrong now.
    pub(super) fn show_world(&self) {
        let live = self.publications.live.as_ref();
        let config = live.map_or(&self.world.config, |live| &live.config);
        let serving = self.world.doors.iter().filter(|door| door.listens());
        let serving = serving.map(|door| (&door.config, door.listener.status()));
        let leaving = self
            .leaving
            .iter()
            .filter(|door| door.why == Leaving::ProcessEnds);
        let leaving = leaving.map(|door| (&door.config, door.status.clone()));
        let mut doors: Vec<ShownDoor> = serving
            .chain(leaving)
            .map(|(newest, status)| ShownDoor {
                config: Arc::clone(configured(config, &newest.name).unwrap_or(newest)),
                snapshot: status.snapshot(),
                status: Some(status),
            })
            .collect();
        doors.sort_by(|left, right| left.name().cmp(right.name()));
        self.reporting.board.show_world(ShownWorld {
            config: Arc::clone(config),
            view: live.map(|live| live.view.clone()),
            problems: self.world.problems.all().clone(),
            doors,
        });
    }
}

fn configured<'c>(config: &'c Config, name: &ListenerName) -> Option<&'c Arc<DoorConfig>> {
    config.doors.iter().find(|door| door.name == *name)
}
