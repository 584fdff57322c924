//! Attacks over HTTP/2, frame by frame. Each probe has its expected outcome. After each of them the gateway serves as
//! before, and no backend has seen a request that was refused.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gateway_tests::frames::{
    END_HEADERS, END_STREAM, End, PADDED, PREFACE, PRIORITISED, Raw, block, data, frame, get, headers,
    integer, kind, request, settings,
};
use gateway_tests::{Backend, Builder, Gateway, Reply, gateway, manifest};

const DOOR: &str = "external-http";

/// Error codes (RFC 9113 7).
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// SETTINGS_HEADER_TABLE_SIZE
const HEADER_TABLE_SIZE: u16 = 1;

const PATIENCE: Duration = Duration::from_secs(5);
const MIB: u64 = 1024 * 1024;

struct Rig {
    gateway: Gateway,
    address: SocketAddr,
    backend: Backend,
    /// Answers whatever the attacked backend does.
    marker: Backend,
}

fn rig() -> Rig {
    rig_with(gateway!())
}

fn rig_with(builder: Builder) -> Rig {
    let (backend, marker) = (Backend::start("app"), Backend::start("marker"));
    let gateway = builder
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .manifest(
            "marker.yaml",
            &manifest::app("marker", DOOR, "marker.test", marker.port()),
        )
        .start();
    let address = gateway.door(DOOR);
    Rig {
        gateway,
        address,
        backend,
        marker,
    }
}

impl Rig {
    /// Sends a probe on a fresh connection and returns the outcome of its stream 1.
    fn probe(&self, bytes: &[u8]) -> End {
        let mut raw = Raw::open(self.address);
        raw.send(bytes);
        raw.end_of(1, PATIENCE)
    }

    /// A fresh connection is served, and nothing has panicked.
    fn still_serves(&self, what: &str) {
        let before = self.marker.requests();
        assert_eq!(
            self.probe(&headers(1, true, &get("marker.test", "/", &[]))),
            End::Status(200),
            "after {what}"
        );
        assert_eq!(self.marker.requests(), before + 1, "after {what}");
        assert_eq!(
            self.gateway.metric("blastdoor_panics_total", &[]),
            0.0,
            "after {what}"
        );
    }

