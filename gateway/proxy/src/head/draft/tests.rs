//! A head in, edits, and what leaves: as HTTP/1 text, and the same as HTTP/2.

use http::header::HeaderMap;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Method};
use wire::{BodyFraming, HeadLimits, RequestHead, ResponseHead, ResponseTo};

use super::*;
use crate::head::identity::{Identity, Peer};
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::worker::date::DateClock;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 4096,
    fields: 30,
    target_bytes: 1024,
};

/// What the gateway says about the client, in order. The request id is the client's own.
const FORWARDED: &str = "X-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\
    X-Forwarded-Port: 8443\r\nX-Forwarded-Host: a.test\r\nX-Request-ID: 7\r\nX-Blastdoor-Door: edge\r\n";

fn name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

fn added(fields: &[(&'static str, &'static str)]) -> Vec<(HeaderName, HeaderValue)> {
    let field = |(key, value): &(&'static str, &'static str)| (name(key), HeaderValue::from_static(value));
    fields.iter().map(field).collect()
}

/// Calls with the draft of this request at a door that trusts its peer.
fn with_draft<T>(
    text: &str,
    edits: &RequestEdits,
    upgrade: bool,
    then: impl FnOnce(&RequestDraft<'_>) -> T,
) -> T {
    let head = text.as_bytes();
    let mut request = RequestHead::new();
    assert_eq!(request.parse(head, &LIMITS), Ok(Some(head.len())), "{text}");
    let mut settings = Settings::of_tests();
    settings.trusted = std::sync::Arc::new(crate::settings::TrustedProxies::new(vec![
        "192.0.2.0/24".parse().unwrap(),
    ]));
    let identity = Identity::of(
        &Peer::of_socket("192.0.2.1".parse().unwrap()),
        &settings,
        &request,
        head,
    );
    then(&RequestDraft {
        head,
        request: &request,
        edits,
        forwarded: Forwarded {
            identity: &identity,
            trace: None,
            settings: &settings,
            scheme: "https",
            port: 8443,
            door: &"edge".parse().unwrap(),
            certificate: None,
        },
        upgrade,
    })
}

fn http1(text: &str, edits: &RequestEdits, upgrade: bool) -> String {
    let mut out = Vec::new();
    with_draft(text, edits, upgrade, |draft| draft.write_http1(&mut out));
    String::from_utf8(out).unwrap()
}

/// As the lines of an HTTP/1 head would say it, so that both can be compared.
fn lines(headers: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines
}

/// The lines of HTTP/1 text that HTTP/2 has as well.
fn lines_of_text(text: &str) -> Vec<String> {
    let of_connection = ["host", "connection", "upgrade", "transfer-encoding"];
    let mut lines: Vec<String> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value))
        .filter(|(name, _)| !of_connection.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.sort();
    lines
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn a_request_and_its_edits_give_text_and_the_same_as_http2() {
    let table: [(&str, RequestEdits, String); 10] = [
        (
            "GET /a?b HTTP/1.1\r\nHost: a.test\r\nAccept:  */* \r\nX-Request-ID: 7\r\nCookie: c\r\n\r\n",
            RequestEdits::default(),
            format!("GET /a?b HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\nCookie: c\r\n{FORWARDED}\r\n"),
        ),
        (
            "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nX-Request-ID: 7\r\n\r\n",
            RequestEdits::default(),
            format!("GET / HTTP/1.1\r\nHost: a.test\r\n{FORWARDED}TE: trailers\r\nConnection: TE\r\n\r\n"),
        ),
        (
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nX-Request-ID: 7\r\n\r\n",
            RequestEdits::default(),
            format!("POST / HTTP/1.1\r\nHost: a.test\r\n{FORWARDED}Transfer-Encoding: chunked\r\n\r\n"),
        ),
        (
            "OPTIONS http://a.test HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 3\r\nExpect: 100-continue\r\nContent-Length: 2\r\nX-Request-ID: 7\r\n\r\n",
            RequestEdits::default(),
            format!(
                "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n{FORWARDED}Content-Length: 2\r\nMax-Forwards: 2\r\nExpect: 100-continue\r\n\r\n"
            ),
        ),
        (
            "GET /api/a?b HTTP/1.1\r\nHost: a.test\r\nX-Request-ID: 7\r\n\r\n",
            RequestEdits {
                target: Some(PathAndQuery::from_static("/a?b")),
                host: Some(Authority::from_static("inner.test:81")),
                ..RequestEdits::default()
            },
            format!("GET /a?b HTTP/1.1\r\nHost: inner.test:81\r\n{FORWARDED}\r\n"),
        ),
        (
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\nX-Request-ID: 7\r\n\r\n",
            RequestEdits {
                method: Some(Method::GET),
                framing: Some(BodyFraming::None),
                ..RequestEdits::default()
            },
            format!("GET / HTTP/1.1\r\nHost: a.test\r\n{FORWARDED}\r\n"),
        ),
        (
            "GET / HTTP/1.1\r\nHost: a.test\r\nX-Request-ID: 7\r\n\r\n",
            RequestEdits {
                method: Some(Method::PUT),
                ..RequestEdits::default()
            },
            format!("PUT / HTTP/1.1\r\nHost: a.test\r\n{FORWARDED}Content-Length: 0\r\n\r\n"),
        ),
        (
            // In every spelling of the name, and nothing else.
            "GET / HTTP/1.1\r\nHost: a.test\r\nA: 1\r\nx-user: a\r\nX_User: b\r\nX.USER: c\r\nX-Users: d\r\nX-Request-ID: 7\r\n\r\n",
            RequestEdits {
                fields: FieldEdits {
                    removed: vec![name("x-user")],
                    added: added(&[("x-user", "ours"), ("x-user", "again")]),
                }
                .into(),
                ..RequestEdits::default()
            },
            format!(
                "GET / HTTP/1.1\r\nHost: a.test\r\nA: 1\r\nX-Users: d\r\n{FORWARDED}X-User: ours\r\nX-User: again\r\n\r\n"
            ),
        ),
        (
            // What the gateway asserts stays.
            "GET / HTTP/1.1\r\nHost: a.test\r\nX-Request-ID: 7\r\n\r\n",
            RequestEdits {
                fields: FieldEdits {
                    removed: vec![name("x-blastdoor-door"), name("host")],
                    added: Vec::new(),
                }
                .into(),
                ..RequestEdits::default()
            },
            format!("GET / HTTP/1.1\r\nHost: a.test\r\n{FORWARDED}\r\n"),
        ),
        (
            // What it says about the client goes or changes, as the client's own copies do.
            "GET / HTTP/1.1\r\nHost: a.test\r\nX_Forwarded_Proto: ftp\r\nX-Request-ID: 7\r\n\r\n",
            RequestEdits {
                fields: FieldEdits {
                    removed: vec![
                        name("x_forwarded_for"),
                        name("x-real-ip"),
                        name("x-forwarded-proto"),
                        name("x-request-id"),
                    ],
                    added: added(&[("x-forwarded-proto", "wss")]),
                }
                .into(),
                ..RequestEdits::default()
            },
            "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Port: 8443\r\nX-Forwarded-Host: a.test\r\n\
             X-Blastdoor-Door: edge\r\nX-Forwarded-Proto: wss\r\n\r\n"
                .to_owned(),
        ),
    ];
    for (text, edits, expected) in table {
        assert_eq!(http1(text, &edits, false), expected, "{text}");
        let request = with_draft(text, &edits, false, |draft| draft.to_http2("https")).unwrap();
        let (start, host) = (expected.lines().next().unwrap(), expected.lines().nth(1).unwrap());
        let target = request.uri().path_and_query().unwrap();
        assert_eq!(format!("{} {target} HTTP/1.1", request.method()), start);
        assert_eq!(format!("Host: {}", request.uri().authority().unwrap()), host);
        assert_eq!(request.uri().scheme_str(), Some("https"));
        assert_eq!(lines(request.headers()), lines_of_text(&expected), "{text}");
    }
}

#[test]
fn an_upgrade_goes_on_where_it_is_asked_to() {
    let text = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket ,x\r\nX-Request-ID: 7\r\n\r\n";
    let kept = format!(
        "GET / HTTP/1.1\r\nHost: a.test\r\n{FORWARDED}Connection: Upgrade\r\nUpgrade: websocket, x\r\n\r\n"
    );
    assert_eq!(http1(text, &UNEDITED, true), kept);
    let plain = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{FORWARDED}\r\n");
    assert_eq!(http1(text, &UNEDITED, false), plain);
}

#[test]
fn what_http2_cannot_say_is_refused() {
    let http2 = |text: &str| with_draft(text, &UNEDITED, false, |draft| draft.to_http2("http").map(|_| ()));
    assert!(matches!(
        http2("GET / HTTP/1.0\r\n\r\n"),
        Err(Refusal::HostMissing)
    ));
    assert!(matches!(
        http2("GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        Err(Refusal::HostMissing)
    ));
    assert!(matches!(
        http2("GET /` HTTP/1.1\r\nHost: a b\r\n\r\n"),
        Err(Refusal::NotForHttp2)
    ));
    assert!(http2("GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok());
}

fn with_response<T>(
    text: &str,
    edits: &FieldEdits,
    framing: Option<Framing>,
    connection: Connection,
    then: impl FnOnce(&ResponseDraft<'_>) -> T,
) -> T {
    let head = text.as_bytes();
    let mut response = ResponseHead::new();
    let parsed = response.parse(head, &LIMITS, ResponseTo::Other);
    assert_eq!(parsed, Ok(Some(head.len())), "{text}");
    let clock = DateClock::new();
    let framing = framing.unwrap_or_else(|| client_framing(&response, wire::Version::Http11));
    then(&ResponseDraft {
        head,
        response: &response,
        edits,
        framing,
        connection,
        trailers: false,
        clock: Some(&clock),
    })
}

#[test]
fn a_response_and_its_edits_give_text_and_the_same_as_http2() {
    const DATED: &str = "Date: Thu, 26 Nov 2026 00:00:00 GMT\r\n";
    let table: [(&str, FieldEdits, Connection, &str, bool); 6] = [
        (
            "HTTP/1.1 200 Fine\r\nServer: x\r\nDATE\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nContent-Length: 3\r\n\r\n",
            FieldEdits::default(),
            Connection::Keep,
            "HTTP/1.1 200 Fine\r\nServer: x\r\nDATE\r\nContent-Length: 3\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 200 \r\nDATE\r\nTrailer: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            FieldEdits::default(),
            Connection::KeepExplicitly,
            "HTTP/1.1 200 \r\nDATE\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 204 No Content\r\nDATE\r\nA:1\r\n\r\n",
            FieldEdits::default(),
            Connection::Close,
            "HTTP/1.1 204 No Content\r\nDATE\r\nA: 1\r\nConnection: close\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 401 No\r\nDATE\r\nX-Powered-By: me\r\nx_powered_by: you\r\nB: 2\r\nContent-Length: 0\r\n\r\n",
            FieldEdits {
                removed: vec![name("x-powered-by")],
                added: added(&[("vary", "origin")]),
            },
            Connection::Keep,
            "HTTP/1.1 401 No\r\nDATE\r\nB: 2\r\nContent-Length: 0\r\nVary: origin\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nDATE\r\nContent-Length: 0\r\n\r\n",
            FieldEdits {
                removed: vec![name("date")],
                added: added(&[("date", "now")]),
            },
            Connection::Keep,
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: now\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 101 Go\r\nDATE\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            FieldEdits::default(),
            Connection::Upgrade,
            "HTTP/1.1 101 Go\r\nDATE\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            false,
        ),
    ];
    for (text, edits, connection, expected, whole) in table {
        let text = text.replace("DATE\r\n", DATED);
        let expected = expected.replace("DATE\r\n", DATED);
        with_response(&text, &edits, None, connection, |draft| {
            let mut out = Vec::new();
            draft.write_http1(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
            assert_eq!(draft.is_whole(), whole, "{text}");
            let head = draft.to_http2().unwrap();
            let status = if text.contains(" 101 ") {
                "200"
            } else {
                text.get(9..12).unwrap()
            };
            assert_eq!(head.status().as_str(), status);
            let mut ours = lines(head.headers());
            // To HTTP/2 trailers may always follow.
            ours.retain(|line| line != "trailer: a");
            assert_eq!(ours, lines_of_text(&expected), "{text}");
        });
    }
}

#[test]
fn a_response_without_a_date_gets_one() {
    with_response(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        &UNEDITED.fields,
        None,
        Connection::Keep,
        |draft| {
            let mut out = Vec::new();
            draft.write_http1(&mut out);
            assert!(
                String::from_utf8(out)
                    .unwrap()
                    .starts_with("HTTP/1.1 200 OK\r\nDate: ")
            );
            assert!(draft.to_http2().unwrap().headers().contains_key("date"));
        },
    );
}

#[test]
fn the_handshake_of_an_upgrade_stays_with_http1() {
    let text = "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: y\r\n\r\n";
    with_response(
        text,
        &UNEDITED.fields,
        Some(Framing::None(None)),
        Connection::Upgrade,
        |draft| {
            let head = draft.to_http2().unwrap();
            assert!(!head.headers().contains_key("sec-websocket-accept"));
            assert_eq!(head.headers().get("sec-websocket-protocol").unwrap(), "y");
        },
    );
}

#[test]
fn a_field_of_our_own_has_one_name_in_both_versions() {
    for field in request::OWN.iter().chain(&response::OWN) {
        let text = field
            .text
            .strip_prefix("\r\n")
            .unwrap()
            .strip_suffix(": ")
            .unwrap();
        assert_eq!(text.to_lowercase(), field.name.as_str());
    }
}
