//! Traces, as they stand in heads and as collectors take them. Pure: no I/O, no clock, and no chance of its own.
//!
//! - [`context`]: the fields `traceparent` and `tracestate` of W3C Trace Context.
//! - [`span`]: one span of OTLP, written as it is learned.
//! - [`export`]: the request that carries spans to a collector, and its answer.
//!
//! The messages are written by hand (`protobuf`): OTLP needs six of them, which only ever gain fields
//! ([ADR 55](../../../docs/adr/0055-traces-without-a-library.md)).

pub mod context;
pub mod export;
mod protobuf;
pub mod span;

pub use context::{SpanId, TraceContext, TraceId, is_tracestate};
pub use span::{Kind, Span, SpanBytes, Status, Value};
