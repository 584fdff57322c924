//! Every way in which a request can end other than with the backend's own answer, and the consequences: one exhaustive
//! table, so that no failure gets a status by accident.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use wire::{ChunkError, RequestError};

use crate::observe::labels::Reason;
use crate::worker::deadlines::TICK;

/// Whose fault an ended exchange is. Errors of the client never count against a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Gateway,
    Upstream,
}

/// Why a request was not answered by its backend, or not completely.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The head does not parse.
    Head(RequestError),
    /// The client did not finish its head in time.
    HeadTimeout,
    /// `Host`, `:authority` or the absolute target's authority is not a host.
    Host(route::HostError),
    /// The absolute target and `Host` disagree.
    HostMismatch,
    /// The path cannot be matched safely.
    Path(route::PathError),
    /// CONNECT and TRACE are not supported.
    Method,
    /// A request without a host, for a backend whose protocol requires one.
    HostMissing,
    /// A target that HTTP/2 libraries do not accept, for a backend that speaks HTTP/2.
    NotForHttp2,
    /// An extended CONNECT for a protocol that the gateway does not forward (RFC 8441).
    Protocol,
    /// The TLS handshake was for another host, whose certificate or client-auth policy differs (RFC 9110 15.5.20).
    Misdirected,
    /// The connection lacks what the door now requires: TLS, a client certificate, a PROXY header.
    Outdated,
    /// No rule matches.
    NoRoute,
    /// The door has no table yet.
    NotSynced,
    /// The rule is closed.
    Blocked,
    /// No endpoint takes requests.
    NoEndpoint,
    /// The body is malformed.
    Body(ChunkError),
    /// The trailers of a request over HTTP/2 have fields that only a head may have.
    Trailers,
    /// The body is larger than the door or route allows.
    BodyTooLarge,
    /// The trailers of the request exceed the limits of a head.
    TrailersTooLarge,
    /// The client stopped sending its body.
    BodyTimeout,
    /// The client went away.
    ClientGone,
    /// The client stopped reading.
    ClientStalled,
    /// The endpoint refused the connection or could not be reached.
    ConnectFailed(Unconnected),
    /// The endpoint did not answer the connection attempt in time.
    ConnectTimeout,
    /// The TLS handshake with the endpoint failed: its certificate does not verify, or it refuses the gateway's.
    UpstreamTls(TlsFault),
    /// The deadline that a gRPC client set for its call has passed.
    DeadlineExceeded,
    /// The backend closed or broke the connection before its response head was complete.
    UpstreamReset,
    /// The backend reset the request before its response head.
    UpstreamGaveUp(h2::Reason),
    /// The backend's head or chunks are malformed, or it spoke out of turn.
    UpstreamMalformed,
    /// The backend's response head took too long.
    UpstreamTimeout,
    /// The backend ended its body early.
    UpstreamTruncated,
    /// The backend reset the request after its response head.
    UpstreamBrokeOff(h2::Reason),
    /// The trailers of the backend's response exceed the limits of a head.
    UpstreamTrailers,
    /// The backend stopped sending its body, or taking the request's.
    UpstreamStalled,
    /// The gateway is out of connections, descriptors or local ports.
    Overload,
    /// Memory is short. The connection stays: a client that had to open another would find that refused too.
    Shed,
    /// The drain ended before the exchange did.
    Drained,
    /// The route, or the connection's right to it, ended before the exchange did.
    Withdrawn,
}

/// How a connection to an endpoint failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unconnected {
    /// Nothing listens there.
    Refused,
    /// There is no way to it.
    Unreachable,
    /// It was closed or reset as soon as it was made.
    Closed,
    /// Anything else.
    Other,
}

/// How the TLS handshake with an endpoint failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsFault {
    /// Its certificate is not accepted.
    Certificate,
    /// It sent an alert.
    Alert,
    /// What it sent is no handshake, or not one for these settings.
    Protocol,
}

