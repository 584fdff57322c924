//! Which part of the descriptors each door has.

use super::Supervisor;
use super::door::{LeavingDoor, RunningDoor};
use crate::descriptors::Wanted;

impl Supervisor {
    /// Gives each door its part of the descriptors, and says so where that is another than before.
    pub(super) fn divide_descriptors(&mut self) {
        let wanted: Vec<Wanted> = self.world.doors.iter().map(RunningDoor::wanted).collect();
        let leaving = self.leaving.iter().map(LeavingDoor::descriptors).sum();
        let parts = self.descriptors.divide(&wanted, leaving);
        // Doors that leave will not need theirs for long.
        match parts.or_else(|_too_few| self.descriptors.divide(&wanted, 0)) {
            Ok(allotments) => {
                for ((door, wanted), allotment) in self.world.doors.iter_mut().zip(wanted).zip(allotments) {
                    if door.allot(allotment) {
                        self.descriptors.tell(&door.config.name, wanted, allotment);
                    }
                }
            }
            // This was tried before the doors were bound.
            Err(error) => tracing::warn!("{error}"),
        }
    }
}
