//! What the API server says: lists and watches, and the view that comes of them.

pub(crate) mod follower;
pub(crate) mod observed;
pub(crate) mod raw;
pub(crate) mod reflector;
mod rights;
pub(crate) mod store;
