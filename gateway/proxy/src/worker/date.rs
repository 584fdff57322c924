//! The value of `Date`, which every final response carries (RFC 9110 6.6.1).

use std::cell::RefCell;
use std::time::{Duration, Instant};

use http::HeaderValue;

/// The date as HTTP writes it, formatted once a second for all answers of a worker.
pub(crate) struct DateClock(RefCell<(Instant, HeaderValue)>);

impl DateClock {
    pub(crate) fn new() -> Self {
        Self(RefCell::new(now()))
    }

    /// The current date; shared, not copied.
    pub(crate) fn date(&self) -> HeaderValue {
        let mut current = self.0.borrow_mut();
        if current.0.elapsed() >= Duration::from_secs(1) {
            *current = now();
        }
        current.1.clone()
    }
}

/// The time since 1970.
pub(crate) fn since_1970() -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "the end of a cookie is a time of the day"
    )]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

fn now() -> (Instant, HeaderValue) {
    #[expect(clippy::disallowed_methods, reason = "`Date` is the time of the day")]
    let text = httpdate::fmt_http_date(std::time::SystemTime::now());
    let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(text));
    // Letters, digits, spaces, commas and colons are a field value.
    let value = value.unwrap_or_else(|_never| HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"));
    (Instant::now(), value)
}
