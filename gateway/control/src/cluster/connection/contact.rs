//! When the API server last answered, and how long it wants no requests (`Retry-After`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use tokio::time::Instant;

/// When the API server last answered. Clones share it.
#[derive(Debug, Clone)]
pub struct Contact(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    last_answer: Instant,
    /// `Retry-After`: no requests before this.
    quiet_until: Option<Instant>,
}

/// The longest `Retry-After` that is honoured: a typing error in a proxy must not stop us for a day.
const LONGEST_QUIET: Duration = Duration::from_secs(30);

impl Contact {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            last_answer: Instant::now(),
            quiet_until: None,
        })))
    }

    /// Time since the last useful answer of the API server, or since the start if there was none.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.state().last_answer.elapsed()
    }

    pub(crate) fn note_answer(&self) {
        let mut state = self.state();
        state.last_answer = Instant::now();
    }

    /// Until when no requests are to be sent.
    pub(crate) fn quiet_until(&self) -> Option<Instant> {
        self.state().quiet_until.filter(|until| *until > Instant::now())
    }

    pub(crate) fn note_response(&self, status: StatusCode, headers: &HeaderMap) {
        if status.is_success() {
            self.note_answer();
        }
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = headers
                .get(header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.trim().parse().ok());
            if let Some(seconds) = seconds {
                self.state().quiet_until =
                    Some(Instant::now() + Duration::from_secs(seconds).min(LONGEST_QUIET));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(status: u16, retry_after: Option<&str>) -> Contact {
        let contact = Contact::new();
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
        }
        contact.note_response(StatusCode::from_u16(status).unwrap(), &headers);
        contact
    }

    #[tokio::test(start_paused = true)]
    async fn requests_pause_for_as_long_as_retry_after_says() {
        let until = |contact: Contact| contact.quiet_until().map(|until| until - Instant::now());
        assert_eq!(until(after(429, Some("7"))), Some(Duration::from_secs(7)));
        assert_eq!(until(after(503, Some("86400"))), Some(LONGEST_QUIET));
        assert_eq!(until(after(429, Some("tomorrow"))), None);
        assert_eq!(until(after(200, Some("7"))), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_usable_answer_counts_as_contact() {
        for (status, expected) in [(200, 0), (401, 9), (403, 9), (429, 9), (500, 9), (503, 9)] {
            let contact = Contact::new();
            tokio::time::advance(Duration::from_secs(9)).await;
            contact.note_response(StatusCode::from_u16(status).unwrap(), &HeaderMap::new());
            assert_eq!(contact.age(), Duration::from_secs(expected), "{status}");
        }
    }
}
