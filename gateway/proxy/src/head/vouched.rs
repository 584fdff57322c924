//! Whose word on the client counts in which field: one table of families of fields, and of what stands in front.

use wire::{FieldId, is_same_name};

use crate::settings::{ClientIp, Front, Settings};

/// Who vouches for a family of fields: sets them, or removes the client's own. Behind anyone else they hold whatever
/// the client has sent, however trusted the peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vouched {
    /// They are the client's to send.
    NotNeeded,
    /// These of what may stand in front.
    By(&'static [Front]),
    /// As `By`, and the gateway adds to what they say in a field of its own.
    AppendedTo(&'static [Front]),
    /// Nobody does.
    ByNobody,
    /// Nobody needs to: the gateway says it itself, or it is settled anew on each side.
    Replaced,
}

/// The table, whole. `docs/hardening.md`, "What a backend sees", has it for users.
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
        // Some backends take a twin for what it resembles.
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

/// Whether a field of the client's goes on to the backend as it came. `trusted`: the peer's word counts.
pub(crate) fn passes(id: FieldId, name: &[u8], trusted: bool, settings: &Settings) -> bool {
    let vouched = vouched(id);
    if let ClientIp::Header(own) = &settings.client_ip
        && is_same_name(name, own.as_bytes())
        && id != FieldId::Twin
    {
        // Whoever configures a field vouches for it, under that very name. Another reading of it is a forgery.
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

/// Whoever takes the client's address from a field of Cloudflare's says that Cloudflare stands there, if need be before
/// another load balancer.
fn is_cloudflares(client_ip: &ClientIp) -> bool {
    matches!(client_ip, ClientIp::Header(own) if own.starts_with("cf-"))
}

/// Whether the entries of `X-Forwarded-For` that a trusted peer sends go on, before the gateway's own.
pub(crate) fn chain_counts(settings: &Settings) -> bool {
    match (&settings.client_ip, vouched(FieldId::XForwardedFor)) {
        // It is configured to be believed.
        (ClientIp::ForwardedFor | ClientIp::ForwardedForGoogle, _) => true,
        (_, Vouched::AppendedTo(fronts)) => fronts.contains(&settings.front),
        _ => false,
    }
}

/// The name that no trailer of a request may have, beside those that are never trailers: the field that is to say who
/// the client is, and is looked for in the head alone.
pub(crate) fn never_trails(settings: &Settings) -> Option<&std::sync::Arc<str>> {
    match &settings.client_ip {
        ClientIp::Header(own) => Some(own),
        ClientIp::Peer | ClientIp::ForwardedFor | ClientIp::ForwardedForGoogle | ClientIp::ProxyProtocol => {
            None
        }
    }
}
