//! The request that goes to a backend.

use http::{Method, Request, Uri, Version};
use route::ListenerName;
use wire::{BodyFraming, Field, FieldId, RequestHead, Target};

use super::text::{END, copied, number, upgrade};
use super::{Lines, Map, OwnField, RequestEdits};
use crate::head::identity::Identity;
use crate::head::trace::Trace;
use crate::head::vouched;
use crate::refusal::Refusal;
use crate::settings::Settings;

/// A client's request as its backend will see it: every line is either the gateway's own or has passed the grammar, and
/// hop-by-hop fields are removed (RFC 9110 7.6.1).
pub(crate) struct RequestDraft<'a> {
    pub(crate) head: &'a [u8],
    pub(crate) request: &'a RequestHead,
    pub(crate) edits: &'a RequestEdits,
    pub(crate) forwarded: Forwarded<'a>,
    /// The request for another protocol is forwarded.
    pub(crate) upgrade: bool,
}

/// What the gateway says about the client, and what decides which of the client's fields pass.
pub(crate) struct Forwarded<'a> {
    pub(crate) identity: &'a Identity,
    /// Which trace it belongs to; `None` at a door without traces.
    pub(crate) trace: Option<&'a Trace>,
    pub(crate) settings: &'a Settings,
    pub(crate) scheme: &'static str,
    /// The port that clients use.
    pub(crate) port: u16,
    pub(crate) door: &'a ListenerName,
    /// The client's verified certificate, described.
    pub(crate) certificate: Option<&'a str>,
}

static X_FORWARDED_FOR: OwnField = OwnField::new("\r\nX-Forwarded-For: ", "x-forwarded-for");
static X_REAL_IP: OwnField = OwnField::new("\r\nX-Real-IP: ", "x-real-ip");
static X_FORWARDED_PROTO: OwnField = OwnField::new("\r\nX-Forwarded-Proto: ", "x-forwarded-proto");
static X_FORWARDED_PORT: OwnField = OwnField::new("\r\nX-Forwarded-Port: ", "x-forwarded-port");
static X_FORWARDED_HOST: OwnField = OwnField::new("\r\nX-Forwarded-Host: ", "x-forwarded-host");
static X_REQUEST_ID: OwnField = OwnField::new("\r\nX-Request-ID: ", "x-request-id");
static X_BLASTDOOR_DOOR: OwnField = OwnField::new("\r\nX-Blastdoor-Door: ", "x-blastdoor-door");
static X_FORWARDED_CLIENT_CERT: OwnField =
    OwnField::new("\r\nX-Forwarded-Client-Cert: ", "x-forwarded-client-cert");
static TRACEPARENT: OwnField = OwnField::new("\r\ntraceparent: ", "traceparent");
static CONTENT_LENGTH: OwnField = OwnField::new("\r\nContent-Length: ", "content-length");
static MAX_FORWARDS: OwnField = OwnField::new("\r\nMax-Forwards: ", "max-forwards");
static EXPECT: OwnField = OwnField::new("\r\nExpect: ", "expect");
static TE: OwnField = OwnField::new("\r\nTE: ", "te");

/// All of them.
#[cfg(test)]
pub(super) static OWN: [&OwnField; 13] = [
    &X_FORWARDED_FOR,
    &X_REAL_IP,
    &X_FORWARDED_PROTO,
    &X_FORWARDED_PORT,
    &X_FORWARDED_HOST,
    &X_REQUEST_ID,
    &X_BLASTDOOR_DOOR,
    &X_FORWARDED_CLIENT_CERT,
    &TRACEPARENT,
    &CONTENT_LENGTH,
    &MAX_FORWARDS,
    &EXPECT,
    &TE,
];

