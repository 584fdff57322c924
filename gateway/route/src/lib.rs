//! The `route` crate.
