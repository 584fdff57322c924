//! The response that goes to a client.

use http::{Response, StatusCode, Version};
use wire::{BodyFraming, Field, FieldId, ResponseHead};

use super::text::{END, copied, number, upgrade};
use super::{FieldEdits, Lines, Map, OwnField};
use crate::worker::date::DateClock;

/// A backend's response as its client will see it.
pub(crate) struct ResponseDraft<'a> {
    pub(crate) head: &'a [u8],
    pub(crate) response: &'a ResponseHead,
    pub(crate) edits: &'a FieldEdits,
    pub(crate) framing: Framing,
    /// Only for HTTP/1.
    pub(crate) connection: Connection,
    /// Trailers may follow.
    pub(crate) trailers: bool,
    /// Where a missing `Date` comes from; interim responses need none.
    pub(crate) clock: Option<&'a DateClock>,
}

/// How the response to the client ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body; `Content-Length` may state the length that a GET would have.
    None(Option<u64>),
    /// This many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Until the connection closes.
    UntilClose,
}

/// What the gateway says about the connection to the client.
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

static DATE: OwnField = OwnField::new("\r\nDate: ", "date");
static CONTENT_LENGTH: OwnField = OwnField::new("\r\nContent-Length: ", "content-length");

/// All of them.
#[cfg(test)]
pub(super) static OWN: [&OwnField; 2] = [&DATE, &CONTENT_LENGTH];

/// How a response is framed for a client of this version.
pub(crate) fn client_framing(response: &ResponseHead, version: wire::Version) -> Framing {
    match (response.framing, version) {
        // RFC 9110 8.6: a server must not send Content-Length with 1xx and 204.
        (BodyFraming::None, _) if matches!(response.status, 100..=199 | 204) => Framing::None(None),
        (BodyFraming::None, _) => Framing::None(response.stated_length),
        (BodyFraming::Length(length), _) => Framing::Length(length),
        (BodyFraming::Chunked | BodyFraming::UntilClose, wire::Version::Http11) => Framing::Chunked,
        (BodyFraming::Chunked | BodyFraming::UntilClose, wire::Version::Http10) => Framing::UntilClose,
    }
}

impl ResponseDraft<'_> {
    /// Writes the head as HTTP/1 text.
    pub(crate) fn write_http1(&self, out: &mut Vec<u8>) {
        let response = self.response;
        out.extend_from_slice(b"HTTP/1.1 ");
        number(out, u64::from(response.status));
        out.push(b' ');
        out.extend_from_slice(response.reason.of(self.head));
        let mut dated = false;
        let removed = self.edits.removed_lengths();
        copied(out, self.head, &response.fields, |field| {
            let passes = self.passes(field, self.trailers, removed);
            dated |= passes && field.id == FieldId::Date;
            passes
        });
        self.own_fields(out, dated);
        match self.connection {
            Connection::Keep => {}
            Connection::KeepExplicitly => out.extend_from_slice(b"\r\nConnection: keep-alive"),
            Connection::Close => out.extend_from_slice(b"\r\nConnection: close"),
            Connection::Upgrade => upgrade(out, self.head, &response.fields),
        }
        out.extend_from_slice(END);
    }

    /// The head as HTTP/2 sends it; `None` if HTTP/2 cannot express it.
    pub(crate) fn to_http2(&self) -> Option<Response<()>> {
        let response = self.response;
        let is_upgrade = response.status == 101;
        let mut map = Map::with_capacity(response.fields.len() + 2, self.head.len() + 64);
        let mut dated = false;
        let removed = self.edits.removed_lengths();
        for field in &response.fields {
            let name = field.name.of(self.head);
            // The handshake of an upgrade exists only in HTTP/1 (RFC 8441 5).
            let is_handshake = is_upgrade && name.eq_ignore_ascii_case(b"sec-websocket-accept");
            if self.passes(field, true, removed) && !is_handshake {
                dated |= field.id == FieldId::Date;
                map.copied(name, field.value.of(self.head))?;
            }
        }
        self.own_fields(&mut map, dated);
        let mut draft = Response::new(());
        // A 101 of HTTP/1 is a 200 on an HTTP/2 stream (RFC 8441 5).
        *draft.status_mut() = StatusCode::from_u16(if is_upgrade { 200 } else { response.status }).ok()?;
        *draft.version_mut() = Version::HTTP_2;
        *draft.headers_mut() = map.into_headers()?;
        Some(draft)
    }

    /// Whether nothing follows the head, for a transport that ends messages by itself.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.framing, Framing::None(_) | Framing::Length(0)) && self.response.status != 101
    }

    /// Whether the client sees a field. `removed`: the lengths of names that edits remove.
    fn passes(&self, field: &Field, trailers: bool, removed: u64) -> bool {
        let response = self.response;
        passes_to_client(field.id, trailers)
            && !response.connection.names(field, self.head)
            && !self.edits.removes_one_of(removed, field.name.of(self.head))
    }

    fn own_fields(&self, lines: &mut impl Lines, dated: bool) {
        let dated = dated || self.edits.adds(&DATE.name);
        if let Some(clock) = self.clock.filter(|_| !dated) {
            lines.field(&DATE, |out| out.extend_from_slice(clock.date().as_bytes()));
        }
        match self.framing {
            Framing::Length(length) | Framing::None(Some(length)) => {
                lines.field(&CONTENT_LENGTH, |out| number(out, length));
            }
            Framing::Chunked => lines.of_connection("\r\nTransfer-Encoding: chunked"),
            Framing::None(None) | Framing::UntilClose => {}
        }
        for (name, value) in &self.edits.added {
            lines.added(name, value);
        }
    }
}

/// Which of the backend's fields a client sees; `trailers`: trailers may follow.
fn passes_to_client(id: FieldId, trailers: bool) -> bool {
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
