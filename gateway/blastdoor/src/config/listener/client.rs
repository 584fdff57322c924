//! Who the client is: which networks are trusted, and where its address comes from.

use std::path::Path;

use ipnet::IpNet;
use proxy::{ClientIp, ProxyProtocol};

use super::super::diagnostics::Section;
use super::super::networks::{network, read_networks};
use super::super::raw::RawListener;

/// Who is trusted.
pub(super) struct Trusted {
    pub(super) networks: Vec<IpNet>,
    /// When the list in the file was fetched, if it says so.
    pub(super) fetched: Option<i64>,
}

pub(super) fn trusted(section: &mut Section<'_, '_>, raw: &RawListener, file: Option<&Path>) -> Trusted {
    let mut networks = Vec::new();
    let mut fetched = None;
    for (index, written) in raw.trusted_proxies.iter().flatten().enumerate() {
        match network(written) {
            Some(network) => networks.push(network),
            None => section.error(
                &format!("trusted_proxies[{index}]"),
                format!(
                    "`{written}` is not a network; allowed: `10.0.0.0/8`, `2001:db8::/32`, or one address"
                ),
            ),
        }
    }
    if let Some(file) = file {
        match read_networks(section.files(), file) {
            Ok(list) => {
                networks.extend(list.networks);
                fetched = list.fetched;
            }
            Err(message) => section.error("trusted_proxies_file", message),
        }
    }
    if networks.iter().any(|network| network.prefix_len() == 0) {
        section.warn(
            "trusted_proxies",
            "everyone is trusted, so every client can claim any address; name the load balancer's networks",
        );
    }
    Trusted { networks, fetched }
}

pub(super) fn client_ip(section: &mut Section<'_, '_>, written: Option<&str>, default: ClientIp) -> ClientIp {
    let header = |name: &str| {
        let token = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        token.then(|| ClientIp::Header(name.to_ascii_lowercase().into()))
    };
    match written {
        None => default,
        Some("peer") => ClientIp::Peer,
        // A preset may know better how its load balancer writes the header.
        Some("xff") if default == ClientIp::ForwardedForGoogle => default,
        Some("xff") => ClientIp::ForwardedFor,
        Some("proxy-protocol") => ClientIp::ProxyProtocol,
        Some(other) => other.strip_prefix("header:").and_then(header).unwrap_or_else(|| {
            section.error(
                "client_ip",
                format!("`{other}` is not known; allowed: peer, xff, proxy-protocol, header:NAME"),
            );
            default
        }),
    }
}

pub(super) fn proxy_protocol(
    section: &mut Section<'_, '_>,
    raw: &RawListener,
    default: ProxyProtocol,
    client_ip: &ClientIp,
    nobody_is_trusted: bool,
) -> ProxyProtocol {
    let modes = [
        ("off", ProxyProtocol::Off),
        ("optional", ProxyProtocol::Optional),
        ("required", ProxyProtocol::Required),
    ];
    let mode = section.word("proxy_protocol", raw.proxy_protocol.as_deref(), default, &modes);
    let consequence = match mode {
        ProxyProtocol::Off => {
            if *client_ip == ClientIp::ProxyProtocol {
                let key = if raw.client_ip.is_some() {
                    "client_ip"
                } else {
                    "proxy_protocol"
                };
                let message = "the client's address is to come from the PROXY header, which is off; set proxy_protocol to optional or required";
                section.error_between(key, &["client_ip", "proxy_protocol", "behind"], message);
            }
            return mode;
        }
        ProxyProtocol::Optional => "every PROXY header is refused as malformed",
        ProxyProtocol::Required => "every connection is refused",
    };
    if nobody_is_trusted {
        let message = format!(
            "nobody is trusted, so {consequence} (proxy_protocol is on); name the load balancer's networks"
        );
        section.warn("trusted_proxies", message);
    }
    mode
}
