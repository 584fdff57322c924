//! A door's sockets, the connections that arrive on them, and what comes before the first request of each: the PROXY
//! header, the choice to pass TLS through, the TLS handshake.

mod accept;
mod handshake_fault;
pub(crate) mod listener;
mod overflow;
mod passthrough;
mod peek;
mod prepare;
pub(crate) mod socket;
#[cfg(test)]
mod tests;
mod thread;
pub(crate) mod verdicts;