    fn table(&self, rows: Vec<(&str, Vec<u8>, End)>) {
        let mut wrong = Vec::new();
        for (what, bytes, verdict) in rows {
            let end = self.probe(&bytes);
            if end != verdict {
                wrong.push(format!("{what}: {end:?}, not {verdict:?}"));
            }
            let seen = self.backend.requests();
            let expected = usize::from(verdict == End::Status(200));
            if seen != expected {
                wrong.push(format!("{what}: {seen} requests at the backend"));
            }
            self.backend.forget();
            self.still_serves(what);
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// A GET with this field as its last.
fn with(name: &[u8], value: &[u8]) -> Vec<u8> {
    headers(1, true, &get("a.test", "/", &[(name, value)]))
}

/// A request line of these parts.
fn asks(method: &[u8], authority: &[u8], path: &[u8]) -> Vec<u8> {
    headers(1, true, &request(method, authority, path, &[]))
}

/// HEADERS with exactly these fields.
fn only(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    headers(1, true, &block(fields))
}

#[test]
fn malformed_fields_reset_the_stream() {
    use End::{GoAway, Reset, Status};
    // Malformed is an error of the stream at least (8.1.1); what does not even decode to fields ends the connection.
    let (undecodable, malformed) = (GoAway(PROTOCOL_ERROR), Reset(PROTOCOL_ERROR));
    rig().table(vec![
        (
            "a plain GET",
            headers(1, true, &get("a.test", "/", &[])),
            Status(200),
        ),
        ("8.2.1: upper case", with(b"X-Upper", b"1"), undecodable),
        ("8.2.1: a space", with(b"x y", b"1"), undecodable),
        ("8.2.1: a colon", with(b"x:y", b"1"), undecodable),
        ("8.2.1: CR LF in a name", with(b"x\r\ny", b"1"), undecodable),
        ("8.2.1: NUL in a name", with(b"x\0", b"1"), undecodable),
        ("8.2.1: no name", with(b"", b"1"), undecodable),
        (
            "8.2.1: beyond ASCII",
            with("x\u{e9}".as_bytes(), b"1"),
            undecodable,
        ),
        (
            "8.2.1: CR LF in a value",
            with(b"x", b"1\r\nhost: b.test"),
            undecodable,
        ),
        (
            "8.2.1: LF in a value",
            with(b"x", b"1\nhost: b.test"),
            undecodable,
        ),
        (
            "8.2.1: CR in a value",
            with(b"x", b"1\rhost: b.test"),
            undecodable,
        ),
        ("8.2.1: NUL in a value", with(b"x", b"1\0"), undecodable),
        (
            "8.2.1: a value of another request",
            with(b"x", b"1\r\n\r\nGET /admin HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            undecodable,
        ),
        ("8.2.2: connection", with(b"connection", b"close"), malformed),
        ("8.2.2: keep-alive", with(b"keep-alive", b"1"), malformed),
        (
            "8.2.2: proxy-connection",
            with(b"proxy-connection", b"close"),
            malformed,
        ),
        (
            "8.2.2: transfer-encoding",
            with(b"transfer-encoding", b"chunked"),
            malformed,
        ),
        ("8.2.2: upgrade", with(b"upgrade", b"h2c"), malformed),
        ("8.2.2: te", with(b"te", b"gzip"), malformed),
        ("8.2.2: te: trailers", with(b"te", b"trailers"), Status(200)),
        (
            "9110 8.6: a signed length",
            with(b"content-length", b"+0"),
            malformed,
        ),
        (
            "9110 8.6: two lengths",
            headers(
                1,
                true,
                &get(
                    "a.test",
                    "/",
                    &[(b"content-length", b"0"), (b"content-length", b"5")],
                ),
            ),
            malformed,
        ),
        (
            "9110 8.6: a list of lengths",
            with(b"content-length", b"0, 0"),
            malformed,
        ),
        (
            "9110 10.1.1: an unknown expectation",
            with(b"expect", b"miracles"),
            Status(417),
        ),
    ]);
}

#[test]
fn pseudo_headers() {
    use End::{GoAway, Reset, Status};
    let (m, s, a, p): ([&[u8]; 2], [&[u8]; 2], [&[u8]; 2], [&[u8]; 2]) = (
        [b":method", b"GET"],
        [b":scheme", b"http"],
        [b":authority", b"a.test"],
        [b":path", b"/"],
    );
    let fields = |list: &[[&[u8]; 2]]| {
        only(
            &list
                .iter()
                .map(|[name, value]| (*name, *value))
                .collect::<Vec<(&[u8], &[u8])>>(),
        )
    };
    let malformed = Reset(PROTOCOL_ERROR);
    rig().table(vec![
        ("all of them, in any order", fields(&[p, a, s, m]), Status(200)),
        ("8.3.1: no method", fields(&[s, a, p]), malformed),
        ("8.3.1: no scheme", fields(&[m, a, p]), malformed),
        ("8.3.1: no path", fields(&[m, s, a]), malformed),
        (
            "8.3.1: an empty path",
            fields(&[m, s, a, [b":path", b""]]),
            malformed,
        ),
        (
            "8.3.1: a path without a slash",
            fields(&[m, s, a, [b":path", b"admin"]]),
            malformed,
        ),
        (
            "8.3.1: an asterisk without OPTIONS",
            fields(&[m, s, a, [b":path", b"*"]]),
            Status(400),
        ),
        (
            "8.3.1: neither authority nor host",
            fields(&[m, s, p]),
            Status(400),
        ),
        (
            "8.3.1: an empty authority",
            fields(&[m, s, [b":authority", b""], p]),
            malformed,
        ),
        (
            "8.3.1: host alone",
            fields(&[m, s, p, [b"host", b"a.test"]]),
            Status(200),
        ),
        (
            "8.3.1: host differs",
            fields(&[m, s, a, p, [b"host", b"b.test"]]),
            Status(400),
        ),
        (
            "8.3.1: host twice",
            fields(&[m, s, p, [b"host", b"a.test"], [b"host", b"a.test"]]),
            Status(400),
        ),
        ("8.3: method twice", fields(&[m, m, s, a, p]), malformed),
        ("8.3: scheme twice", fields(&[m, s, s, a, p]), malformed),
        ("8.3: authority twice", fields(&[m, s, a, a, p]), malformed),
        ("8.3: path twice", fields(&[m, s, a, p, p]), malformed),
        (
            "8.3: a second path",
            fields(&[m, s, a, p, [b":path", b"/admin"]]),
            malformed,
        ),
        (
            "8.3: behind a field",
            fields(&[m, s, [b"x", b"y"], a, p]),
            malformed,
        ),
        (
            "8.3: an unknown one",
            fields(&[m, s, a, p, [b":x", b"1"]]),
            GoAway(PROTOCOL_ERROR),
        ),
        (
            "8.3: one of a response",
            fields(&[m, s, a, p, [b":status", b"200"]]),
            malformed,
        ),
        (
            "8.5: CONNECT with a path",
            asks(b"CONNECT", b"a.test", b"/"),
            malformed,
        ),
        (
            "8441 4: a protocol without CONNECT",
            fields(&[m, s, a, p, [b":protocol", b"websocket"]]),
            malformed,
        ),
        (
            "8441 4: no path",
            fields(&[[b":method", b"CONNECT"], s, a, [b":protocol", b"websocket"]]),
            malformed,
        ),
    ]);
}

/// Pseudo-headers cannot inject anything into the request line and the Host of HTTP/1.1 (CVE-2023-27491).
#[test]
fn a_request_line_cannot_be_split() {
    use End::{GoAway, Reset, Status};
    let (undecodable, malformed) = (GoAway(PROTOCOL_ERROR), Reset(PROTOCOL_ERROR));
    rig().table(vec![
        (
            "a space in the path",
            asks(b"GET", b"a.test", b"/x HTTP/1.1"),
            malformed,
        ),
        (
            "another request in the path",
            asks(b"GET", b"a.test", b"/ HTTP/1.1\r\nHost: b.test\r\n\r\nGET /"),
            malformed,
        ),
        ("CR in the path", asks(b"GET", b"a.test", b"/\r"), malformed),
        ("LF in the path", asks(b"GET", b"a.test", b"/\n"), malformed),
        ("NUL in the path", asks(b"GET", b"a.test", b"/\0"), malformed),
        ("tab in the path", asks(b"GET", b"a.test", b"/\t"), malformed),
        (
            "beyond ASCII in the path",
            asks(b"GET", b"a.test", "/\u{e9}".as_bytes()),
            Status(400),
        ),
        // Cut off where pseudo-headers are decoded: what is matched is what is forwarded, without it.
        ("a fragment", asks(b"GET", b"a.test", b"/#/../admin"), Status(200)),
        (
            "an absolute path",
            asks(b"GET", b"a.test", b"http://b.test/"),
            malformed,
        ),
        ("dots", asks(b"GET", b"a.test", b"/x/../admin"), Status(400)),
        (
            "hidden dots",
            asks(b"GET", b"a.test", b"/x/%2e%2e/admin"),
            Status(400),
        ),
        (
            "backslashes",
            asks(b"GET", b"a.test", b"/x\\..\\admin"),
            Status(400),
        ),
        (
            "another request line in the method",
            asks(b"GET /admin HTTP/1.1\r\nX: ", b"a.test", b"/"),
            undecodable,
        ),
        (
            "CR LF in the method",
            asks(b"GET\r\n", b"a.test", b"/"),
            undecodable,
        ),
        ("no method", asks(b"", b"a.test", b"/"), undecodable),
        (
            "CR LF in the authority",
            asks(b"GET", b"a.test\r\nx: y", b"/"),
            malformed,
        ),
        (
            "a space in the authority",
            asks(b"GET", b"a.test b.test", b"/"),
            malformed,
        ),
        (
            "a list in the authority",
            asks(b"GET", b"a.test,b.test", b"/"),
            Status(400),
        ),
        (
            "a path in the authority",
            asks(b"GET", b"a.test/x", b"/"),
            malformed,
        ),
        (
            "user information",
            asks(b"GET", b"b.test@a.test", b"/"),
            Status(400),
        ),
        (
            "a fragment in the authority",
            asks(b"GET", b"a.test#", b"/"),
            malformed,
        ),
        (
            "a query in the authority",
            asks(b"GET", b"a.test?x", b"/"),
            malformed,
        ),
        ("a bad port", asks(b"GET", b"a.test:99999", b"/"), Status(400)),
        ("TRACE", asks(b"TRACE", b"a.test", b"/"), Status(405)),
        (
            "a scheme that is a line",
            only(&[
                (b":method", b"GET"),
                (b":scheme", b"http\r\nx: y"),
                (b":authority", b"a.test"),
                (b":path", b"/"),
            ]),
            malformed,
        ),
        ("CR LF in a cookie", with(b"cookie", b"a=1\r\nx: y"), undecodable),
    ]);
}

/// A stated length that the body does not have: the backend never gets a whole request (8.1.1).
#[test]
fn a_body_that_is_not_as_long_as_it_says() {
    let rig = rig();
    let post = |length: &[u8], ends| {
        headers(
            1,
            ends,
            &request(b"POST", b"a.test", b"/", &[(b"content-length", length)]),
        )
    };
    let inner = b"GET /admin HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("no body", post(b"5", true)),
        (
            "a shorter body",
            [post(b"5", false), data(1, true, b"abc")].concat(),
        ),
        (
            "a longer body",
            [post(b"3", false), data(1, true, b"abcde")].concat(),
        ),
        (
            "a longer body, later",
            [post(b"3", false), data(1, false, b"abc"), data(1, true, inner)].concat(),
        ),
        (
            "some body for none",
            [post(b"0", false), data(1, true, inner)].concat(),
        ),
        (
            "a shorter body with trailers",
            [
                post(b"5", false),
                data(1, false, b"abc"),
                headers(1, true, &block(&[(b"x", b"y")])),
            ]
            .concat(),
        ),
    ];
    for (what, bytes) in rows {
        let end = rig.probe(&bytes);
        assert_eq!(end, End::Reset(PROTOCOL_ERROR), "{what}");
        rig.still_serves(what);
    }
    std::thread::sleep(Duration::from_millis(200));
    for seen in rig.backend.seen() {
        // As much as was stated, and in order, may have left before the rest came. The rest never does.
        assert_eq!(seen.line(), "POST / HTTP/1.1");
        assert!(seen.body.is_empty() || seen.body == b"abc", "{:?}", seen.body);
    }
    rig.backend.forget();
    assert_eq!(
        rig.probe(
            &[
                post(b"5", false),
                data(1, false, b"ab"),
                data(1, false, b""),
                data(1, true, b"cde")
            ]
            .concat()
        ),
        End::Status(200)
    );
    assert_eq!(rig.backend.last().body, b"abcde");
}

#[test]
fn frames_out_of_place() {
    use End::{GoAway, Reset, Status};
    let good = || headers(1, true, &get("a.test", "/", &[]));
    let open = || headers(1, false, &request(b"POST", b"a.test", b"/", &[]));
    let protocol = GoAway(PROTOCOL_ERROR);
    // For a field that cannot be decoded the codec sends PROTOCOL_ERROR, although the RFC has a more precise code. What
    // matters is that the connection ends.
    let (size, compression) = (GoAway(PROTOCOL_ERROR), GoAway(PROTOCOL_ERROR));
    let whole = get("a.test", "/", &[]);
    let (first, rest) = whole.split_at(10);
    let begun = || frame(kind::HEADERS, END_STREAM, 1, first);
    let rig = rig();
    let mut rows: Vec<(&str, Vec<u8>, End)> = vec![
        (
            "5.1.1: HEADERS on an even stream",
            headers(2, true, &whole),
            protocol,
        ),
        ("6.2: HEADERS on no stream", headers(0, true, &whole), protocol),
        ("5.1: DATA on an idle stream", data(1, true, b"x"), protocol),
        ("6.1: DATA on no stream", data(0, true, b"x"), protocol),
        (
            "6.4: RST_STREAM on an idle stream",
            frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]),
            protocol,
        ),
        (
            "6.4: RST_STREAM on no stream",
            frame(kind::RST_STREAM, 0, 0, &[0, 0, 0, 8]),
            protocol,
        ),
        (
            "6.4: a short RST_STREAM",
            frame(kind::RST_STREAM, 0, 1, &[0, 0, 8]),
            size,
        ),
        (
            "6.5: SETTINGS on a stream",
            frame(kind::SETTINGS, 0, 1, &[]),
            protocol,
        ),
        (
            "6.5: a crooked SETTINGS",
            frame(kind::SETTINGS, 0, 0, &[0; 5]),
            size,
        ),
        (
            "6.5: an answer to SETTINGS that says something",
            frame(kind::SETTINGS, 1, 0, &[0; 6]),
            size,
        ),
        ("6.5.2: push neither on nor off", settings(&[(2, 2)]), protocol),
        (
            "6.5.2: a window too large",
            settings(&[(4, 0x8000_0000)]),
            protocol,
        ),
        ("6.5.2: frames too small", settings(&[(5, 16_383)]), protocol),
        ("6.5.2: frames too large", settings(&[(5, 0x100_0000)]), protocol),
        (
            "6.6: PUSH_PROMISE of a client",
            frame(kind::PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
            protocol,
        ),
        (
            "6.7: PING on a stream",
            frame(kind::PING, 0, 1, &[0; 8]),
            protocol,
        ),
        ("6.7: a short PING", frame(kind::PING, 0, 0, &[0; 7]), size),
        (
            "6.8: GOAWAY on a stream",
            frame(kind::GOAWAY, 0, 1, &[0; 8]),
            protocol,
        ),
        (
            "6.9: no increment",
            frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]),
            protocol,
        ),
        (
            "6.9: a short WINDOW_UPDATE",
            frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3]),
            size,
        ),
        (
            "6.9: WINDOW_UPDATE on an idle stream",
            frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            protocol,
        ),
        (
            "6.9.1: a window that overflows",
            frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            GoAway(FLOW_CONTROL_ERROR),
        ),
        (
            "6.10: CONTINUATION of nothing",
            frame(kind::CONTINUATION, END_HEADERS, 1, rest),
            protocol,
        ),
        (
            "6.2: another frame inside a field block",
            [
                begun(),
                frame(kind::PING, 0, 0, &[0; 8]),
                frame(kind::CONTINUATION, END_HEADERS, 1, rest),
            ]
            .concat(),
            protocol,
        ),
        (
            "6.2: an unknown frame inside a field block",
            [
                begun(),
                frame(0x2a, 0, 1, b"x"),
                frame(kind::CONTINUATION, END_HEADERS, 1, rest),
            ]
            .concat(),
            protocol,
        ),
        (
            "6.2: another stream's HEADERS inside a field block",
            [begun(), headers(3, true, &whole)].concat(),
            protocol,
        ),
        (
            "6.10: another stream's CONTINUATION",
            [begun(), frame(kind::CONTINUATION, END_HEADERS, 3, rest)].concat(),
            protocol,
        ),
        (
            "6.1: padding longer than the frame",
            [open(), frame(kind::DATA, PADDED, 1, &[9, 1, 2])].concat(),
            protocol,
        ),
        (
            "6.2: padding longer than the head",
            frame(kind::HEADERS, PADDED | END_HEADERS, 1, &[9, 1, 2]),
            protocol,
        ),
        (
            "4.2: a frame too large",
            [open(), data(1, true, &[0; 16_385])].concat(),
            GoAway(FRAME_SIZE_ERROR),
        ),
        (
            "5.3.1: a stream that depends on itself",
            frame(
                kind::HEADERS,
                PRIORITISED | END_HEADERS | END_STREAM,
                1,
                &[&[0, 0, 0, 1, 0][..], &whole].concat(),
            ),
            Reset(PROTOCOL_ERROR),
        ),
        ("7541 6.1: index 0", headers(1, true, &[0x80]), compression),
        (
            "7541 2.3.3: beyond the table",
            headers(1, true, &[0xff, 0xff, 0x03]),
            compression,
        ),
        (
            "7541 5.1: an integer without end",
            headers(1, true, &[0xff; 32]),
            compression,
        ),
        (
            "7541 5.2: an end of text that is none",
            headers(1, true, &[0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00]),
            compression,
        ),
        (
            "7541 6.3: a table larger than allowed",
            headers(1, true, &[&[0x3f, 0xff, 0xff, 0x7f][..], &whole].concat()),
            compression,
        ),
        (
            "7541 4.2: a table size behind a field",
            headers(1, true, &[&whole[..], &[0x20]].concat()),
            compression,
        ),
        (
            "7541: a text longer than the block",
            headers(1, true, &[0x00, 0x7f, b'x']),
            compression,
        ),
        (
            "in pieces",
            [
                begun(),
                frame(kind::CONTINUATION, 0, 1, &rest[..5]),
                frame(kind::CONTINUATION, END_HEADERS, 1, &rest[5..]),
            ]
            .concat(),
            Status(200),
        ),
        (
            "padded",
            frame(
                kind::HEADERS,
                PADDED | END_HEADERS | END_STREAM,
                1,
                &[&[3][..], &whole, &[0; 3]].concat(),
            ),
            Status(200),
        ),
        (
            "with a priority",
            [
                frame(kind::PRIORITY, 0, 5, &[0, 0, 0, 3, 9]),
                frame(
                    kind::HEADERS,
                    PRIORITISED | END_HEADERS | END_STREAM,
                    1,
                    &[&[0, 0, 0, 0, 7][..], &whole].concat(),
                ),
            ]
            .concat(),
            Status(200),
        ),
        (
            "unknown settings",
            [settings(&[(0x99, 1), (0xffff, 7)]), good()].concat(),
            Status(200),
        ),
    ];
    // 4.1: frames of unknown types are ignored, on any stream (GO-2026-4559).
    let unknown: Vec<u8> = (0x0a..=0x1f)
        .chain([0x7f, 0xff])
        .flat_map(|kind| [frame(kind, 0xff, 0, b"anything"), frame(kind, 0, 7, &[])].concat())
        .collect();
    rows.push(("4.1: unknown frames", [unknown, good()].concat(), Status(200)));
    rig.table(rows);
}

