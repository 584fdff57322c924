//! Request heads: bytes → verdict. [`complete`] adds what a head here leaves out.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use testkit::grammar::HEAD_LIMITS;
use wire::HeadError::{
    BareLf, ContentLength, FieldName, FieldValue, LengthAndCoding, LongList, TooLarge, TooManyFields,
    TransferCoding,
};
use wire::RequestError::{
    DuplicateHost, Expectation, Head, Http2Preface, Method as MethodError, MethodTooLong, MissingHost,
    RequestLine, Target as TargetError, TargetTooLong, Version as VersionError,
};
use wire::{BodyFraming, FieldId, Method, RequestError, RequestHead, Target, Version};

/// Parses one whole text. The head must end where the text does.
fn parse(raw: &[u8]) -> Result<RequestHead, RequestError> {
    let mut head = RequestHead::new();
    match head.parse(raw, &HEAD_LIMITS)? {
        Some(length) => assert_eq!(length, raw.len(), "{}", raw.escape_ascii()),
        None => panic!("incomplete: {}", raw.escape_ascii()),
    }
    Ok(head)
}

fn complete(fields: &[u8]) -> Vec<u8> {
    [b"POST /x HTTP/1.1\r\nHost: a.test\r\n", fields, b"\r\n"].concat()
}

