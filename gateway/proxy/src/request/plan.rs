//! How a request goes to its backend: computed once, and the same for each attempt.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use door::{BackendHost, Matched, Upstream, UpstreamProtocol};
use http::Uri;
use wire::{BodyFraming, FieldId, RequestHead};

use crate::exchange::relay::Relay;
use crate::exchange::{ExchangeTimeouts, STREAM_IDLE};
use crate::head::draft::{Forwarded, RequestDraft, UNEDITED};
use crate::head::identity::Identity;
use crate::head::traits::{RequestTraits, grpc_timeout};
use crate::head::vouched;
use crate::refusal::Refusal;
use crate::request::body_limit::body_limit;
use crate::request::course::Course;
use crate::request::record::Record;
use crate::request::reply::Reply;
use crate::request::requester::Requester;
use crate::settings::Settings;
use crate::stream::body::Sink;
use crate::stream::trailer_limits::TrailerLimits;
use crate::upstream::Asker;
use crate::worker::buffers::Scratch;
use crate::worker::clients::Client;

/// A decided request, ready to be sent.
pub(crate) struct Plan {
    pub(crate) matched: Matched<Settings>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) traits: RequestTraits,
    pub(crate) timeouts: ExchangeTimeouts,
    /// For a connection to an endpoint.
    pub(crate) connect_timeout: Duration,
    /// The head for a backend that speaks HTTP/2; for any other it waits in the buffer.
    pub(crate) message: Option<Box<http::Request<()>>>,
    /// The head has a `traceparent`, and it is the gateway's own, not that of a filter or of a client.
    pub(crate) names_trace: bool,
    /// Whose places on shared connections it takes.
    pub(crate) asker: Asker,
    /// The filters that the request has passed, through which its response passes too.
    pub(crate) course: Option<Box<Course>>,
    /// The body on its way to the backend.
    pub(crate) upload: Relay,
}

