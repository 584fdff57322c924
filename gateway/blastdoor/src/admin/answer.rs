//! What the admin port answers.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use hyper::StatusCode;
use wire::Method;

/// An answer, before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    /// Further fields, as lines.
    fields: &'static str,
    /// Answers can have it in common.
    body: Arc<Cow<'static, [u8]>>,
}

/// A body for as long as an answer has it.
pub(super) type WeakBody = Weak<Cow<'static, [u8]>>;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What the API says is of this moment, no page that a browser may guess to be another kind, and not for pages from
/// elsewhere. It goes with all JSON, errors included.
const OF_API: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
     Cross-Origin-Resource-Policy: same-origin\r\n";

impl Answer {
    pub(super) fn text(status: StatusCode, body: &'static str) -> Self {
        Self {
            status,
            content_type: TEXT,
            fields: "",
            body: Arc::new(body.as_bytes().into()),
        }
    }

    /// Something other than text.
    pub(super) fn page(content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type,
            fields: "",
            body: Arc::new(body.into()),
        }
    }

    /// What the API answers.
    pub(super) fn json(value: &impl serde::Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(mut body) => {
                body.push(b'\n');
                Self::page(JSON, body)
            }
            Err(_) => Self::failed(),
        }
    }

    /// What the API has just answered to somebody, if it is still being sent.
    pub(super) fn json_again(body: &WeakBody) -> Option<Self> {
        let body = body.upgrade()?;
        let empty = Self::page(JSON, b"".as_slice());
        Some(Self { body, ..empty })
    }

    /// The body of a good answer, to be sent to others as well.
    pub(super) fn weak_body(&self) -> WeakBody {
        if self.status == StatusCode::OK {
            Arc::downgrade(&self.body)
        } else {
            WeakBody::new()
        }
    }

    /// `{"error": …}`
    pub(super) fn error(status: StatusCode, message: impl Display) -> Self {
        let error = serde_json::json!({ "error": message.to_string() });
        Self {
            status,
            ..Self::json(&error)
        }
    }

    /// There is no table yet, and so nothing to be shown.
    pub(super) fn not_yet() -> Self {
        let message = "no table has been published yet: the objects have not been read, or are being compiled; \
                       blastdoor_config_problems and the log say whether something is wrong";
        let answer = Self::error(StatusCode::SERVICE_UNAVAILABLE, message);
        answer.with("Retry-After: 1\r\n")
    }

    /// Too much is asked for at once.
    pub(super) fn busy() -> Self {
        Self::text(StatusCode::SERVICE_UNAVAILABLE, "too many pages at once\n").with("Retry-After: 1\r\n")
    }

    /// A page cannot be made: a fault of the program.
    pub(super) fn failed() -> Self {
        Self::text(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made\n")
    }

    /// To a request that could not be parsed.
    pub(super) fn malformed(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        Self::text(status, "this is not a request\n")
    }

    /// With these fields, each a whole line.
    pub(super) fn with(self, fields: &'static str) -> Self {
        Self { fields, ..self }
    }

    /// The same answer as the API gives it: an error as JSON.
    pub(super) fn of_api(self) -> Self {
        if self.content_type != TEXT {
            return self;
        }
        let message = String::from_utf8_lossy(&self.body).trim_end().to_owned();
        Self {
            fields: self.fields,
            ..Self::error(self.status, message)
        }
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    #[cfg(test)]
    pub(super) fn body(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The head as text, and the body. The connection ends after it.
    #[expect(clippy::disallowed_methods, reason = "the field Date is the time of day")]
    pub(super) fn parts(&self, method: Method) -> (String, &[u8]) {
        let of_kind = if self.content_type == JSON { OF_API } else { "" };
        let head = format!(
            "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}{of_kind}Connection: close\r\n\r\n",
            self.status.as_str(),
            self.status.canonical_reason().unwrap_or_default(),
            httpdate::fmt_http_date(SystemTime::now()),
            self.content_type,
            self.body.len(),
            self.fields,
        );
        let body: &[u8] = if method == Method::Head { &[] } else { &self.body };
        (head, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_head_has_no_body() {
        let answer = Answer::text(StatusCode::OK, "ok\n");
        assert_eq!(answer.parts(Method::Get).1, b"ok\n");
        let (head, body) = answer.parts(Method::Head);
        assert_eq!(body, b"");
        assert!(head.contains("\r\nContent-Length: 3\r\n"), "{head}");
    }

    #[test]
    fn the_api_tells_errors_as_json() {
        let answer = Answer::busy().of_api();
        assert_eq!(answer.body(), "{\"error\":\"too many pages at once\"}\n");
        let (head, _) = answer.parts(Method::Get);
        assert!(head.contains("\r\nRetry-After: 1\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Type: application/json\r\n"), "{head}");
        assert!(
            head.contains("\r\nCross-Origin-Resource-Policy: same-origin\r\n"),
            "{head}"
        );
        assert!(head.contains("\r\nX-Content-Type-Options: nosniff\r\n"), "{head}");
    }
}
