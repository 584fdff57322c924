//! The descriptors of a door: how many it may use for clients and for backends, and how many it uses.
//!
//! A descriptor is what the process can have least of: where a door takes the last one, no other door, no probe and no file
//! can have any. So each door has a part of its own ([ADR 29](../../../docs/adr/0029-descriptors-are-divided.md)).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many descriptors a door may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allotment {
    /// For connections of clients at most.
    pub clients: usize,
    /// For connections to backends, and for pipes between the two, at most.
    pub backends: usize,
    /// For clients and backends together.
    pub both: usize,
    /// For connections that are about to end: refused ones that read the answer, and idle ones that make room.
    pub leaving: usize,
}

impl Allotment {
    /// As many as there are.
    pub const UNLIMITED: Self = Self {
        clients: usize::MAX,
        backends: usize::MAX,
        both: usize::MAX,
        leaving: usize::MAX,
    };

    /// All of them.
    #[must_use]
    pub fn total(self) -> usize {
        self.both.saturating_add(self.leaving)
    }
}

/// What a door may use and uses; all its workers share it.
#[derive(Debug)]
pub(crate) struct DoorDescriptors {
    clients: AtomicUsize,
    backends: AtomicUsize,
    both: AtomicUsize,
    leaving: AtomicUsize,
    /// Open connections of clients.
    open: AtomicUsize,
    /// Of those for backends.
    used: AtomicUsize,
    /// Refused connections that read the answer.
    refusing: AtomicUsize,
    /// Idle connections that have been asked to end, and have neither ended nor become busy.
    going: Arc<AtomicUsize>,
}

/// A descriptor for a backend, for as long as it is used.
#[derive(Debug)]
pub(crate) struct Held(Arc<DoorDescriptors>);

/// A refused connection, for as long as it lasts.
#[derive(Debug)]
pub(crate) struct Refusing(Arc<DoorDescriptors>);

impl Default for DoorDescriptors {
    fn default() -> Self {
        let Allotment {
            clients,
            backends,
            both,
            leaving,
        } = Allotment::UNLIMITED;
        Self {
            clients: clients.into(),
            backends: backends.into(),
            both: both.into(),
            leaving: leaving.into(),
            open: 0.into(),
            used: 0.into(),
            refusing: 0.into(),
            going: Arc::default(),
        }
    }
}

impl DoorDescriptors {
    pub(crate) fn allot(&self, allotment: Allotment) {
        self.clients.store(allotment.clients, Ordering::Relaxed);
        self.backends.store(allotment.backends, Ordering::Relaxed);
        self.both.store(allotment.both, Ordering::Relaxed);
        self.leaving.store(allotment.leaving, Ordering::Relaxed);
    }

    pub(crate) fn allotment(&self) -> Allotment {
        Allotment {
            clients: self.clients.load(Ordering::Relaxed),
            backends: self.backends.load(Ordering::Relaxed),
            both: self.both.load(Ordering::Relaxed),
            leaving: self.leaving.load(Ordering::Relaxed),
        }
    }

    /// How many clients the door may have now: backends may have taken some of what both share.
    pub(crate) fn clients(&self) -> usize {
        let left = self.both.load(Ordering::Relaxed).saturating_sub(self.used());
        self.clients.load(Ordering::Relaxed).min(left)
    }

    /// A client has connected.
    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// A client's connection has ended.
    pub(crate) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether clients and backends use all that they share.
    pub(crate) fn are_used_up(&self) -> bool {
        let both = self.both.load(Ordering::Relaxed);
        self.open.load(Ordering::Relaxed).saturating_add(self.used()) >= both
    }

    /// How many there may be for backends when idle clients have given way.
    pub(crate) fn most_used(&self) -> usize {
        self.backends.load(Ordering::Relaxed)
    }

    /// Whether half of these are used.
    pub(crate) fn are_scarce(&self) -> bool {
        self.used() >= self.most_used() / 2
    }

    /// How many there may be for backends now.
    fn most_for_backends(&self) -> usize {
        let both = self.both.load(Ordering::Relaxed);
        let left = both.saturating_sub(self.open.load(Ordering::Relaxed));
        self.backends.load(Ordering::Relaxed).min(left)
    }

