//! Room for another connection when there is none: idle ones give way.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::clients::Client;
use super::peers::{Asked, Peer};
use super::{Shared, Worker};
use crate::observe::labels::Shortage;
use crate::settings::{ClientShare, PerClient, Settings};

/// A connection to a backend that is in use for a client, counted for as long as it lives.
pub(crate) struct BackendShare {
    shared: Arc<Shared>,
    client: Client,
}

impl Drop for BackendShare {
    fn drop(&mut self) {
        self.shared.backend_clients.leave(self.client);
    }
}

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
        // More may be going, because memory is short. Beyond the limit there is no room for as many.
        let going = going_now.load(Ordering::Relaxed).min(most_going);
        let needed = excess.saturating_sub(going);
        let most = needed.min(most_going.saturating_sub(going));
        let mut closed = self.close_idle(most, shortage);
        if closed < most {
            let wanted = most - closed;
            // Before they hear of it, because they count it off.
            going_now.fetch_add(wanted, Ordering::Relaxed);
            let asked = self.shared.peers.ask(&self.peer, wanted, shortage);
            going_now.fetch_sub(wanted - asked, Ordering::Relaxed);
            closed += asked;
        }
        closed == needed
    }

    /// Whether the door has used half of what it may have for backends.
    pub(crate) fn backends_are_scarce(&self) -> bool {
        self.shared.metrics.descriptors.are_scarce()
    }

    /// Counts one more connection to a backend for a client, unless it has its `share` of what the door may have. Kept ones
    /// give way before.
    pub(crate) fn backend_share(&self, client: Client, share: ClientShare) -> Option<BackendShare> {
        let (limit, descriptors) = (PerClient::Share(share), &self.shared.metrics.descriptors);
        loop {
            let (used, most) = (descriptors.used(), descriptors.most_used());
            if self.shared.backend_clients.enter(client, limit, used, most) {
                return Some(BackendShare {
                    shared: Arc::clone(&self.shared),
                    client,
                });
            }
            if !self.backend_room.free_one() {
                return None;
            }
        }
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

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::rc::Rc;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Wake};

    use door::{Policy, Scheme, Selector, open};

    use super::*;
    use crate::descriptors::Allotment;
    use crate::memory::MemoryBudget;
    use crate::observe::access::AccessLog;
    use crate::observe::metrics::DoorMetrics;
    use crate::observe::tracer::Tracer;
    use crate::worker::deadlines::Deadline;

    /// A door that may have so many descriptors, and two of its workers.
    fn workers(allotment: Allotment) -> [Rc<Worker>; 2] {
        let policy = Policy::new(Selector::parse("expose=one").unwrap(), Scheme::Http);
        let (_, door) = open("one".parse().unwrap(), policy, Settings::of_tests());
        let log = AccessLog::off();
        let name = door.name().clone();
        let metrics = Arc::new(DoorMetrics::new(name.clone()));
        metrics.descriptors.allot(allotment);
        let shared = Arc::new(Shared::new(
            door,
            metrics,
            MemoryBudget::new(usize::MAX),
            Tracer::off(),
        ));
        [(); 2].map(|()| Worker::new(Arc::clone(&shared), log.lines(name.clone())))
    }

    /// Idle connections of a worker.
    fn idle(worker: &Worker, count: usize) -> Vec<Deadline> {
        let deadlines = std::iter::repeat_with(|| worker.deadlines.register());
        deadlines.take(count).inspect(Deadline::idle).collect()
    }

    fn going(worker: &Worker) -> usize {
        worker.shared.metrics.descriptors.going().load(Ordering::Relaxed)
    }

    const DOOR: Allotment = Allotment {
        clients: 100,
        backends: 16,
        both: 116,
        leaving: 4,
    };

    #[test]
    fn however_many_are_going_few_come_beyond_the_limit() {
        let [worker, _] = workers(DOOR);
        let _idle = idle(&worker, 20);
        assert_eq!(worker.close_idle(10, Shortage::Memory), 10);
        let admits = |excess| worker.make_room(excess, Shortage::Connections);
        assert_eq!([1, 2, 3].map(admits), [true, true, false]);
        assert_eq!(going(&worker), 10, "nothing else needs to end for that");
    }

    #[test]
    fn what_is_asked_of_others_is_counted_before_they_hear_of_it() {
        /// Remembers how many were going when it was woken.
        struct Look(Arc<AtomicUsize>, AtomicUsize);
        impl Wake for Look {
            fn wake(self: Arc<Self>) {
                self.1.store(self.0.load(Ordering::SeqCst), Ordering::SeqCst);
            }
        }
        let [worker, other] = workers(DOOR);
        let _idle = idle(&other, 1);
        let counted = Arc::clone(worker.shared.metrics.descriptors.going());
        let look = Arc::new(Look(counted, AtomicUsize::new(0)));
        let waker = Arc::clone(&look).into();
        let mut heed = std::pin::pin!(other.heed());
        assert!(heed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(!worker.make_room(2, Shortage::Connections), "only one is idle");
        assert!(look.1.load(Ordering::SeqCst) > 0);
        assert_eq!(going(&worker), 1);
    }

    #[test]
    fn one_client_leaves_connections_to_backends_for_others() {
        let [worker, other] = workers(DOOR);
        let descriptors = &worker.shared.metrics.descriptors;
        let take = |worker: &Worker, number| {
            let client = Client::of([10, 0, 0, number].into());
            let share = worker.backend_share(client, ClientShare::default())?;
            Some((share, descriptors.hold()?))
        };
        let greedy: Vec<_> = std::iter::from_fn(|| take(&worker, 1).or_else(|| take(&other, 1))).collect();
        assert_eq!(greedy.len(), 8);
        let second: Vec<_> = std::iter::from_fn(|| take(&other, 2)).collect();
        assert_eq!(second.len(), 4);
        assert!(take(&worker, 3).is_some());
        drop(greedy);
        assert!(take(&worker, 1).is_some());
    }
}
