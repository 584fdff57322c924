//! The addresses in the status of Ingresses.

pub(crate) mod claims;
