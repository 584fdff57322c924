//! Chunked bodies: bytes → verdict (RFC 9112 7.1).
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use testkit::grammar::CHUNK_LIMITS;
use wire::{ChunkDecoder, ChunkError, ChunkLimits, ChunkStep, HeadError, chunk_head};

/// The data and the trailers of a whole body; `None` while it is incomplete.
type Verdict = Result<Option<(&'static [u8], &'static [(&'static str, &'static str)])>, ChunkError>;

#[rustfmt::skip]
const BODIES: &[(&[u8], Verdict)] = &[
    (b"0\r\n\r\n", Ok(Some((b"", &[])))),
    (b"5\r\nhello\r\n0\r\n\r\n", Ok(Some((b"hello", &[])))),
    (b"5\r\nhello\r\n1\r\n!\r\n000\r\n\r\n", Ok(Some((b"hello!", &[])))),
    (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", Ok(Some((b"01234567890123456789", &[])))),
    (b"0000000000000005\r\nhello\r\n0\r\n\r\n", Ok(Some((b"hello", &[])))),
    (b"2\r\n\r\n\r\n0\r\n\r\n", Ok(Some((b"\r\n", &[])))),
    // 7.1.1: extensions are read and dropped.
    (b"5;a\r\nhello\r\n0;b=c\r\n\r\n", Ok(Some((b"hello", &[])))),
    (b"5;a=\"x;\\\"y\"\r\nhello\r\n0\r\n\r\n", Ok(Some((b"hello", &[])))),
    (b"5;a;b=c;d=\"\"\r\nhello\r\n0\r\n\r\n", Ok(Some((b"hello", &[])))),
    // RFC 9110 5.6.3: white space where the grammar has it, and behind a size, where servers pad it.
    (b"5 ;a\r\nhello\r\n0\r\n\r\n", Ok(Some((b"hello", &[])))),
    (b"5; a\r\nhello\r\n0\r\n\r\n", Ok(Some((b"hello", &[])))),
    (b"5 \t; \ta \t= \tb \t; c=\"d\" \t\r\nhello\r\n0 ;x\r\n\r\n", Ok(Some((b"hello", &[])))),
    (b"5 \r\nhello\r\n0 \r\n\r\n", Ok(Some((b"hello", &[])))),
    (b"5\t\r\nhello\r\n0\t \r\n\r\n", Ok(Some((b"hello", &[])))),
    (b"5 5\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Size)),
    (b"5 5;a\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Size)),
    (b"5;a b\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Extension)),
    (b"5;a=b c\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Extension)),
    (b"5 =b\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Size)),
    (b"5 ; \r\nhello\r\n0\r\n\r\n", Err(ChunkError::Extension)),
    (b"5;a= \r\nhello\r\n0\r\n\r\n", Err(ChunkError::Extension)),
    (b"5 \n\r\nhello\r\n0\r\n\r\n", Err(ChunkError::End)),
    (b"5 \r \r\nhello\r\n0\r\n\r\n", Err(ChunkError::End)),
    (b"5 \x0b\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Size)),
    (b"5;\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Extension)),
    (b"5;a=\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Extension)),
    (b"5;a=\"x\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Extension)),
    (b"5;a=\"\x00\"\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Extension)),
    (b"5;a\x00\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Extension)),
    (b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n1;bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\ny\r\n0\r\n\r\n", Ok(Some((b"xy", &[])))),
    (b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n1;bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\ny\r\n0\r\n\r\n", Err(ChunkError::Extension)),
    // 7.1: sizes.
    (b"\r\n", Err(ChunkError::Size)),
    (b"x\r\n", Err(ChunkError::Size)),
    (b"+5\r\nhello\r\n", Err(ChunkError::Size)),
    (b"-1\r\n", Err(ChunkError::Size)),
    (b"0x5\r\nhello\r\n", Err(ChunkError::Size)),
    (b" 5\r\nhello\r\n", Err(ChunkError::Size)),
    (b"5,5\r\nhello\r\n", Err(ChunkError::Size)),
    (b"00000000000000005\r\nhello\r\n", Err(ChunkError::Size)),
    (b"8000000000000000\r\n", Err(ChunkError::Size)),
    (b"ffffffffffffffff\r\n", Err(ChunkError::Size)),
    (b"7fffffffffffffff\r\n", Ok(None)),
    // 2.2: CRLF alone.
    (b"5\nhello\n0\n\n", Err(ChunkError::End)),
    (b"5\r\nhello\n0\r\n\r\n", Err(ChunkError::End)),
    (b"5\r\nhello0\r\n\r\n", Err(ChunkError::End)),
    (b"5\r\nhello!\r\n0\r\n\r\n", Err(ChunkError::End)),
    (b"5\r\nhello\r0\r\n\r\n", Err(ChunkError::End)),
    (b"5\r\r\nhello\r\n", Err(ChunkError::End)),
    (b"0\r\n\n", Err(ChunkError::End)),
    // 7.1.2: trailers; those that frame, route or authenticate are dropped (RFC 9110 6.5.1).
    (b"0\r\nX-Sum: 1\r\n\r\n", Ok(Some((b"", &[("X-Sum", "1")])))),
    (b"0\r\nX-Sum: 1\r\nY: 2 \r\n\r\n", Ok(Some((b"", &[("X-Sum", "1"), ("Y", "2")])))),
    (b"0\r\nContent-Length: 5\r\nHost: b\r\nX: 1\r\n\r\n", Ok(Some((b"", &[("X", "1")])))),
    (b"0\r\nTransfer-Encoding: chunked\r\nAuthorization: x\r\nCookie: y\r\n\r\n", Ok(Some((b"", &[])))),
    (b"0\r\nX-Forwarded-For: 1.2.3.4\r\nX_Forwarded_For: 1.2.3.4\r\nSet-Cookie: a\r\n\r\n", Ok(Some((b"", &[])))),
    (b"0\r\nX_Forwarded.For: 1.2.3.4\r\nX-Client-IP: 1.2.3.4\r\nProxy: x\r\nX-Forwarded-User: a\r\nset_cookie: a\r\n\r\n", Ok(Some((b"", &[])))),
    (b"0\r\n X: 1\r\n\r\n", Err(ChunkError::Trailer(Some(HeadError::FieldName)))),
    (b"0\r\nX : 1\r\n\r\n", Err(ChunkError::Trailer(Some(HeadError::FieldName)))),
    (b"0\r\nX: \x00\r\n\r\n", Err(ChunkError::Trailer(Some(HeadError::FieldValue)))),
    (b"0\r\nX: 1\nY: 2\r\n\r\n", Err(ChunkError::End)),
    (b"0\r\nX: 1\rY: 2\r\n\r\n", Err(ChunkError::End)),
    // Incomplete.
    (b"", Ok(None)),
    (b"5", Ok(None)),
    (b"5\r", Ok(None)),
    (b"5\r\nhell", Ok(None)),
    (b"5\r\nhello\r", Ok(None)),
    (b"0\r\n", Ok(None)),
    (b"0\r\nX: 1\r\n", Ok(None)),
];

#[test]
fn chunked_bodies_are_decoded_or_refused() {
    for (raw, verdict) in BODIES {
        let owned = verdict.map(|body| {
            body.map(|(data, trailers)| {
                let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
                (data.to_vec(), trailers.iter().map(owned).collect())
            })
        });
        assert_eq!(decode(raw), owned, "{}", raw.escape_ascii());
    }
}

#[test]
fn white_space_in_chunk_sizes_of_clients_is_refused() {
    let limits = ChunkLimits {
        white_space: false,
        ..CHUNK_LIMITS
    };
    let mut unlike = 0;
    for (raw, verdict) in BODIES {
        let line = raw.split(|byte| *byte == b'\r').next().expect("a line");
        let padded = verdict.is_ok() && line.iter().any(|byte| b" \t".contains(byte));
        if padded {
            let error = decode_within(raw, limits).expect_err(&raw.escape_ascii().to_string());
            assert!(
                matches!(error, ChunkError::Size | ChunkError::Extension),
                "{error}"
            );
            unlike += 1;
        } else {
            let strict = decode_within(raw, limits);
            assert_eq!(strict.is_ok(), decode(raw).is_ok(), "{}", raw.escape_ascii());
        }
    }
    assert_eq!(unlike, 5);
}

#[test]
fn bytes_after_a_body_stay_in_the_buffer() {
    let mut decoder = ChunkDecoder::new(CHUNK_LIMITS);
    assert_eq!(
        decoder.decode(b"0\r\n\r\nGET /next"),
        Ok(ChunkStep::Done { consumed: 5 })
    );
    assert_eq!(decoder.decode(b"GET /next"), Ok(ChunkStep::Done { consumed: 0 }));
}

#[test]
fn lines_and_trailers_have_limits() {
    let zeros = |extension: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(extension)).into_bytes();
    assert!(decode(&zeros(63)).is_ok());
    assert_eq!(decode(&zeros(64)), Err(ChunkError::Extension));
    // White space that fills a size up to the width of the longest is free, however often it comes; more is not.
    let padded = |width: usize| {
        let chunk = format!("{:<width$}\r\nx\r\n", 1);
        format!("{}0\r\n\r\n", chunk.repeat(100)).into_bytes()
    };
    assert_eq!(
        decode(&padded(16)).map(|body| body.map(|(data, _)| data.len())),
        Ok(Some(100))
    );
    assert_eq!(decode(&padded(17)), Err(ChunkError::Extension));
    let unfinished = [b"1;".as_slice(), &[b'a'; 300]].concat();
    assert_eq!(decode(&unfinished), Err(ChunkError::Extension));
    let trailers = |value: usize| format!("0\r\nX: {}\r\n\r\n", "y".repeat(value)).into_bytes();
    assert!(decode(&trailers(CHUNK_LIMITS.trailer_bytes - 5)).is_ok());
    assert_eq!(
        decode(&trailers(CHUNK_LIMITS.trailer_bytes - 4)),
        Err(ChunkError::Trailer(None))
    );
    let many = format!("0\r\n{}\r\n", "X: y\r\n".repeat(22)).into_bytes();
    assert_eq!(decode(&many), Err(ChunkError::Trailer(None)));
}

#[test]
fn the_head_of_a_chunk_is_its_size_in_hexadecimal() {
    let mut room = [0; 18];
    for (length, text) in [
        (1, "1\r\n"),
        (10, "a\r\n"),
        (255, "ff\r\n"),
        (65_536, "10000\r\n"),
        (usize::MAX, "ffffffffffffffff\r\n"),
    ] {
        assert_eq!(chunk_head(length, &mut room), text.as_bytes());
    }
}

type Body = (Vec<u8>, Vec<(String, String)>);

fn decode(raw: &[u8]) -> Result<Option<Body>, ChunkError> {
    decode_within(raw, CHUNK_LIMITS)
}

fn decode_within(raw: &[u8], limits: ChunkLimits) -> Result<Option<Body>, ChunkError> {
    let mut decoder = ChunkDecoder::new(limits);
    let (mut at, mut data) = (0, Vec::new());
    loop {
        match decoder.decode(&raw[at..])? {
            ChunkStep::NeedMore { .. } => return Ok(None),
            ChunkStep::Data { skip, len } => {
                data.extend_from_slice(&raw[at + skip..at + skip + len]);
                at += skip + len;
            }
            ChunkStep::Done { consumed } => {
                assert_eq!(at + consumed, raw.len(), "{}", raw.escape_ascii());
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
                let trailers = decoder.trailers().map(|(name, value)| (text(name), text(value)));
                return Ok(Some((data, trailers.collect())));
            }
        }
    }
}
