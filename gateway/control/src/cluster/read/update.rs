//! What reflectors report.

use resource::ObjectRef;

use super::observed::Observed;
use super::target::WatchTarget;
use crate::cluster::connection::Fault;

/// An event of a target.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) target: WatchTarget,
    pub(crate) event: TargetEvent,
}

/// What has happened to the objects of a target.
#[derive(Debug)]
pub(crate) enum TargetEvent {
    /// These are all there are.
    Listed(Vec<Observed>),
    /// Changes arrive from now on.
    Following,
    /// One is new or has changed.
    Applied(Box<Observed>),
    /// One is gone.
    Removed(ObjectRef),
    /// The target cannot be watched now; what was known stays.
    Failed(Fault),
}

/// Nobody listens any more.
pub(crate) struct Closed;
