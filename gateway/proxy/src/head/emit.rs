//! Answers of the gateway's own as HTTP/1 text.

use http::HeaderValue;
use wire::Method;

use crate::head::draft::Connection;
use crate::refusal::phrase;

/// The gateway's own 100, for a client that waits for one.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A whole response of the gateway's own.
pub(crate) struct OwnAnswer<'a> {
    pub(crate) status: u16,
    pub(crate) method: Method,
    pub(crate) date: &'a HeaderValue,
    pub(crate) connection: Connection,
    /// Further fields.
    pub(crate) extra: &'a [(&'static str, &'a [u8])],
    /// The status that a gRPC client is told instead, on HTTP/2.
    pub(crate) grpc: Option<u8>,
}

/// Writes a short plain-text answer. It depends on nothing but its arguments, so that two answers of one kind are
/// the same bytes.
pub(crate) fn own(out: &mut Vec<u8>, answer: &OwnAnswer<'_>) {
    let phrase = phrase(answer.status);
    status_line(out, answer.status, phrase.as_bytes());
    out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
    content_length(out, phrase.len() as u64 + 1);
    date(out, answer.date);
    for (name, value) in answer.extra {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    match answer.connection {
        Connection::Keep | Connection::Upgrade => {}
        Connection::KeepExplicitly => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        Connection::Close => out.extend_from_slice(b"Connection: close\r\n"),
    }
    out.extend_from_slice(b"\r\n");
    if answer.method != Method::Head {
        out.extend_from_slice(phrase.as_bytes());
        out.push(b'\n');
    }
}

fn date(out: &mut Vec<u8>, date: &HeaderValue) {
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(date.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    number(out, length);
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}
