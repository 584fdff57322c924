//! What a door serves and has learned, for whoever is not one of its workers.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use route::ObjectKey;

use crate::observe::route_book::{Served, Serving};
use crate::upstream::HealthBoard;
use crate::worker::Shared;

/// What a door has learned of its endpoints.
#[derive(Clone)]
pub struct Verdicts {
    shared: Arc<Shared>,
    board: Arc<HealthBoard>,
}

impl Verdicts {
    pub(super) fn new(shared: &Arc<Shared>, board: &Arc<HealthBoard>) -> Self {
        Self {
            shared: Arc::clone(shared),
            board: Arc::clone(board),
        }
    }

    /// Call this when a table has been published: endpoints that have left the door are forgotten, so that what comes back at
    /// their addresses starts anew. If some are not well, it looks at every route, which takes a while.
    pub fn forget_the_gone(&self) {
        let snapshot = self.shared.door.snapshot();
        self.board.forget_all_but(snapshot.upstreams());
    }
}

impl Serving for Verdicts {
    fn publication(&self) -> u64 {
        self.shared.door.snapshot().publication()
    }

    fn served(&self) -> Served {
        let snapshot = self.shared.door.snapshot();
        let routes = snapshot.routes().flat_map(|row| {
            let canary = row.action.canary.as_ref().map(|canary| &canary.route);
            [Some(row.action), canary].into_iter().flatten()
        });
        // Growing would hash every name again and again.
        let rows = snapshot.routes().count();
        let (mut ingresses, mut services) = (HashSet::with_capacity(rows), HashSet::with_capacity(rows));
        ingresses.extend(routes.map(|route| route.origin.key.clone()));
        services.extend(snapshot.upstreams().map(|upstream| upstream.service.clone()));
        Served {
            publication: snapshot.publication(),
            ingresses,
            services,
        }
    }

    fn ejected(&self) -> BTreeMap<ObjectKey, usize> {
        let snapshot = self.shared.door.snapshot();
        self.board.ejected(snapshot.upstreams())
    }
}
