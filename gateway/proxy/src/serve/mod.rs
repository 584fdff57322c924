//! Connections of clients, by the version of HTTP that is spoken on them.

pub(crate) mod http1;
pub(crate) mod http2;
