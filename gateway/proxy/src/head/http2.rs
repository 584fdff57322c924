//! HTTP/2 heads as HTTP/1 text, and back.

use bytes::Bytes;
use h2::ext::Protocol;
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, COOKIE, DATE, HOST, HeaderMap, SEC_WEBSOCKET_KEY, TRANSFER_ENCODING,
};
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, Version, request, response};
use wire::RequestError;

use crate::head::authority::same_authority;
use crate::head::emit::{Delivery, OwnAnswer};
use crate::head::status::phrase;
use crate::refusal::Refusal;
use crate::worker::read_buffer::ReadBuffer;

/// Writes a client's request as an HTTP/1 head, for the strict parser to judge. `ends`: no body follows.
///
/// `:authority` becomes `Host`; a `Host` beside it must name the same host and port (RFC 9113 8.3.1). `Cookie` fields are
/// joined (RFC 9113 8.2.3), and an extended CONNECT for `websocket` (RFC 8441) becomes the upgrade that backends know.
pub(crate) fn write_request(parts: &request::Parts, ends: bool, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let protocol = parts.extensions.get::<Protocol>();
    let websocket = match protocol {
        Some(protocol) if protocol.as_str().eq_ignore_ascii_case("websocket") => true,
        Some(_) => return Err(Refusal::Protocol),
        None => false,
    };
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let method = if websocket { "GET" } else { parts.method.as_str() };
    line(out, &[method.as_bytes(), b" "]);
    match (
        parts.uri.path_and_query(),
        websocket || parts.method != Method::CONNECT,
    ) {
        (Some(target), true) => out.extend_from_slice(target.as_str().as_bytes()),
        (None, true) => {}
        (_, false) => out.extend_from_slice(authority.unwrap_or_default().as_bytes()),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = authority {
        line(out, &[b"host: ", authority.as_bytes(), b"\r\n"]);
        let mut hosts = parts.headers.get_all(HOST).iter();
        if let Some(host) = hosts.next() {
            let port = if parts.uri.scheme() == Some(&Scheme::HTTPS) {
                443
            } else {
                80
            };
            same_authority(authority.as_bytes(), host.as_bytes(), port)?;
        }
        if hosts.next().is_some() {
            return Err(Refusal::Head(RequestError::DuplicateHost));
        }
    }
    for (name, value) in &parts.headers {
        let own_key = websocket && *name == SEC_WEBSOCKET_KEY;
        let skipped = own_key
            || (*name == HOST && authority.is_some())
            || *name == COOKIE
            || *name == TRANSFER_ENCODING;
        if !skipped {
            line(out, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
    }
    let mut cookies = parts.headers.get_all(COOKIE).iter();
    if let Some(first) = cookies.next() {
        line(out, &[b"cookie: ", first.as_bytes()]);
        for crumb in cookies {
            line(out, &[b"; ", crumb.as_bytes()]);
        }
        out.extend_from_slice(b"\r\n");
    }
    if websocket {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ");
        websocket_key(out);
        out.extend_from_slice(b"\r\n");
    } else if !ends && !parts.headers.contains_key(CONTENT_LENGTH) {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// How many fields a head has. Split cookies count as one field (RFC 9113 8.2.3): browsers send each of up to 180 cookies
/// separately, and their total size is limited in bytes.
pub(crate) fn field_count(headers: &HeaderMap) -> usize {
    let crumbs = headers.get_all(COOKIE).iter().count();
    headers.len() - crumbs.saturating_sub(1)
}

/// Writes a backend's response as an HTTP/1 head, for the strict parser to judge. Of a head with more than `limit` bytes
/// only the beginning, because the parser refuses it by that.
pub(crate) fn write_response(parts: &response::Parts, limit: usize, out: &mut ReadBuffer) {
    for part in [b"HTTP/1.1 ", parts.status.as_str().as_bytes(), b" \r\n"] {
        out.load(part);
    }
    for (name, value) in &parts.headers {
        if out.len() > limit {
            return;
        }
        if *name != TRANSFER_ENCODING {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                out.load(part);
            }
        }
    }
    out.load(b"\r\n");
}

/// An answer of the gateway's own: its head and its body. A gRPC client gets it as a head only (gRPC over HTTP/2,
/// "Trailers-Only").
pub(crate) fn answer(answer: &OwnAnswer, delivery: &Delivery<'_>) -> http::Result<(Response<()>, Bytes)> {
    let mut head = Response::new(());
    *head.version_mut() = Version::HTTP_2;
    let date = delivery.date.map(|date| (DATE, date.clone()));
    if let Some(status) = answer.grpc {
        let headers = head.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from(u16::from(status)));
        headers.insert("grpc-message", HeaderValue::from_static(phrase(answer.status)));
        headers.extend(date);
        further(headers, answer)?;
        return Ok((head, Bytes::new()));
    }
    *head.status_mut() = StatusCode::from_u16(answer.status)?;
    let headers = head.headers_mut();
    let content = answer.content();
    if !content.is_empty() && !answer.media_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(&answer.media_type)?);
    }
    if answer.states_length() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
    }
    headers.extend(date);
    further(headers, answer)?;
    if delivery.method == wire::Method::Head {
        return Ok((head, Bytes::new()));
    }
    Ok((head, content.clone()))
}

fn further(headers: &mut HeaderMap, answer: &OwnAnswer) -> http::Result<()> {
    for (name, value) in &answer.fields {
        let name = HeaderName::from_bytes(name.as_bytes())?;
        headers.append(name, HeaderValue::from_bytes(value)?);
    }
    Ok(())
}

fn line(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Sixteen random bytes in base64 (RFC 6455 4.1). Their quality does not matter: the gateway must send some, but checks no
/// answer with them.
fn websocket_key(out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u128| ALPHABET.get((bits & 63) as usize).copied().unwrap_or(b'A');
    let random = fastrand::u128(..);
    out.extend((0..21).map(|index| digit(random >> (index * 6))));
    // 128 bits are 21 digits and two bits, which the last digit contains.
    out.push(digit((random >> 126) << 4));
    out.extend_from_slice(b"==");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::memory::Memory;
    use wire::{HeadLimits, ResponseHead, ResponseTo};

    #[test]
    fn of_a_response_head_that_is_too_long_only_the_beginning_is_written() {
        let limits = HeadLimits {
            bytes: 32 * 1024,
            fields: 100,
            target_bytes: 0,
        };
        // Each field takes the backend a byte or two.
        for (fields, length, expected) in [(20, 100, true), (20_000, 0, false), (40, 1000, false)] {
            let mut head = Response::new(());
            let value = HeaderValue::from_str(&"x".repeat(length)).unwrap();
            for _ in 0..fields {
                head.headers_mut().append("a", value.clone());
            }
            let (parts, ()) = head.into_parts();
            let mut out = ReadBuffer::new(&Memory::of_tests());
            write_response(&parts, limits.bytes, &mut out);
            let parsed = ResponseHead::new().parse(out.filled(), &limits, ResponseTo::Other);
            assert_eq!(matches!(parsed, Ok(Some(_))), expected, "{parsed:?}");
            assert!(out.len() <= limits.bytes + length + 5, "{}", out.len());
        }
    }
}
