//! What pages are made from.

use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use prometheus_client::registry::Registry;
use proxy::Metrics;

use super::answer::{Answer, WeakBody};
use super::board::Board;
use super::query::Query;
use crate::gauges::Gauges;
use crate::journal::Journal;
use crate::shown::ShownWorld;

/// What pages are made from.
pub(crate) struct Context {
    pub(super) board: Board,
    pub(super) registry: Arc<Registry>,
    pub(super) gauges: Gauges,
    /// When the process began.
    pub(super) started: SystemTime,
    /// The last audit.
    pub(super) audit: Shared<ShownWorld>,
    pub(super) journal: Journal,
    /// Those of the doors, which have exemplars.
    pub(super) metrics: Metrics,
}

/// A page about a world, for as long as it is being sent: it can be large, and its readers many.
pub(super) struct Shared<W>(RefCell<(Weak<W>, WeakBody)>);

impl<W> Shared<W> {
    pub(super) fn new() -> Self {
        Self(RefCell::new((Weak::new(), WeakBody::new())))
    }

    /// The page about this world, made anew if nobody is reading it.
    pub(super) fn page(&self, world: &Arc<W>, make: impl FnOnce(&W) -> Answer) -> Answer {
        if let Some(page) = self.known(world) {
            return page;
        }
        let page = make(world);
        self.0.replace((Arc::downgrade(world), page.weak_body()));
        page
    }

    fn known(&self, world: &Arc<W>) -> Option<Answer> {
        let last = self.0.borrow();
        let (known, body) = &*last;
        // As long as this is held, no other world has the address.
        let is_known = known.as_ptr() == Arc::as_ptr(world);
        is_known.then(|| Answer::json_again(body)).flatten()
    }
}

/// What a request says about the page that it asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inquiry {
    pub(super) query: Query,
    /// The field `Accept`; empty if there is none.
    pub(super) accept: String,
    /// The field `Accept-Encoding`.
    pub(super) encodings: String,
}

impl Context {
    /// What pages are made from, in a process that begins now.
    pub(crate) fn new(
        board: Board,
        registry: Registry,
        gauges: Gauges,
        metrics: Metrics,
        journal: Journal,
    ) -> Self {
        Self {
            board,
            registry: Arc::new(registry),
            gauges,
            started: now(),
            audit: Shared::new(),
            journal,
            metrics,
        }
    }

    /// The world that is live.
    ///
    /// # Errors
    /// The answer to a request that comes before the first table.
    pub(super) fn world(&self) -> Result<Arc<ShownWorld>, Answer> {
        let world = self.board.world().filter(|world| world.view.is_some());
        world.ok_or_else(Answer::not_yet)
    }
}

#[expect(clippy::disallowed_methods, reason = "pages say when the process began")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_at_one_time_share_a_page() {
        let shared = Shared::new();
        let (world, next) = (Arc::new(1), Arc::new(2));
        let page = |world: &Arc<i32>| shared.page(world, Answer::json);
        let first = page(&world);
        let again = shared.page(&world, |_| panic!("it is being read"));
        assert_eq!((again.body(), again.status()), ("1\n".to_owned(), 200));
        assert_eq!(again, first);
        assert_eq!(page(&next).body(), "2\n");
        assert_eq!(page(&world).body(), "1\n");
        let failing = || shared.page(&next, |_| Answer::failed());
        let failed = failing();
        assert_eq!((failed.status(), failing().status()), (500, 500));
        drop((first, again, failed));
        assert!(shared.known(&next).is_none() && shared.known(&world).is_none());
    }
}
