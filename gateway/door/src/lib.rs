//! The `door` crate.