#[test]
fn streams_that_have_ended() {
    let rig = rig();
    rig.backend.reply(Reply::Silence);
    let post = |stream| headers(stream, true, &request(b"POST", b"a.test", b"/", &[]));
    for (what, bytes, code) in [
        ("5.1: DATA behind the end", data(1, true, b"x"), STREAM_CLOSED),
        (
            "5.1: HEADERS behind the end",
            headers(1, true, &get("a.test", "/", &[])),
            STREAM_CLOSED,
        ),
    ] {
        let end = rig.probe(&[post(1), bytes].concat());
        assert!(
            matches!(end, End::GoAway(found) | End::Reset(found) if found == code || found == PROTOCOL_ERROR),
            "{what}: {end:?}"
        );
        rig.still_serves(what);
    }
    let end = rig.probe(&[post(5), post(3)].concat());
    assert_eq!(end, End::GoAway(PROTOCOL_ERROR), "5.1.1: a lower stream");
    let open = headers(1, false, &request(b"POST", b"a.test", b"/", &[]));
    for (what, trailers) in [
        (
            "8.1: trailers that do not end",
            headers(1, false, &block(&[(b"x", b"y")])),
        ),
        (
            "8.2.2: connection in trailers",
            headers(1, true, &block(&[(b"connection", b"x")])),
        ),
        (
            "8.1: a pseudo-header in trailers",
            headers(1, true, &block(&[(b":path", b"/admin"), (b"x", b"y")])),
        ),
        (
            "8.1: one of the static table in trailers",
            headers(1, true, &[0x84]),
        ),
    ] {
        // Also behind no content at all, and behind a body whose length was stated.
        let get = headers(1, false, &request(b"GET", b"a.test", b"/", &[]));
        let stated = headers(
            1,
            false,
            &request(b"POST", b"a.test", b"/", &[(b"content-length", b"1")]),
        );
        for (with, before) in [
            ("content", [&open[..], &data(1, false, b"x")].concat()),
            ("no content", open.clone()),
            ("a GET", get),
            ("a length", [&stated[..], &data(1, false, b"x")].concat()),
        ] {
            let end = rig.probe(&[&before[..], &trailers].concat());
            assert_eq!(end, End::Reset(PROTOCOL_ERROR), "{what}, {with}");
            rig.still_serves(what);
        }
    }
    rig.backend.reply(Reply::Silence);
    let zero = [&open[..], &frame(kind::WINDOW_UPDATE, 0, 1, &[0; 4])].concat();
    let end = rig.probe(&zero);
    assert!(
        matches!(end, End::Reset(PROTOCOL_ERROR) | End::GoAway(PROTOCOL_ERROR)),
        "6.9: no increment on a stream: {end:?}"
    );
    let overflow = [
        &open[..],
        &frame(kind::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]),
    ]
    .concat();
    assert_eq!(
        rig.probe(&overflow),
        End::Reset(FLOW_CONTROL_ERROR),
        "6.9.1: a stream's window overflows"
    );
    rig.still_serves("windows");
}

