//! The `resource` crate.
