//! What an endpoint has done, as far as it counts: for its health, and for whatever else is to hear of it.

use crate::observe::labels::EjectionCause;

/// What becomes of an endpoint's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// It works.
    Good,
    /// It answered, and said that it failed, or did not answer to the end: others come first.
    Poor,
    /// It is of no use: several in a row take it out.
    Bad(Fault),
    /// Nothing, or nothing that is its own doing.
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
