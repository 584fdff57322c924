//! A door's sockets, the connections that arrive on them, and what comes before the first request of each: the PROXY
//! header, the choice to pass TLS through, the TLS handshake.

pub(crate) mod handshake_fault;
pub(crate) mod listener;
pub(crate) mod overflow;
pub(crate) mod prepare;
