//! What a request asks for besides its target, kept when its head has left the buffer.

use std::time::Duration;

use wire::{BodyFraming, FieldId, Method, RequestHead, Version};

/// What the exchange must know of the request once its head has left the buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestTraits {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) framing: BodyFraming,
    pub(crate) persistent: bool,
    pub(crate) te_trailers: bool,
    pub(crate) expect_continue: bool,
    /// The client has got a 100 already.
    pub(crate) continued: bool,
    /// The request asks for another protocol, and the gateway forwards that.
    pub(crate) upgrade: bool,
    /// A call that may stay open for long with little traffic.
    pub(crate) grpc: bool,
}

impl RequestTraits {
    pub(crate) fn of(request: &RequestHead, head: &[u8]) -> Self {
        // Never to HTTP/2 in clear text, which would smuggle streams past the routing table.
        let other_than_h2c = request
            .fields
            .iter()
            .filter(|field| field.id == FieldId::Upgrade)
            .all(|field| {
                let mut protocols = field.value.of(head).split(|byte| *byte == b',');
                protocols.all(|protocol| {
                    !protocol
                        .trim_ascii()
                        .get(..3)
                        .is_some_and(|start| start.eq_ignore_ascii_case(b"h2c"))
                })
            });
        Self {
            grpc: is_grpc_request(request, head),
            method: request.method,
            version: request.version,
            framing: request.framing,
            persistent: request.persistent(),
            te_trailers: request.te_trailers,
            expect_continue: request.expect_continue,
            continued: false,
            upgrade: request.upgrade && other_than_h2c,
        }
    }
}

/// Whether a request is a gRPC call.
fn is_grpc_request(request: &RequestHead, head: &[u8]) -> bool {
    let mut fields = request.fields.iter();
    fields.any(|field| field.id == FieldId::ContentType && is_grpc(field.value.of(head)))
}

/// `application/grpc`, alone or with a message format (gRPC over HTTP/2, "Requests").
pub(crate) fn is_grpc(content_type: &[u8]) -> bool {
    let Some((kind, rest)) = content_type.split_at_checked(b"application/grpc".len()) else {
        return false;
    };
    kind.eq_ignore_ascii_case(b"application/grpc") && matches!(rest, [] | [b'+' | b';', ..])
}

/// How long a gRPC call may take (gRPC over HTTP/2, "Timeout"): at most eight digits and a unit.
pub(crate) fn grpc_timeout(request: &RequestHead, head: &[u8]) -> Option<Duration> {
    let field = request
        .fields
        .iter()
        .find(|field| field.name.of(head).eq_ignore_ascii_case(b"grpc-timeout"))?;
    let (unit, digits) = field.value.of(head).split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}
