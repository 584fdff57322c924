//! Open connections per client address, if a door limits them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// The connections that are open, by client. Empty as long as there is no limit.
#[derive(Debug, Default)]
pub(crate) struct ClientCounts(Mutex<HashMap<IpAddr, usize>>);

impl ClientCounts {
    /// Counts one more connection of a client, unless it has `limit` already. 0 is no limit, and nothing is
    /// counted.
    pub(crate) fn enter(&self, client: IpAddr, limit: usize) -> bool {
        if limit == 0 {
            return true;
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(client).or_default();
        if *count >= limit {
            return false;
        }
        *count += 1;
        true
    }

    /// Uncounts a connection, if it was counted.
    pub(crate) fn leave(&self, client: IpAddr) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&client);
            }
        }
    }
}