#[test]
fn a_wrong_preface_is_malformed_http1() {
    let rig = rig();
    for preface in [
        &b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\nHost: a.test\r\n\r\n",
        b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"pri * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a.test\r\n\r\n",
    ] {
        let mut raw = Raw::connect(rig.address);
        raw.send(preface);
        let mut answer = Vec::new();
        raw.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ended = std::io::Read::read_to_end(&mut raw.stream, &mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains(" 200 "), "{preface:?}: {answer}");
        rig.still_serves("a wrong preface");
    }
    assert_eq!(rig.backend.requests(), 0);
}

/// Sends what `step` returns, `count` times, until the peer has ended the connection. Returns how it ended, and how many
/// were sent.
fn flood(raw: &mut Raw, count: u32, mut step: impl FnMut(u32) -> Vec<u8>) -> (End, u32) {
    let mut sent = 0;
    let mut bytes = Vec::new();
    for number in 0..count {
        bytes.extend(step(number));
        if bytes.len() < 4096 && number + 1 < count {
            continue;
        }
        if !raw.send(&bytes) {
            break;
        }
        bytes.clear();
        sent = number + 1;
        // The answers must be read, or both sides wait for ever.
        match read_until_end(raw, Duration::from_millis(1)) {
            End::Nothing => {}
            end => return (end, sent),
        }
    }
    (read_until_end(raw, PATIENCE), sent)
}

