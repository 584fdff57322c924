//! Where a worker counts the requests of each route.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use door::{Origin, Upstream};
use foldhash::fast::RandomState;

use crate::observe::route_book::RouteBook;
use crate::observe::route_counts::{Answers, Ended, Traffic};

/// The routes that this worker has answered requests of. They are found by the addresses of what the requests hold anyway:
/// no text is read or hashed for a request.
pub(crate) struct Routes {
    book: Arc<RouteBook>,
    /// The number of this worker among those of the door.
    worker: usize,
    known: RefCell<HashMap<Key, Known, RandomState>>,
    /// How many series the door may have; with none, nothing is counted.
    most: Cell<usize>,
    edition: Cell<u64>,
    /// Something was published since the last sweep.
    is_outdated: Cell<bool>,
}

/// The addresses of the origin of a route, and of the upstream that answered; 0: the gateway did.
type Key = (usize, usize);

/// Where requests of a route are counted that an upstream answered.
struct Known {
    /// They keep their addresses from being used again, and nothing else.
    origin: Weak<Origin>,
    upstream: Option<Weak<Upstream>>,
    own: Option<Arc<Answers>>,
    other: Option<Arc<Answers>>,
    traffic: Arc<Traffic>,
    /// The classes of status that are counted as `own`, and as `other`, by bits. Of the rest the book has not been asked.
    own_classes: u16,
    other_classes: u16,
}

impl Routes {
    pub(super) fn new(book: Arc<RouteBook>, worker: usize, most: usize) -> Self {
        book.bound(most);
        Self {
            edition: Cell::new(book.edition()),
            book,
            worker,
            known: RefCell::default(),
            most: Cell::new(most),
            is_outdated: Cell::new(false),
        }
    }

    /// Counts a request of a route of this origin. `upstream`: which was to answer it, unless the gateway itself.
    pub(crate) fn count(&self, origin: &Arc<Origin>, upstream: Option<&Arc<Upstream>>, ended: &Ended) {
        if self.most.get() == 0 {
            return;
        }
        let upstream_address = upstream.map_or(0, |upstream| Arc::as_ptr(upstream).addr());
        let key = (Arc::as_ptr(origin).addr(), upstream_address);
        let is_counted = {
            let known = self.known.borrow();
            known.get(&key).is_some_and(|known| known.count(ended))
        };
        if !is_counted {
            self.enter(key, origin, upstream, ended);
        }
    }

    /// The first request of this class.
    #[cold]
    fn enter(&self, key: Key, origin: &Arc<Origin>, upstream: Option<&Arc<Upstream>>, ended: &Ended) {
        let service = upstream.map(|upstream| &upstream.service);
        let found = self.book.find(self.worker, &origin.key, service, ended.class);
        let mut all = self.known.borrow_mut();
        let known = all.entry(key).or_insert_with(|| Known {
            origin: Arc::downgrade(origin),
            upstream: upstream.map(Arc::downgrade),
            own: None,
            other: None,
            traffic: Arc::clone(&found.traffic),
            own_classes: 0,
            other_classes: 0,
        });
        known.traffic = found.traffic;
        let bit = bit(ended.class);
        if found.is_own {
            known.own = Some(found.answers);
            known.own_classes |= bit;
        } else {
            known.other = Some(found.answers);
            known.other_classes |= bit;
        }
        known.count(ended);
    }

    /// Something was published, with this bound of series.
    pub(super) fn published(&self, most: usize) {
        self.is_outdated.set(true);
        if self.most.replace(most) != most {
            self.book.bound(most);
        }
    }

    /// Takes over what others have changed in the book.
    pub(super) fn look(&self) {
        let edition = self.book.edition();
        if self.edition.replace(edition) != edition {
            self.known.borrow_mut().clear();
        }
    }

    /// Forgets routes and upstreams that nothing uses any more. Called once a second.
    pub(crate) fn sweep(&self) {
        if self.is_outdated.replace(false) {
            let mut known = self.known.borrow_mut();
            known.retain(|_, known| known.is_used());
            if known.capacity() > 64 && known.len() < known.capacity() / 4 {
                known.shrink_to_fit();
            }
        }
    }
}

impl Known {
    /// Counts a request, if it is known where those of its class are counted.
    fn count(&self, ended: &Ended) -> bool {
        let bit = bit(ended.class);
        let answers = if self.own_classes & bit != 0 {
            &self.own
        } else if self.other_classes & bit != 0 {
            &self.other
        } else {
            return false;
        };
        if let Some(answers) = answers {
            answers.count(ended.class);
        }
        self.traffic.count(ended);
        true
    }

    fn is_used(&self) -> bool {
        let upstream = self.upstream.as_ref();
        self.origin.strong_count() > 0 && upstream.is_none_or(|upstream| upstream.strong_count() > 0)
    }
}

/// None for what is no class of status.
fn bit(class: usize) -> u16 {
    u32::try_from(class).map_or(0, |class| 1_u16.checked_shl(class).unwrap_or_default())
}