/// What a refusal means on the wire, in the log and in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disposition {
    /// The status to send if no head has been sent yet.
    pub(crate) status: u16,
    pub(crate) reason: Reason,
    pub(crate) side: Side,
    /// The connection cannot be used any further.
    pub(crate) close: bool,
    /// The code with which the backend reset the request's stream.
    pub(crate) reset: Option<h2::Reason>,
}

impl Refusal {
    /// The one place where a failure finds its status, label, side and close decision.
    pub(crate) fn disposition(&self) -> Disposition {
        use Side::{Client, Gateway, Upstream};
        let (status, reason, side, close) = match self {
            Self::Head(error) => (error.status(), head_reason(error), Client, true),
            Self::HeadTimeout => (408, Reason::HeadTimeout, Client, true),
            Self::Host(_) => (400, Reason::HostInvalid, Client, true),
            Self::NotForHttp2 => (400, Reason::PathInvalid, Client, true),
            Self::HostMissing => (400, Reason::HostInvalid, Client, true),
            Self::HostMismatch => (400, Reason::HostMismatch, Client, true),
            Self::Path(_) => (400, Reason::PathInvalid, Client, true),
            Self::Method => (405, Reason::MethodRefused, Client, true),
            Self::Protocol => (501, Reason::MethodRefused, Client, true),
            Self::Misdirected => (421, Reason::Misdirected, Client, false),
            Self::Outdated => (421, Reason::Misdirected, Client, true),
            Self::NoRoute => (404, Reason::NoRoute, Client, false),
            Self::NotSynced => (503, Reason::NotSynced, Gateway, false),
            Self::Blocked => (503, Reason::Blocked, Gateway, false),
            Self::NoEndpoint => (503, Reason::NoEndpoint, Upstream, false),
            Self::Body(_) => (400, Reason::BodyMalformed, Client, true),
            Self::Trailers => (400, Reason::BodyMalformed, Client, true),
            Self::BodyTooLarge => (413, Reason::BodyTooLarge, Client, true),
            Self::TrailersTooLarge => (431, Reason::HeadTooLarge, Client, true),
            Self::BodyTimeout => (408, Reason::BodyTimeout, Client, true),
            Self::ClientGone => (499, Reason::ClientGone, Client, true),
            Self::ClientStalled => (499, Reason::ClientStalled, Client, true),
            Self::ConnectFailed(_) => (502, Reason::ConnectFailed, Upstream, false),
            Self::UpstreamTls(_) => (502, Reason::UpstreamTls, Upstream, false),
            Self::DeadlineExceeded => (504, Reason::DeadlineExceeded, Upstream, false),
            Self::ConnectTimeout => (504, Reason::ConnectTimeout, Upstream, false),
            Self::UpstreamReset => (502, Reason::UpstreamReset, Upstream, false),
            Self::UpstreamGaveUp(_) => (502, Reason::UpstreamReset, Upstream, false),
            Self::UpstreamMalformed => (502, Reason::UpstreamMalformed, Upstream, false),
            Self::UpstreamTimeout => (504, Reason::UpstreamTimeout, Upstream, false),
            Self::UpstreamTruncated => (502, Reason::UpstreamTruncated, Upstream, true),
            Self::UpstreamBrokeOff(_) => (502, Reason::UpstreamTruncated, Upstream, true),
            Self::UpstreamTrailers => (502, Reason::UpstreamTrailers, Upstream, true),
            Self::UpstreamStalled => (504, Reason::UpstreamStalled, Upstream, true),
            Self::Overload => (503, Reason::Overload, Gateway, true),
            Self::Shed => (503, Reason::Overload, Gateway, false),
            Self::Drained => (503, Reason::Drained, Gateway, true),
            Self::Withdrawn => (503, Reason::Withdrawn, Gateway, true),
        };
        Disposition {
            status,
            reason,
            side,
            close,
            reset: if let Self::UpstreamGaveUp(reset) | Self::UpstreamBrokeOff(reset) = self {
                Some(*reset)
            } else {
                None
            },
        }
    }