/// The end of the connection, if it comes.
fn read_until_end(raw: &mut Raw, patience: Duration) -> End {
    let until = Instant::now() + patience;
    loop {
        match raw.frame(
            until
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1)),
        ) {
            Ok(frame) => {
                if let Some(end @ End::GoAway(_)) = frame.end_of(u32::MAX) {
                    return end;
                }
            }
            Err(end) => return end,
        }
        if Instant::now() > until {
            return End::Nothing;
        }
    }
}

/// Requests that are cancelled at once (CVE-2023-44487).
#[test]
fn rapid_reset() {
    let rig = rig();
    rig.backend.reply(Reply::Silence);
    let mut raw = Raw::open(rig.address);
    let ask = get("a.test", "/", &[]);
    let (end, sent) = flood(&mut raw, 50_000, |number| {
        let stream = 2 * number + 1;
        [
            headers(stream, true, &ask),
            frame(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8]),
        ]
        .concat()
    });
    assert_eq!(end, End::GoAway(ENHANCE_YOUR_CALM), "after {sent}");
    assert!(sent < 5_000, "{sent} went through");
    rig.still_serves("a rapid reset");
    rig.gateway.until("all streams have gone", |gateway| {
        gateway.metric("blastdoor_connections", &[("state", "active")]) == 0.0
    });
}

