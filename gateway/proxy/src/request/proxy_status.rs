//! `Proxy-Status` (RFC 9209): what went wrong, for whoever calls. It says the same of every host and path that the door does
//! not serve, and nothing of addresses and names behind the door.

use std::borrow::Cow;

use door::{NoEndpoints, Upstream};

use crate::observe::labels::Reason;
use crate::refusal::{Refusal, TlsFault, Unconnected};

/// The name of the field.
pub(crate) const NAME: &str = "Proxy-Status";

/// The value for a refusal. `service`: where the request would have gone.
pub(crate) fn of_refusal(refusal: &Refusal, service: Option<&Upstream>) -> Cow<'static, str> {
    let error = match refusal {
        Refusal::Head(_)
        | Refusal::HeadTimeout
        | Refusal::Host(_)
        | Refusal::HostMismatch
        | Refusal::Path(_)
        | Refusal::Method
        | Refusal::HostMissing
        | Refusal::NotForHttp2
        | Refusal::Protocol
        | Refusal::Misdirected
        | Refusal::Outdated
        | Refusal::Body(_)
        | Refusal::Trailers
        | Refusal::BodyTooLarge
        | Refusal::TrailersTooLarge
        | Refusal::BodyTimeout
        | Refusal::ClientGone
        | Refusal::ClientStalled => return request_error(refusal.disposition().status),
        Refusal::NoRoute => "destination_not_found",
        Refusal::Blocked => "proxy_configuration_error",
        Refusal::NoEndpoint => match service.and_then(|service| service.none) {
            Some(NoEndpoints::Unresolved | NoEndpoints::Unasked) => "dns_error",
            Some(NoEndpoints::Unlisted | NoEndpoints::OtherPorts | NoEndpoints::Unready(_)) | None => {
                "destination_unavailable"
            }
        },
        Refusal::ConnectFailed(Unconnected::Refused) => "connection_refused",
        Refusal::ConnectFailed(Unconnected::Unreachable) => "destination_ip_unroutable",
        Refusal::ConnectFailed(Unconnected::Closed | Unconnected::Other) => "connection_terminated",
        Refusal::ConnectTimeout => "connection_timeout",
        Refusal::UpstreamTls(TlsFault::Certificate) => "tls_certificate_error",
        Refusal::UpstreamTls(TlsFault::Alert) => "tls_alert_received",
        Refusal::UpstreamTls(TlsFault::Protocol) => "tls_protocol_error",
        Refusal::UpstreamReset | Refusal::UpstreamGaveUp(_) => "connection_terminated",
        Refusal::UpstreamMalformed => "http_protocol_error",
        Refusal::UpstreamTimeout | Refusal::DeadlineExceeded => "http_response_timeout",
        Refusal::UpstreamTruncated | Refusal::UpstreamBrokeOff(_) => "http_response_incomplete",
        Refusal::UpstreamTrailers => "http_response_trailer_section_size",
        Refusal::UpstreamStalled => "connection_read_timeout",
        Refusal::NotSynced | Refusal::Overload | Refusal::Shed | Refusal::Drained | Refusal::Withdrawn => {
            "proxy_internal_error"
        }
    };
    format!("blastdoor; error={error}").into()
}

/// The value for what a filter answers; `None` for what is no error.
pub(crate) fn of_filter(reason: Reason, status: u16) -> Option<Cow<'static, str>> {
    match (reason, status) {
        (Reason::Redirect, _) | (_, ..400) => None,
        (_, 500..) => Some("blastdoor; error=proxy_internal_error".into()),
        _ => Some("blastdoor; error=http_request_denied".into()),
    }
}

fn request_error(status: u16) -> Cow<'static, str> {
    format!("blastdoor; error=http_request_error; status-code={status}").into()
}
