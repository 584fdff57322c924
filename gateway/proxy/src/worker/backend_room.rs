//! Room for connections to backends: kept ones give way.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::peers::{Peer, Peers};
use crate::descriptors::{DoorDescriptors, Held};

/// How long a connection to a backend waits for others to end, each time it looks.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(1),
    Duration::from_millis(4),
    Duration::from_millis(15),
    Duration::from_millis(30),
];

/// Closes what has been kept for longest, if there is anything.
type Free = Box<dyn Fn() -> bool>;

/// Where a worker's connections to backends get their descriptors.
pub(crate) struct BackendRoom {
    door: Arc<DoorDescriptors>,
    peers: Arc<Peers>,
    peer: Arc<Peer>,
    free: RefCell<Option<Free>>,
}

impl BackendRoom {
    pub(super) fn new(door: Arc<DoorDescriptors>, peers: Arc<Peers>, peer: Arc<Peer>) -> Rc<Self> {
        Rc::new(Self {
            door,
            peers,
            peer,
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
            if !freed {
                self.peers.ask_for_kept(&self.peer);
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
            peers: Arc::default(),
            peer: Arc::default(),
            free: RefCell::default(),
        }
    }
}

impl fmt::Debug for BackendRoom {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BackendRoom")
            .field("door", &self.door)
            .finish_non_exhaustive()
    }
}