/// The protocols of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pairing {
    /// HTTP/1 on both.
    Http1,
    /// HTTP/1 from the client, HTTP/2 to the backend.
    Http1ToHttp2 { scheme: &'static str },
    /// HTTP/2 from the client, HTTP/1 to the backend.
    Http2ToHttp1,
    /// HTTP/2 on both.
    Http2 { scheme: &'static str },
}

impl Plan {
    /// Plans how the request whose head is the first `length` bytes of the client's buffer goes to `upstream`, and writes
    /// the head for it.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is borrowed or moved on its own, and this is the one place where they meet"
    )]
    pub(crate) fn new(
        matched: Matched<Settings>,
        upstream: Arc<Upstream>,
        identity: &Identity,
        requester: &Requester<'_>,
        scratch: &mut Scratch,
        length: usize,
        record: &Record,
        course: Option<Box<Course>>,
    ) -> Result<Self, Reply> {
        let Scratch {
            from_client,
            to_upstream,
            request,
            protocols,
            ..
        } = scratch;
        let head = from_client.filled().get(..length).unwrap_or_default();
        let pairing = Pairing::of(requester, &upstream.protocol);
        let mut traits = RequestTraits::of(request, head);
        traits.upgrade = match pairing.upgrades(request, &traits) {
            Ok(upgrades) => upgrades,
            Err(refusal) => return Err(edited(refusal, course.as_deref())),
        };
        if traits.upgrade {
            protocols.clear();
            for field in request.fields.iter().filter(|field| field.id == FieldId::Upgrade) {
                protocols.extend_from_slice(field.value.of(head));
                protocols.push(b',');
            }
        }
        // gRPC needs HTTP/2 on both sides. Otherwise its content type does not extend timeouts.
        traits.grpc &= matches!(pairing, Pairing::Http2 { .. });
        let until = traits
            .grpc
            .then(|| grpc_timeout(request, head))
            .flatten()
            .and_then(|timeout| record.started().checked_add(timeout));
        let draft = RequestDraft {
            head,
            request,
            edits: course.as_ref().map_or(&UNEDITED, |course| &course.edits),
            forwarded: Forwarded {
                identity,
                trace: record.tracing.as_ref(),
                settings: &matched.settings,
                scheme: matched.scheme.as_str(),
                port: matched.forwarded_port,
                door: requester.server.worker.door.name(),
                certificate: requester.downstream.certificate(),
            },
            upgrade: traits.upgrade,
        };
        let names_trace = draft.names_trace();
        to_upstream.clear();
        let message = match pairing.backend_scheme() {
            Some(scheme) => match draft.to_http2(scheme) {
                Ok(message) => Some(Box::new(message)),
                Err(refusal) => return Err(edited(refusal, course.as_deref())),
            },
            None => {
                draft.write_http1(to_upstream);
                None
            }
        };
        Ok(Self {
            timeouts: timeouts(&matched, &traits, until),
            connect_timeout: matched
                .route
                .tuning
                .connect
                .unwrap_or(matched.settings.timeouts.connect),
            asker: match message {
                Some(_) => asker(&matched.settings, identity),
                // Each request has a connection of its own, and a client many requests.
                None if requester.stream.is_http2() && requester.server.worker.backends_are_scarce() => {
                    asker(&matched.settings, identity)
                }
                None => Asker::unknown(),
            },
            upload: pairing.upload(&matched, &traits, course.as_deref()),
            course,
            matched,
            upstream,
            traits,
            message,
            names_trace,
        })
    }

    /// Has the head name the endpoint as its host, where the route asks for that.
    pub(crate) fn name_endpoint(&mut self, endpoint: SocketAddr, head: &mut Vec<u8>) {
        let text = match self.course.as_ref().and_then(|course| course.host()) {
            None => return,
            Some(BackendHost::Endpoint) => Cow::Owned(endpoint.to_string()),
            Some(BackendHost::Name(name)) => Cow::Borrowed(&**name),
        };
        match &mut self.message {
            Some(message) => {
                let mut parts = message.uri().clone().into_parts();
                parts.authority = text.parse().ok();
                if let Ok(uri) = Uri::from_parts(parts) {
                    *message.uri_mut() = uri;
                }
            }
            None => write_host(head, text.as_bytes()),
        }
    }

    /// Nothing follows the head of the request.
    pub(crate) fn is_bodiless(&self) -> bool {
        is_bodiless(self.traits.framing)
    }
}

impl Pairing {
    fn of(requester: &Requester<'_>, protocol: &UpstreamProtocol) -> Self {
        let scheme = match protocol {
            UpstreamProtocol::H2c => Some("http"),
            UpstreamProtocol::Tls(tls) if tls.h2 => Some("https"),
            UpstreamProtocol::Http1 | UpstreamProtocol::Tls(_) => None,
        };
        match (requester.stream.is_http2(), scheme) {
            (false, None) => Self::Http1,
            (false, Some(scheme)) => Self::Http1ToHttp2 { scheme },
            (true, None) => Self::Http2ToHttp1,
            (true, Some(scheme)) => Self::Http2 { scheme },
        }
    }

