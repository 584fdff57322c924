//! Room for connections to backends: kept ones give way.

use std::cell::{Cell, RefCell};
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

/// Has as many idle clients give way as requests wait, as far as there are any.
type MakeRoom = Box<dyn Fn(usize) -> bool>;

/// Counts a request that waits.
struct Waiting<'r>(&'r Cell<usize>);

impl<'r> Waiting<'r> {
    fn new(count: &'r Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Where a worker's connections to backends get their descriptors.
pub(crate) struct BackendRoom {
    door: Arc<DoorDescriptors>,
    peers: Arc<Peers>,
    peer: Arc<Peer>,
    free: RefCell<Option<Free>>,
    /// Has an idle client give way.
    close_idle: RefCell<Option<MakeRoom>>,
    /// Requests that wait for a descriptor.
    waiting: Cell<usize>,
}

impl BackendRoom {
    pub(super) fn new(door: Arc<DoorDescriptors>, peers: Arc<Peers>, peer: Arc<Peer>) -> Rc<Self> {
        Rc::new(Self {
            door,
            peers,
            peer,
            free: RefCell::default(),
            close_idle: RefCell::default(),
            waiting: Cell::new(0),
        })
    }

    /// Registers what closes a kept connection.
    pub(crate) fn freed_by(&self, free: impl Fn() -> bool + 'static) {
        self.free.replace(Some(Box::new(free)));
    }

    /// Registers what has an idle client give way, if there is one.
    pub(crate) fn makes_room(&self, close_idle: impl Fn(usize) -> bool + 'static) {
        self.close_idle.replace(Some(Box::new(close_idle)));
    }

    /// Clients that are idle must not keep others from their backends.
    fn close_idle(&self) -> bool {
        let close_idle = self.close_idle.borrow();
        let waiting = self.waiting.get();
        self.door.are_used_up() && close_idle.as_ref().is_some_and(|close_idle| close_idle(waiting))
    }

    /// Closes the connection that has been kept for longest at this worker, if there is one.
    pub(crate) fn free_one(&self) -> bool {
        self.free.borrow().as_ref().is_some_and(|free| free())
    }

    /// A descriptor for a connection to a backend. When the door has used up its part, a kept connection of this worker is
    /// closed, or else an idle client, or else a kept connection of another worker.
    ///
    /// # Errors
    /// When all are in use, as if the process were out of descriptors.
    pub(crate) async fn hold(&self) -> io::Result<Held> {
        if let Some(held) = self.door.hold() {
            return Ok(held);
        }
        let _waiting = Waiting::new(&self.waiting);
        for pause in PAUSES {
            let freed = self.free_one() || self.close_idle();
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
            close_idle: RefCell::default(),
            waiting: Cell::new(0),
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
