//! Objects that something names and that the gateway does not read.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ObjectRef;

/// Why an object is not read, whether it exists or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Unread {
    /// Too many others are named before it.
    #[error(
        "is not read, because more Secrets and ConfigMaps are named than are watched one by one; raise \
         `most_followed` in [source], or set `secrets = \"cluster\"`"
    )]
    TooMany,
    /// Its namespace names new objects too often.
    #[error(
        "is not read yet, because its namespace names new Secrets and ConfigMaps faster than five a second"
    )]
    TooOften,
    /// The API server refuses access to it.
    #[error("is not read, because the right to read it is missing")]
    Denied,
    /// The API server does not know its kind.
    #[error(
        "is not there, because the cluster does not know this kind of object; install its definition \
         (`middlewares.traefik.io`)"
    )]
    NoSuchKind,
    /// The configuration switches it off.
    #[error("is not read, because of `secrets = \"none\"` in [source]")]
    Unwanted,
}

/// Which objects are not read, and why. One without a name stands for all objects of its kind, in its namespace or, without
/// one, in all of them.
pub type UnreadObjects = Arc<BTreeMap<ObjectRef, Unread>>;