impl RequestDraft<'_> {
    /// Writes the head as HTTP/1 text.
    pub(crate) fn write_http1(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method());
        out.push(b' ');
        self.write_target(out);
        out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        out.extend_from_slice(self.host());
        let removed = self.edits.fields.removed_lengths();
        copied(out, self.head, &self.request.fields, |field| {
            self.passes(field, removed)
        });
        self.own_fields(out, removed);
        match (self.upgrade, self.request.te_trailers) {
            (true, _) => upgrade(out, self.head, &self.request.fields),
            (false, true) => out.extend_from_slice(b"\r\nConnection: TE"),
            (false, false) => {}
        }
        out.extend_from_slice(END);
    }

    /// The head as HTTP/2 sends it.
    pub(crate) fn to_http2(&self, scheme: &'static str) -> Result<Request<()>, Refusal> {
        if self.host().is_empty() {
            return Err(Refusal::HostMissing);
        }
        self.as_http2(scheme).ok_or(Refusal::NotForHttp2)
    }

    fn as_http2(&self, scheme: &'static str) -> Option<Request<()>> {
        let mut target = Vec::new();
        self.write_target(&mut target);
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(self.host())
            .path_and_query(target.as_slice())
            .build()
            .ok()?;
        let fields = &self.request.fields;
        let mut map = Map::with_capacity(fields.len() + 12, self.head.len() + 256);
        let removed = self.edits.fields.removed_lengths();
        for field in fields.iter().filter(|field| self.passes(field, removed)) {
            map.copied(field.name.of(self.head), field.value.of(self.head))?;
        }
        self.own_fields(&mut map, removed);
        let mut request = Request::new(());
        *request.method_mut() = Method::from_bytes(self.method()).ok()?;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri;
        *request.headers_mut() = map.into_headers()?;
        Some(request)
    }

    /// Whether it tells the backend the gateway's own trace. No edit has set another one in its place.
    pub(crate) fn names_trace(&self) -> bool {
        let removed = self.edits.fields.removed_lengths();
        let name = TRACEPARENT.name.as_str().as_bytes();
        self.forwarded.trace.is_some() && !self.edits.fields.removes_one_of(removed, name)
    }

    fn method(&self) -> &[u8] {
        match &self.edits.method {
            Some(method) => method.as_str().as_bytes(),
            None => self.request.method_span.of(self.head),
        }
    }

    fn host(&self) -> &[u8] {
        match (&self.edits.host, self.request.authority()) {
            (Some(host), _) => host.as_str().as_bytes(),
            (None, Some(authority)) => authority.of(self.head),
            (None, None) => &[],
        }
    }

    /// The target in origin-form, or `*`.
    fn write_target(&self, out: &mut Vec<u8>) {
        if let Some(target) = &self.edits.target {
            out.extend_from_slice(target.as_str().as_bytes());
            return;
        }
        let request = self.request;
        match (request.path.of(self.head), request.target) {
            ([], Target::Asterisk) => out.push(b'*'),
            // An absolute URI with neither is the server as a whole (RFC 9112 3.2.4).
            ([], Target::Absolute { .. })
                if request.method == wire::Method::Options && request.query.is_none() =>
            {
                out.push(b'*');
            }
            ([], _) => out.push(b'/'),
            (path, _) => out.extend_from_slice(path),
        }
        if let Some(query) = request.query {
            out.push(b'?');
            out.extend_from_slice(query.of(self.head));
        }
    }

    /// Whether a client's field is forwarded. `removed`: the lengths of names that edits remove.
    fn passes(&self, field: &Field, removed: u64) -> bool {
        let (request, forwarded) = (self.request, &self.forwarded);
        let name = field.name.of(self.head);
        vouched::passes(field.id, name, forwarded.identity.trusted, forwarded.settings)
            && (field.id != FieldId::MaxForwards || request.max_forwards.is_none())
            && !request.connection.names(field, self.head)
            && !self.edits.fields.removes_one_of(removed, name)
            && !forwarded.trace.is_some_and(|trace| trace.replaces(name))
    }

    /// The gateway's own fields. They come after the client's, so nothing that the client names in `Connection` can remove
    /// them. `removed`: the lengths of names that edits remove.
    fn own_fields(&self, lines: &mut impl Lines, removed: u64) {
        self.forwarded_fields(lines, removed);
        let method = match &self.edits.method {
            Some(method) => wire::Method::of(method.as_str().as_bytes()),
            None => self.request.method,
        };
        match self.edits.framing.unwrap_or(self.request.framing) {
            BodyFraming::Length(length) => lines.field(&CONTENT_LENGTH, |out| number(out, length)),
            BodyFraming::Chunked => lines.of_connection("\r\nTransfer-Encoding: chunked"),
            // Otherwise servers that expect content ask for a length (RFC 9110 8.6, 411).
            BodyFraming::None
                if matches!(
                    method,
                    wire::Method::Post | wire::Method::Put | wire::Method::Patch
                ) =>
            {
                lines.field(&CONTENT_LENGTH, |out| out.push(b'0'));
            }
            BodyFraming::None | BodyFraming::UntilClose => {}
        }
        if let Some(left) = self.request.max_forwards {
            lines.field(&MAX_FORWARDS, |out| number(out, left.saturating_sub(1)));
        }
        if self.request.expect_continue {
            lines.field(&EXPECT, |out| out.extend_from_slice(b"100-continue"));
        }
        if self.request.te_trailers {
            lines.field(&TE, |out| out.extend_from_slice(b"trailers"));
        }
        for (name, value) in &self.edits.fields.added {
            lines.added(name, value);
        }
    }

    /// What the gateway says about the client, as far as no edit says something else.
    fn forwarded_fields(&self, lines: &mut impl Lines, removed: u64) {
        let edits = &*self.edits.fields;
        let stays = |field: &OwnField| !edits.removes_one_of(removed, field.name.as_str().as_bytes());
        let Forwarded {
            identity,
            trace,
            settings,
            scheme,
            port,
            door,
            certificate,
        } = self.forwarded;
        if stays(&X_FORWARDED_FOR) {
            lines.field(&X_FORWARDED_FOR, |out| {
                if identity.trusted && vouched::chain_counts(settings) {
                    self.write_hops(out);
                }
                identity.write_peer(out);
            });
        }
        if stays(&X_REAL_IP) {
            lines.field(&X_REAL_IP, |out| identity.write_client(out));
        }
        if stays(&X_FORWARDED_PROTO) {
            lines.field(&X_FORWARDED_PROTO, |out| out.extend_from_slice(scheme.as_bytes()));
        }
        if stays(&X_FORWARDED_PORT) {
            lines.field(&X_FORWARDED_PORT, |out| number(out, u64::from(port)));
        }
        if let Some(host) = self.request.authority()
            && stays(&X_FORWARDED_HOST)
        {
            lines.field(&X_FORWARDED_HOST, |out| {
                out.extend_from_slice(host.of(self.head));
            });
        }
        if stays(&X_REQUEST_ID) {
            lines.field(&X_REQUEST_ID, |out| identity.request_id.write(self.head, out));
        }
        lines.field(&X_BLASTDOOR_DOOR, |out| {
            out.extend_from_slice(door.as_str().as_bytes());
        });
        if let Some(trace) = trace
            && stays(&TRACEPARENT)
        {
            lines.field(&TRACEPARENT, |out| trace.context.write(out));
        }
        if let Some(certificate) = certificate {
            lines.field(&X_FORWARDED_CLIENT_CERT, |out| {
                out.extend_from_slice(certificate.as_bytes());
            });
        }
    }

    /// The hops before the peer, each with a comma after it.
    fn write_hops(&self, out: &mut Vec<u8>) {
        let fields = self.request.fields.iter();
        for field in fields.filter(|field| field.id == FieldId::XForwardedFor) {
            for hop in wire::elements(field.value.of(self.head)) {
                out.extend_from_slice(hop);
                out.extend_from_slice(b", ");
            }
        }
    }
}
