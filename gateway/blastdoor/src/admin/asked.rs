//! What a request to the admin port asks for.

use hyper::StatusCode;
use wire::{Method, RequestHead};

use super::answer::Answer;
use super::board::Board;
use super::context::Inquiry;
use super::guard;
use super::live::{self, Wanted};
use super::page::{Audience, Page};
use super::query::Query;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// What is known at once: probes and refusals.
    Now(Answer),
    /// What takes a while to make.
    Page(&'static Page, Inquiry),
    /// What somebody waits for.
    Live(Wanted),
}

/// What a request asks for. `buffer` contains its head.
pub(super) fn asked(request: &RequestHead, buffer: &[u8], board: &Board) -> Asked {
    let path = std::str::from_utf8(request.path.of(buffer)).unwrap_or_default();
    let is_api = path == "/api" || path.starts_with("/api/");
    match judged(request, buffer, path, board) {
        Asked::Now(answer) if is_api => Asked::Now(answer.of_api()),
        asked @ (Asked::Now(_) | Asked::Page(..) | Asked::Live(_)) => asked,
    }
}

fn judged(request: &RequestHead, buffer: &[u8], path: &str, board: &Board) -> Asked {
    // HTTP/1.1 requires a `Host`, which may be empty (RFC 9112 3.2); the parser has seen to the rest.
    let host = request
        .host
        .map(|host| std::str::from_utf8(host.of(buffer)).unwrap_or("@"));
    if host.is_some_and(|host| !guard::is_valid(host)) {
        return Asked::Now(Answer::text(StatusCode::BAD_REQUEST, "one valid Host, please\n"));
    }
    if request.method != Method::Get && request.method != Method::Head {
        let answer = Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        return Asked::Now(answer.with("Allow: GET, HEAD\r\n"));
    }
    Asked::Now(match path {
        "/livez" => Answer::text(StatusCode::OK, "ok\n"),
        "/readyz" => verdict(
            board.is_ready(),
            "not ready: a door is not bound, lacks a worker or has no table yet\n",
        ),
        live::PATH => return live_for(request, buffer, host, board),
        path => match Page::at(path) {
            Some(page) => return page_for(page, request, buffer, host),
            None => lb(path, board),
        },
    })
}

fn page_for(page: &'static Page, request: &RequestHead, buffer: &[u8], host: Option<&str>) -> Asked {
    if let Err(refused) = guarded(page.audience, page.path, request, buffer, host) {
        return Asked::Now(refused);
    }
    let joined = |name| joined(values(request, buffer, name));
    let (accept, encodings) = (joined(b"accept"), joined(b"accept-encoding"));
    let query = match page.audience {
        Audience::Programs => Ok(Query::default()),
        Audience::People => query_of(request, buffer),
    };
    match query {
        Ok(query) => {
            let inquiry = Inquiry {
                query,
                accept,
                encodings,
            };
            Asked::Page(page, inquiry)
        }
        Err(answer) => Asked::Now(answer),
    }
}

fn live_for(request: &RequestHead, buffer: &[u8], host: Option<&str>, board: &Board) -> Asked {
    // Nobody is told what a HEAD would wait for.
    if request.method != Method::Get {
        let answer = Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        return Asked::Now(answer.with("Allow: GET\r\n"));
    }
    let wanted = guarded(Audience::People, live::PATH, request, buffer, host)
        .and_then(|()| of_dashboard(request, buffer, host))
        .and_then(|()| query_of(request, buffer))
        .and_then(|query| {
            let wanted = Wanted::read(&query, |door| board.takes_traffic(door).is_some());
            wanted.map_err(|error| Answer::error(StatusCode::BAD_REQUEST, error))
        });
    match wanted {
        Ok(wanted) => Asked::Live(wanted),
        Err(answer) => Asked::Now(answer),
    }
}

/// # Errors
/// The answer to a request that may not have the page.
fn guarded(
    audience: Audience,
    path: &str,
    request: &RequestHead,
    buffer: &[u8],
    host: Option<&str>,
) -> Result<(), Answer> {
    let is_for_programs = audience == Audience::Programs;
    let refused = |status, message: &'static str| match audience {
        Audience::Programs => Answer::text(status, message),
        Audience::People => Answer::error(status, message.trim_end()),
    };
    let mut names = request.fields.iter().map(|field| field.name.of(buffer));
    if !guard::is_trusted(host) && (!is_for_programs || names.any(guard::is_of_browsers)) {
        let message = "not under this Host: use an address, `localhost`, a name without a dot, `….svc` or \
                       `….svc.cluster.local`\n";
        return Err(refused(StatusCode::MISDIRECTED_REQUEST, message));
    }
    let said = |name| values(request, buffer, name);
    let may_be_linked = is_for_programs || path == "/";
    if !guard::is_from_here(may_be_linked, said(b"sec-fetch-site"), said(b"sec-fetch-dest")) {
        return Err(refused(StatusCode::FORBIDDEN, "not for pages of another site\n"));
    }
    Ok(())
}

