//! Room for another connection when there is none: idle ones give way.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::peers::{Asked, Peer};
use super::{Shared, Worker};
use crate::observe::labels::Shortage;
use crate::settings::Settings;

impl Shared {
    /// How many client connections the door may have.
    pub(crate) fn most_connections(&self, settings: &Settings) -> usize {
        let most = self.metrics.descriptors.clients();
        settings.limits.connections.min(most)
    }

    /// How many are open beyond that.
    pub(super) fn excess(&self, settings: &Settings) -> usize {
        let open = self.connections.load(Ordering::Relaxed);
        open.saturating_sub(self.most_connections(settings))
    }
}

impl Worker {
    /// Whether another connection is one too many for the door, unless an idle one gives way.
    pub(crate) fn is_full(&self) -> bool {
        let open = self.shared.connections.load(Ordering::Relaxed);
        open >= self.shared.most_connections(self.door.snapshot().settings())
    }

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
        // Those that come meanwhile have descriptors beside those that end.
        let most = self.shared.metrics.descriptors.most_going();
        self.end_idle(excess, most, shortage)
    }

    /// The same for connections to backends, which wait until clients have ended.
    pub(crate) fn make_room_for_backends(&self, waiting: usize) -> bool {
        self.end_idle(waiting, usize::MAX, Shortage::Descriptors)
    }

    fn end_idle(&self, excess: usize, most_going: usize, shortage: Shortage) -> bool {
        let going_now = self.shared.metrics.descriptors.going();
        let going = going_now.load(Ordering::Relaxed);
        let needed = excess.saturating_sub(going);
        let most = needed.min(most_going.saturating_sub(going));
        let mut closed = self.close_idle(most, shortage);
        if closed < most {
            let asked = self.shared.peers.ask(&self.peer, most - closed, shortage);
            going_now.fetch_add(asked, Ordering::Relaxed);
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