/// RFC 9112 6.1 to 6.3: how the body is framed, and what is too ambiguous to say.
#[rustfmt::skip]
const FRAMING: &[(&[u8], Result<BodyFraming, RequestError>)] = &[
    (b"", Ok(BodyFraming::None)),
    (b"Content-Length: 0\r\n", Ok(BodyFraming::Length(0))),
    (b"Content-Length: 5\r\n", Ok(BodyFraming::Length(5))),
    (b"CONTENT-LENGTH:5\r\n", Ok(BodyFraming::Length(5))),
    (b"Content-Length: \t 5 \t\r\n", Ok(BodyFraming::Length(5))),
    (b"Content-Length: 0000000000000000005\r\n", Ok(BodyFraming::Length(5))),
    (b"Content-Length: 9223372036854775807\r\n", Ok(BodyFraming::Length(9_223_372_036_854_775_807))),
    (b"Transfer-Encoding: chunked\r\n", Ok(BodyFraming::Chunked)),
    (b"transfer-encoding:CHUNKED\r\n", Ok(BodyFraming::Chunked)),
    (b"Transfer-Encoding: \tchunked \r\n", Ok(BodyFraming::Chunked)),
    // RFC 9112 6.3(5): not a number, or more than one.
    (b"Content-Length:\r\n", Err(Head(ContentLength))),
    (b"Content-Length: +5\r\n", Err(Head(ContentLength))),
    (b"Content-Length: -5\r\n", Err(Head(ContentLength))),
    (b"Content-Length: 5 5\r\n", Err(Head(ContentLength))),
    (b"Content-Length: 5,5\r\n", Err(Head(ContentLength))),
    (b"Content-Length: 5;\r\n", Err(Head(ContentLength))),
    (b"Content-Length: 0x5\r\n", Err(Head(ContentLength))),
    (b"Content-Length: 5.0\r\n", Err(Head(ContentLength))),
    (b"Content-Length: 5_0\r\n", Err(Head(ContentLength))),
    (b"Content-Length: \xd9\xa5\r\n", Err(Head(ContentLength))),
    (b"Content-Length: 18446744073709551616\r\n", Err(Head(ContentLength))),
    (b"Content-Length: 00000000000000000005\r\n", Err(Head(ContentLength))),
    (b"Content-Length: 5\r\nContent-Length: 5\r\n", Err(Head(ContentLength))),
    (b"Content-Length: 5\r\nContent-Length: 6\r\n", Err(Head(ContentLength))),
    (b"Content-Length: 5\r\nX: y\r\ncontent-length: 5\r\n", Err(Head(ContentLength))),
    // RFC 9112 6.1: both is an attack until shown otherwise.
    (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Err(Head(LengthAndCoding))),
    (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Err(Head(LengthAndCoding))),
    (b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", Err(Head(LengthAndCoding))),
    // Exactly one `chunked`.
    (b"Transfer-Encoding:\r\n", Err(Head(TransferCoding))),
    (b"Transfer-Encoding: identity\r\n", Err(Head(TransferCoding))),
    (b"Transfer-Encoding: gzip\r\n", Err(Head(TransferCoding))),
    (b"Transfer-Encoding: gzip, chunked\r\n", Err(Head(TransferCoding))),
    (b"Transfer-Encoding: chunked, gzip\r\n", Err(Head(TransferCoding))),
    (b"Transfer-Encoding: chunked, chunked\r\n", Err(Head(TransferCoding))),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(Head(TransferCoding))),
    (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", Err(Head(TransferCoding))),
    (b"Transfer-Encoding: , chunked\r\n", Err(Head(TransferCoding))),
    (b"Transfer-Encoding: chunked,\r\n", Err(Head(TransferCoding))),
    (b"Transfer-Encoding: chunked;q=1\r\n", Err(Head(TransferCoding))),
    (b"Transfer-Encoding: \"chunked\"\r\n", Err(Head(TransferCoding))),
    (b"Transfer-Encoding: xchunked\r\n", Err(Head(TransferCoding))),
    (b"Transfer-Encoding: chunkedx\r\n", Err(Head(TransferCoding))),
    (b"Transfer-Encoding: chunk ed\r\n", Err(Head(TransferCoding))),
    (b"Transfer-Encoding: \x0bchunked\r\n", Err(Head(FieldValue))),
    (b"Transfer-Encoding: chunked\x00\r\n", Err(Head(FieldValue))),
    (b"Transfer-Encoding : chunked\r\n", Err(Head(FieldName))),
    (b" Transfer-Encoding: chunked\r\n", Err(Head(FieldName))),
    (b"Transfer-Encoding\t: chunked\r\n", Err(Head(FieldName))),
    (b"Transfer\xadEncoding: chunked\r\n", Err(Head(FieldName))),
    // Other names than the one that frames.
    (b"Transfer_Encoding: chunked\r\n", Ok(BodyFraming::None)),
    (b"X-Transfer-Encoding: chunked\r\n", Ok(BodyFraming::None)),
    (b"Content_Length: 5\r\n", Ok(BodyFraming::None)),
];

#[test]
fn ambiguous_framing_is_refused() {
    for (fields, verdict) in FRAMING {
        let found = parse(&complete(fields)).map(|head| head.framing);
        assert_eq!(found, *verdict, "{}", fields.escape_ascii());
    }
}

/// RFC 9112 2.2 and 5: lines and field lines.
#[rustfmt::skip]
const LINES: &[(&[u8], Option<RequestError>)] = &[
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
    // RFC 9112 2.2: one empty line before the request line is ignored.
    (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
    (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Some(Head(FieldName))),
    (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Some(Head(BareLf))),
    (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Some(MethodError)),
    (b"GET / HTTP/1.1\nHost: a\r\n\r\n", Some(Head(BareLf))),
    (b"GET / HTTP/1.1\r\nHost: a\n\r\n", Some(Head(BareLf))),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\n", Some(Head(BareLf))),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n", Some(Head(BareLf))),
    // A bare CR ends no line (RFC 9112 2.2).
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n", Some(Head(FieldValue))),
    (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", Some(Head(FieldValue))),
    (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", Some(RequestLine)),
    // RFC 9112 5.1: no white space before the colon.
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", Some(Head(FieldName))),
    (b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", Some(Head(FieldName))),
    // RFC 9112 5.2: folding is obsolete.
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", Some(Head(FieldName))),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n", Some(Head(FieldName))),
    (b"GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n", Some(Head(FieldName))),
    // RFC 9110 5.1 and 5.5: names and values.
    (b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", Some(Head(FieldName))),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", Some(Head(FieldName))),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", Some(Head(FieldName))),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\x00: z\r\n\r\n", Some(Head(FieldName))),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\"X\": z\r\n\r\n", Some(Head(FieldName))),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX(y): z\r\n\r\n", Some(Head(FieldName))),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: z\r\n\r\n", Some(Head(FieldName))),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", Some(Head(FieldValue))),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", Some(Head(FieldValue))),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", Some(Head(FieldValue))),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[31m\r\n\r\n", Some(Head(FieldValue))),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: caf\xc3\xa9 \t\xff\r\n\r\n", None),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", None),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: y: z\r\n\r\n", None),
    (b"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09azAZ: y\r\n\r\n", None),
    // RFC 9112 3.2: Host.
    (b"GET / HTTP/1.1\r\n\r\n", Some(MissingHost)),
    (b"GET / HTTP/1.0\r\n\r\n", None),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Some(DuplicateHost)),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHOST: b\r\n\r\n", Some(DuplicateHost)),
    (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Some(DuplicateHost)),
    (b"GET / HTTP/1.1\r\nHost_: a\r\n\r\n", Some(MissingHost)),
    // RFC 9112 6.1: no coding on 1.0.
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Some(Head(TransferCoding))),
    // RFC 9110 10.1.1
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n", None),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", Some(Expectation)),
    // 10.1.1: a list, of which empty elements are none (5.6.1.2).
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n", None),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: ,\r\n\r\n", None),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, 100-continue\r\n\r\n", None),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n", None),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, 200-ok\r\n\r\n", Some(Expectation)),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue;q=1\r\n\r\n", Some(Expectation)),
    (b"GET / HTTP/1.0\r\nExpect: 200-ok\r\n\r\n", None),
];

