//! The TLS half of a door: its certificates, who its clients must be, and what a handshake entitles to.
//!
//! # Invariants
//! - A door's certificates come from its own configuration and from `spec.tls` of Ingresses that it admits, and from
//!   nothing else; another door's certificate cannot be presented because it is not there.
//! - A name has the certificate of the namespace that serves it; what others write in `spec.tls` changes nothing for it.
//! - If only one namespace serves a name and its own certificate was never good, the name gets no certificate at all.
//! - Session keys belong to one door and one client-auth policy, and are never shared.
//! - Clients never have to prove less than what is written: without authorities the door is closed.

mod door;
mod gather;
mod holders;
mod memory;
mod names;
mod server;
mod table;

pub use door::{DoorTls, Handshake, ServedCertificate};

pub(crate) use gather::Gathering;
pub(crate) use holders::winners;
pub(crate) use memory::{CertificateCache, TlsMemory};
