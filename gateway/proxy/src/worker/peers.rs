//! What the workers of a door ask of each other: to make room that a worker cannot make itself.
//!
//! The kernel distributes connections over the workers' sockets by chance. So the worker to which a connection comes need
//! not be the one that has idle connections.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::observe::labels::Shortage;

/// The workers of a door.
#[derive(Debug, Default)]
pub(crate) struct Peers(Mutex<Vec<Arc<Peer>>>);

/// What a worker shows the others, and what they ask of it.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// How many of its client connections are idle.
    pub(super) idle: Arc<AtomicUsize>,
    asked: [AtomicUsize; Shortage::ALL.len()],
    /// How many kept connections to backends it has been asked to close.
    asked_kept: AtomicUsize,
    wake: Notify,
}

/// What a worker has been asked for since it looked last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Asked {
    /// Idle client connections to close, and why.
    pub(crate) idle: Vec<(Shortage, usize)>,
    /// Kept connections to backends to close.
    pub(crate) kept: usize,
}

impl Peers {
    pub(super) fn join(&self, idle: Arc<AtomicUsize>) -> Arc<Peer> {
        let peer = Arc::new(Peer {
            idle,
            ..Peer::default()
        });
        self.lock().push(Arc::clone(&peer));
        peer
    }

    /// What it had still been asked for.
    pub(super) fn leave(&self, peer: &Arc<Peer>) -> Asked {
        self.lock().retain(|other| !Arc::ptr_eq(other, peer));
        peer.take()
    }

    /// Asks others for `most` idle client connections to be closed, as many as they show to have. Returns for how many.
    pub(super) fn ask(&self, by: &Arc<Peer>, most: usize, shortage: Shortage) -> usize {
        let mut left = most;
        for peer in self.lock().iter().filter(|peer| !Arc::ptr_eq(peer, by)) {
            let asked = peer.asked.get(shortage as usize);
            let Some(asked) = asked.filter(|_| left > 0) else {
                continue;
            };
            let already: usize = peer.asked.iter().map(|asked| asked.load(Ordering::Relaxed)).sum();
            let count = peer
                .idle
                .load(Ordering::Relaxed)
                .saturating_sub(already)
                .min(left);
            if count > 0 {
                asked.fetch_add(count, Ordering::Relaxed);
                peer.wake.notify_one();
                left -= count;
            }
        }
        most - left
    }

    /// Asks each other worker to close a kept connection to a backend.
    pub(super) fn ask_for_kept(&self, by: &Arc<Peer>) {
        for peer in self.lock().iter().filter(|peer| !Arc::ptr_eq(peer, by)) {
            peer.asked_kept.fetch_add(1, Ordering::Relaxed);
            peer.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Peer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    /// Waits until something is asked of the worker.
    pub(crate) async fn asked(&self) -> Asked {
        loop {
            let asked = self.take();
            if asked != Asked::default() {
                return asked;
            }
            self.wake.notified().await;
        }
    }

    fn take(&self) -> Asked {
        let idle = Shortage::ALL.into_iter().zip(&self.asked);
        let idle = idle.map(|(shortage, asked)| (shortage, asked.swap(0, Ordering::Relaxed)));
        Asked {
            idle: idle.filter(|(_, count)| *count > 0).collect(),
            kept: self.asked_kept.swap(0, Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_are_asked_that_have_idle_connections() {
        let peers = Peers::default();
        let [me, few, many] = [7, 1, 5].map(|idle| peers.join(Arc::new(idle.into())));
        assert_eq!(peers.ask(&me, 4, Shortage::Connections), 4);
        assert_eq!(peers.ask(&me, 4, Shortage::Descriptors), 2, "and none twice");
        assert_eq!(me.take(), Asked::default());
        assert_eq!(few.take().idle, [(Shortage::Connections, 1)]);
        let both = [(Shortage::Connections, 3), (Shortage::Descriptors, 2)];
        assert_eq!(many.take().idle, both);
        assert_eq!(peers.ask(&me, 9, Shortage::Connections), 6);
        assert_eq!(peers.leave(&many).idle, [(Shortage::Connections, 5)]);
        few.idle.store(0, Ordering::Relaxed);
        assert_eq!(peers.ask(&me, 1, Shortage::Connections), 0);
        peers.ask_for_kept(&me);
        assert_eq!((me.take().kept, few.take().kept, many.take().kept), (0, 1, 0));
    }
}
