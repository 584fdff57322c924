//! Room for another connection when there is none: idle ones give way.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::peers::{Asked, Peer};
use super::{Shared, Worker};
use crate::descriptors::{DoorDescriptors, Held};
use crate::observe::labels::Shortage;
use crate::settings::Settings;

/// How long a connection to a backend waits for others to end, each time it looks.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(1),
    Duration::from_millis(4),
    Duration::from_millis(15),
    Duration::from_millis(30),
];

impl Shared {
    /// How many client connections the door may have.
    pub(crate) fn most_connections(&self, settings: &Settings) -> usize {
        settings
            .limits
            .connections
            .min(self.metrics.descriptors.clients())
    }
}

impl Worker {
    /// Asks up to `most` idle client connections of this worker to end, those first that have been idle for longest.
    /// Returns how many. They end in order, when their tasks run next; over HTTP/2 a moment later.
    pub(crate) fn close_idle(&self, most: usize, shortage: Shortage) -> usize {
        let closed = self.deadlines.close_oldest(most);
        self.metrics
            .idle_closed(shortage, u64::try_from(closed).unwrap_or_default());
        closed
    }

    /// Has idle connections of the door end, so that `excess` fewer are open in a moment. False if that is not possible:
    /// too few are idle, or many are ending already.
    pub(crate) fn make_room(&self, excess: usize, shortage: Shortage) -> bool {
        let descriptors = &self.shared.metrics.descriptors;
        let going = descriptors.going().load(Ordering::Relaxed);
        let needed = excess.saturating_sub(going);
        let most = needed.min(descriptors.most_going().saturating_sub(going));
        let mut closed = self.close_idle(most, shortage);
        if closed < most {
            let asked = self.shared.peers.ask(&self.peer, most - closed, shortage);
            descriptors.going().fetch_add(asked, Ordering::Relaxed);
            closed += asked;
        }
        closed == needed
    }

    /// Waits until another worker asks for room, and makes what it can of that. Returns how many kept connections to
    /// backends it is to close.
    pub(crate) async fn heed(&self) -> usize {
        let Asked { idle, kept } = self.peer.asked().await;
        for (shortage, count) in idle {
            self.close_idle(count, shortage);
            // From now on they are counted as asked to end, or are not idle any more.
            self.shared.no_longer_asked(count);
        }
        kept
    }
}

impl Shared {
    fn no_longer_asked(&self, count: usize) {
        let going = self.metrics.descriptors.going();
        going.fetch_sub(count, Ordering::Relaxed);
    }

    /// A worker ends, and with it what others have asked of it.
    pub(super) fn leaves(&self, peer: &Arc<Peer>) {
        let left = self.peers.leave(peer).idle.into_iter().map(|(_, count)| count);
        self.no_longer_asked(left.sum());
    }
}

/// Closes what has been kept for longest, if there is anything.
type Free = Box<dyn Fn() -> bool>;

/// Where a worker's connections to backends get their descriptors.
pub(crate) struct BackendRoom {
    door: Arc<DoorDescriptors>,
    peers: Option<(Arc<Shared>, Arc<Peer>)>,
    free: RefCell<Option<Free>>,
}

impl BackendRoom {
    pub(super) fn new(shared: Arc<Shared>, peer: Arc<Peer>) -> Rc<Self> {
        Rc::new(Self {
            door: Arc::clone(&shared.metrics.descriptors),
            peers: Some((shared, peer)),
            free: RefCell::default(),
        })
    }

    /// Registers what closes a kept connection.
    pub(crate) fn freed_by(&self, free: impl Fn() -> bool + 'static) {
        self.free.replace(Some(Box::new(free)));
    }

    /// Closes the connection that has been kept for longest at this worker, if there is one.
    pub(crate) fn free_one(&self) -> bool {
        self.free.borrow().as_ref().is_some_and(|free| free())
    }

    /// A descriptor for a connection to a backend. When the door has used up its part, kept connections are closed first,
    /// of this worker and then of others.
    ///
    /// # Errors
    /// When all are in use, as if the process were out of descriptors.
    pub(crate) async fn hold(&self) -> io::Result<Held> {
        if let Some(held) = self.door.hold() {
            return Ok(held);
        }
        for pause in PAUSES {
            let freed = self.free_one();
            if let Some(held) = self.door.hold() {
                return Ok(held);
            }
            if !freed && let Some((shared, peer)) = &self.peers {
                shared.peers.ask_for_kept(peer);
            }
            tokio::time::sleep(pause).await;
            if let Some(held) = self.door.hold() {
                return Ok(held);
            }
        }
        Err(io::Error::from_raw_os_error(
            rustix::io::Errno::MFILE.raw_os_error(),
        ))
    }
}

/// Without a door, for tests.
impl Default for BackendRoom {
    fn default() -> Self {
        Self {
            door: Arc::default(),
            peers: None,
            free: RefCell::default(),
        }
    }
}

/// The workers of a door, and one of them.
impl std::fmt::Debug for BackendRoom {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("BackendRoom")
            .field("door", &self.door)
            .finish_non_exhaustive()
    }
}
