//! The client's address as trusted proxies report it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::bytes::trim;
use crate::head::elements;

/// The most entries of `X-Forwarded-For` that are read, empty ones included; no chain of proxies is as long.
pub const MOST_HOPS: usize = 64;

/// The address in one entry of `X-Forwarded-For`: an IP address, alone or with a port (`1.2.3.4:80`,
/// `[2001:db8::1]:80`), IPv6 with or without brackets. IPv4-mapped addresses are returned as IPv4.
#[must_use]
pub fn parse_hop(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(trim(entry)).ok()?;
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        if !port.is_empty() {
            parse_port(port.strip_prefix(':')?)?;
        }
        IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
    } else if let Ok(address) = text.parse::<IpAddr>() {
        address
    } else {
        let (address, port) = text.split_once(':')?;
        parse_port(port)?;
        IpAddr::V4(address.parse::<Ipv4Addr>().ok()?)
    };
    Some(address.to_canonical())
}

/// The client according to `X-Forwarded-For`: the right-most hop that is not trusted, reading from the peer.
///
/// `values` are the field values in the order received; empty entries are skipped. If all hops are trusted, the left-most
/// is the client. At a malformed entry the walk stops, and after [`MOST_HOPS`] entries; the last valid hop is the client then.
pub fn client_from_xff<'v>(
    values: impl DoubleEndedIterator<Item = &'v [u8]>,
    trusted: impl Fn(IpAddr) -> bool,
    peer: IpAddr,
) -> IpAddr {
    let mut client = peer.to_canonical();
    if !trusted(client) {
        return client;
    }
    let entries = values.rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
    for entry in entries
        .take(MOST_HOPS)
        .map(trim)
        .filter(|entry| !entry.is_empty())
    {
        let Some(hop) = parse_hop(entry) else { break };
        client = hop;
        if !trusted(hop) {
            break;
        }
    }
    client
}

/// The client according to a load balancer that appends a fixed number of entries of its own behind the client's
/// (Google's append one): the entry `behind` places from the right end, and the peer when it is not there or is
/// malformed. Entries further left are the client's own claims and are never used.
pub fn client_at_depth<'v>(
    values: impl DoubleEndedIterator<Item = &'v [u8]>,
    behind: usize,
    trusted: impl Fn(IpAddr) -> bool,
    peer: IpAddr,
) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted(peer) {
        return peer;
    }
    let mut entries = values.rev().flat_map(|value| elements(value).rev());
    entries.nth(behind).and_then(parse_hop).unwrap_or(peer)
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn hops() {
        let table = [
            ("1.2.3.4", Some("1.2.3.4")),
            (" 1.2.3.4\t", Some("1.2.3.4")),
            ("1.2.3.4:8080", Some("1.2.3.4")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("::ffff:1.2.3.4", Some("1.2.3.4")),
            ("", None),
            ("unknown", None),
            ("1.2.3.4:", None),
            ("1.2.3.4:99999", None),
            ("1.2.3.4:+80", None),
            ("01.2.3.4", None),
            ("[2001:db8::1", None),
            ("[1.2.3.4]", None),
            ("[2001:db8::1]443", None),
            ("fe80::1%eth0", None),
            ("\"1.2.3.4\"", None),
        ];
        for (entry, expected) in table {
            assert_eq!(parse_hop(entry.as_bytes()), expected.map(ip), "{entry:?}");
        }
    }

    #[test]
    fn the_right_most_untrusted_hop_is_the_client() {
        let trusted = |address: IpAddr| matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 10);
        let table: &[(&[&str], &str, &str)] = &[
            (&["1.1.1.1, 2.2.2.2"], "9.9.9.9", "9.9.9.9"),
            (&["1.1.1.1, 2.2.2.2"], "10.0.0.1", "2.2.2.2"),
            (&["1.1.1.1, 2.2.2.2, 10.0.0.7"], "10.0.0.1", "2.2.2.2"),
            (&["1.1.1.1", "2.2.2.2, 10.0.0.7"], "10.0.0.1", "2.2.2.2"),
            (&["10.0.0.9, 10.0.0.8"], "10.0.0.1", "10.0.0.9"),
            (&["1.1.1.1, nonsense, 10.0.0.8"], "10.0.0.1", "10.0.0.8"),
            (&["nonsense"], "10.0.0.1", "10.0.0.1"),
            (&[], "10.0.0.1", "10.0.0.1"),
            (&["6.6.6.6, 2.2.2.2:1234"], "10.0.0.1", "2.2.2.2"),
            // RFC 9110 5.6.1.2: an empty element is none.
            (&["1.1.1.1, 2.2.2.2,"], "10.0.0.1", "2.2.2.2"),
            (&["2.2.2.2, , 10.0.0.7", ""], "10.0.0.1", "2.2.2.2"),
            (&["2.2.2.2,,\t,10.0.0.7, "], "10.0.0.1", "2.2.2.2"),
            (&[",", ""], "10.0.0.1", "10.0.0.1"),
        ];
        for (values, peer, expected) in table {
            let values = values.iter().map(|value| value.as_bytes());
            assert_eq!(client_from_xff(values, trusted, ip(peer)), ip(expected));
        }
    }

    /// A client can send as many trusted addresses as fit into a head.
    #[test]
    fn a_long_chain_is_not_read_to_its_end() {
        let asked = std::cell::Cell::new(0);
        let trusted = |_| {
            asked.set(asked.get() + 1);
            true
        };
        let long = "10.0.0.1,".repeat(10_000);
        let empty = ",".repeat(10_000);
        for (value, expected, most) in [(&long, "10.0.0.1", MOST_HOPS), (&empty, "10.0.0.9", 1)] {
            asked.set(0);
            let client = client_from_xff([value.as_bytes()].into_iter(), trusted, ip("10.0.0.9"));
            assert_eq!(client, ip(expected));
            assert!(asked.get() <= most, "{}", asked.get());
        }
        let many = format!("1.1.1.1{}", ",10.0.0.1".repeat(MOST_HOPS));
        let trusted = |address| address != ip("1.1.1.1");
        let client = client_from_xff([many.as_bytes()].into_iter(), trusted, ip("10.0.0.9"));
        assert_eq!(client, ip("10.0.0.1"));
    }

    #[test]
    fn googles_client_is_second_from_the_right() {
        let trusted = |address: IpAddr| matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 35);
        let client =
            |value: &'static str, peer| client_at_depth([value.as_bytes()].into_iter(), 1, trusted, ip(peer));
        assert_eq!(client("6.6.6.6, 1.1.1.1, 34.0.0.1", "35.191.0.1"), ip("1.1.1.1"));
        assert_eq!(
            client("6.6.6.6, 1.1.1.1,, 34.0.0.1,", "35.191.0.1"),
            ip("1.1.1.1")
        );
        assert_eq!(client("34.0.0.1", "35.191.0.1"), ip("35.191.0.1"));
        assert_eq!(client("1.1.1.1, 34.0.0.1", "7.7.7.7"), ip("7.7.7.7"));
    }
}