/// # Errors
/// The answer to a browser that does not say that the dashboard asks. Whoever waits takes a place, and a request that is then not
/// told to others.
fn of_dashboard(request: &RequestHead, buffer: &[u8], host: Option<&str>) -> Result<(), Answer> {
    let said = |name| values(request, buffer, name);
    let mut names = request.fields.iter().map(|field| field.name.of(buffer));
    let is_here = said(b"sec-fetch-site").next().is_some()
        || !names.any(guard::is_of_browsers)
        || guard::is_of_dashboard(host, said(b"origin").chain(said(b"referer")));
    let message =
        "for the dashboard and for programs: this browser does not say that a page of the dashboard asks";
    is_here
        .then_some(())
        .ok_or_else(|| Answer::error(StatusCode::FORBIDDEN, message))
}

/// # Errors
/// The answer to a request whose query is malformed.
fn query_of(request: &RequestHead, buffer: &[u8]) -> Result<Query, Answer> {
    Query::parse(request.query.map(|query| query.of(buffer)).unwrap_or_default())
        .map_err(|error| Answer::error(StatusCode::BAD_REQUEST, error))
}

/// The values of a list that may be in several fields.
fn joined<'b>(values: impl Iterator<Item = &'b [u8]>) -> String {
    let values: Vec<_> = values.map(String::from_utf8_lossy).collect();
    values.join(", ")
}

/// What the fields of a name say.
fn values<'b>(request: &RequestHead, buffer: &'b [u8], name: &[u8]) -> impl Iterator<Item = &'b [u8]> {
    let fields = request.fields.iter();
    let fields = fields.filter(move |field| field.name.of(buffer).eq_ignore_ascii_case(name));
    fields.map(|field| field.value.of(buffer))
}

