//! How often requests are sent to the API server, and how long to wait after a fault.

use std::mem::{self, Discriminant};
use std::time::Duration;

use tokio::time::Instant;

use super::contact::Contact;
use super::fault::Fault;

/// Limits one watch to a request per second, and backs off after failures.
pub(crate) struct Pace {
    contact: Contact,
    last_request: Option<Instant>,
    /// The last failure, and how often it occurred in a row.
    failures: Option<(Discriminant<Fault>, u32)>,
}

/// Between two requests of one watch.
const GAP: Duration = Duration::from_secs(1);

impl Pace {
    pub(crate) fn new(contact: Contact) -> Self {
        Self {
            contact,
            last_request: None,
            failures: None,
        }
    }

    /// Waits until the next request may be sent.
    pub(crate) async fn ready(&mut self) {
        if let Some(last_request) = self.last_request {
            tokio::time::sleep_until(last_request + GAP).await;
        }
        self.keep_quiet().await;
        self.last_request = Some(Instant::now());
    }

    /// Backs off after a failure: for twice as long each time, with jitter, and at least until the API server said.
    pub(crate) async fn back_off(&mut self, fault: &Fault) {
        // Another kind of failure starts anew: a server that comes back refuses connections before it answers.
        let kind = mem::discriminant(fault);
        let before = self.failures.filter(|(known, _)| *known == kind);
        let failures = before.map_or(0, |(_, failures)| failures).saturating_add(1);
        self.failures = Some((kind, failures));
        tokio::time::sleep(wait(fault, failures, fastrand::f64())).await;
        self.keep_quiet().await;
    }

    /// The last request succeeded.
    pub(crate) fn succeeded(&mut self) {
        self.failures = None;
    }

    async fn keep_quiet(&self) {
        if let Some(until) = self.contact.quiet_until() {
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