/// Errors that make the server reset streams (CVE-2025-8671).
#[test]
fn made_you_reset() {
    let rig = rig();
    rig.backend.reply(Reply::Silence);
    let pseudo = headers(0, true, &block(&[(b":path", b"/")]));
    let none: &[(&[u8], &[u8])] = &[(b"content-length", b"0")];
    for (what, fields, error) in [
        (
            "no increment",
            none,
            vec![frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4])],
        ),
        (
            "a window that overflows",
            none,
            vec![frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])],
        ),
        ("a pseudo-header in trailers", none, vec![pseudo.clone()]),
        (
            "a pseudo-header in trailers behind content",
            &[],
            vec![data(0, false, b"x"), pseudo],
        ),
        ("a longer body", none, vec![data(0, true, b"x")]),
    ] {
        let mut raw = Raw::open(rig.address);
        let ask = request(b"POST", b"a.test", b"/", fields);
        let refusals = || {
            rig.gateway
                .metric("blastdoor_refusals_total", &[("reason", "flood")])
        };
        let before = refusals();
        let (end, sent) = flood(&mut raw, 50_000, |number| {
            let stream = 2 * number + 1;
            let mut frames = vec![headers(stream, false, &ask)];
            for mut frame in error.clone() {
                frame[5..9].copy_from_slice(&stream.to_be_bytes());
                frames.push(frame);
            }
            frames.concat()
        });
        assert!(
            matches!(
                end,
                End::GoAway(ENHANCE_YOUR_CALM | PROTOCOL_ERROR | FLOW_CONTROL_ERROR)
            ),
            "{what}: {end:?} after {sent}"
        );
        assert!(sent < 8_000, "{what}: {sent} went through");
        if end == End::GoAway(ENHANCE_YOUR_CALM) {
            rig.gateway.until("it is counted", |_| refusals() == before + 1.0);
        }
        rig.still_serves(what);
    }
    rig.gateway.until("all streams have gone", |gateway| {
        gateway.metric("blastdoor_connections", &[("state", "active")]) == 0.0
    });
    let open = rig.backend.connections();
    assert!(open < 5_000, "{open} connections to the backend");
}

