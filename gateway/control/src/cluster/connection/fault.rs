//! What goes wrong between the API server and us, and how long to wait after it.

use std::mem::{self, Discriminant};
use std::time::Duration;

use tokio::time::Instant;

use super::contact::Contact;

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
    fn longest_wait(&self) -> Duration {
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

/// The words of the last cause, which is the one that can be acted on.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Keeps one watch from asking more than once a second, and from asking for long what fails.
pub(crate) struct Pace {
    contact: Contact,
    asked: Option<Instant>,
    /// What failed last, and how often in a row.
    failures: Option<(Discriminant<Fault>, u32)>,
}

/// Between two requests of one watch.
const GAP: Duration = Duration::from_secs(1);

impl Pace {
    pub(crate) fn new(contact: Contact) -> Self {
        Self {
            contact,
            asked: None,
            failures: None,
        }
    }

    /// Waits until the next request may be sent.
    pub(crate) async fn turn(&mut self) {
        if let Some(asked) = self.asked {
            tokio::time::sleep_until(asked + GAP).await;
        }
        self.hush().await;
        self.asked = Some(Instant::now());
    }

    /// Waits as long as a failure demands: doubling, with jitter, and not before the API server said.
    pub(crate) async fn after(&mut self, fault: &Fault) {
        // Another failure is news: a server that comes back refuses for a moment before it answers.
        let kind = mem::discriminant(fault);
        let before = self.failures.filter(|(known, _)| *known == kind);
        let failures = before.map_or(0, |(_, failures)| failures).saturating_add(1);
        self.failures = Some((kind, failures));
        tokio::time::sleep(wait(fault, failures, fastrand::f64())).await;
        self.hush().await;
    }

    /// The last request gave what it was for.
    pub(crate) fn succeeded(&mut self) {
        self.failures = None;
    }

    async fn hush(&self) {
        if let Some(until) = self.contact.hushed() {
            tokio::time::sleep_until(until).await;
        }
    }
}

/// `jitter` is from 0 to 1.
fn wait(fault: &Fault, failures: u32, jitter: f64) -> Duration {
    let doubled = GAP.saturating_mul(1 << failures.saturating_sub(1).min(6));
    doubled.min(fault.longest_wait()).mul_f64(1.0 + jitter / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_never_exceed_thirty_seconds() {
        let forbidden = Fault::Forbidden(String::new());
        let waits: Vec<u64> = (1..8)
            .map(|failures| wait(&forbidden, failures, 0.0).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 24, 24]);
        for fault in [
            forbidden,
            Fault::Busy(429),
            Fault::Unauthorized,
            Fault::Unreachable(String::new()),
        ] {
            for failures in 1..100 {
                let longest = wait(&fault, failures, 1.0);
                assert!(
                    longest >= GAP && longest <= Duration::from_secs(30),
                    "{fault} {longest:?}"
                );
            }
        }
    }

    #[test]
    fn the_return_of_an_unreachable_server_is_noticed_at_once() {
        assert!(wait(&Fault::Unreachable(String::new()), 50, 1.0) < Duration::from_secs(3));
    }
}