    /// Whether the cause may be the call's deadline: it has passed, or the backend cancelled the call a moment before the
    /// gateway's clock reached it.
    pub(crate) fn may_be_a_deadline(&self, until: Instant, now: Instant) -> bool {
        let cancelled = matches!(
            self,
            Self::UpstreamGaveUp(h2::Reason::CANCEL) | Self::UpstreamBrokeOff(h2::Reason::CANCEL)
        );
        let early = if cancelled { TICK } else { Duration::ZERO };
        self.disposition().side == Side::Upstream && until <= now + early
    }
}

impl Refusal {
    /// What is wrong, for the log, as far as nobody who knows more of the request has said it. It never quotes the value of a
    /// field.
    pub(crate) fn words(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Head(error) => return error.to_string().into(),
            Self::Host(error) => return error.to_string().into(),
            Self::Path(error) => return error.to_string().into(),
            Self::Body(error) => return error.explain().into(),
            Self::UpstreamGaveUp(reason) | Self::UpstreamBrokeOff(reason) => {
                return format!("the backend reset the request with {reason:?}").into();
            }
            Self::HostMismatch => "the target and Host name different hosts",
            Self::HostMissing => "no Host, which the backend's HTTP/2 needs",
            Self::NotForHttp2 => "the target cannot be said in the backend's HTTP/2",
            Self::Trailers => "pseudo-header fields in the trailers",
            Self::TrailersTooLarge | Self::UpstreamTrailers => {
                "the trailers are larger than a head may be (`limits.header_bytes`, `limits.headers`)"
            }
            Self::Method => "the method is CONNECT or TRACE, which are not served",
            Self::Protocol => "the protocol that the request upgrades to is not one that goes to its backend",
            Self::Misdirected => {
                "the TLS handshake was for another server name, whose certificate or client policy differs"
            }
            Self::Outdated => {
                "the connection is older than what the door now requires of one (TLS, a client certificate, a PROXY header)"
            }
            Self::NotSynced => "the door has no table yet: its source has not been read as a whole",
            Self::Blocked => "what the request asks for cannot be put into the URL of a filter of its route",
            Self::Shed => "memory is short, and the door has used its share",
            Self::Drained => "the gateway ended before the request did (`drain.timeout`)",
            Self::Withdrawn => {
                "the route is no longer exposed at this door, or the connection has lost its right to it"
            }
            Self::DeadlineExceeded => {
                "the time that the client allows for its call (`grpc-timeout`) has passed"
            }
            Self::HeadTimeout => "the client did not complete the head in time (`timeouts.head`)",
            Self::NoRoute => "no rule of this door matches the request",
            Self::NoEndpoint => "no endpoint of the Service takes requests",
            Self::BodyTooLarge => {
                "the request's body is larger than allowed (`limits.body`, or the Ingress's `proxy-body-size`)"
            }
            Self::BodyTimeout => "the client stopped sending the request's body (`timeouts.body_idle`)",
            Self::ClientGone => "the client left before the exchange was complete",
            Self::ClientStalled => "the client stopped reading (`timeouts.write_stall`)",
            Self::ConnectFailed(Unconnected::Refused) => {
                "the endpoint refused the connection: nothing listens there"
            }
            Self::ConnectFailed(Unconnected::Unreachable) => "there is no way to the endpoint",
            Self::ConnectFailed(Unconnected::Closed) => {
                "the endpoint closed the connection as soon as it was made"
            }
            Self::ConnectFailed(Unconnected::Other) => "no connection to the endpoint could be made",
            Self::ConnectTimeout => "the endpoint did not take the connection in time (`timeouts.connect`)",
            Self::UpstreamTls(TlsFault::Certificate) => "the endpoint's certificate is not accepted",
            Self::UpstreamTls(TlsFault::Alert) => "the endpoint ended the TLS handshake with an alert",
            Self::UpstreamTls(TlsFault::Protocol) => {
                "the endpoint does not speak TLS, or not as it is configured"
            }
            Self::UpstreamReset => "the backend ended the connection before its response",
            Self::UpstreamMalformed => "the backend's response is malformed",
            Self::UpstreamTimeout => "the backend did not respond in time (`timeouts.response_head`)",
            Self::UpstreamTruncated => "the backend ended its response early",
            Self::UpstreamStalled => {
                "the backend stopped sending its response (`timeouts.response_idle`) or taking the request's body"
            }
            Self::Overload => "the gateway is out of connections, descriptors or local ports",
        })
    }
}

