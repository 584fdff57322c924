//! The connection to the API server: when it last spoke, and how long it wants to be left alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Request, Response, StatusCode, header};
use kube::Client;
use kube::client::{Body, ClientBuilder};
use tokio::time::Instant;
use tower::util::{MapRequestLayer, MapResponseLayer};

use super::credentials;
use crate::cluster::ClusterError;

/// When the API server last spoke. Clones share it.
#[derive(Debug, Clone)]
pub struct Contact(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    last_word: Instant,
    /// `Retry-After`: no requests before this.
    hushed: Option<Instant>,
}

/// Longest `Retry-After` that is honoured: a typing error in a proxy must not silence us for a day.
const MAX_HUSH: Duration = Duration::from_secs(30);
/// A request that has had no answer for this long has none. Longer than a watch is asked to last, because its
/// connection may have nothing to say until then.
const ANSWER: Duration = Duration::from_secs(57);
/// For a connection and its handshake, which an API server under load is slow at; as client-go's `TLSHandshakeTimeout`.
const CONNECT: Duration = Duration::from_secs(10);

impl Contact {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            last_word: Instant::now(),
            hushed: None,
        })))
    }

    /// How long ago the API server last said something that we could use; since the start when it never has.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.state().last_word.elapsed()
    }

    pub(crate) fn word(&self) {
        let mut state = self.state();
        state.last_word = Instant::now();
    }

    /// Until when no requests are to be sent.
    pub(crate) fn hushed(&self) -> Option<Instant> {
        self.state().hushed.filter(|until| *until > Instant::now())
    }

    pub(crate) fn heard(&self, status: StatusCode, headers: &HeaderMap) {
        if status.is_success() {
            self.word();
        }
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = headers
                .get(header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.trim().parse().ok());
            if let Some(seconds) = seconds {
                self.state().hushed = Some(Instant::now() + Duration::from_secs(seconds).min(MAX_HUSH));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that tells `contact` of every answer.
pub(crate) fn connect(mut config: kube::Config, contact: &Contact) -> Result<Client, ClusterError> {
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(ANSWER);
    config.write_timeout = Some(ANSWER);
    // Without it the time that a pooled connection was idle would count.
    config.reset_reader_on_write = true;
    // Whoever asks decides when to ask again.
    config.default_retry = false;
    let contact = contact.clone();
    let token = credentials::token_file(&mut config)?;
    let builder = ClientBuilder::try_from(config).map_err(|error| ClusterError::Client(Box::new(error)))?;
    let hearing = MapResponseLayer::new(move |response: Response<_>| {
        contact.heard(response.status(), response.headers());
        response
    });
    let signing = MapRequestLayer::new(move |mut request: Request<Body>| {
        if let Some(token) = &token {
            let headers = request.headers_mut();
            headers.insert(header::AUTHORIZATION, token.authorization());
        }
        request
    });
    Ok(builder.with_layer(&hearing).with_layer(&signing).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(status: u16, retry_after: Option<&str>) -> Contact {
        let contact = Contact::new();
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
        }
        contact.heard(StatusCode::from_u16(status).unwrap(), &headers);
        contact
    }

    #[tokio::test(start_paused = true)]
    async fn requests_pause_for_as_long_as_retry_after_says() {
        let until = |contact: Contact| contact.hushed().map(|until| until - Instant::now());
        assert_eq!(until(heard(429, Some("7"))), Some(Duration::from_secs(7)));
        assert_eq!(until(heard(503, Some("86400"))), Some(MAX_HUSH));
        assert_eq!(until(heard(429, Some("tomorrow"))), None);
        assert_eq!(until(heard(200, Some("7"))), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_usable_answer_counts_as_contact() {
        for (status, expected) in [(200, 0), (401, 9), (403, 9), (429, 9), (500, 9), (503, 9)] {
            let contact = Contact::new();
            tokio::time::advance(Duration::from_secs(9)).await;
            contact.heard(StatusCode::from_u16(status).unwrap(), &HeaderMap::new());
            assert_eq!(contact.age(), Duration::from_secs(expected), "{status}");
        }
    }
}
