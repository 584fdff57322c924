//! What an object asks for at a door.

use std::time::Duration;

/// Why a rule is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// The rule itself is wrong: host, path, backend.
    InvalidRule,
    /// The Service does not exist or has no such port.
    NoSuchBackend,
    /// Every address of the backend is one that a gateway must not call: loopback, link-local, itself.
    RefusedAddress,
    /// The backend speaks a protocol that the gateway does not.
    Protocol,
    /// An annotation asks for protection that cannot be given.
    Annotation,
    /// TLS cannot be spoken to the backend as it is written: a Secret or an authority is missing or unusable.
    BackendTls,
}

/// Per-route settings that an Ingress asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tuning {
    /// Upstream connect timeout.
    pub connect: Option<Duration>,
    /// Longest gap between two reads from the backend, its response head included.
    pub response_idle: Option<Duration>,
    /// Longest gap between two writes to the backend.
    pub body_idle: Option<Duration>,
    /// Largest request body in bytes; `Some(0)` is unlimited, as in ingress-nginx.
    pub body: Option<u64>,
}
