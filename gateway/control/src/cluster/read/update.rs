//! News of the objects that are watched.

use resource::ObjectRef;

use super::observed::Observed;
use super::target::WatchTarget;
use crate::cluster::connection::Fault;

/// What is new in a target.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) target: WatchTarget,
    pub(crate) event: TargetEvent,
}

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
    /// Nothing is heard of the target at the moment; what was heard last stands.
    Failed(Fault),
}
