//! Connections of clients, by their HTTP version.

pub(crate) mod http1;
pub(crate) mod http2;

/// Requests after which a connection is closed, so that none lives for ever.
const REQUESTS: u32 = 10_000;
