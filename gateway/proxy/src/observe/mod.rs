//! What the gateway reports about requests and connections: metrics, the access log.

pub(crate) mod access;
pub(crate) mod labels;
pub(crate) mod metrics;
