//! What filters remember from one publication to the next.

use std::sync::{Arc, OnceLock};

use super::basic_auth::{KnownUsers, PasswordMemory};

/// The state of the filters of one door. Publications share it, doors never do: a filter that needs some of it gets an
/// `Arc` of that part. Parts are made when the first filter needs them.
#[derive(Debug, Default)]
pub(crate) struct FilterMemory {
    /// The users of Secrets.
    pub(super) users: KnownUsers,
    passwords: OnceLock<Arc<PasswordMemory>>,
}

impl FilterMemory {
    /// Which passwords were right, and how many were wrong.
    pub(super) fn passwords(&self) -> Arc<PasswordMemory> {
        Arc::clone(self.passwords.get_or_init(Arc::default))
    }
}