    /// The scheme in an HTTP/2 head, if the backend speaks HTTP/2.
    fn backend_scheme(self) -> Option<&'static str> {
        match self {
            Self::Http1 | Self::Http2ToHttp1 => None,
            Self::Http1ToHttp2 { scheme } | Self::Http2 { scheme } => Some(scheme),
        }
    }

    /// Whether the backend is asked for another protocol.
    fn upgrades(self, request: &RequestHead, traits: &RequestTraits) -> Result<bool, Refusal> {
        match self {
            Self::Http1 => Ok(traits.upgrade),
            // HTTP/2 has no upgrade.
            Self::Http1ToHttp2 { .. } => Ok(false),
            // A stream that asks for a WebSocket can become nothing else (RFC 8441 5).
            Self::Http2ToHttp1 if request.upgrade && !(traits.upgrade && is_bodiless(request.framing)) => {
                Err(Refusal::Protocol)
            }
            Self::Http2ToHttp1 => Ok(traits.upgrade),
            Self::Http2 { .. } if request.upgrade => Err(Refusal::Protocol),
            Self::Http2 { .. } => Ok(false),
        }
    }

    /// How the body goes from one side to the other.
    fn upload(self, matched: &Matched<Settings>, traits: &RequestTraits, course: Option<&Course>) -> Relay {
        let settings = &matched.settings;
        let source = match (self, traits.framing) {
            // The head to the backend says that nothing follows.
            (_, BodyFraming::Length(0)) => BodyFraming::None,
            // The end of the stream counts, and trailers may come before it. If a length is forwarded there is no room for
            // them, and the backend may answer before the end has arrived.
            (Self::Http2 { .. }, BodyFraming::Length(_) | BodyFraming::Chunked)
            | (Self::Http2ToHttp1, BodyFraming::Chunked) => BodyFraming::UntilClose,
            (_, framing) => framing,
        };
        let sink = match (self, traits.framing) {
            (Self::Http1ToHttp2 { .. } | Self::Http2 { .. }, _) => Sink::Frames,
            (Self::Http1 | Self::Http2ToHttp1, BodyFraming::Chunked) => Sink::Chunked { trailers: true },
            (Self::Http1 | Self::Http2ToHttp1, _) => Sink::Plain,
        };
        let limit = body_limit(&matched.route, settings).unwrap_or(u64::MAX);
        Relay::new(source, sink, limit, TrailerLimits::of(&settings.limits))
            .without_trailer(vouched::never_trails(settings))
            .without_trailers_of(course.map_or(&UNEDITED, |course| &course.edits))
    }
}

/// Replaces the host in the head of a request to an HTTP/1 backend: its first field.
fn write_host(head: &mut Vec<u8>, host: &[u8]) {
    const NAME: &[u8] = b"\r\nHost: ";
    let start = head.windows(NAME.len()).position(|window| window == NAME);
    let Some(start) = start.map(|start| start + NAME.len()) else {
        return;
    };
    let rest = head.get(start..).unwrap_or_default();
    if let Some(length) = rest.windows(2).position(|window| window == b"\r\n") {
        head.splice(start..start + length, host.iter().copied());
    }
}

/// Whose requests share a bound. A load balancer that names no client stands for any number of them.
fn asker(settings: &Settings, identity: &Identity) -> Asker {
    let is_known = !settings.trusted.contains(identity.client);
    Asker {
        client: is_known.then(|| Client::of(identity.client)),
        share: settings.limits.client_share,
    }
}

/// How long each step of the exchange may take.
fn timeouts(matched: &Matched<Settings>, traits: &RequestTraits, until: Option<Instant>) -> ExchangeTimeouts {
    let timeouts = &matched.settings.timeouts;
    let tuning = &matched.route.tuning;
    // A gRPC call may stay open and silent in both directions, and has its own deadline.
    let or = |timeout: Duration| if traits.grpc { STREAM_IDLE } else { timeout };
    ExchangeTimeouts {
        body_idle: tuning.body_idle.unwrap_or(or(timeouts.body_idle)),
        write_stall: timeouts.write_stall,
        response_head: tuning.response_idle.unwrap_or(or(timeouts.response_head)),
        response_idle: tuning.response_idle.unwrap_or(or(timeouts.response_idle)),
        until,
    }
}

fn is_bodiless(framing: BodyFraming) -> bool {
    matches!(framing, BodyFraming::None | BodyFraming::Length(0))
}

/// A refusal, as the filters that the request has passed change it.
fn edited(refusal: Refusal, course: Option<&Course>) -> Reply {
    match course {
        Some(course) => course.edit(refusal.into()),
        None => refusal.into(),
    }
}
