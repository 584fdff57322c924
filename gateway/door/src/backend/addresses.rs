//! Which addresses are never called, whatever names them.
//!
//! An IPv6 address may stand for an IPv4 one, to which a router then translates or tunnels. Such an address is judged both
//! as itself and as the address for which it stands.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use smallvec::SmallVec;

/// Which addresses the gateway may call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Loopback addresses are allowed (`[source] allow_loopback_backends`): for the demo and for tests.
    pub allow_loopback: bool,
    /// Networks that are refused in addition to the built-in ones (`[source] refuse_backends`).
    pub refused: Vec<IpNet>,
    /// The gateway's own addresses, so that it does not become its own backend.
    pub own_addresses: OwnAddresses,
    /// The ports on which it listens there, its admin port included.
    pub own_ports: BTreeSet<u16>,
}

/// The addresses of the gateway: of this process, and of the others of its installation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum OwnAddresses {
    /// They are not all known, so any address may be one.
    #[default]
    Anywhere,
    /// These, and loopback.
    At(BTreeSet<IpAddr>),
}

impl AddressPolicy {
    /// Why `address` must not be called, if so.
    pub(crate) fn refuses(&self, address: SocketAddr) -> Option<&'static str> {
        let written = address.ip();
        let meant = match written {
            IpAddr::V6(ip) => embedded(ip),
            IpAddr::V4(_) => SmallVec::new(),
        };
        std::iter::once(written)
            .chain(meant.into_iter().map(IpAddr::V4))
            .find_map(|ip| self.refuses_one(ip, address.port()))
    }

    fn refuses_one(&self, ip: IpAddr, port: u16) -> Option<&'static str> {
        if self.own_ports.contains(&port) && self.own_addresses.has(ip) {
            return Some("one of the gateway's own ports");
        }
        if self.refused.iter().any(|network| network.contains(&ip)) {
            return Some("in a network of `[source] refuse_backends`");
        }
        if ip.is_loopback() {
            return (!self.allow_loopback).then_some("a loopback address");
        }
        match ip {
            IpAddr::V4(ip) => special_v4(ip),
            IpAddr::V6(ip) => special_v6(ip),
        }
    }
}

impl OwnAddresses {
    fn has(&self, ip: IpAddr) -> bool {
        match self {
            Self::Anywhere => true,
            Self::At(addresses) => ip.is_loopback() || ip.is_unspecified() || addresses.contains(&ip),
        }
    }
}

const METADATA: &str = "a cloud metadata address";
const NO_UNICAST: &str = "no unicast address";

/// IPv4 addresses that are never backends (RFC 6890, and those that clouds reserve for themselves).
fn special_v4(ip: Ipv4Addr) -> Option<&'static str> {
    match ip.octets() {
        [169, 254, ..] => Some("a link-local address (cloud metadata lives there)"),
        // Alibaba, Azure and Oracle have theirs elsewhere.
        [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192] => Some(METADATA),
        // "This network", multicast, reserved and broadcast.
        [0 | 224..=255, ..] => Some(NO_UNICAST),
        _ => None,
    }
}

fn special_v6(ip: Ipv6Addr) -> Option<&'static str> {
    match ip.segments() {
        // AWS keeps this network for such services; EKS has its Pod Identity there.
        [0xfd00, 0xec2, ..]
        // Google, Oracle, Alibaba, Scaleway, Akamai.
        | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]
        | [0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, _]
        | [0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200]
        | [0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42]
        | [0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1] => Some(METADATA),
        _ if ip.is_unicast_link_local() => Some("a link-local address"),
        _ if ip.is_unspecified() || ip.is_multicast() => Some(NO_UNICAST),
        _ => None,
    }
}

/// The IPv4 addresses for which an IPv6 address stands, to routers that translate or tunnel it.
fn embedded(ip: Ipv6Addr) -> SmallVec<[Ipv4Addr; 4]> {
    let mut found = SmallVec::new();
    // Neither of them stands for anything.
    if ip.is_loopback() || ip.is_unspecified() {
        return found;
    }
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        // Compatible and mapped (RFC 4291, 2.5.5), translated (RFC 2765, 2.1), well-known NAT64 (RFC 6052, 2.1).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        // 6to4 (RFC 3056, 2).
        | [0x2002, high, low, ..] => found.push(v4(high, low)),
        // Teredo (RFC 4380, 4): its server, and its client under a veil.
        [0x2001, 0, high, low, _, _, veiled_high, veiled_low] => {
            found.extend([v4(high, low), v4(!veiled_high, !veiled_low)]);
        }
        // NAT64 of a local network (RFC 8215).
        [0x64, 0xff9b, 1, ..] => found.extend(translated(ip)),
        _ => {}
    }
    // ISATAP (RFC 5214, 6.1), in any network.
    if let [_, _, _, _, 0 | 0x200, 0x5efe, high, low] = ip.segments() {
        found.push(v4(high, low));
    }
    found
}

/// The positions at which RFC 6052 (2.2) puts an IPv4 address after a prefix of 48, 56, 64 or 96 bits. Only the translator
/// knows which one applies, so each counts, except one that yields an address beginning with zero: zeros follow the shorter
/// prefixes, and no router translates to such an address.
fn translated(ip: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let [.., a, b, split, c, d, e, f, g, h, i] = ip.octets();
    let shorter = [
        ([a, b, c, d], [e, f, g, h, i]),
        ([b, c, d, e], [0, f, g, h, i]),
        ([c, d, e, f], [0, 0, g, h, i]),
    ];
    let shorter = shorter
        .into_iter()
        .filter(move |(_, rest)| split == 0 && *rest == [0; 5])
        .map(|(octets, _)| octets);
    let all = shorter.chain([[f, g, h, i]]);
    all.filter(|octets| !octets.starts_with(&[0])).map(Ipv4Addr::from)
}
