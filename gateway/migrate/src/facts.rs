//! What the doors do, as far as a report tells it.

use std::time::Duration;

use door::{Action, Policy, Snapshot};
use route::{HostPattern, ListenerName, ObjectKey, PathPattern, RowPath};
use serde::Serialize;

/// A door and what it serves.
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
    /// What it serves.
    pub routes: Vec<RouteFact>,
}

/// A place at a door.
#[derive(Debug, Clone, Serialize)]
pub struct RouteFact {
    /// The door.
    pub listener: String,
    /// The Ingress that has the place.
    #[serde(skip)]
    pub ingress: ObjectKey,
    /// As in a rule; empty: every host.
    pub host: String,
    /// As in a rule; empty for a default backend.
    pub path: String,
    /// `Exact`, `Prefix`, `Regex` or `Default`.
    pub path_type: &'static str,
    /// `namespace/name` of the Service; `null` where there is none.
    pub service: Option<String>,
    /// The port of the Service.
    pub port: Option<u16>,
    /// What a request finds.
    pub state: RouteState,
}

/// What a request finds at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteState {
    /// An endpoint.
    Ready,
    /// No endpoint: 503.
    NoEndpoints,
    /// It is closed: 503.
    Blocked,
    /// A redirect.
    Redirect,
}

/// What a door serves now.
#[must_use]
pub fn routes<S>(listener: &ListenerName, snapshot: &Snapshot<S>) -> Vec<RouteFact> {
    let rows = snapshot.routes().map(|row| {
        let (path, path_type) = match row.path {
            RowPath::Pattern(pattern) => (pattern.to_string(), type_of(pattern)),
            RowPath::HostDefault | RowPath::Default => (String::new(), "Default"),
        };
        let (service, port, state) = match &row.action.action {
            Action::Forward(upstream) => {
                let state = if upstream.endpoints.is_empty() {
                    RouteState::NoEndpoints
                } else {
                    RouteState::Ready
                };
                (Some(upstream.service.to_string()), Some(upstream.port), state)
            }
            Action::Redirect => (None, None, RouteState::Redirect),
            Action::Blocked(_) => (None, None, RouteState::Blocked),
        };
        RouteFact {
            listener: listener.to_string(),
            ingress: row.action.origin.key.clone(),
            host: host(row.host),
            path,
            path_type,
            service,
            port,
            state,
        }
    });
    rows.collect()
}

fn type_of(pattern: &PathPattern) -> &'static str {
    match pattern {
        PathPattern::Exact(_) => "Exact",
        PathPattern::Prefix(_) => "Prefix",
        PathPattern::Regex(_) => "Regex",
    }
}

fn host(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Any => String::new(),
        HostPattern::Exact(_) | HostPattern::Wildcard(_) => pattern.to_string(),
    }
}
