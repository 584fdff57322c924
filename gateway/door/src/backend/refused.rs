//! Backends that cannot be called, or that have something to report.

use resource::Severity;

use crate::rule::Blocked;

/// What is reported to the Ingress that refers to a backend, besides the result.
#[derive(Debug, Clone)]
pub(crate) struct Doubt {
    pub(crate) severity: Severity,
    pub(crate) message: String,
}

/// Why a backend reference yields no upstream: the reason for the data path, the message for the user.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) reason: Blocked,
    pub(crate) severity: Severity,
    pub(crate) message: String,
}
