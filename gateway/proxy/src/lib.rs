//! Everything that touches bytes: accept, TLS, HTTP/1, HTTP/2, upstream connections, balancing, drain.
//!
//! Data flows one way: socket → client connection → request head → decision by the door's snapshot → plan → attempts →
//! exchange → response. Each door has its own worker threads, pools, budgets and counters; nothing of one door is
//! reachable from another.
//!
//! Folders are floors, and a file uses its own floor and those below: `listen`, `serve`, `request`, `exchange`,
//! `upstream`, `stream`, `head`, `worker`, `observe`. `memory`, `settings` and `refusal` are vocabulary for all of them.
//!
//! # Invariants
//! - A request is answered under exactly one snapshot: its route and settings come from the same moment.
//! - Heads are written from what was parsed, never copied through: what reaches a backend has passed the grammar.
//! - Memory per connection is bounded whatever the sizes of bodies; idle connections hold no buffers.
//! - A request that may have been processed is never sent twice unless its method is idempotent.
//! - An upgraded connection, or one with bytes left over, never returns to a pool.
//! - Every answer that is not the backend's is a `Reply`, sent in one place for all versions of HTTP; every failure finds
//!   its status in one exhaustive table (`refusal`).

mod cpus;
mod descriptors;
mod exchange;
mod head;
mod listen;
mod memory;
mod observe;
mod refusal;
mod request;
mod serve;
mod settings;
mod stream;
mod upstream;
mod worker;

pub use cpus::{Cpus, InvalidCpus};
pub use descriptors::Allotment;

pub use listen::listener::{BindError, EndpointHealth, Listener, ListenerStatus, Sockets};
pub use listen::socket::listen;
pub use listen::verdicts::Verdicts;
pub use memory::{MemoryBudget, Stage};
pub use observe::access::{AccessFormat, AccessLog, AccessPolicy};
pub use observe::label_text::LabelText;
pub use observe::live::{Live, LiveFilter, Watched, Watching};
pub use observe::metrics::Metrics;
pub use observe::queue::LineQueue;
pub use observe::span_queue::{SpanBatch, SpanLoss, SpanQueue};
pub use observe::story::{AttemptStep, FilterStep, FilterVerdict, SentHead, Story, StoryRule};
pub use observe::tracer::Tracer;
pub use observe::traffic::Traffic;
pub use request::rehearsal::{Answered, CanaryTurn, FilterOutcome, Outcome, Rehearsal, rehearse};
pub use settings::{
    Binding, ClientIp, ClientShare, Drain, FilterSettings, Front, Limits, Parents, PerClient, ProxyProtocol,
    SampleRate, Settings, Timeouts, Tracing, TrustedProxies,
};
pub use upstream::UnwellEndpoint;
pub use worker::Phase;
pub use worker::failures::Failure;
pub use worker::warnings::{KeptBack, Warnings};
