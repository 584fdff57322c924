//! Which load balancer is believed in which field about the client: one table of families of fields, and of what stands
//! in front.

use wire::{FieldId, is_same_name};

use crate::settings::{ClientIp, Front, Settings};

/// Who vouches for a family of fields, that is, sets them or removes the client's own. Behind anything else they hold
/// whatever the client has sent, however trusted the peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vouched {
    /// No one needs to: the client may send them.
    NotNeeded,
    /// These kinds of load balancers.
    By(&'static [Front]),
    /// As `By`, and the gateway appends to the field.
    AppendedTo(&'static [Front]),
    /// Nothing does.
    ByNobody,
    /// Nothing needs to: the gateway sets the field itself, or it belongs to one connection.
    Replaced,
}

/// The whole table. `docs/hardening.md`, "What a backend sees", has it for users.
fn vouched(id: FieldId) -> Vouched {
    match id {
        FieldId::Other | FieldId::ContentType | FieldId::Date | FieldId::MaxForwards => Vouched::NotNeeded,
        FieldId::Forwarded | FieldId::XForwardedOther => Vouched::By(&[Front::Other]),
        FieldId::XAmznIdentity => Vouched::By(&[Front::Alb]),
        FieldId::XGoogIdentity => Vouched::By(&[Front::Gclb]),
        FieldId::Cloudflare => Vouched::By(&[Front::Cloudflare]),
        FieldId::XForwardedFor => {
            Vouched::AppendedTo(&[Front::Other, Front::Alb, Front::Gclb, Front::Cloudflare])
        }
        // Some backends confuse a twin with the field that it resembles.
        FieldId::NobodysWord | FieldId::Twin => Vouched::ByNobody,
        FieldId::Host
        | FieldId::XForwardedHost
        | FieldId::XForwardedProto
        | FieldId::XForwardedPort
        | FieldId::XForwardedClientCert
        | FieldId::XRealIp
        | FieldId::XRequestId
        | FieldId::XBlastdoorDoor
        | FieldId::ContentLength
        | FieldId::TransferEncoding
        | FieldId::Expect
        | FieldId::Connection
        | FieldId::KeepAlive
        | FieldId::ProxyConnection
        | FieldId::ProxyAuthenticate
        | FieldId::ProxyAuthorization
        | FieldId::Te
        | FieldId::Trailer
        | FieldId::Upgrade
        | FieldId::Http2Settings => Vouched::Replaced,
    }
}

/// Whether a client's field is forwarded to the backend unchanged. `trusted`: the peer is believed.
pub(crate) fn passes(id: FieldId, name: &[u8], trusted: bool, settings: &Settings) -> bool {
    let vouched = vouched(id);
    if let ClientIp::Header(own) = &settings.client_ip
        && is_same_name(name, own.as_bytes())
        && id != FieldId::Twin
    {
        // A configured field is vouched for under exactly that name. Another spelling of it is a forgery.
        let is_own = name.eq_ignore_ascii_case(own.as_bytes());
        return trusted && is_own && !matches!(vouched, Vouched::Replaced | Vouched::AppendedTo(_));
    }
    match vouched {
        Vouched::NotNeeded => true,
        Vouched::By(fronts) => {
            let further_out = is_cloudflares(&settings.client_ip) && fronts.contains(&Front::Cloudflare);
            trusted && (fronts.contains(&settings.front) || further_out)
        }
        Vouched::AppendedTo(_) | Vouched::ByNobody | Vouched::Replaced => false,
    }
}

/// A door that takes the client's address from a field of Cloudflare's says that Cloudflare is in front, possibly of
/// another load balancer.
fn is_cloudflares(client_ip: &ClientIp) -> bool {
    matches!(client_ip, ClientIp::Header(own) if own.starts_with("cf-"))
}

/// Whether the entries of `X-Forwarded-For` that a trusted peer sends are forwarded, before the gateway's own.
pub(crate) fn chain_counts(settings: &Settings) -> bool {
    match (&settings.client_ip, vouched(FieldId::XForwardedFor)) {
        // It is configured to be believed.
        (ClientIp::ForwardedFor | ClientIp::ForwardedForGoogle, _) => true,
        (_, Vouched::AppendedTo(fronts)) => fronts.contains(&settings.front),
        _ => false,
    }
}

/// The name that no trailer of a request may have, besides those that are never trailers: the field that identifies the
/// client, which is read from the head only.
pub(crate) fn never_trails(settings: &Settings) -> Option<&std::sync::Arc<str>> {
    match &settings.client_ip {
        ClientIp::Header(own) => Some(own),
        ClientIp::Peer | ClientIp::ForwardedFor | ClientIp::ForwardedForGoogle | ClientIp::ProxyProtocol => {
            None
        }
    }
}
