//! What the gateway reports about requests and connections: metrics, the access log, the queues of lines, traces.

pub(crate) mod access;
mod counter;
mod exemplars;
mod exposition;
pub(crate) mod instant;
mod json;
mod label_page;
pub(crate) mod label_text;
pub(crate) mod labels;
pub(crate) mod live;
pub(crate) mod metrics;
pub(crate) mod queue;
pub(crate) mod route_book;
pub(crate) mod route_counts;
mod route_exposition;
pub(crate) mod span_queue;
mod spans;
pub(crate) mod story;
pub(crate) mod tracer;
pub(crate) mod traffic;
