//! What filters remember from one publication to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use filter::rate_table::RateTable;

use filter::verdicts::Verdicts;
use route::ObjectKey;

use super::basic_auth::{KnownUsers, PasswordMemory};

/// The state of the filters of one door. Publications share it, doors never do: a filter that needs some of it gets an
/// `Arc` of that part. Parts are made when the first filter needs them.
#[derive(Debug, Default)]
pub(crate) struct FilterMemory {
    /// The users of Secrets.
    pub(super) users: KnownUsers,
    passwords: OnceLock<Arc<PasswordMemory>>,
    rates: Mutex<Option<Arc<RateTable>>>,
    /// Secrets that name servers, by the Services at which these are.
    stores: Mutex<BTreeMap<ObjectKey, BTreeSet<ObjectKey>>>,
    verdicts: OnceLock<Arc<Verdicts>>,
}

impl FilterMemory {
    /// Which passwords were right, and how many were wrong.
    pub(super) fn passwords(&self) -> Arc<PasswordMemory> {
        Arc::clone(self.passwords.get_or_init(Arc::default))
    }

    /// Remembers that the addresses of this Service are needed for what this Secret says.
    pub(super) fn watch_store(&self, service: &ObjectKey, secret: &ObjectKey) {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.entry(service.clone()).or_default().insert(secret.clone());
    }

    /// Forgets what was needed for this Secret: it may name others by now.
    pub(super) fn forget_store(&self, secret: &ObjectKey) {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|_, secrets| {
            secrets.remove(secret);
            !secrets.is_empty()
        });
    }

    /// The Secrets whose servers may be elsewhere when these Services have changed.
    pub(crate) fn stores_at(&self, services: &BTreeSet<ObjectKey>) -> Vec<ObjectKey> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        // Nearly always there are none.
        if stores.is_empty() {
            return Vec::new();
        }
        let named = services.iter().filter_map(|service| stores.get(service));
        named.flatten().cloned().collect()
    }

    /// The counts of rate limits. One table for all of them, whatever becomes of them; a new one when the door gets another
    /// number of places.
    pub(super) fn rates(&self, slots: usize) -> Arc<RateTable> {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = rates.as_ref().filter(|table| table.serves(slots)) {
            return Arc::clone(table);
        }
        let table = Arc::new(RateTable::new(slots, Instant::now()));
        *rates = Some(Arc::clone(&table));
        table
    }

    /// The answers of authenticators.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub(super) fn verdicts(&self) -> Result<Arc<Verdicts>, String> {
        if let Some(verdicts) = self.verdicts.get() {
            return Ok(Arc::clone(verdicts));
        }
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| "the system has no random numbers".to_owned())?;
        Ok(Arc::clone(
            self.verdicts.get_or_init(|| Arc::new(Verdicts::new(&key))),
        ))
    }
}
