//! Which part of the descriptors each door has.

use std::sync::Arc;

use super::Supervisor;
use super::door::{LeavingDoor, RunningDoor};
use crate::config::DoorConfig;
use crate::descriptors::{Division, OF_WORKER, TooFew, Wanted};

impl Supervisor {
    /// How the descriptors are divided with these doors, and with `leaving` for those that leave.
    ///
    /// # Errors
    /// When there are too few for them beside the workers of their earlier sockets.
    pub(super) fn division(&self, doors: &[Arc<DoorConfig>], leaving: usize) -> Result<Division, TooFew> {
        let wanted: Vec<Wanted> = doors.iter().map(|door| Wanted::by(door)).collect();
        let earlier = doors.iter().filter_map(|config| {
            let mut running = self.world.doors.iter();
            let door = running.find(|door| door.config.name == config.name)?;
            Some(door.workers_beside(&config.binding))
        });
        let earlier = earlier.sum::<usize>() * OF_WORKER;
        self.descriptors.divide(&wanted, earlier + leaving)
    }

    /// Gives each door its part of the descriptors, and says so where that is another than before.
    pub(super) fn divide_descriptors(&mut self) {
        let doors: Vec<_> = self
            .world
            .doors
            .iter()
            .map(|door| Arc::clone(&door.config))
            .collect();
        let leaving = self.leaving.iter().map(LeavingDoor::descriptors).sum();
        let division = self.division(&doors, leaving);
        // Doors that leave will not need theirs for long.
        match division.or_else(|_too_few| self.division(&doors, 0)) {
            Ok(division) => {
                self.descriptors.show(&division);
                for (door, allotment) in self.world.doors.iter_mut().zip(division.allotments) {
                    if door.allot(allotment) {
                        let wanted = Wanted::by(&door.config);
                        self.descriptors.tell(&door.config.name, wanted, allotment);
                    }
                }
            }
            // This was tried before the doors were bound. Each keeps what it has.
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// Divides anew what workers of earlier sockets used, if some have ended.
    pub(super) fn look_at_workers(&mut self) {
        let has_ended = |any, door: &mut RunningDoor| door.listener.forget_finished() || any;
        if self.world.doors.iter_mut().fold(false, has_ended) {
            self.divide_descriptors();
        }
    }
}
