//! Lists of networks.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

/// Where IPv4 addresses lie among IPv6 ones (RFC 4291, section 2.5.5.2): `::ffff:0:0/96`.
const MAPPED_FIRST: u128 = 0xffff_0000_0000;
const MAPPED_LAST: u128 = 0xffff_ffff_ffff;

/// A set of addresses, written as a list of networks. Never empty.
///
/// An address may be asked for in either form: `::ffff:10.0.0.1` is `10.0.0.1`. `::/0` holds no IPv4 address, and
/// `0.0.0.0/0` no IPv6 address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks {
    /// First and last address of each range, sorted, with gaps in between. IPv4 addresses are mapped, so that one search
    /// does for both families. A clone shares them: each route of an Ingress has its list.
    ranges: Arc<[(u128, u128)]>,
}

/// Why a list of networks cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworksError {
    /// A list that names nobody.
    #[error("the list of networks is empty; write addresses or networks like `10.0.0.0/8`")]
    Empty,
    /// Something between two commas that is no network.
    #[error("`{0}` is neither an address nor a network like `10.0.0.0/8` or `2001:db8::/32`")]
    Element(Box<str>),
}

impl Networks {
    /// The networks of a comma-separated list. White space around elements does not count.
    ///
    /// # Errors
    /// If the list is empty, or one of its elements is no network: a list that is honoured in part admits, or refuses,
    /// whom nobody meant.
    pub fn parse(list: &str) -> Result<Self, NetworksError> {
        if list.trim().is_empty() {
            return Err(NetworksError::Empty);
        }
        Self::of(list.split(','))
    }

    /// The networks of separate elements, each an address or a network.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn of<'e>(elements: impl IntoIterator<Item = &'e str>) -> Result<Self, NetworksError> {
        let mut ranges = Vec::new();
        for element in elements {
            let element = element.trim();
            ranges_of(element, &mut ranges).ok_or_else(|| NetworksError::Element(element.into()))?;
        }
        if ranges.is_empty() {
            return Err(NetworksError::Empty);
        }
        Ok(Self {
            ranges: united(ranges),
        })
    }

    /// Whether every address is in one of the networks.
    #[must_use]
    pub fn is_everybody(&self) -> bool {
        matches!(*self.ranges, [(0, u128::MAX)])
    }

    /// Whether `address` is in one of the networks.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = position(address);
        let next = self.ranges.partition_point(|(first, _)| *first <= address);
        next.checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .is_some_and(|(_, last)| address <= *last)
    }
}

/// `address` without what lies behind the first `prefix` bits, if it is an IPv6 address: the network in which one
/// client has all addresses. An IPv4 address, mapped or not, is returned as IPv4.
#[must_use]
pub fn subnet(address: IpAddr, prefix: u8) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(prefix.min(128)))
                .unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Where an address lies among all.
fn position(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => MAPPED_FIRST | u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Adds the ranges of one element.
fn ranges_of(element: &str, ranges: &mut Vec<(u128, u128)>) -> Option<()> {
    let network = match element.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => IpNet::from(element.parse::<IpAddr>().ok()?),
    };
    let (first, last) = (position(network.network()), position(network.broadcast()));
    let is_v6 = matches!(network, IpNet::V6(_));
    if is_v6 && first < MAPPED_FIRST && last > MAPPED_LAST {
        // An IPv6 network around all of IPv4: it was not meant to hold that.
        ranges.push((first, MAPPED_FIRST - 1));
        ranges.push((MAPPED_LAST + 1, last));
    } else if is_v6 && first < MAPPED_FIRST && last == MAPPED_LAST {
        ranges.push((first, MAPPED_FIRST - 1));
    } else {
        ranges.push((first, last));
    }
    Some(())
}

