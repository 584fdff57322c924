//! What a door serves at one moment.

use std::sync::Arc;

use super::opening::Publisher;
use crate::snapshot::Routes;
use crate::tls::DoorTls;

/// What a door serves, or is about to.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) routes: Arc<Routes>,
    pub(super) tls: Option<Arc<DoorTls>>,
}

impl Served {
    pub(super) fn by<S>(door: &Publisher<S>) -> Option<Self> {
        Some(Self {
            routes: Arc::clone(door.live()?),
            tls: door.tls().cloned(),
        })
    }

    pub(super) fn is(&self, routes: &Routes, tls: Option<&Arc<DoorTls>>) -> bool {
        self.has_tls(tls) && *self.routes == *routes
    }

    fn has_tls(&self, tls: Option<&Arc<DoorTls>>) -> bool {
        match (&self.tls, tls) {
            (Some(live), Some(tls)) => Arc::ptr_eq(live, tls),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Whether both are the very same. Contents are not compared.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.has_tls(other.tls.as_ref()) && Arc::ptr_eq(&self.routes, &other.routes)
    }
}
