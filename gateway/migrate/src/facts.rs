//! What the doors do, as far as a report tells it.

use std::time::Duration;

use door::Policy;
use route::ListenerName;
use serde::Serialize;
use serde_json::Value;

/// A door.
#[derive(Debug)]
pub struct DoorFacts<'d> {
    /// Its name.
    pub name: ListenerName,
    /// Whom it admits.
    pub policy: &'d Policy,
    /// The largest body of a request, in bytes; `None`: any.
    pub body: Option<u64>,
    /// For a connection to an endpoint.
    pub connect: Duration,
    /// Without progress in a response.
    pub read: Duration,
    /// Without progress in a request.
    pub send: Duration,
    /// Whether it writes an address into the status of its Ingresses.
    pub publishes: bool,
}

/// A place at a door, from an audit of what the doors serve.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct RouteFact {
    /// The Ingress that has the place, `namespace/name`.
    #[serde(skip)]
    pub ingress: String,
    /// `namespace/name` of the Service; `None` where there is none.
    #[serde(skip)]
    pub service: Option<String>,
    /// What a request finds.
    #[serde(skip)]
    pub state: RouteState,
    /// The row of the audit.
    pub row: Value,
}

/// What a request finds at a place, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteState {
    /// An answer of the application, or a redirect.
    Served,
    /// No endpoint: 503.
    NoEndpoints,
    /// It is closed: 503.
    Blocked,
}