/// Sorted, and without overlaps.
fn united(mut ranges: Vec<(u128, u128)>) -> Arc<[(u128, u128)]> {
    ranges.sort_unstable();
    let mut united: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match united.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => united.push((first, last)),
        }
    }
    united.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_is_in_a_list() {
        let table: &[(&str, &[&str], &[&str])] = &[
            (
                "10.1.2.3",
                &["10.1.2.3", "::ffff:10.1.2.3"],
                &["10.1.2.2", "10.1.2.4", "::1"],
            ),
            // Host bits do not count.
            (
                "10.1.2.3/8",
                &["10.0.0.0", "10.255.255.255"],
                &["9.255.255.255", "11.0.0.0"],
            ),
            (
                "0.0.0.0/0",
                &["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"],
                &["::", "2001:db8::1"],
            ),
            (
                "::/0",
                &["::", "2001:db8::1", "ffff:ffff::"],
                &["0.0.0.0", "1.2.3.4", "::ffff:1.2.3.4"],
            ),
            ("::fffe:0:0/95", &["::fffe:0:1"], &["1.2.3.4"]),
            ("::ffff:10.0.0.0/104", &["10.3.0.1"], &["11.0.0.1", "::10.0.0.1"]),
            ("::ffff:10.0.0.1", &["10.0.0.1"], &["10.0.0.2"]),
            (
                "2001:db8::/32",
                &["2001:db8::", "2001:db8:ffff::1"],
                &["2001:db7:ffff::", "2001:db9::"],
            ),
            (
                " 10.0.0.0/8 ,\t192.168.0.0/16",
                &["10.1.1.1", "192.168.3.4"],
                &["172.16.0.1"],
            ),
            (
                "10.0.0.0/9,10.128.0.0/9,10.3.0.0/16",
                &["10.255.0.1", "10.0.0.0"],
                &["11.0.0.0"],
            ),
            ("0.0.0.0/0,::/0", &["1.2.3.4", "::1", "255.255.255.255"], &[]),
        ];
        for (list, inside, outside) in table {
            let networks = Networks::parse(list).unwrap();
            for address in *inside {
                assert!(networks.contains(ip(address)), "{address} in {list}");
            }
            for address in *outside {
                assert!(!networks.contains(ip(address)), "{address} in {list}");
            }
        }
    }

    #[test]
    fn a_list_with_a_flaw_is_none() {
        for list in ["", " ", "\t"] {
            assert_eq!(Networks::parse(list), Err(NetworksError::Empty), "{list:?}");
        }
        assert_eq!(Networks::of([]), Err(NetworksError::Empty));
        for (list, flaw) in [
            ("10.0.0.0/8,", ""),
            (",10.0.0.0/8", ""),
            ("10.0.0.0/8,,10.1.0.0/16", ""),
            ("10.0.0.0/33", "10.0.0.0/33"),
            ("10.0.0.0/-1", "10.0.0.0/-1"),
            ("10.0.0.0/255.0.0.0", "10.0.0.0/255.0.0.0"),
            ("10.0.0.0/8 10.1.0.0/16", "10.0.0.0/8 10.1.0.0/16"),
            ("10.0.0", "10.0.0"),
            ("010.0.0.1", "010.0.0.1"),
            ("10.0.0.0-10.0.0.9", "10.0.0.0-10.0.0.9"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("[::1]", "[::1]"),
            ("localhost", "localhost"),
            ("all", "all"),
            ("2001:db8::/129", "2001:db8::/129"),
        ] {
            assert_eq!(
                Networks::parse(list),
                Err(NetworksError::Element(flaw.into())),
                "{list:?}"
            );
        }
    }

    #[test]
    fn the_same_set_is_equal_however_it_is_written() {
        let one = Networks::parse("10.0.0.0/8, ::1").unwrap();
        assert_eq!(
            one,
            Networks::parse("::1/128,10.128.0.0/9,10.0.0.0/9,10.7.0.0/16").unwrap()
        );
        assert_ne!(one, Networks::parse("10.0.0.0/8").unwrap());
    }

    #[test]
    fn a_clone_shares_the_list() {
        let list = Networks::parse("10.0.0.0/8, ::1").unwrap();
        assert!(Arc::ptr_eq(&list.ranges, &list.clone().ranges));
    }

    #[test]
    fn everybody_is_both_families() {
        for (list, expected) in [
            ("0.0.0.0/0,::/0", true),
            ("::/0, 0.0.0.0/0, 10.0.0.1", true),
            ("0.0.0.0/1,128.0.0.0/1,::/0", true),
            ("::/0", false),
            ("0.0.0.0/0", false),
        ] {
            assert_eq!(Networks::parse(list).unwrap().is_everybody(), expected, "{list}");
        }
    }

    #[test]
    fn a_subnet_is_of_ipv6_alone() {
        let table = [
            ("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::"),
            ("2001:db8:1:2:3:4:5:6", 56, "2001:db8:1::"),
            ("2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6"),
            ("2001:db8:1:2:3:4:5:6", 1, "::"),
            ("2001:db8:1:2:3:4:5:6", 0, "::"),
            ("203.0.113.7", 64, "203.0.113.7"),
            ("::ffff:203.0.113.7", 64, "203.0.113.7"),
        ];
        for (address, prefix, expected) in table {
            assert_eq!(subnet(ip(address), prefix), ip(expected), "{address}/{prefix}");
        }
    }

    proptest! {
        /// A naive list: each network asked by itself.
        #[test]
        fn the_search_finds_what_a_walk_finds(
            networks in prop::collection::vec((any::<u8>(), any::<[u8; 2]>(), 0_u8..=32, any::<bool>()), 1..40),
            asked in prop::collection::vec((any::<u8>(), any::<[u8; 2]>(), any::<bool>()), 1..60),
        ) {
            let address = |first: u8, rest: [u8; 2], v6: bool| {
                let v4 = u32::from_be_bytes([first % 4, rest[0] % 4, 0, rest[1] % 4]);
                if v6 { IpAddr::V6(Ipv6Addr::from_bits(u128::from(v4) << 96)) } else { IpAddr::V4(v4.into()) }
            };
            let nets: Vec<IpNet> = networks
                .iter()
                .map(|(first, rest, prefix, v6)| IpNet::new(address(*first, *rest, *v6), *prefix).unwrap())
                .collect();
            let texts: Vec<String> = nets.iter().map(ToString::to_string).collect();
            let list = Networks::of(texts.iter().map(String::as_str)).unwrap();
            for (first, rest, v6) in asked {
                let address = address(first, rest, v6);
                prop_assert_eq!(list.contains(address), nets.iter().any(|net| net.contains(&address)));
            }
        }
    }
}