#[test]
fn malformed_lines_and_fields_are_refused() {
    for (raw, verdict) in LINES {
        assert_eq!(parse(raw).err(), *verdict, "{}", raw.escape_ascii());
    }
}

/// RFC 9112 3: method, target, version.
#[rustfmt::skip]
const REQUEST_LINES: &[(&[u8], Option<RequestError>)] = &[
    (b"GET / HTTP/1.1", None),
    (b"get / HTTP/1.1", None),
    (b"PROPFIND / HTTP/1.1", None),
    (b"M-SEARCH / HTTP/1.1", None),
    (b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1", None),
    (b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1", Some(MethodTooLong)),
    (b"G\xc9T / HTTP/1.1", Some(MethodError)),
    (b"GET\t/ HTTP/1.1", Some(MethodError)),
    (b"G(T / HTTP/1.1", Some(MethodError)),
    (b"GET", Some(RequestLine)),
    (b"GET /", Some(RequestLine)),
    (b"GET  / HTTP/1.1", Some(RequestLine)),
    (b"GET /  HTTP/1.1", Some(RequestLine)),
    (b"GET / HTTP/1.1 ", Some(RequestLine)),
    (b"GET / x HTTP/1.1", Some(RequestLine)),
    (b"GET /\tHTTP/1.1", Some(RequestLine)),
    // Versions.
    (b"GET / HTTP/1.0", None),
    (b"GET / HTTP/0.9", Some(VersionError)),
    (b"GET / HTTP/1.2", Some(VersionError)),
    (b"GET / HTTP/2.0", Some(VersionError)),
    (b"PRI * HTTP/2.0", Some(Http2Preface)),
    (b"GET / HTTP/11", Some(RequestLine)),
    (b"GET / HTTP/1.10", Some(RequestLine)),
    (b"GET / HTTP/1.", Some(RequestLine)),
    (b"GET / http/1.1", Some(RequestLine)),
    (b"GET / HTTPS/1.1", Some(RequestLine)),
    (b"GET / HTTP/\xb9.1", Some(RequestLine)),
    (b"GET / FTP/1.1", Some(RequestLine)),
    // Targets (RFC 9112 3.2, RFC 3986 3.3 and 3.4).
    (b"GET /a/b;c=d/@:!$&'()*+,=~ HTTP/1.1", None),
    (b"GET /{id}|^`[] HTTP/1.1", None),
    (b"GET /%2F%e9 HTTP/1.1", None),
    (b"GET /?q=/?%zz\"<>\\ HTTP/1.1", None),
    (b"GET /? HTTP/1.1", None),
    (b"GET // HTTP/1.1", None),
    (b"GET /% HTTP/1.1", Some(TargetError)),
    (b"GET /%2 HTTP/1.1", Some(TargetError)),
    (b"GET /%zz HTTP/1.1", Some(TargetError)),
    (b"GET /%u0041 HTTP/1.1", Some(TargetError)),
    (b"GET /a#b HTTP/1.1", Some(TargetError)),
    (b"GET /a?b#c HTTP/1.1", Some(TargetError)),
    (b"GET /a\\b HTTP/1.1", Some(TargetError)),
    (b"GET /\"a\" HTTP/1.1", Some(TargetError)),
    (b"GET /<a> HTTP/1.1", Some(TargetError)),
    (b"GET /\xc3\xa9 HTTP/1.1", Some(TargetError)),
    (b"GET /?\xc3\xa9 HTTP/1.1", Some(TargetError)),
    (b"GET /\x00 HTTP/1.1", Some(TargetError)),
    (b"GET /\x7f HTTP/1.1", Some(TargetError)),
    (b"GET a HTTP/1.1", Some(TargetError)),
    (b"GET a.test:80 HTTP/1.1", Some(TargetError)),
    (b"GET ?a HTTP/1.1", Some(TargetError)),
    (b"GET * HTTP/1.1", Some(TargetError)),
    (b"GET ** HTTP/1.1", Some(TargetError)),
    (b"OPTIONS * HTTP/1.1", None),
    (b"OPTIONS *a HTTP/1.1", Some(TargetError)),
    (b"CONNECT a.test:443 HTTP/1.1", None),
    (b"CONNECT a.test\x01:443 HTTP/1.1", Some(TargetError)),
    // Absolute form.
    (b"GET http://a.test HTTP/1.1", None),
    (b"GET HTTPS://a.test:8443/x?y HTTP/1.1", None),
    (b"GET http://a.test?x HTTP/1.1", None),
    (b"GET http:// HTTP/1.1", Some(TargetError)),
    (b"GET http:///x HTTP/1.1", Some(TargetError)),
    (b"GET http:/a.test/ HTTP/1.1", Some(TargetError)),
    (b"GET http//a.test/ HTTP/1.1", Some(TargetError)),
    (b"GET ftp://a.test/ HTTP/1.1", Some(TargetError)),
    (b"GET //a.test/ HTTP/1.1", None),
    (b"GET javascript:x HTTP/1.1", Some(TargetError)),
    (b"GET http://a.test\\x/ HTTP/1.1", Some(TargetError)),
    (b"GET http://a.test#x HTTP/1.1", Some(TargetError)),
    (b"GET http://a.test/\\ HTTP/1.1", Some(TargetError)),
];

#[test]
fn malformed_request_lines_are_refused() {
    for (line, verdict) in REQUEST_LINES {
        let raw = [line, b"\r\nHost: a\r\n\r\n".as_slice()].concat();
        assert_eq!(parse(&raw).err(), *verdict, "{}", line.escape_ascii());
    }
}

#[test]
fn a_target_is_taken_apart_into_host_path_and_query() {
    let parts = |line: &str| {
        let raw = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
        let head = parse(&raw).expect("valid");
        let authority = match head.target {
            Target::Absolute { authority, https } => Some((text(authority.of(&raw)), https)),
            Target::Origin | Target::Asterisk | Target::Authority => None,
        };
        (
            head.method,
            authority,
            text(head.path.of(&raw)),
            head.query.map(|query| text(query.of(&raw))),
        )
    };
    let owned = |text: &str| text.to_owned();
    assert_eq!(
        parts("GET /a?b?c"),
        (Method::Get, None, owned("/a"), Some(owned("b?c")))
    );
    assert_eq!(
        parts("PATCH /a?"),
        (Method::Patch, None, owned("/a"), Some(owned("")))
    );
    assert_eq!(
        parts("HEAD hTTps://u@b.test:1/x"),
        (Method::Head, Some((owned("u@b.test:1"), true)), owned("/x"), None)
    );
    assert_eq!(
        parts("PUT http://b.test?x"),
        (
            Method::Put,
            Some((owned("b.test"), false)),
            owned(""),
            Some(owned("x"))
        )
    );
    assert_eq!(parts("OPTIONS *"), (Method::Options, None, owned(""), None));
    assert_eq!(
        parts("CONNECT b.test:443"),
        (Method::Connect, None, owned(""), None)
    );
    assert_eq!(parts("BREW /"), (Method::Other, None, owned("/"), None));
}

/// A head at a limit is accepted. One beyond it is refused as soon as that shows.
#[test]
fn a_head_beyond_a_limit_is_refused_as_soon_as_that_shows() {
    let target =
        |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 1)).into_bytes();
    assert_eq!(parse(&target(HEAD_LIMITS.target_bytes)).err(), None);
    assert_eq!(
        parse(&target(HEAD_LIMITS.target_bytes + 1)).err(),
        Some(TargetTooLong)
    );
    let fields = |count: usize| complete("X: y\r\n".repeat(count - 1).as_bytes());
    assert_eq!(parse(&fields(HEAD_LIMITS.fields)).err(), None);
    assert_eq!(
        parse(&fields(HEAD_LIMITS.fields + 1)).err(),
        Some(Head(TooManyFields))
    );
    let bytes = |length: usize| {
        let field = |length: usize| format!("X: {}\r\n", "y".repeat(length)).into_bytes();
        complete(&field(length - complete(&field(0)).len()))
    };
    assert_eq!(parse(&bytes(HEAD_LIMITS.bytes)).err(), None);
    assert_eq!(parse(&bytes(HEAD_LIMITS.bytes + 1)).err(), Some(Head(TooLarge)));

    let mut head = RequestHead::new();
    let long = format!("GET /{}", "x".repeat(HEAD_LIMITS.target_bytes));
    assert_eq!(head.parse(long.as_bytes(), &HEAD_LIMITS), Err(TargetTooLong));
    assert_eq!(head.parse(&[b'A'; 33], &HEAD_LIMITS), Err(MethodTooLong));
    assert_eq!(head.parse(b"\x16\x03\x01", &HEAD_LIMITS), Err(MethodError));
    let statuses = [
        (Head(TooLarge), 431),
        (Head(TooManyFields), 431),
        (Head(LongList), 431),
        (TargetTooLong, 414),
        (MethodTooLong, 501),
        (VersionError, 505),
        (Expectation, 417),
        (MissingHost, 400),
        (Head(LengthAndCoding), 400),
    ];
    for (error, status) in statuses {
        assert_eq!(error.status(), status, "{error}");
    }
}

