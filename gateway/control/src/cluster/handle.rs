//! The way to a running source.

use std::sync::Arc;
use std::time::Duration;

use resource::ProblemLists;
use tokio::sync::watch;

use super::door_view::DoorView;

/// Passes doors and problems to a running source. Clones reach the same source.
#[derive(Debug, Clone)]
pub struct ClusterHandle {
    pub(crate) doors: watch::Sender<Arc<dyn DoorView>>,
    pub(crate) problems: watch::Sender<ProblemLists>,
    pub(crate) retirement: watch::Sender<Retirement>,
}

/// Whether this replica is about to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Retirement {
    /// It goes on.
    #[default]
    None,
    /// It is to release the Lease.
    Requested,
    /// It has released the Lease.
    Done,
}

/// How long the end of the process may wait for the Lease to be released.
const RETIREMENT: Duration = Duration::from_secs(1);

impl ClusterHandle {
    pub(crate) fn new(doors: Arc<dyn DoorView>) -> Self {
        Self {
            doors: watch::Sender::new(doors),
            problems: watch::Sender::default(),
            retirement: watch::Sender::default(),
        }
    }

    /// The doors that there are now.
    pub fn doors(&self, doors: Arc<dyn DoorView>) {
        self.doors.send_replace(doors);
    }

    /// What is wrong with objects now.
    pub fn problems(&self, problems: ProblemLists) {
        self.problems.send_replace(problems);
    }

    /// This process is about to end: other replicas write from now on. Returns when they can begin, or after a second,
    /// because an unreachable API server must not delay the end.
    pub async fn retire(&self) {
        let mut retirement = self.retirement.subscribe();
        self.retirement.send_if_modified(|known| {
            let is_first = *known == Retirement::None;
            if is_first {
                *known = Retirement::Requested;
            }
            is_first
        });
        let done = retirement.wait_for(|retirement| *retirement == Retirement::Done);
        let _in_time = tokio::time::timeout(RETIREMENT, done).await;
    }
}