fn lb(path: &str, board: &Board) -> Answer {
    let door = path
        .strip_prefix("/lb/")
        .and_then(|door| board.takes_traffic(door));
    match door {
        Some(takes_traffic) => verdict(takes_traffic, "this door takes no traffic\n"),
        None => Answer::text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

fn verdict(good: bool, otherwise: &'static str) -> Answer {
    if good {
        Answer::text(StatusCode::OK, "ok\n")
    } else {
        Answer::text(StatusCode::SERVICE_UNAVAILABLE, otherwise)
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
                    (answer.status(), head.contains("\r\nAllow: GET, HEAD\r\n"))
                }
                Asked::Page(..) | Asked::Live(_) => (200, false),
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
        for (path, page, query) in [
            ("/metrics", "/metrics", ""),
            ("/api/v1/doors?x=y%20z", "/api/v1/doors", "x=y z"),
        ] {
            let query = Query::parse(query.replace(' ', "+").as_bytes()).unwrap();
            let inquiry = Inquiry {
                query,
                ..Inquiry::default()
            };
            assert_eq!(of(path), Asked::Page(Page::at(page).unwrap(), inquiry), "{path}");
        }
        for (path, expected) in [("/livez", 200), ("/readyz", 503), ("/lb/a", 404), ("/x", 404)] {
            let Asked::Now(answer) = of(path) else {
                panic!("{path} is no page")
            };
            assert_eq!(answer.status(), expected, "{path}");
        }
    }

    fn answered(path: &str, host: &str) -> (u16, String) {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: a/b\r\naccept: c/d\r\nAccept-Encoding: br\r\n\r\n"
        );
        let mut request = RequestHead::new();
        assert!(request.parse(head.as_bytes(), &LIMITS).unwrap().is_some());
        match asked(&request, head.as_bytes(), &Board::default()) {
            Asked::Now(answer) => (answer.status(), answer.body()),
            Asked::Page(page, inquiry) => {
                assert_eq!(inquiry.accept, "a/b, c/d");
                assert!(inquiry.encodings.ends_with("br"), "{}", inquiry.encodings);
                (200, page.path.to_owned())
            }
            Asked::Live(_) => (200, live::PATH.to_owned()),
        }
    }

    /// A site whose name leads to the loopback address must not read the API through its visitors' browsers.
    #[test]
    fn the_api_is_not_shown_under_the_name_of_a_stranger() {
        for (path, host, expected) in [
            ("/api/v1/doors", "127.0.0.1:10254", 200),
            ("/api/v1/doors", "localhost", 200),
            ("/api/v1/doors", "attacker.test", 421),
            ("/api/v1/live", "localhost", 200),
            ("/api/v1/live", "attacker.test", 421),
            ("/api/v1/live?x=y", "localhost", 400),
            ("/metrics", "attacker.test", 200),
            ("/livez", "attacker.test", 200),
            ("/readyz", "attacker.test", 503),
        ] {
            assert_eq!(answered(path, host).0, expected, "{path} {host}");
        }
    }

    /// The figures name hosts and Ingresses. A site whose name leads here would have them from its visitors' browsers; scrapers
    /// may come under any name.
    #[test]
    fn browsers_do_not_get_metrics_under_the_name_of_a_stranger() {
        let of_prometheus = "\r\nUser-Agent: Prometheus/3.5.0\r\nAccept-Encoding: gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: 10";
        for (host, fields, expected) in [
            ("gateway.example.com:10254", "", 200),
            ("gateway.example.com:10254", of_prometheus, 200),
            ("10.0.0.7:10254", of_prometheus, 200),
            ("10.0.0.7:10254", "\r\nAccept-Language: de", 200),
            ("localhost:10254", "\r\nReferer: http://localhost:10254/", 200),
            // Over plain HTTP browsers send Sec-Fetch fields to loopback addresses and `localhost` alone.
            ("attacker.test:10254", "\r\nAccept-Language: de", 421),
            ("attacker.test:10254", "\r\naccept-language:", 421),
            (
                "attacker.test:10254",
                "\r\nReferer: http://attacker.test:10254/",
                421,
            ),
            (
                "attacker.test:10254",
                "\r\nOrigin: http://attacker.test:10254",
                421,
            ),
            ("attacker.test:10254", "\r\nSec-Fetch-Mode: cors", 421),
        ] {
            let answered = answered("/metrics", &format!("{host}{fields}"));
            assert_eq!(answered.0, expected, "{host}{fields}");
        }
    }

    /// Where browsers send no Sec-Fetch fields, a page of another site must not take the next request from whoever waits for it.
    #[test]
    fn browsers_wait_for_requests_from_the_dashboard_alone() {
        const HOST: &str = "10.0.0.7:10254";
        for (fields, expected) in [
            ("", 200),
            ("\r\nUser-Agent: curl/8", 200),
            ("\r\nAccept-Language: de", 403),
            ("\r\nAccept-Language: de\r\nReferer: http://10.0.0.7:10254/", 200),
            ("\r\nAccept-Language: de\r\nReferer: http://attacker.test/", 403),
            ("\r\nOrigin: http://attacker.test", 403),
            ("\r\nOrigin: null", 403),
            ("\r\nOrigin: null\r\nReferer: http://10.0.0.7:10254/", 403),
            // The address was typed, at a loopback address.
            ("\r\nAccept-Language: de\r\nSec-Fetch-Site: none", 200),
        ] {
            let answered = answered(live::PATH, &format!("{HOST}{fields}"));
            assert_eq!(answered.0, expected, "{fields}");
        }
        // Other pages do not wait, and are only read.
        let page = answered("/api/v1/doors", &format!("{HOST}\r\nAccept-Language: de"));
        assert_eq!(page.0, 200);
    }

    /// It would take a request from whoever wants to know of it.
    #[test]
    fn a_head_does_not_wait_for_requests() {
        let head = "HEAD /api/v1/live HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut request = RequestHead::new();
        assert!(request.parse(head.as_bytes(), &LIMITS).unwrap().is_some());
        let Asked::Now(answer) = asked(&request, head.as_bytes(), &Board::default()) else {
            panic!("it waits")
        };
        let (head, _) = answer.parts(Method::Head);
        assert!(
            answer.status() == 405 && head.contains("\r\nAllow: GET\r\n"),
            "{head}"
        );
    }

    /// An image on any page of the web can have its visitors' browsers ask, and would have the gateway work.
    #[test]
    fn pages_of_other_sites_cannot_have_the_gateway_work() {
        for (path, fields, expected) in [
            ("/api/v1/doors", &["site: same-origin"][..], 200),
            ("/api/v1/doors", &["site: none"], 200),
            ("/api/v1/doors", &["site: same-site"], 403),
            ("/api/v1/doors", &["site: cross-site"], 403),
            ("/api/v1/doors", &["site: none", "site: cross-site"], 403),
            ("/api/v1/live", &["site: same-origin"], 200),
            ("/api/v1/live", &["site: cross-site", "dest: image"], 403),
            ("/api/v1/live", &["site: cross-site", "dest: document"], 403),
            ("/api/v1/doors", &["site: cross-site", "dest: document"], 403),
            ("/dashboard/main.js", &["site: cross-site", "dest: script"], 403),
            ("/", &["site: cross-site", "dest: image"], 403),
            ("/", &["site: cross-site", "dest: iframe"], 403),
            // A link in a chat.
            ("/", &["site: cross-site", "dest: document"], 200),
            ("/metrics", &["site: cross-site"], 403),
            ("/metrics", &["site: cross-site", "dest: image"], 403),
            ("/metrics", &["site: cross-site", "dest: document"], 200),
            ("/metrics", &["site: none", "dest: document"], 200),
            ("/livez", &["site: cross-site"], 200),
        ] {
            let fields: String = fields
                .iter()
                .map(|field| format!("\r\nSec-Fetch-{field}"))
                .collect();
            let answered = answered(path, &format!("localhost{fields}"));
            assert_eq!(answered.0, expected, "{path}{fields}");
        }
    }

    #[test]
    fn errors_of_the_api_are_json() {
        for (path, expected, said) in [
            ("/api/v1/none", 404, "not found"),
            ("/api", 404, "not found"),
            ("/api/v1/doors?a=%", 400, "percent sign"),
        ] {
            let (status, body) = answered(path, "localhost");
            let error: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert!(error["error"].as_str().unwrap().contains(said), "{path} {body}");
            assert_eq!(status, expected, "{path}");
        }
        assert_eq!(answered("/apis", "localhost"), (404, "not found\n".to_owned()));
    }
}
