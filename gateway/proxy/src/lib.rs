//! Everything that touches bytes: accept, TLS, HTTP/1, HTTP/2, upstream connections, balancing, drain.
//!
//! Data flows one way: socket → [`connection`](self) → request head → decision by the door's snapshot → exchange →
//! response. Each door has its own worker threads, pools, budgets and counters; nothing of one door is reachable from
//! another.
//!
//! # Invariants
//! - A request is answered under exactly one snapshot: route and settings are of the same moment.
//! - Heads are written anew, never copied through: what reaches a backend has passed the grammar.
//! - Memory per connection is bounded whatever the sizes of bodies; idle connections hold no buffers.
//! - A request that may have been processed is never sent twice unless its method is idempotent.
//! - An upgraded connection, or one with bytes left over, never returns to a pool.
//! - Every answer that is not the backend's comes out of one exhaustive table (`refusal`).

mod accept;
mod access;
mod asked;
mod buffers;
mod clients;
mod conduct;
mod connecting;
mod connection;
mod date;
mod deadlines;
mod decide;
mod emit;
mod exchange;
mod forward;
mod handshake_fault;
mod http2;
mod identity;
mod linger;
mod listener;
mod metrics;
mod overflow;
mod record;
mod refusal;
mod relay;
mod settings;
mod splice;
mod stream;
mod tenure;
mod tunnel;
mod upstream;
mod vouched;
mod warnings;
mod worker;

pub use access::{AccessFormat, AccessLog, AccessPolicy};
pub use listener::{BindError, Listener, ListenerStatus, Sockets};
pub use metrics::Metrics;
pub use settings::{
    Binding, ClientIp, Drain, Front, Limits, ProxyProtocol, Settings, Timeouts, TrustedProxies,
};
pub use worker::Phase;