/// A field block without end (RUSTSEC-2024-0332).
#[test]
fn continuation_flood() {
    let rig = rig();
    rig.still_serves("nothing");
    let before = rig.gateway.resident();
    let field = block(&[(b"x", &[b'y'; 16_000])]);
    for (what, part) in [
        ("large fields", &field[..]),
        ("empty", b""),
        ("a byte each", &[0x82][..]),
    ] {
        let mut raw = Raw::open(rig.address);
        raw.send(&frame(kind::HEADERS, END_STREAM, 1, &get("a.test", "/", &[])));
        let (end, sent) = flood(&mut raw, 200_000, |_| frame(kind::CONTINUATION, 0, 1, part));
        assert!(
            matches!(
                end,
                End::GoAway(ENHANCE_YOUR_CALM | PROTOCOL_ERROR | COMPRESSION_ERROR)
            ),
            "{what}: {end:?} after {sent}"
        );
        assert!(sent < 5_000, "{what}: {sent} went through");
        rig.still_serves(what);
    }
    let grown = rig.gateway.resident().saturating_sub(before);
    assert!(grown < 4 * MIB, "{grown} bytes");
    assert_eq!(rig.backend.requests(), 0);
}

/// Control frames have a budget of a thousand in ten seconds, the client's first SETTINGS and its answer to the
/// server's among them.
#[test]
fn control_frame_floods() {
    let rig = rig();
    for (what, one) in [
        ("SETTINGS", settings(&[(4, 70_000)])),
        ("PING", frame(kind::PING, 0, 0, &[7; 8])),
        ("answers to PING", frame(kind::PING, 1, 0, &[7; 8])),
        ("PRIORITY", frame(kind::PRIORITY, 0, 3, &[0, 0, 0, 0, 9])),
    ] {
        let mut raw = Raw::open(rig.address);
        let (end, _) = flood(&mut raw, 990, |_| one.clone());
        assert_eq!(end, End::Nothing, "{what} within the budget");
        raw.send(&headers(1, true, &get("marker.test", "/", &[])));
        assert_eq!(
            raw.end_of(1, PATIENCE),
            End::Status(200),
            "{what} within the budget"
        );
        let (end, sent) = flood(&mut raw, 10_000, |_| one.clone());
        assert_eq!(end, End::GoAway(ENHANCE_YOUR_CALM), "{what}");
        assert!(sent < 1_000, "{what}: {sent} more went through");
        rig.still_serves(what);
    }
}

/// DATA frames without content (RUSTSEC-2026-0258).
#[test]
fn empty_data_flood() {
    let rig = rig();
    rig.backend.reply(Reply::Silence);
    let before = rig.gateway.resident();
    for (what, one) in [
        ("empty DATA", data(1, false, b"")),
        (
            "padding alone",
            frame(kind::DATA, PADDED, 1, &[&[255][..], &[0; 255]].concat()),
        ),
    ] {
        let mut raw = Raw::open(rig.address);
        raw.send(&headers(1, false, &request(b"POST", b"a.test", b"/", &[])));
        let (end, sent) = flood(&mut raw, 100_000, |_| one.clone());
        let mut told = format!("{what}: {end:?} after {sent}");
        told.push('\n');
        assert!(
            matches!(end, End::GoAway(ENHANCE_YOUR_CALM | FLOW_CONTROL_ERROR)),
            "{told}"
        );
        rig.still_serves(what);
    }
    let grown = rig.gateway.resident().saturating_sub(before);
    assert!(grown < 4 * MIB, "{grown} bytes");
}

/// A client that requests much and opens no window: its streams end, and hold little memory meanwhile (CVE-2019-9517).
#[test]
fn a_zero_window_is_a_stalled_client() {
    let rig = rig_with(gateway!().door(DOOR, "timeouts = { write_stall = \"1s\" }"));
    rig.backend.reply(Reply::computed(|_| {
        let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n".to_vec();
        answer.resize(answer.len() + 8 * 1024 * 1024, b'x');
        answer
    }));
    rig.still_serves("nothing");
    let before = rig.gateway.resident();
    let mut raw = Raw::with(rig.address, &[(4, 0)]);
    for number in 0..100 {
        raw.send(&headers(2 * number + 1, true, &get("a.test", "/", &[])));
    }
    std::thread::sleep(Duration::from_millis(700));
    let grown = rig.gateway.resident().saturating_sub(before);
    assert!(grown < 32 * MIB, "{grown} bytes for 100 stalled streams");
    rig.still_serves("stalled streams");
    rig.gateway.until("stalled streams end", |gateway| {
        gateway.metric("blastdoor_connections", &[("state", "active")]) == 0.0
    });
    let mut resets = 0;
    while let Ok(found) = raw.frame(Duration::from_millis(500)) {
        resets += usize::from(found.kind == kind::RST_STREAM);
    }
    assert_eq!(resets, 100);
    drop(raw);
    rig.gateway.until("backends are let go", |gateway| {
        gateway.metric("blastdoor_connections", &[]) == 0.0
    });
}

