//! What is written back to the API server: the status of Ingresses, and Events.

pub(crate) mod events;
pub(crate) mod installation;
pub(crate) mod lease;
pub(crate) mod report;
mod statuses;
