//! Answers of the gateway's own as HTTP/1 text.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_TYPE, DATE};
use smallvec::SmallVec;
use wire::Method;

use crate::head::draft::{Connection, FieldEdits, titled};
use crate::head::status::phrase;

/// The gateway's own 100, for a client that waits for one.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A field of the gateway's own, with its name as HTTP/1 writes it.
pub(crate) type OwnField = (Cow<'static, str>, Cow<'static, [u8]>);

/// A whole response of the gateway's own.
#[derive(Debug)]
pub(crate) struct OwnAnswer {
    pub(crate) status: u16,
    /// Further fields.
    pub(crate) fields: SmallVec<[OwnField; 2]>,
    /// Of the body, if there is one; empty if it is not told.
    pub(crate) media_type: Cow<'static, str>,
    pub(crate) body: Bytes,
    /// The status that a gRPC client gets instead, over HTTP/2.
    pub(crate) grpc: Option<u8>,
}

/// How to send a response of the gateway's own to this client.
pub(crate) struct Delivery<'a> {
    /// The request's.
    pub(crate) method: Method,
    pub(crate) date: Option<&'a HeaderValue>,
    pub(crate) connection: Connection,
}

impl OwnAnswer {
    /// Changes its fields. Its length and its date stay.
    pub(crate) fn edit(&mut self, edits: &FieldEdits) {
        self.fields.retain(|(name, _)| !edits.removes(name.as_bytes()));
        if edits.removes(CONTENT_TYPE.as_str().as_bytes()) {
            self.media_type = "".into();
        }
        for (name, value) in edits.added.iter().filter(|(name, _)| *name != DATE) {
            if *name == CONTENT_TYPE {
                self.media_type = String::from_utf8_lossy(value.as_bytes()).into_owned().into();
            } else {
                let value = value.as_bytes().to_vec();
                self.fields.push((Cow::Owned(titled(name)), Cow::Owned(value)));
            }
        }
    }

    /// What of its body is sent: nothing with a status whose answers end with their heads. A byte more would be the
    /// beginning of the next answer on the connection (RFC 9112 6.3).
    pub(crate) fn content(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        match self.status {
            100..=199 | 204 | 205 | 304 => &NONE,
            _ => &self.body,
        }
    }

    /// Whether it may state the length of its body (RFC 9110 8.6). With 304 that would be the length of another answer's.
    pub(crate) fn states_length(&self) -> bool {
        !matches!(self.status, 100..=199 | 204 | 304)
    }
}

/// Writes an answer of the gateway's own, and returns the body that follows. It depends only on its arguments, so that two
/// answers of one kind are the same bytes.
pub(crate) fn own(out: &mut Vec<u8>, answer: &OwnAnswer, delivery: &Delivery<'_>) -> Bytes {
    let content = answer.content();
    status_line(out, answer.status, phrase(answer.status).as_bytes());
    if !content.is_empty() && !answer.media_type.is_empty() {
        line(out, "Content-Type", answer.media_type.as_bytes());
    }
    if answer.states_length() {
        content_length(out, content.len() as u64);
    }
    if let Some(date) = delivery.date {
        line(out, "Date", date.as_bytes());
    }
    for (name, value) in &answer.fields {
        line(out, name, value);
    }
    match delivery.connection {
        Connection::Keep | Connection::Upgrade => {}
        Connection::KeepExplicitly => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        Connection::Close => out.extend_from_slice(b"Connection: close\r\n"),
    }
    out.extend_from_slice(b"\r\n");
    if delivery.method == Method::Head {
        return Bytes::new();
    }
    content.clone()
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::http2;

    /// Whatever else followed on a kept connection would be read as the next answer.
    #[test]
    fn a_status_without_a_body_has_none() {
        for (status, length) in [
            (199, None),
            (204, None),
            (205, Some("0")),
            (304, None),
            (200, Some("4")),
            (404, Some("4")),
        ] {
            let answer = OwnAnswer {
                body: Bytes::from_static(b"page"),
                grpc: None,
                ..OwnAnswer::plain(status)
            };
            let delivery = Delivery {
                method: Method::Get,
                date: None,
                connection: Connection::Keep,
            };
            let mut head = Vec::new();
            let body = own(&mut head, &answer, &delivery);
            let head = String::from_utf8(head).unwrap();
            let expected: &[u8] = if length == Some("4") { b"page" } else { b"" };
            assert_eq!(body, expected, "{status}");
            assert!(head.ends_with("\r\n\r\n"), "{head}");
            let stated = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            assert_eq!(stated, length, "{status}");
            assert_eq!(head.contains("Content-Type"), !expected.is_empty(), "{status}");
            let (head, body) = http2::answer(&answer, &delivery).unwrap();
            let stated = head.headers().get("content-length");
            assert_eq!(stated.map(|value| value.to_str().unwrap()), length, "{status}");
            assert_eq!(body, expected, "{status}");
        }
    }
}
