//! Response heads: bytes → verdict. A backend is read as strictly as a client.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use testkit::grammar::HEAD_LIMITS;
use wire::HeadError::{BareLf, ContentLength, FieldName, FieldValue, LengthAndCoding, TransferCoding};
use wire::ResponseError::{Head, StatusLine, Version as VersionError};
use wire::{BodyFraming, ResponseError, ResponseHead, ResponseTo};

type Verdict = Result<(u16, BodyFraming, bool), ResponseError>;

fn parse(raw: &[u8], request: ResponseTo) -> Verdict {
    let mut head = ResponseHead::new();
    match head.parse(raw, &HEAD_LIMITS, request)? {
        Some(length) => assert_eq!(length, raw.len(), "{}", raw.escape_ascii()),
        None => panic!("incomplete: {}", raw.escape_ascii()),
    }
    Ok((head.status, head.framing, head.persistent()))
}

/// RFC 9112 4 to 6. Status, framing, and whether the connection can be used again.
#[rustfmt::skip]
const RESPONSES: &[(&[u8], Verdict)] = &[
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", Ok((200, BodyFraming::Length(2), true))),
    (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n", Ok((200, BodyFraming::Length(2), true))),
    (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n", Ok((200, BodyFraming::Length(2), true))),
    (b"HTTP/1.1 200 \xe9 \t ok\r\nContent-Length: 2\r\n\r\n", Ok((200, BodyFraming::Length(2), true))),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n", Ok((200, BodyFraming::Length(2), false))),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Ok((200, BodyFraming::Chunked, true))),
    (b"HTTP/1.1 200 OK\r\n\r\n", Ok((200, BodyFraming::UntilClose, false))),
    (b"HTTP/1.0 200 OK\r\n\r\n", Ok((200, BodyFraming::UntilClose, false))),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n", Ok((200, BodyFraming::Length(2), false))),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\n", Ok((200, BodyFraming::Length(2), true))),
    (b"HTTP/1.1 599 x\r\nContent-Length: 0\r\n\r\n", Ok((599, BodyFraming::Length(0), true))),
    // RFC 9110 15: a status above 599 has no defined meaning, and does not concern the gateway.
    (b"HTTP/1.1 600 x\r\nContent-Length: 0\r\n\r\n", Ok((600, BodyFraming::Length(0), true))),
    (b"HTTP/1.1 999 Request Denied\r\n\r\n", Ok((999, BodyFraming::UntilClose, false))),
    // RFC 9110 2.5: a higher minor version is read as the highest known.
    (b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\n", Ok((200, BodyFraming::Length(2), true))),
    (b"HTTP/1.9 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Ok((200, BodyFraming::Chunked, true))),
    // RFC 9112 6.3(1): no body, whatever the fields say.
    (b"HTTP/1.1 100 Continue\r\n\r\n", Ok((100, BodyFraming::None, true))),
    (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", Ok((103, BodyFraming::None, true))),
    (b"HTTP/1.1 204 No Content\r\n\r\n", Ok((204, BodyFraming::None, true))),
    (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", Ok((204, BodyFraming::None, true))),
    (b"HTTP/1.1 304 Not Modified\r\n\r\n", Ok((304, BodyFraming::None, true))),
    // But whether the backend knows that is not sure.
    (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", Ok((204, BodyFraming::None, false))),
    (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", Ok((204, BodyFraming::None, false))),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Ok((304, BodyFraming::None, false))),
    (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", Ok((304, BodyFraming::None, false))),
    // Status lines.
    (b"HTTP/1.1 099 x\r\n\r\n", Err(StatusLine)),
    (b"HTTP/1.1 000 x\r\n\r\n", Err(StatusLine)),
    (b"HTTP/1.1 20 x\r\n\r\n", Err(StatusLine)),
    (b"HTTP/1.1 2000 x\r\n\r\n", Err(StatusLine)),
    (b"HTTP/1.1 +20 x\r\n\r\n", Err(StatusLine)),
    (b"HTTP/1.1  200 x\r\n\r\n", Err(StatusLine)),
    (b"HTTP/1.1 200x\r\n\r\n", Err(StatusLine)),
    (b"HTTP/1.1 200\tx\r\n\r\n", Err(StatusLine)),
    (b"HTTP/1.1 200 \x00\r\n\r\n", Err(StatusLine)),
    (b"HTTP/1.1 200 a\rb\r\n\r\n", Err(StatusLine)),
    (b"HTTP/1.1\r\n\r\n", Err(StatusLine)),
    (b"HTTP/1.x 200 OK\r\n\r\n", Err(VersionError)),
    (b"HTTP/0.9 200 OK\r\n\r\n", Err(VersionError)),
    (b"HTTP/2.0 200 OK\r\n\r\n", Err(VersionError)),
    (b"HTTP/11 200 OK\r\n\r\n", Err(VersionError)),
    (b"http/1.1 200 OK\r\n\r\n", Err(StatusLine)),
    (b"ICY 200 OK\r\n\r\n", Err(StatusLine)),
    (b" HTTP/1.1 200 OK\r\n\r\n", Err(StatusLine)),
    (b"\r\nHTTP/1.1 200 OK\r\n\r\n", Err(StatusLine)),
    (b"HTTP/1.1 200 OK\n\r\n", Err(Head(BareLf))),
    (b"HTTP/1.1 200 OK\r\nX: y\n\r\n", Err(Head(BareLf))),
    (b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", Err(Head(FieldName))),
    (b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", Err(Head(FieldName))),
    (b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\rX: y\r\n\r\n", Err(Head(FieldValue))),
    (b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n", Err(Head(FieldValue))),
    // RFC 9112 6.3(3) would have the length ignored; a backend that sends both is not to be trusted with either.
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Err(Head(LengthAndCoding))),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", Err(Head(ContentLength))),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", Err(Head(ContentLength))),
    (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Err(Head(ContentLength))),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Err(Head(TransferCoding))),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", Err(Head(TransferCoding))),
    (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Err(Head(TransferCoding))),
];

#[test]
fn responses_are_framed_or_refused() {
    for (raw, verdict) in RESPONSES {
        assert_eq!(parse(raw, ResponseTo::Other), *verdict, "{}", raw.escape_ascii());
    }
}

/// RFC 9112 6.3(1): a response to HEAD has no body, and states the length that GET would have had.
#[test]
fn a_response_to_head_has_no_body() {
    for fields in ["Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n", ""] {
        let raw = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        assert_eq!(
            parse(raw.as_bytes(), ResponseTo::Head),
            Ok((200, BodyFraming::None, true)),
            "{fields}"
        );
    }
    let mut head = ResponseHead::new();
    let raw = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
    assert_eq!(
        head.parse(raw, &HEAD_LIMITS, ResponseTo::Head),
        Ok(Some(raw.len()))
    );
    assert_eq!(head.stated_length, Some(7));
}

#[test]
fn garbage_is_refused_at_its_first_byte() {
    let mut head = ResponseHead::new();
    assert_eq!(
        head.parse(b"SSH-2.0", &HEAD_LIMITS, ResponseTo::Other),
        Err(StatusLine)
    );
    assert_eq!(
        head.parse(b"\x15\x03", &HEAD_LIMITS, ResponseTo::Other),
        Err(StatusLine)
    );
    assert_eq!(head.parse(b"HTTP/", &HEAD_LIMITS, ResponseTo::Other), Ok(None));
}
