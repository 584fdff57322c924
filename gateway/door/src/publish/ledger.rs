//! What is kept from one publication to the next.

use std::collections::HashMap;

use resource::{ClusterView, ObjectRef, Problem, ProblemLists};
use route::ListenerName;

use super::changes::DoorChange;
use super::readers::Readers;
use super::unserved::UnservedRoll;
use crate::admission::{Members, Policy};
use crate::backend::{BackendMemory, BackendPolicy};
use crate::compile::Reports;

/// What the doors were compiled from last, so that next time only what changed is compiled. It decides how much work is
/// done and never what the result is: a property test compares with doors that have no ledger.
#[derive(Debug, Default)]
pub struct Ledger {
    pub(super) last: Option<LastPublication>,
    pub(super) memory: BackendMemory,
    pub(super) changes: Vec<DoorChange>,
}

impl Ledger {
    /// What the last publication changed, at each door where it changed something. Taken out; empty if it panicked.
    pub fn take_changes(&mut self) -> Vec<DoorChange> {
        std::mem::take(&mut self.changes)
    }

    /// Has the next publication compile everything. What was read from objects is still known.
    pub fn forget(&mut self) {
        self.last = None;
    }
}

/// What one publication was compiled from, and what it reported.
#[derive(Debug)]
pub(crate) struct LastPublication {
    pub(crate) view: ClusterView,
    pub(crate) backends: BackendPolicy,
    /// Doors of other processes.
    pub(crate) others: Vec<(ListenerName, Policy)>,
    /// In the order of the doors.
    pub(crate) doors: Vec<DoorRecord>,
    /// Which Middlewares refer to what.
    pub(crate) readers: Readers,
    /// What admission reported, by Ingress.
    pub(crate) admission: ProblemLists,
    /// What is wrong with classes that doors admit.
    pub(crate) classes: ProblemLists,
    /// Which Ingresses no door admits.
    pub(crate) unserved: UnservedRoll,
}

/// One door of a publication.
#[derive(Debug)]
pub(crate) struct DoorRecord {
    pub(crate) name: ListenerName,
    pub(crate) policy: Policy,
    pub(crate) members: Members,
    pub(crate) reports: DoorReports,
}

/// What making a door has reported.
#[derive(Debug, Clone, Default)]
pub(crate) struct DoorReports {
    /// By the Ingress whose compilation reported it.
    pub(crate) compiling: ProblemLists,
    /// From gathering certificates.
    pub(crate) gathering: ProblemLists,
}

/// What a publication reported, so that the next one keeps the lists that are still right.
#[derive(Debug, Default)]
pub(crate) struct LastReports {
    doors: HashMap<ListenerName, DoorReports>,
    pub(crate) admission: ProblemLists,
    pub(crate) classes: ProblemLists,
}

impl LastReports {
    /// Those of one door, which are taken out.
    pub(crate) fn of_door(&mut self, door: &ListenerName) -> DoorReports {
        self.doors.remove(door).unwrap_or_default()
    }
}

impl LastPublication {
    pub(crate) fn last_reports(&self) -> LastReports {
        let doors = self.doors.iter();
        LastReports {
            doors: doors
                .map(|door| (door.name.clone(), door.reports.clone()))
                .collect(),
            admission: self.admission.clone(),
            classes: self.classes.clone(),
        }
    }

    /// Every list of problems. The same problem may be in several.
    pub(crate) fn reports(&self) -> Vec<ProblemLists> {
        let of_doors = self.doors.iter().map(|door| &door.reports);
        let of_doors = of_doors.flat_map(|reports| [&reports.compiling, &reports.gathering]);
        of_doors
            .chain([&self.admission, &self.classes])
            .cloned()
            .collect()
    }
}

/// By the objects that the problems are about.
pub(crate) fn by_object(problems: Vec<Problem>) -> Reports {
    let mut sorted = Reports::new();
    for problem in problems {
        let object: ObjectRef = problem.object.clone();
        sorted.entry(object).or_default().push(problem);
    }
    sorted
}