#[test]
fn bytes_after_a_head_stay_in_the_buffer() {
    let first = complete(b"Content-Length: 3\r\n");
    let raw = [first.as_slice(), b"abcGET /next HTTP/1.1\r\n"].concat();
    let mut head = RequestHead::new();
    assert_eq!(head.parse(&raw, &HEAD_LIMITS), Ok(Some(first.len())));
    // And the same head parses the next request, with nothing left of the one before.
    let next = b"GET /next HTTP/1.0\r\nX: y\r\n\r\n";
    assert_eq!(head.parse(next, &HEAD_LIMITS), Ok(Some(next.len())));
    assert_eq!(
        (head.host, head.framing, head.fields.len()),
        (None, BodyFraming::None, 1)
    );
    assert_eq!((head.method, head.version), (Method::Get, Version::Http10));
}

/// RFC 9110 7.6.1 and 7.8, RFC 9112 9.3.
#[test]
fn connection_expect_and_te_are_understood() {
    let options = |version: &str, fields: &str| {
        let raw = format!("GET / {version}\r\nHost: a\r\n{fields}\r\n").into_bytes();
        let head = parse(&raw).expect("valid");
        (
            head.persistent(),
            head.upgrade,
            head.expect_continue,
            head.te_trailers,
        )
    };
    let table = [
        ("HTTP/1.1", "", (true, false, false, false)),
        ("HTTP/1.1", "Connection: close\r\n", (false, false, false, false)),
        (
            "HTTP/1.1",
            "Connection: x, CLOSE\r\n",
            (false, false, false, false),
        ),
        ("HTTP/1.1", "Connection: closed\r\n", (true, false, false, false)),
        ("HTTP/1.0", "", (false, false, false, false)),
        (
            "HTTP/1.0",
            "Connection: keep-alive\r\n",
            (true, false, false, false),
        ),
        (
            "HTTP/1.0",
            "Connection: keep-alive\r\nConnection: close\r\n",
            (false, false, false, false),
        ),
        (
            "HTTP/1.1",
            "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            (true, true, false, false),
        ),
        ("HTTP/1.1", "Upgrade: websocket\r\n", (true, false, false, false)),
        (
            "HTTP/1.0",
            "Connection: upgrade\r\nUpgrade: websocket\r\n",
            (false, false, false, false),
        ),
        // 7.8: without a protocol there is nothing to change to.
        (
            "HTTP/1.1",
            "Connection: upgrade\r\nUpgrade:\r\n",
            (true, false, false, false),
        ),
        (
            "HTTP/1.1",
            "Connection: upgrade\r\nUpgrade: , \r\n",
            (true, false, false, false),
        ),
        ("HTTP/1.1", "Expect: 100-continue\r\n", (true, false, true, false)),
        ("HTTP/1.1", "Expect:\r\n", (true, false, false, false)),
        (
            "HTTP/1.1",
            "Expect: , 100-Continue,\r\nExpect: 100-continue\r\n",
            (true, false, true, false),
        ),
        ("HTTP/1.1", "TE: gzip, Trailers\r\n", (true, false, false, true)),
        ("HTTP/1.1", "TE: trailers;q=0\r\n", (true, false, false, false)),
    ];
    for (version, fields, verdict) in table {
        assert_eq!(options(version, fields), verdict, "{version} {fields}");
    }
    let raw = complete(b"Connection: X-Hop, , x-other\r\nConnection: y\r\nX-HOP: 1\r\nY: 2\r\nZ: 3\r\n");
    let head = parse(&raw).expect("valid");
    let hop_by_hop: Vec<String> = head
        .fields
        .iter()
        .filter(|field| head.connection.names(field, &raw))
        .map(|field| text(field.name.of(&raw)))
        .collect();
    assert_eq!(hop_by_hop, ["X-HOP", "Y"]);
}

