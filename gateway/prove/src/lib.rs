//! Attacks on a running gateway: whether a host of one door is answered at another, whatever a request says.
//!
//! This crate knows nothing of the gateway but what a [`Plan`] says: where the doors are, and which hosts belong to which.
//! It sends every [`tricks`] with a host of one door to another door, and the same with a host that exists nowhere. The two
//! must be answered alike. It shares no parser with the gateway, so that a fault of one is not a fault of both.
//!
//! # Invariants
//! - Nothing is sent to any address but those of the plan.
//! - Whatever cannot be tried is told, and is never counted as blocked.
//! - A difference counts only if it is there three times in a row: what happens once may have another reason.
//! - Requests that a door forwards legitimately have the method HEAD or GET and no body.
//! - Every wait has a deadline, and everything that is read has a bound.

mod answer;
mod attack;
mod connect;
mod everyone;
mod field;
mod http1;
mod http2;
mod judge;
mod plan;
mod report;
pub mod tricks;

pub use attack::{Options, Progress, run};
pub use connect::ClientIdentity;
pub use everyone::Everyone;
pub use plan::{Control, Door, Expected, Http2, Own, Pair, Plan, ProxyHeader, Target};
pub use report::{Cell, Leak, Outcome, ReachedDoor, Report};
