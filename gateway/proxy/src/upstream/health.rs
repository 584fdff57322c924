//! Passive health: what the workers of one door have learned of an endpoint from connecting to it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Connect failures in a row after which an endpoint is ejected.
const TRIES: u32 = 3;

/// The verdicts of one door, shared by its workers.
#[derive(Debug, Default)]
pub(crate) struct HealthBoard {
    known: Mutex<HashMap<SocketAddr, Weak<Health>>>,
}

/// What is known of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failures: AtomicU32,
    ejected: AtomicBool,
    /// Some request would have gone there, had it not been ejected.
    wanted: AtomicBool,
}

impl HealthBoard {
    /// The shared record of an address. Taken once per worker and endpoint, not per request.
    pub(crate) fn health(&self, address: SocketAddr) -> Arc<Health> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entry(address).or_default();
        if let Some(health) = entry.upgrade() {
            return health;
        }
        let health = Arc::new(Health::default());
        *entry = Arc::downgrade(&health);
        health
    }

    /// Forgets addresses that no worker remembers.
    pub(crate) fn sweep(&self) {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, health| health.strong_count() > 0);
    }
}

impl Health {
    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected.load(Ordering::Relaxed)
    }

    /// Takes note that a request would have gone there.
    pub(crate) fn want(&self) {
        if !self.wanted.load(Ordering::Relaxed) {
            self.wanted.store(true, Ordering::Relaxed);
        }
    }

    /// Whether any request would have gone there since the last call.
    pub(crate) fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::Relaxed)
    }

    /// The endpoint is alive, or at least worth another try.
    pub(crate) fn succeeded(&self) {
        // Loads first: the usual case must not dirty a cache line that the workers share.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.is_ejected() {
            self.ejected.store(false, Ordering::Relaxed);
        }
    }

    /// A connection failed. True when this failure ejects the endpoint: the caller then owes the probes that
    /// bring it back.
    pub(crate) fn failed(&self) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        failures >= TRIES && !self.ejected.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_eject_and_one_success_brings_back() {
        let board = HealthBoard::default();
        let address = ([10, 0, 0, 1], 80).into();
        let health = board.health(address);
        assert!(!health.failed() && !health.failed());
        health.succeeded();
        assert!(!health.failed() && !health.failed());
        assert!(health.failed(), "the third in a row ejects");
        assert!(!health.failed(), "and only that one");
        assert!(board.health(address).is_ejected(), "every worker sees it");
        health.succeeded();
        assert!(!health.is_ejected());
    }

    #[test]
    fn an_address_nobody_uses_is_forgotten() {
        let board = HealthBoard::default();
        drop(board.health(([10, 0, 0, 1], 80).into()));
        board.sweep();
        assert!(board.known.lock().unwrap().is_empty());
    }
}
