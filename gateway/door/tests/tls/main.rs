//! The TLS half of doors: certificates by name, sessions, misdirected requests, backends, passthrough, identities.
//! Handshakes are real ones, in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod backends;
mod bounds;
mod certificates;
mod faults;
mod identity;
mod misdirected;
mod names;
mod passthrough;
mod rig;
mod sessions;