/// A small message that unpacks into a large one (CVE-2026-49975).
#[test]
fn hpack_bombs() {
    let rig = rig();
    rig.backend.reply(Reply::Silence);
    rig.still_serves("nothing");
    let before = rig.gateway.resident();
    // One large entry of the table, named by one byte each.
    let mut bomb = get("a.test", "/", &[]);
    bomb.push(0x40);
    integer(&mut bomb, 0, 7, 1);
    bomb.push(b'x');
    integer(&mut bomb, 0, 7, 3_900);
    bomb.resize(bomb.len() + 3_900, b'y');
    bomb.resize(16_000, 0xbe);
    let mut raw = Raw::open(rig.address);
    raw.send(&headers(1, true, &bomb));
    let end = raw.end_of(1, PATIENCE);
    assert!(
        matches!(
            end,
            End::Status(431) | End::GoAway(ENHANCE_YOUR_CALM) | End::Reset(_)
        ),
        "{end:?}"
    );
    rig.still_serves("an HPACK bomb");
    // Many tiny fields on many streams.
    let mut tiny = get("a.test", "/", &[]);
    tiny.extend_from_slice(&[0x40, 1, b'a', 0]);
    tiny.extend_from_slice(&[0xbe; 469]);
    let mut raws = Vec::new();
    for _ in 0..10 {
        // The answers come in any order: without a dynamic table each of them can be read alone.
        let mut raw = Raw::with(rig.address, &[(HEADER_TABLE_SIZE, 0)]);
        for number in 0..100 {
            let fields = if number == 0 {
                tiny.clone()
            } else {
                [&get("a.test", "/", &[])[..], &[0xbe; 470]].concat()
            };
            raw.send(&headers(2 * number + 1, false, &fields));
        }
        let end = raw.end_of(1, PATIENCE);
        assert_eq!(end, End::Status(431));
        raws.push(raw);
    }
    let grown = rig.gateway.resident().saturating_sub(before);
    assert!(grown < 24 * MIB, "{grown} bytes for 1000 streams of 470 fields");
    assert_eq!(rig.backend.requests(), 0);
    rig.still_serves("tiny fields");
}

/// More streams than allowed are refused, not queued without end.
#[test]
fn streams_beyond_the_limit_are_refused() {
    let rig = rig();
    rig.backend.reply(Reply::Silence);
    let mut raw = Raw::open(rig.address);
    raw.send(&frame(kind::SETTINGS, 1, 0, &[]));
    for number in 0..101 {
        raw.send(&headers(2 * number + 1, true, &get("a.test", "/", &[])));
    }
    assert_eq!(raw.end_of(201, PATIENCE), End::Reset(REFUSED_STREAM));
    rig.still_serves("more streams than allowed");
    rig.gateway
        .until("the others are served", |_| rig.backend.requests() == 100);
}

/// Connections with little traffic hold little memory, and silent ones end.
#[test]
fn silent_and_slow_clients_time_out() {
    let rig = rig_with(gateway!().door(
        DOOR,
        "timeouts = { first_byte = \"1s\", head = \"1s\", body_idle = \"1s\" }\nidle_timeout = \"2s\"",
    ));
    let begun = frame(kind::HEADERS, END_STREAM, 1, &get("a.test", "/", &[]));
    let rows = [
        ("nothing", vec![]),
        ("a part of the preface", PREFACE[..10].to_vec()),
        ("the first line of the preface", PREFACE[..18].to_vec()),
        ("the preface alone", PREFACE.to_vec()),
        ("a part of a frame", [PREFACE, &[0, 0]].concat()),
        ("the preface and SETTINGS", [PREFACE, &settings(&[])].concat()),
        (
            "a field block that never ends",
            [PREFACE, &settings(&[]), &begun].concat(),
        ),
    ];
    // Those that got through the preface get a PING, and have 20 s to answer.
    let waiting = rows.map(|(what, bytes)| {
        let address = rig.address;
        std::thread::spawn(move || {
            let started = Instant::now();
            let mut raw = Raw::connect(address);
            raw.send(&bytes);
            raw.stream
                .set_read_timeout(Some(Duration::from_secs(40)))
                .unwrap();
            let ended = std::io::Read::read_to_end(&mut raw.stream, &mut Vec::new());
            let reset = ended
                .as_ref()
                .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
            assert!(
                ended.is_ok() || reset,
                "{what}: open after {:?}",
                started.elapsed()
            );
        })
    });
    for thread in waiting {
        thread.join().unwrap();
    }
    // A body that drips.
    let mut raw = Raw::open(rig.address);
    raw.send(&headers(1, false, &request(b"POST", b"a.test", b"/", &[])));
    let mut end = End::Nothing;
    for _ in 0..50 {
        raw.send(&data(1, false, b"x"));
        end = raw.end_of(1, Duration::from_millis(100));
        if end != End::Nothing {
            break;
        }
    }
    assert_eq!(end, End::Status(408));
    // A block of fields that drips.
    let slow_heads =
        |gateway: &Gateway| gateway.metric("blastdoor_refusals_total", &[("reason", "head_timeout")]);
    let before = slow_heads(&rig.gateway);
    let mut raw = Raw::open(rig.address);
    raw.send(&begun);
    let rest = frame(kind::CONTINUATION, 0, 1, &[0; 200]);
    let ended = rest.iter().position(|byte| {
        std::thread::sleep(Duration::from_millis(50));
        std::io::Write::write_all(&mut raw.stream, &[*byte]).is_err()
    });
    assert!(ended.is_some(), "it may go on as long as it likes");
    rig.gateway
        .until("it is counted", |gateway| slow_heads(gateway) > before);
    assert_eq!(rig.backend.seen().len(), 0);
    rig.still_serves("silence");
}