    /// How many are used for backends.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// How many idle connections have been asked to end, and have neither ended nor become busy.
    pub(crate) fn going(&self) -> &Arc<AtomicUsize> {
        &self.going
    }

    /// How many idle connections may be about to end at once: they still have their descriptors.
    pub(crate) fn most_going(&self) -> usize {
        self.leaving.load(Ordering::Relaxed).div_ceil(2)
    }

    /// One more for a backend, if the door may use it.
    pub(crate) fn hold(self: &Arc<Self>) -> Option<Held> {
        let most = self.most_for_backends();
        self.take(&self.used, most).then(|| Held(Arc::clone(self)))
    }

    /// Two for a pipe. A pipe only saves work, so the last quarter stays for connections.
    pub(crate) fn hold_pipe(self: &Arc<Self>) -> Option<[Held; 2]> {
        let most = self.most_for_backends();
        let most = most - most / 4;
        if !self.take(&self.used, most) {
            return None;
        }
        let first = Held(Arc::clone(self));
        self.take(&self.used, most)
            .then(|| [first, Held(Arc::clone(self))])
    }

    /// One more refused connection that reads the answer, as long as there are few.
    pub(crate) fn refuse(self: &Arc<Self>) -> Option<Refusing> {
        let most = self.leaving.load(Ordering::Relaxed) / 2;
        self.take(&self.refusing, most)
            .then(|| Refusing(Arc::clone(self)))
    }

    fn take(&self, count: &AtomicUsize, most: usize) -> bool {
        let within = count.fetch_add(1, Ordering::Relaxed) < most;
        if !within {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        within
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.0.refusing.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(backends: usize, leaving: usize) -> Arc<DoorDescriptors> {
        let door = Arc::new(DoorDescriptors::default());
        door.allot(Allotment {
            clients: 1,
            backends,
            both: backends + 1,
            leaving,
        });
        door
    }

    #[test]
    fn what_is_held_is_counted_until_it_is_dropped() {
        let door = door(4, 3);
        let mut held: Vec<Held> = (0..4).filter_map(|_| door.hold()).collect();
        assert_eq!((held.len(), door.used()), (4, 4));
        assert!(door.hold().is_none());
        held.pop();
        assert!(door.hold().is_some());
        assert_eq!(door.used(), 3);
        let refused = door.refuse();
        assert!(refused.is_some() && door.refuse().is_none());
        drop(refused);
        assert!(door.refuse().is_some());
        assert_eq!(door.most_going(), 2);
    }

    #[test]
    fn clients_and_backends_share() {
        let door = Arc::new(DoorDescriptors::default());
        door.allot(Allotment {
            clients: 6,
            backends: 7,
            both: 8,
            leaving: 0,
        });
        assert_eq!(door.clients(), 6);
        (0..4).for_each(|_| door.opened());
        let held: Vec<_> = std::iter::from_fn(|| door.hold()).collect();
        assert_eq!((held.len(), door.clients(), door.are_used_up()), (4, 4, true));
        door.closed();
        assert!(!door.are_used_up());
        assert!(door.hold().is_some());
        drop(held);
        assert_eq!(door.clients(), 6);
        (0..3).for_each(|_| door.closed());
        let held: Vec<_> = std::iter::from_fn(|| door.hold()).collect();
        assert_eq!((held.len(), door.clients()), (7, 1));
    }

    #[test]
    fn pipes_leave_a_quarter_to_connections() {
        let door = door(8, 0);
        let pipes: Vec<_> = std::iter::from_fn(|| door.hold_pipe()).collect();
        assert_eq!((pipes.len(), door.used()), (3, 6));
        let connections: Vec<_> = std::iter::from_fn(|| door.hold()).collect();
        assert_eq!((connections.len(), door.used()), (2, 8));
        drop(pipes);
        drop(connections);
        assert_eq!(door.used(), 0);
    }

    #[test]
    fn a_smaller_part_holds_at_once_for_what_comes() {
        let door = door(4, 0);
        let held: Vec<_> = std::iter::from_fn(|| door.hold()).collect();
        door.allot(Allotment {
            clients: 1,
            backends: 2,
            both: 3,
            leaving: 0,
        });
        drop(held);
        let held: Vec<_> = std::iter::from_fn(|| door.hold()).collect();
        assert_eq!(held.len(), 2);
    }
}
