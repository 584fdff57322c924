//! How an endpoint behaved in one exchange: for its health, and for other observers.

use crate::observe::labels::EjectionCause;

/// How an endpoint behaved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// It works.
    Good,
    /// It answered with a failure, or not completely: it gets fewer requests.
    Poor,
    /// It failed: several failures in a row eject it.
    Bad(Fault),
    /// Nothing is known, or the cause was not the endpoint.
    Unknown,
}

/// Faults of an endpoint that are as bad as refusing connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It closed a new connection, or reset the request, before any byte of the response.
    Broken,
    /// Its response is not HTTP, or cannot be forwarded.
    Malformed,
    /// Its response did not begin in time.
    Slow,
    /// It did not prove its identity, or refused the gateway's.
    Tls,
}

impl Fault {
    pub(super) fn cause(self) -> EjectionCause {
        match self {
            Self::Broken => EjectionCause::Broken,
            Self::Malformed => EjectionCause::Malformed,
            Self::Slow => EjectionCause::Slow,
            Self::Tls => EjectionCause::Tls,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Broken => "it breaks connections before it answers",
            Self::Malformed => "its responses are malformed",
            Self::Slow => "its responses do not begin in time",
            Self::Tls => "TLS handshakes with it fail",
        }
    }
}
