//! How large trailers may be.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::settings::Limits;

/// How large the trailers of a message may be: no larger than a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrailerLimits {
    pub(crate) bytes: usize,
    pub(crate) fields: usize,
}

impl TrailerLimits {
    /// For messages whose trailers are ignored.
    pub(crate) const IGNORED: Self = Self {
        bytes: usize::MAX,
        fields: usize::MAX,
    };

    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            bytes: limits.header_bytes,
            fields: limits.headers,
        }
    }

    /// Whether these fields exceed the limits; each counts as the line that it would be in HTTP/1.
    pub(crate) fn exceeded_by(self, trailers: &HeaderMap) -> bool {
        let line =
            |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + ": \r\n".len();
        trailers.len() > self.fields || trailers.iter().map(line).sum::<usize>() > self.bytes
    }
}
