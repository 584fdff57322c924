//! What is kept from one publication to the next.

use resource::{ClusterView, Problem};
use route::{ListenerName, ObjectKey};

use crate::admission::{Policy, Roll};
use crate::backend::{BackendPolicy, Clients};
use crate::compile::Told;

/// From what the doors were compiled last, so that next time only what changed is compiled. It decides how much work
/// is done and never what comes out: a property test compares with doors that have none.
#[derive(Debug, Default)]
pub struct Ledger(pub(super) Option<Entry>);

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) view: ClusterView,
    pub(crate) backends: BackendPolicy,
    /// In the order of the doors.
    pub(crate) doors: Vec<DoorEntry>,
    /// What admission told, by Ingress.
    pub(crate) admission: Told,
    /// How TLS is spoken to backends.
    pub(crate) clients: Clients,
}

#[derive(Debug)]
pub(crate) struct DoorEntry {
    pub(crate) name: ListenerName,
    pub(crate) policy: Policy,
    pub(crate) roll: Roll,
    /// What compilation told.
    pub(crate) problems: Told,
    /// What gathering certificates told.
    pub(crate) tls_problems: Vec<Problem>,
}

pub(crate) fn by_ingress(problems: Vec<Problem>) -> Told {
    let mut sorted = Told::new();
    for problem in problems {
        if let Some(namespace) = problem.object.namespace.as_deref() {
            let key = ObjectKey::new(namespace, &*problem.object.name);
            sorted.entry(key).or_default().push(problem);
        }
    }
    sorted
}
