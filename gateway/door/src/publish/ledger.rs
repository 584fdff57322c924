//! What is kept from one publication to the next.

use resource::{ClusterView, Problem};
use route::{ListenerName, ObjectKey};

use crate::admission::{Members, Policy};
use crate::backend::{BackendMemory, BackendPolicy};
use crate::compile::Reports;

/// What the doors were compiled from last, so that next time only what changed is compiled. It decides how much work is
/// done and never what the result is: a property test compares with doors that have no ledger.
#[derive(Debug, Default)]
pub struct Ledger {
    pub(super) last: Option<LastPublication>,
    pub(super) memory: BackendMemory,
}

impl Ledger {
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
    /// In the order of the doors.
    pub(crate) doors: Vec<DoorRecord>,
    /// What admission reported, by Ingress.
    pub(crate) admission: Reports,
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
#[derive(Debug)]
pub(crate) struct DoorReports {
    pub(crate) compiling: Reports,
    /// From gathering certificates.
    pub(crate) gathering: Vec<Problem>,
}

pub(crate) fn by_ingress(problems: Vec<Problem>) -> Reports {
    let mut sorted = Reports::new();
    for problem in problems {
        if let Some(namespace) = problem.object.namespace.as_deref() {
            let key = ObjectKey::new(namespace, &*problem.object.name);
            sorted.entry(key).or_default().push(problem);
        }
    }
    sorted
}
