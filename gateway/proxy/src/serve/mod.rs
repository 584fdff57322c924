//! Connections of clients, by their HTTP version.

pub(crate) mod http1;
pub(crate) mod http2;
