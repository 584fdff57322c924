//! Failed requests to the API server.

use std::time::Duration;

use kube::core::Status;

use super::error::innermost;

/// Why a request to the API server failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// 403: a permission is missing.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// 403 although it is permitted: the namespace takes nothing more, because it is being deleted or its quota is used up.
    #[error("not taken: {0}")]
    Refused(String),
    /// 401: it does not accept our credentials, or no longer.
    #[error("the API server does not accept the credentials (401); they may have expired or been revoked")]
    Unauthorized,
    /// 404: the API or the object does not exist.
    #[error("not found")]
    Absent,
    /// 409: somebody was faster.
    #[error("somebody else has changed it in the meantime")]
    Conflict,
    /// 410: the version to continue from is too old; everything has to be listed again.
    #[error("the API server no longer has the version from which to watch")]
    Expired,
    /// 429, 5xx: it cannot answer now.
    #[error("the API server answers {0}")]
    Busy(u16),
    /// No answer at all.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    /// A stream that sent nothing for too long.
    #[error("the API server has sent nothing for {} seconds", .0.as_secs())]
    Stalled(Duration),
    /// Its answer makes no sense.
    #[error("the API server's answer cannot be understood: {0}")]
    Nonsense(String),
}

impl Fault {
    /// Whether the API server is out of reach as a whole.
    pub(crate) fn is_loss(&self) -> bool {
        match self {
            Self::Unauthorized | Self::Busy(_) | Self::Unreachable(_) | Self::Stalled(_) => true,
            Self::Forbidden(_)
            | Self::Refused(_)
            | Self::Absent
            | Self::Conflict
            | Self::Expired
            | Self::Nonsense(_) => false,
        }
    }

    /// The longest wait after it. A refused connection costs the API server nothing and shows its return soonest. A
    /// server that answers gets longer pauses.
    pub(super) fn longest_wait(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Unreachable(_) | Self::Stalled(_) => 2,
            Self::Unauthorized => 5,
            Self::Busy(_) => 12,
            Self::Forbidden(_)
            | Self::Refused(_)
            | Self::Absent
            | Self::Conflict
            | Self::Expired
            | Self::Nonsense(_) => 24,
        })
    }
}

impl From<kube::Error> for Fault {
    fn from(error: kube::Error) -> Self {
        if let kube::Error::Api(status) = &error {
            return match status.code {
                401 => Self::Unauthorized,
                403 if is_of_namespace(status) => Self::Refused(status.message.clone()),
                403 => Self::Forbidden(status.message.clone()),
                404 => Self::Absent,
                409 => Self::Conflict,
                410 => Self::Expired,
                code if code == 429 || code >= 500 => Self::Busy(code),
                code => Self::Nonsense(format!("{code} {}", status.message)),
            };
        }
        if let kube::Error::SerdeError(error) = &error {
            return Self::Nonsense(error.to_string());
        }
        Self::Unreachable(innermost(&error))
    }
}

/// Whether the API server's admission (NamespaceLifecycle, ResourceQuota) refuses what the permissions allow.
fn is_of_namespace(status: &Status) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == "NamespaceTerminating") || status.message.contains("exceeded quota: ")
}
