//! What goes wrong between the API server and us.

use std::time::Duration;

use super::error::innermost;

/// Why a request to the API server gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// 403: a right is missing.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// 401: it does not know us (any more).
    #[error("the API server does not accept the credentials (401); they may have expired or been revoked")]
    Unauthorized,
    /// 404: an API that is not there, or an object.
    #[error("not found")]
    Absent,
    /// 409: somebody was faster.
    #[error("changed by somebody else meanwhile")]
    Conflict,
    /// 410: the place to go on from is forgotten; everything has to be listed again.
    #[error("the API server no longer knows where this watch was")]
    Expired,
    /// 429, 5xx: it is there and has other things to do.
    #[error("the API server answers {0}")]
    Busy(u16),
    /// No answer at all.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    /// A stream that said nothing for longer than it may.
    #[error("the API server has said nothing for {} seconds", .0.as_secs())]
    Stalled(Duration),
    /// What it says is not what it should say.
    #[error("the API server's answer cannot be understood: {0}")]
    Nonsense(String),
}

impl Fault {
    /// Whether the API server can be talked to.
    pub(crate) fn is_loss(&self) -> bool {
        match self {
            Self::Unauthorized | Self::Busy(_) | Self::Unreachable(_) | Self::Stalled(_) => true,
            Self::Forbidden(_) | Self::Absent | Self::Conflict | Self::Expired | Self::Nonsense(_) => false,
        }
    }

    /// The longest wait after it. A refused connection costs the API server nothing and tells most quickly of its
    /// return; one that answers is left in peace for longer.
    pub(super) fn longest_wait(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Unreachable(_) | Self::Stalled(_) => 2,
            Self::Unauthorized => 5,
            Self::Busy(_) => 12,
            Self::Forbidden(_) | Self::Absent | Self::Conflict | Self::Expired | Self::Nonsense(_) => 24,
        })
    }
}

impl From<kube::Error> for Fault {
    fn from(error: kube::Error) -> Self {
        if let kube::Error::Api(status) = &error {
            return match status.code {
                401 => Self::Unauthorized,
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
