//! What the admin port answers.

use std::borrow::Cow;
use std::time::SystemTime;

use hyper::StatusCode;
use hyper::http::uri::Authority;
use prometheus_client::registry::Registry;
use wire::{Method, RequestHead};

use super::board::Board;

/// An answer, before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    /// A further field, as a line.
    field: &'static str,
    body: Cow<'static, [u8]>,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// What is known at once: probes and refusals.
    Now(Answer),
    /// What takes a while to make.
    Page(Page),
}

/// A page that takes a while to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// `/metrics`
    Metrics,
    /// `/api/v1/doors`
    Doors,
}

const TEXT: &str = "text/plain; charset=utf-8";

/// What a request asks for. `buffer` contains its head.
pub(super) fn asked(request: &RequestHead, buffer: &[u8], board: &Board) -> Asked {
    if !has_valid_host(request, buffer) {
        return Asked::Now(Answer::text(StatusCode::BAD_REQUEST, "one valid Host, please\n"));
    }
    if request.method != Method::Get && request.method != Method::Head {
        let answer = Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        return Asked::Now(answer.with("Allow: GET, HEAD\r\n"));
    }
    let path = std::str::from_utf8(request.path.of(buffer)).unwrap_or_default();
    Asked::Now(match path {
        "/livez" => Answer::text(StatusCode::OK, "ok\n"),
        "/readyz" => verdict(
            board.is_ready(),
            "not ready: a door is not bound, lacks a worker or has no table yet\n",
        ),
        "/metrics" => return Asked::Page(Page::Metrics),
        "/api/v1/doors" => return Asked::Page(Page::Doors),
        path => match path
            .strip_prefix("/lb/")
            .and_then(|door| board.takes_traffic(door))
        {
            Some(takes_traffic) => verdict(takes_traffic, "this door takes no traffic\n"),
            None => Answer::text(StatusCode::NOT_FOUND, "not found\n"),
        },
    })
}

/// HTTP/1.1 requires a `Host`, which may be empty (RFC 9112 3.2); the parser has seen to the rest.
fn has_valid_host(request: &RequestHead, buffer: &[u8]) -> bool {
    let Some(host) = request.host else { return true };
    let host = std::str::from_utf8(host.of(buffer)).unwrap_or("@");
    host.is_empty() || !host.contains('@') && host.parse::<Authority>().is_ok()
}

fn verdict(good: bool, otherwise: &'static str) -> Answer {
    if good {
        Answer::text(StatusCode::OK, "ok\n")
    } else {
        Answer::text(StatusCode::SERVICE_UNAVAILABLE, otherwise)
    }
}

impl Page {
    pub(super) fn make(self, board: &Board, registry: &Registry) -> Answer {
        match self {
            Self::Metrics => metrics(registry),
            Self::Doors => Answer {
                status: StatusCode::OK,
                content_type: "application/json",
                field: "",
                body: format!("{}\n", board.doors()).into_bytes().into(),
            },
        }
    }
}

fn metrics(registry: &Registry) -> Answer {
    let mut page = String::new();
    match prometheus_client::encoding::text::encode(&mut page, registry) {
        Ok(()) => Answer {
            status: StatusCode::OK,
            content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
            field: "",
            body: page.into_bytes().into(),
        },
        Err(_) => Answer::text(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be encoded\n"),
    }
}

impl Answer {
    pub(super) fn text(status: StatusCode, body: &'static str) -> Self {
        Self {
            status,
            content_type: TEXT,
            field: "",
            body: body.as_bytes().into(),
        }
    }

    /// Too much is asked for at once.
    pub(super) fn busy() -> Self {
        Self::text(StatusCode::SERVICE_UNAVAILABLE, "too many pages at once\n").with("Retry-After: 1\r\n")
    }

    /// To a request that could not be parsed.
    pub(super) fn malformed(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        Self::text(status, "this is not a request\n")
    }

    fn with(self, field: &'static str) -> Self {
        Self { field, ..self }
    }

    /// The head as text, and the body. The connection ends after it.
    #[expect(clippy::disallowed_methods, reason = "the field Date is the time of day")]
    pub(super) fn parts(&self, method: Method) -> (String, &[u8]) {
        let head = format!(
            "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}Connection: close\r\n\r\n",
            self.status.as_str(),
            self.status.canonical_reason().unwrap_or_default(),
            httpdate::fmt_http_date(SystemTime::now()),
            self.content_type,
            self.body.len(),
            self.field,
        );
        let body = if method == Method::Head { &[] } else { &*self.body };
        (head, body)
    }
}

#[cfg(test)]
mod tests {
    use wire::HeadLimits;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 4096,
        fields: 20,
        target_bytes: 1024,
    };

    fn status(head: &str) -> (u16, bool) {
        let mut request = RequestHead::new();
        match request.parse(head.as_bytes(), &LIMITS) {
            Ok(Some(_)) => match asked(&request, head.as_bytes(), &Board::default()) {
                Asked::Now(answer) => {
                    let (head, _) = answer.parts(Method::Get);
                    (answer.status.as_u16(), head.contains("\r\nAllow: GET, HEAD\r\n"))
                }
                Asked::Page(_) => (200, false),
            },
            Ok(None) => panic!("{head:?} is incomplete"),
            Err(error) => (error.status(), false),
        }
    }

    /// RFC 9110 15.5.6, RFC 9112 3.2
    #[test]
    fn other_methods_get_405_and_malformed_hosts_400() {
        let table = [
            ("GET", "1.1", &["10.0.0.1:10254"][..], 200),
            ("HEAD", "1.1", &["a.test"], 200),
            ("GET", "1.1", &["[::1]:10254"], 200),
            ("GET", "1.1", &[""], 200),
            ("GET", "1.0", &[], 200),
            ("GET", "1.1", &[], 400),
            ("POST", "1.1", &[], 400),
            ("GET", "1.1", &["a.test", "a.test"], 400),
            ("GET", "1.0", &["a.test", "b.test"], 400),
            ("GET", "1.1", &["a b"], 400),
            ("GET", "1.1", &["me@a.test"], 400),
            ("POST", "1.1", &["a.test"], 405),
            ("OPTIONS", "1.0", &[], 405),
        ];
        for (method, version, hosts, expected) in table {
            let hosts: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
            let head = format!("{method} /livez HTTP/{version}\r\n{hosts}\r\n");
            assert_eq!(status(&head), (expected, expected == 405), "{head:?}");
        }
    }

    #[test]
    fn pages_are_made_elsewhere_and_probes_at_once() {
        let of = |path: &str| {
            let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            let mut request = RequestHead::new();
            assert!(request.parse(head.as_bytes(), &LIMITS).unwrap().is_some());
            asked(&request, head.as_bytes(), &Board::default())
        };
        assert_eq!(of("/metrics"), Asked::Page(Page::Metrics));
        assert_eq!(of("/api/v1/doors?x=y"), Asked::Page(Page::Doors));
        for (path, expected) in [("/livez", 200), ("/readyz", 503), ("/lb/a", 404), ("/x", 404)] {
            let Asked::Now(answer) = of(path) else {
                panic!("{path} is no page")
            };
            assert_eq!(answer.status.as_u16(), expected, "{path}");
        }
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let answer = Answer::text(StatusCode::OK, "ok\n");
        assert_eq!(answer.parts(Method::Get).1, b"ok\n");
        let (head, body) = answer.parts(Method::Head);
        assert_eq!(body, b"");
        assert!(head.contains("\r\nContent-Length: 3\r\n"), "{head}");
    }
}