// grpc, "Status codes and their use".
const CANCELLED: u8 = 1;
const UNKNOWN: u8 = 2;
const DEADLINE_EXCEEDED: u8 = 4;
const PERMISSION_DENIED: u8 = 7;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;
const UNAUTHENTICATED: u8 = 16;

impl Disposition {
    /// The gRPC status that a client gets.
    pub(crate) fn grpc_status(self) -> u8 {
        // gRPC over HTTP/2, "Errors".
        if let Some(reset) = self.reset {
            return match reset {
                h2::Reason::REFUSED_STREAM => UNAVAILABLE,
                h2::Reason::CANCEL => CANCELLED,
                h2::Reason::ENHANCE_YOUR_CALM => RESOURCE_EXHAUSTED,
                h2::Reason::INADEQUATE_SECURITY => PERMISSION_DENIED,
                _ => INTERNAL,
            };
        }
        match (self.status, self.reason) {
            (_, Reason::UpstreamTrailers) => RESOURCE_EXHAUSTED,
            (_, Reason::DeadlineExceeded) => DEADLINE_EXCEEDED,
            (status, _) => grpc_status(status),
        }
    }
}

/// The gRPC status that a client gets instead of a status of HTTP (grpc, "HTTP to gRPC Status Code Mapping").
pub(crate) fn grpc_status(status: u16) -> u8 {
    match status {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 | 405 | 501 => UNIMPLEMENTED,
        413 | 431 => RESOURCE_EXHAUSTED,
        429 | 502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

fn head_reason(error: &RequestError) -> Reason {
    match error.status() {
        414 => Reason::UriTooLong,
        417 => Reason::Expectation,
        431 => Reason::HeadTooLarge,
        505 => Reason::VersionUnsupported,
        _ => Reason::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each kind.
    fn all() -> Vec<Refusal> {
        let mut all = vec![
            Refusal::Head(RequestError::RequestLine),
            Refusal::HeadTimeout,
            Refusal::Host(route::HostError::Empty),
            Refusal::HostMismatch,
            Refusal::Path(route::PathError::Relative),
            Refusal::Method,
            Refusal::HostMissing,
            Refusal::NotForHttp2,
            Refusal::Protocol,
            Refusal::Misdirected,
            Refusal::Outdated,
            Refusal::NoRoute,
            Refusal::NotSynced,
            Refusal::Blocked,
            Refusal::NoEndpoint,
            Refusal::Body(ChunkError::Size),
            Refusal::Trailers,
            Refusal::BodyTooLarge,
            Refusal::TrailersTooLarge,
            Refusal::BodyTimeout,
            Refusal::ClientGone,
            Refusal::ClientStalled,
            Refusal::ConnectTimeout,
            Refusal::DeadlineExceeded,
            Refusal::UpstreamReset,
            Refusal::UpstreamGaveUp(h2::Reason::CANCEL),
            Refusal::UpstreamMalformed,
            Refusal::UpstreamTimeout,
            Refusal::UpstreamTruncated,
            Refusal::UpstreamBrokeOff(h2::Reason::CANCEL),
            Refusal::UpstreamTrailers,
            Refusal::UpstreamStalled,
            Refusal::Overload,
            Refusal::Shed,
            Refusal::Drained,
            Refusal::Withdrawn,
        ];
        let ways = [
            Unconnected::Refused,
            Unconnected::Unreachable,
            Unconnected::Closed,
            Unconnected::Other,
        ];
        all.extend(ways.map(Refusal::ConnectFailed));
        all.extend([TlsFault::Certificate, TlsFault::Alert, TlsFault::Protocol].map(Refusal::UpstreamTls));
        all
    }

    #[test]
    fn every_refusal_says_what_is_wrong() {
        for refusal in all() {
            assert!(refusal.words().len() > 10, "{refusal:?}: {}", refusal.words());
        }
    }
}
