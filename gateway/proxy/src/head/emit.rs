//! Heads as the gateway writes them: every line is either the gateway's own or has passed the grammar, and
//! hop-by-hop fields end here, in both directions (RFC 9110 7.6.1).

use door::Matched;
use http::HeaderValue;
use route::ListenerName;
use wire::{BodyFraming, Field, FieldId, Method, RequestHead, ResponseHead, Target, Version};

use crate::head::identity::Identity;
use crate::head::vouched;
use crate::refusal::phrase;
use crate::settings::Settings;
use crate::worker::date::DateClock;

/// How the response to the client ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body; `Content-Length` may state what a GET would get.
    None(Option<u64>),
    /// This many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Until the connection closes.
    UntilClose,
}

/// Writes the head of the request to the backend. `certificate` describes the client's verified one.
#[expect(
    clippy::too_many_arguments,
    reason = "a head is made of what the request, the connection and the door know"
)]
pub(crate) fn request(
    out: &mut Vec<u8>,
    head: &[u8],
    request: &RequestHead,
    identity: &Identity,
    matched: &Matched<Settings>,
    door: &ListenerName,
    certificate: Option<&str>,
    upgrade: bool,
) {
    let host = request.authority().map(|host| host.of(head)).unwrap_or_default();
    out.extend_from_slice(request.method_span.of(head));
    out.push(b' ');
    target(out, head, request);
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(host);
    out.extend_from_slice(b"\r\n");
    fields(out, head, &request.fields, |field| {
        vouched::passes(field.id, field.name.of(head), identity.trusted, &matched.settings)
            && (field.id != FieldId::MaxForwards || request.max_forwards.is_none())
            && !request.connection.names(field, &request.fields, head)
    });
    forwarded(out, head, request, identity, matched, door);
    if let Some(certificate) = certificate {
        out.extend_from_slice(b"X-Forwarded-Client-Cert: ");
        out.extend_from_slice(certificate.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    match request.framing {
        BodyFraming::Length(length) => content_length(out, length),
        BodyFraming::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        // Servers that expect content ask for a length otherwise (RFC 9110 8.6, 411).
        BodyFraming::None if matches!(request.method, Method::Post | Method::Put | Method::Patch) => {
            content_length(out, 0);
        }
        BodyFraming::None | BodyFraming::UntilClose => {}
    }
    if let Some(left) = request.max_forwards {
        out.extend_from_slice(b"Max-Forwards: ");
        number(out, left.saturating_sub(1));
        out.extend_from_slice(b"\r\n");
    }
    if request.expect_continue {
        out.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    if request.te_trailers {
        out.extend_from_slice(b"TE: trailers\r\n");
    }
    match (upgrade, request.te_trailers) {
        (true, _) => {
            upgrade_fields(out, head, &request.fields);
        }
        (false, true) => out.extend_from_slice(b"Connection: TE\r\n"),
        (false, false) => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// The target in origin-form, or `*`.
fn target(out: &mut Vec<u8>, head: &[u8], request: &RequestHead) {
    let path = request.path.of(head);
    match (path, request.target) {
        ([], Target::Asterisk) => out.push(b'*'),
        // An absolute URI with neither is the server as a whole (RFC 9112 3.2.4).
        ([], Target::Absolute { .. }) if request.method == Method::Options && request.query.is_none() => {
            out.push(b'*');
        }
        ([], _) => out.push(b'/'),
        (path, _) => out.extend_from_slice(path),
    }
    if let Some(query) = request.query {
        out.push(b'?');
        out.extend_from_slice(query.of(head));
    }
}

/// What the gateway says of the client. It comes after the client's own fields, so nothing the client names in
/// `Connection` can remove it.
fn forwarded(
    out: &mut Vec<u8>,
    head: &[u8],
    request: &RequestHead,
    identity: &Identity,
    matched: &Matched<Settings>,
    door: &ListenerName,
) {
    out.extend_from_slice(b"X-Forwarded-For: ");
    if identity.trusted && vouched::chain_counts(&matched.settings) {
        for field in request
            .fields
            .iter()
            .filter(|field| field.id == FieldId::XForwardedFor)
        {
            for hop in wire::elements(field.value.of(head)) {
                out.extend_from_slice(hop);
                out.extend_from_slice(b", ");
            }
        }
    }
    identity.write_peer(out);
    out.extend_from_slice(b"\r\nX-Real-IP: ");
    identity.write_client(out);
    out.extend_from_slice(b"\r\nX-Forwarded-Proto: ");
    out.extend_from_slice(matched.scheme.as_str().as_bytes());
    out.extend_from_slice(b"\r\nX-Forwarded-Port: ");
    number(out, u64::from(matched.forwarded_port));
    if let Some(host) = request.authority() {
        out.extend_from_slice(b"\r\nX-Forwarded-Host: ");
        out.extend_from_slice(host.of(head));
    }
    out.extend_from_slice(b"\r\nX-Request-ID: ");
    identity.request_id.write(head, out);
    out.extend_from_slice(b"\r\nX-Blastdoor-Door: ");
    out.extend_from_slice(door.as_str().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of the backend's response to the client. `clock`: where a missing `Date` comes from; interim
/// responses need none.
pub(crate) fn response(
    out: &mut Vec<u8>,
    head: &[u8],
    response: &ResponseHead,
    framing: Framing,
    connection: Connection,
    trailers: bool,
    clock: Option<&DateClock>,
) {
    status_line(out, response.status, response.reason.of(head));
    let mut dated = false;
    fields(out, head, &response.fields, |field| {
        let passes =
            passes_to_client(field.id, trailers) && !response.connection.names(field, &response.fields, head);
        dated |= passes && field.id == FieldId::Date;
        passes
    });
    if let Some(clock) = clock.filter(|_| !dated) {
        date(out, &clock.date());
    }
    match framing {
        Framing::Length(length) | Framing::None(Some(length)) => content_length(out, length),
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::None(None) | Framing::UntilClose => {}
    }
    match connection {
        Connection::Keep => {}
        Connection::KeepExplicitly => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        Connection::Close => out.extend_from_slice(b"Connection: close\r\n"),
        Connection::Upgrade => upgrade_fields(out, head, &response.fields),
    }
    out.extend_from_slice(b"\r\n");
}

/// What the gateway says of the connection to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    /// Stays open, as HTTP/1.1 does by default.
    Keep,
    /// Stays open, as an HTTP/1.0 client asked.
    KeepExplicitly,
    /// Closes after this response.
    Close,
    /// Becomes another protocol (101).
    Upgrade,
}

/// Which of the backend's fields a client sees; `trailers`: trailers may follow.
pub(crate) fn passes_to_client(id: FieldId, trailers: bool) -> bool {
    match id {
        FieldId::ContentLength
        | FieldId::TransferEncoding
        | FieldId::Connection
        | FieldId::KeepAlive
        | FieldId::ProxyConnection
        | FieldId::ProxyAuthenticate
        | FieldId::ProxyAuthorization
        | FieldId::Te
        | FieldId::Upgrade
        | FieldId::Http2Settings => false,
        FieldId::Trailer => trailers,
        FieldId::Other
        | FieldId::ContentType
        | FieldId::Date
        | FieldId::MaxForwards
        | FieldId::Host
        | FieldId::Expect
        | FieldId::Forwarded
        | FieldId::XForwardedFor
        | FieldId::XForwardedHost
        | FieldId::XForwardedProto
        | FieldId::XForwardedPort
        | FieldId::XForwardedClientCert
        | FieldId::XForwardedOther
        | FieldId::XRealIp
        | FieldId::XRequestId
        | FieldId::XBlastdoorDoor
        | FieldId::Cloudflare
        | FieldId::XAmznIdentity
        | FieldId::XGoogIdentity
        | FieldId::NobodysWord
        | FieldId::Twin => true,
    }
}

/// An interim response (1xx) other than 101.
pub(crate) fn interim(out: &mut Vec<u8>, head: &[u8], response: &ResponseHead) {
    self::response(
        out,
        head,
        response,
        Framing::None(None),
        Connection::Keep,
        false,
        None,
    );
}

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

/// How a response is framed for a client of this version.
pub(crate) fn client_framing(response: &ResponseHead, version: Version) -> Framing {
    match (response.framing, version) {
        // RFC 9110 8.6: a server must not send Content-Length with 1xx and 204.
        (BodyFraming::None, _) if matches!(response.status, 100..=199 | 204) => Framing::None(None),
        (BodyFraming::None, _) => Framing::None(response.stated_length),
        (BodyFraming::Length(length), _) => Framing::Length(length),
        (BodyFraming::Chunked | BodyFraming::UntilClose, Version::Http11) => Framing::Chunked,
        (BodyFraming::Chunked | BodyFraming::UntilClose, Version::Http10) => Framing::UntilClose,
    }
}

/// Copies the fields that `passes` says, neighbouring lines that are canonical already in one go.
fn fields(out: &mut Vec<u8>, head: &[u8], fields: &[Field], mut passes: impl FnMut(&Field) -> bool) {
    let mut run: Option<(usize, usize)> = None;
    for field in fields {
        let keep = passes(field);
        if keep && field.canonical {
            run = match run {
                Some((start, end)) if end == field.line.start() => Some((start, field.line.end())),
                Some((start, end)) => {
                    out.extend_from_slice(head.get(start..end).unwrap_or_default());
                    Some((field.line.start(), field.line.end()))
                }
                None => Some((field.line.start(), field.line.end())),
            };
            continue;
        }
        if let Some((start, end)) = run.take() {
            out.extend_from_slice(head.get(start..end).unwrap_or_default());
        }
        if keep {
            out.extend_from_slice(field.name.of(head));
            out.extend_from_slice(b": ");
            out.extend_from_slice(field.value.of(head));
            out.extend_from_slice(b"\r\n");
        }
    }
    if let Some((start, end)) = run {
        out.extend_from_slice(head.get(start..end).unwrap_or_default());
    }
}

fn upgrade_fields(out: &mut Vec<u8>, head: &[u8], fields: &[Field]) {
    out.extend_from_slice(b"Connection: Upgrade\r\n");
    for field in fields.iter().filter(|field| field.id == FieldId::Upgrade) {
        let mut start: &[u8] = b"Upgrade: ";
        for protocol in wire::elements(field.value.of(head)) {
            out.extend_from_slice(start);
            out.extend_from_slice(protocol);
            start = b", ";
        }
        if start == b", " {
            out.extend_from_slice(b"\r\n");
        }
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
