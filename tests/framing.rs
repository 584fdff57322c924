//! Heads, targets, hosts and chunks as bytes, each with its expected status (RFC 9112, RFC 9110, RFC 3986). A refused
//! request never reaches the backend, its connection closes, and the next client is served as usual.

use std::io::Write;

use gateway_tests::{Backend, Client, Gateway, gateway, get, manifest};

fn start(backend: &Backend) -> Gateway {
    gateway!()
        .manifest(
            "app.yaml",
            &(manifest::app("app", "external-http", "a.test", backend.port())),
        )
        .start()
}

/// (what it is, the bytes, the status)
type Case = (&'static str, &'static [u8], u16);

const REFUSED: &[Case] = &[
    // Framing and field grammar (RFC 9112 2.2, 5, 6)
    ("CL and TE", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("TE and CL", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    ("two equal CL", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
    ("two CL", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy", 400),
    ("CL list", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1, 1\r\n\r\nx", 400),
    ("CL plus", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: +1\r\n\r\nx", 400),
    ("CL minus", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: -1\r\n\r\nx", 400),
    ("CL hex", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0x1\r\n\r\nx", 400),
    ("CL empty", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: \r\n\r\n", 400),
    ("CL overflow", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 99999999999999999999\r\n\r\nx", 400),
    ("CL with space", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1 1\r\n\r\nx", 400),
    ("TE twice in one", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    ("TE two fields", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("TE gzip", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    ("TE identity", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: identity\r\n\r\n", 400),
    ("TE leading comma", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: , chunked\r\n\r\n0\r\n\r\n", 400),
    ("TE parameter", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked;x=y\r\n\r\n0\r\n\r\n", 400),
    ("TE on 1.0", b"POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("TE with tab", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("bare LF after line", b"GET / HTTP/1.1\nHost: a.test\r\n\r\n", 400),
    ("bare LF in field", b"GET / HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n", 400),
    ("bare LF at end", b"GET / HTTP/1.1\r\nHost: a.test\r\n\n", 400),
    ("bare CR in value", b"GET / HTTP/1.1\r\nHost: a.test\r\nX: a\rb\r\n\r\n", 400),
    ("NUL in value", b"GET / HTTP/1.1\r\nHost: a.test\r\nX: a\0b\r\n\r\n", 400),
    ("NUL in name", b"GET / HTTP/1.1\r\nHost: a.test\r\nX\0: a\r\n\r\n", 400),
    ("DEL in value", b"GET / HTTP/1.1\r\nHost: a.test\r\nX: a\x7fb\r\n\r\n", 400),
    ("folded line", b"GET / HTTP/1.1\r\nHost: a.test\r\nX: a\r\n b\r\n\r\n", 400),
    ("folded first line", b"GET / HTTP/1.1\r\n Host: a.test\r\n\r\n", 400),
    ("space before colon", b"GET / HTTP/1.1\r\nHost : a.test\r\n\r\n", 400),
    ("tab before colon", b"GET / HTTP/1.1\r\nHost: a.test\r\nX\t: y\r\n\r\n", 400),
    ("no colon", b"GET / HTTP/1.1\r\nHost: a.test\r\nnonsense\r\n\r\n", 400),
    ("empty name", b"GET / HTTP/1.1\r\nHost: a.test\r\n: x\r\n\r\n", 400),
    ("name with bracket", b"GET / HTTP/1.1\r\nHost: a.test\r\nX(y): x\r\n\r\n", 400),
    ("name not ASCII", b"GET / HTTP/1.1\r\nHost: a.test\r\nX\xc3\xa4: x\r\n\r\n", 400),
    // Chunks (RFC 9112 7.1)
    ("chunk size empty", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 400),
    ("chunk size sign", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n", 400),
    ("chunk size 0x", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n", 400),
    ("chunk size overflow", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx", 400),
    ("chunk size long", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000001\r\nx\r\n0\r\n\r\n", 400),
    ("chunk bare LF", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n", 400),
    ("chunk data bare LF", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n", 400),
    ("chunk too short", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nx\r\n0\r\n\r\n", 400),
    ("chunk ext NUL", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\0\r\nx\r\n0\r\n\r\n", 400),
    ("chunk ext bare CR", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1;a\rb\r\nx\r\n0\r\n\r\n", 400),
    ("chunk space", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n", 400),
    ("chunk space before an extension", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1 ;a\r\nx\r\n0\r\n\r\n", 400),
    ("chunk space first", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\nx\r\n0\r\n\r\n", 400),
    ("chunk space within", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1 0\r\n0123456789abcdef\r\n0\r\n\r\n", 400),
    ("trailer no colon", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nnonsense\r\n\r\n", 400),
    ("trailer bare LF", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n", 400),
    // Request line, targets, methods (RFC 9112 3)
    ("no version", b"GET /\r\n\r\n", 400),
    ("two spaces", b"GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("tab", b"GET\t/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("space in target", b"GET /a b HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("trailing space", b"GET / HTTP/1.1 \r\nHost: a.test\r\n\r\n", 400),
    ("leading space", b" GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("lower-case version", b"GET / http/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("version 1.2", b"GET / HTTP/1.2\r\nHost: a.test\r\n\r\n", 505),
    ("version 2.0", b"GET / HTTP/2.0\r\nHost: a.test\r\n\r\n", 505),
    ("version 9.9", b"GET / HTTP/9.9\r\nHost: a.test\r\n\r\n", 505),
    ("relative target", b"GET a HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("authority target", b"GET a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("asterisk with GET", b"GET * HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("other scheme", b"GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("empty authority", b"GET http:///x HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("userinfo in target", b"GET http://u@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("fragment", b"GET /a#b HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("backslash", b"GET /a\\b HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("quote", b"GET /a\"b HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("not ASCII", b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("bad escape", b"GET /%zz HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("cut escape", b"GET /%4 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("NUL in target", b"GET /\0 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("method with bracket", b"G(ET / HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("very long method", b"GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG / HTTP/1.1\r\nHost: a.test\r\n\r\n", 501),
    ("CONNECT", b"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n", 405),
    ("TRACE", b"TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n", 405),
    ("two empty lines first", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("TLS on a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    // Hosts (RFC 9110 7.2, RFC 3986 3.2.2)
    ("no host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("empty host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    ("two hosts", b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n", 400),
    ("host list", b"GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n", 400),
    ("host userinfo", b"GET / HTTP/1.1\r\nHost: u@a.test\r\n\r\n", 400),
    ("host path", b"GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n", 400),
    ("host quotes", b"GET / HTTP/1.1\r\nHost: \"a.test\"\r\n\r\n", 400),
    ("host scheme", b"GET / HTTP/1.1\r\nHost: http://a.test\r\n\r\n", 400),
    ("host space", b"GET / HTTP/1.1\r\nHost: a.test b\r\n\r\n", 400),
    ("host bare IPv6", b"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", 400),
    ("host zone", b"GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n", 400),
    ("host bad port", b"GET / HTTP/1.1\r\nHost: a.test:http\r\n\r\n", 400),
    ("host big port", b"GET / HTTP/1.1\r\nHost: a.test:99999\r\n\r\n", 400),
    ("host two ports", b"GET / HTTP/1.1\r\nHost: a.test:80:80\r\n\r\n", 400),
    ("host not ASCII", b"GET / HTTP/1.1\r\nHost: \xc3\xa4.test\r\n\r\n", 400),
    ("host percent", b"GET / HTTP/1.1\r\nHost: %61.test\r\n\r\n", 400),
    ("host two dots", b"GET / HTTP/1.1\r\nHost: a..test\r\n\r\n", 400),
    ("host dot first", b"GET / HTTP/1.1\r\nHost: .a.test\r\n\r\n", 400),
    ("host two dots last", b"GET / HTTP/1.1\r\nHost: a.test..\r\n\r\n", 400),
    ("host star", b"GET / HTTP/1.1\r\nHost: *.test\r\n\r\n", 400),
    ("absolute differs", b"GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("absolute port differs", b"GET http://a.test:81/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    // Expectations (RFC 9110 10.1.1)
    ("other expectation", b"GET / HTTP/1.1\r\nHost: a.test\r\nExpect: miracles\r\n\r\n", 417),
];

#[test]
fn a_refused_request_reaches_no_backend() {
    let backend = Backend::start("app");
    let gateway = start(&backend);
    let address = gateway.door("external-http");
    let mut marks = 0;
    for (what, bytes, status) in REFUSED {
        let mut client = Client::connect(address);
        let response = client
            .request(bytes)
            .unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(response.status, *status, "{what}");
        assert_eq!(response.field("connection"), Some("close"), "{what}");
        assert!(client.is_closed(), "{what}: the connection stays open");
        assert_eq!(
            get(address, "a.test", "/mark").text(),
            "app",
            "{what}: the next client"
        );
        marks += 1;
        // Refused within its body, a request's head may have reached the backend; it is never a whole request.
        let whole = backend
            .seen()
            .iter()
            .filter(|seen| !seen.line().contains("/mark"))
            .count();
        assert_eq!(whole, 0, "{what}: the backend saw {:?}", backend.seen());
    }
    assert_eq!(gateway.metric("blastdoor_panics_total", &[]), 0.0);
    gateway.counts(
        "blastdoor_requests_total",
        &[("status_class", "2xx")],
        f64::from(marks),
    );
}

/// The same status, as early as possible, when the bytes arrive one by one.
#[test]
fn heads_sent_byte_by_byte_have_the_same_result() {
    let backend = Backend::start("app");
    let gateway = start(&backend);
    let address = gateway.door("external-http");
    for (what, bytes, status) in REFUSED.iter().step_by(5) {
        let mut client = Client::connect(address);
        for byte in *bytes {
            let _closed = client.stream().write_all(&[*byte]);
        }
        let response = client.response().unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(response.status, *status, "{what}");
    }
}

#[test]
fn accepted_heads_arrive_in_canonical_form() {
    let backend = Backend::start("app");
    let gateway = start(&backend);
    let cases: &[(&str, &[u8], &str)] = &[
        ("empty line first", b"\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET /x HTTP/1.1"),
        ("absolute form", b"GET http://a.test/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET /x?y HTTP/1.1"),
        ("absolute form without path", b"GET http://A.test HTTP/1.1\r\nHost: a.test:80\r\n\r\n", "GET / HTTP/1.1"),
        ("absolute form, 1.0, no host", b"GET http://a.test/x HTTP/1.0\r\n\r\n", "GET /x HTTP/1.1"),
        ("white space around values", b"GET /x HTTP/1.1\r\nHost:\t a.test \t\r\nX:   y  \r\n\r\n", "GET /x HTTP/1.1"),
        ("unknown method", b"BREW /x HTTP/1.1\r\nHost: a.test\r\n\r\n", "BREW /x HTTP/1.1"),
        ("empty port", b"GET /x HTTP/1.1\r\nHost: a.test:\r\n\r\n", "GET /x HTTP/1.1"),
        ("odd query", b"GET /x?a={\"b\":[1|2]}^` HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET /x?a={\"b\":[1|2]}^` HTTP/1.1"),
        ("obs-text in value", b"GET /x HTTP/1.1\r\nHost: a.test\r\nX: \xe4\r\n\r\n", "GET /x HTTP/1.1"),
        ("GET with a body", b"GET /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc", "GET /x HTTP/1.1"),
        ("chunk extension", b"POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: Chunked\r\n\r\n1;a=b;c=\"d\"\r\nx\r\n0\r\n\r\n", "POST /x HTTP/1.1"),
        ("empty expectation", b"GET /x HTTP/1.1\r\nHost: a.test\r\nExpect: \r\n\r\n", "GET /x HTTP/1.1"),
        ("expectation on 1.0", b"GET /x HTTP/1.0\r\nHost: a.test\r\nExpect: miracles\r\n\r\n", "GET /x HTTP/1.1"),
    ];
    for (what, bytes, line) in cases {
        let response =
            gateway_tests::exchange(gateway.door("external-http"), bytes).unwrap_or_else(|| panic!("{what}"));
        assert_eq!(response.status, 200, "{what}");
        let seen = backend.last();
        assert_eq!(seen.line(), *line, "{what}");
        for field in seen.head.lines().skip(1).filter(|line| !line.is_empty()) {
            let (name, value) = field
                .split_once(": ")
                .unwrap_or_else(|| panic!("{what}: {field:?}"));
            assert_eq!((name.trim(), value.trim()), (name, value), "{what}");
        }
    }
}

/// RFC 9110 7.6.1: hop-by-hop fields end at the gateway, and cannot take its own fields with them.
#[test]
fn hop_by_hop_fields() {
    let backend = Backend::start("app");
    let gateway = start(&backend);
    let head = "GET / HTTP/1.1\r\nHost: a.test\r\n\
        Connection: close, X-Hop, X-Forwarded-For, X-Real-IP, Host, X-Blastdoor-Door, X-Request-ID\r\n\
        X-Hop: 1\r\nX-Kept: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\n\
        TE: gzip\r\nTrailer: X\r\nUpgrade: nonsense\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    assert_eq!(
        gateway_tests::exchange(gateway.door("external-http"), head)
            .expect("an answer")
            .status,
        200
    );
    let seen = backend.last();
    for gone in [
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
        "connection",
    ] {
        assert_eq!(seen.fields(gone), Vec::<&str>::new(), "{gone}");
    }
    assert_eq!(seen.field("x-kept"), Some("1"));
    assert_eq!(seen.field("host"), Some("a.test"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-blastdoor-door"), Some("external-http"));
    assert_eq!(seen.field("x-request-id").map(str::len), Some(32));
}

/// Each limit has its own status, and just below it everything works.
#[test]
fn sizes() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(
            "external-http",
            "limits = { header_bytes = \"8KiB\", headers = 20, uri_bytes = 2000, body = 1000 }",
        )
        .manifest(
            "app.yaml",
            &manifest::app("app", "external-http", "a.test", backend.port()),
        )
        .start();
    let ask = |bytes: String| {
        gateway_tests::exchange(gateway.door("external-http"), bytes)
            .expect("an answer")
            .status
    };
    let path = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(length - 1));
    assert_eq!(
        (ask(path(2000)), ask(path(2001)), ask(path(200_000))),
        (200, 414, 414)
    );
    let fields = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n",
            "X: y\r\n".repeat(count - 1)
        )
    };
    assert_eq!((ask(fields(20)), ask(fields(21))), (200, 431));
    let options = |field: &str, count: usize| {
        let empty = ",".repeat(count - 1);
        format!("GET / HTTP/1.1\r\nHost: a.test\r\n{field}: {empty}\r\n\r\n")
    };
    for field in ["Connection", "Upgrade", "TE", "Expect"] {
        assert_eq!(
            (ask(options(field, 32)), ask(options(field, 33))),
            (200, 431),
            "{field}"
        );
    }
    let long = |length: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n",
            "y".repeat(length)
        )
    };
    assert_eq!(
        (ask(long(8000)), ask(long(8192)), ask(long(500_000))),
        (200, 431, 431)
    );
    let body = |length: usize| {
        format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n{}",
            "z".repeat(length)
        )
    };
    assert_eq!((ask(body(1000)), ask(body(1001))), (200, 413));
    let chunked = |length: usize| {
        format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{}\r\n0\r\n\r\n",
            "z".repeat(length)
        )
    };
    assert_eq!((ask(chunked(1000)), ask(chunked(1001))), (200, 413));
}

/// Pipelined requests are answered in order, each by its own rule.
#[test]
fn pipelining() {
    let backend = Backend::start("app");
    let gateway = start(&backend);
    let mut client = Client::connect(gateway.door("external-http"));
    client.send(
        "GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nabGET /3 HTTP/1.1\r\nHost: b.test\r\n\r\n\
         POST /4 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET /5 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\nGET /6 HTTP/1.1\r\nHost: a.test\r\n\r\n",
    );
    let statuses: Vec<u16> = std::iter::from_fn(|| client.response())
        .map(|response| response.status)
        .collect();
    assert_eq!(statuses, [200, 200, 404, 200, 200]);
    let lines: Vec<String> = backend.seen().iter().map(|seen| seen.line().to_owned()).collect();
    assert_eq!(
        lines,
        [
            "GET /1 HTTP/1.1",
            "POST /2 HTTP/1.1",
            "POST /4 HTTP/1.1",
            "GET /5 HTTP/1.1"
        ]
    );
}

#[test]
fn http_1_0() {
    let backend = Backend::start("app");
    let gateway = start(&backend);
    let address = gateway.door("external-http");
    let mut client = Client::connect(address);
    let response = client
        .request("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
        .expect("an answer");
    assert_eq!(
        (response.status, response.field("connection")),
        (200, Some("close"))
    );
    assert!(client.is_closed());
    let mut client = Client::connect(address);
    for _ in 0..3 {
        let response = client
            .request("GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n")
            .expect("an answer");
        assert_eq!(
            (response.status, response.field("connection")),
            (200, Some("keep-alive"))
        );
    }
}