/// RFC 9110 9.3.2: whatever is wrong with a HEAD request, the answer has no body; so the method is known from its line
/// on, however much of the head is read.
#[test]
fn the_method_is_known_although_the_head_is_refused() {
    let long = format!("HEAD /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(300));
    let many = format!("HEAD / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(20));
    let large = format!("HEAD / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(2000));
    let refused: [(&[u8], u16); 9] = [
        (b"HEAD / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", 417),
        (b"HEAD / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"HEAD / HTTP/1.1\nHost: a\r\n\r\n", 400),
        (b"HEAD /a\"b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"HEAD  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"HEAD / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        (long.as_bytes(), 414),
        (many.as_bytes(), 431),
        (large.as_bytes(), 431),
    ];
    for (raw, status) in refused {
        // What an earlier request was does not matter.
        let mut head = RequestHead::new();
        let earlier = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(head.parse(earlier, &HEAD_LIMITS), Ok(Some(earlier.len())));
        let verdict = head.parse(raw, &HEAD_LIMITS).map_err(|error| error.status());
        assert_eq!(
            (verdict, head.method),
            (Err(status), Method::Head),
            "{}",
            raw.escape_ascii()
        );
    }
    let mut head = RequestHead::new();
    for (so_far, method) in [
        ("HEAD", Method::Other),
        ("HEAD ", Method::Head),
        ("HEAD / HTTP/1.1\r\nHost", Method::Head),
    ] {
        assert_eq!(head.parse(so_far.as_bytes(), &HEAD_LIMITS), Ok(None));
        assert_eq!(head.method, method, "{so_far}");
    }
}

/// RFC 9110 7.6.2.
#[test]
fn max_forwards_counts_for_options_alone() {
    let read = |method: &str, fields: &str| {
        let raw = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
        parse(&raw).expect("valid").max_forwards
    };
    assert_eq!(read("OPTIONS", ""), None);
    assert_eq!(read("OPTIONS", "Max-Forwards: 0\r\n"), Some(0));
    assert_eq!(read("OPTIONS", "max-forwards: 010\r\n"), Some(10));
    assert_eq!(read("OPTIONS", "Max-Forwards: 7\r\nMax-Forwards: 3\r\n"), Some(3));
    assert_eq!(read("OPTIONS", "Max-Forwards: many\r\n"), None);
    assert_eq!(read("OPTIONS", "Max-Forwards: -1\r\n"), None);
    assert_eq!(read("GET", "Max-Forwards: 0\r\n"), None);
}

/// The names whose fields a client must not choose, and their twins that some backends read alike.
#[test]
fn known_field_names_are_recognised_and_so_are_their_twins() {
    let table = [
        ("x-forwarded-for", FieldId::XForwardedFor),
        ("X-Forwarded-Port", FieldId::XForwardedPort),
        ("X-FORWARDED-PREFIX", FieldId::XForwardedOther),
        ("forwarded", FieldId::Forwarded),
        ("X-Real-IP", FieldId::XRealIp),
        ("x-blastdoor-door", FieldId::XBlastdoorDoor),
        ("X-Forwarded-User", FieldId::XForwardedOther),
        ("CF-Connecting-IP", FieldId::Cloudflare),
        ("CF-Ray", FieldId::Cloudflare),
        ("True-Client-IP", FieldId::Cloudflare),
        ("X-Amzn-Mtls-Clientcert", FieldId::XAmznIdentity),
        ("X-Amzn-Oidc-Data", FieldId::XAmznIdentity),
        ("X-Amzn-Trace-Id", FieldId::Other),
        ("X-Goog-Authenticated-User-Email", FieldId::XGoogIdentity),
        ("X-Goog-IAP-JWT-Assertion", FieldId::XGoogIdentity),
        ("X-Goog-Channel-ID", FieldId::Other),
        ("X-Cloud-Trace-Context", FieldId::Other),
        ("CDN-Loop", FieldId::Other),
        ("Proxy", FieldId::NobodysWord),
        ("X-Client-IP", FieldId::NobodysWord),
        ("X-Cluster-Client-Ip", FieldId::NobodysWord),
        ("x-original-forwarded-for", FieldId::NobodysWord),
        ("X-Client-IPs", FieldId::Other),
        ("X_Forwarded_For", FieldId::Twin),
        ("X-Forwarded_Whatever", FieldId::Twin),
        ("Transfer_Encoding", FieldId::Twin),
        ("Content_Type", FieldId::Other),
        ("Max_Forwards", FieldId::Other),
        ("Date", FieldId::Date),
        ("X_Request_ID", FieldId::Twin),
        ("X.Forwarded.For", FieldId::Twin),
        ("X_Forwarded.For", FieldId::Twin),
        ("x~forwarded!for", FieldId::Twin),
        ("CF|Ray", FieldId::Twin),
        ("X_Client.IP", FieldId::Twin),
        ("X-Goog_Iap-X", FieldId::Twin),
        ("X_Amzn_Oidc_Identity", FieldId::Twin),
        ("XForwardedFor", FieldId::Other),
        ("my_header", FieldId::Other),
        ("my.header", FieldId::Other),
        ("_", FieldId::Other),
        ("X-Forwarded", FieldId::Other),
    ];
    for (name, id) in table {
        assert_eq!(FieldId::classify(name.as_bytes()), id, "{name}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}
