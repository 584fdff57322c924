//! What is told of requests and connections: metrics, the access log.

pub(crate) mod access;
pub(crate) mod labels;
pub(crate) mod metrics;
