//! What becomes of a backend that cannot be called, or not without a remark.

use resource::Severity;

use crate::rule::Blocked;

/// What is to be told to the Ingress that asks for a backend, beside what the backend has come to.
#[derive(Debug, Clone)]
pub(crate) struct Doubt {
    pub(crate) severity: Severity,
    pub(crate) message: String,
}

/// Why a backend reference yields no upstream: the reason for the data path, the words for the user.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) reason: Blocked,
    pub(crate) severity: Severity,
    pub(crate) message: String,
}
