//! Objects that something names and that nobody looks at.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ObjectRef;

/// Why an object is not read, whether it exists or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Unread {
    /// Others were named before it.
    #[error(
        "is not read, because more Secrets and ConfigMaps are named than are followed one by one; raise \
         `most_followed` in [source], or set `secrets = \"cluster\"`"
    )]
    TooMany,
    /// The API server does not show it to us.
    #[error("is not read, because the right to read it is missing")]
    Denied,
    /// The configuration says so.
    #[error("is not read, because of `secrets = \"none\"` in [source]")]
    Unwanted,
}

/// Which objects are not read, and why.
pub type UnreadObjects = Arc<BTreeMap<ObjectRef, Unread>>;
