//! Who sends a request, as far as filters ask.

use std::net::IpAddr;
use std::num::NonZeroU8;

use crate::cidr::{Networks, subnet};

/// Who sends a request. `proxy` answers for the request at hand.
pub trait Caller {
    /// The client, as the door resolves it from what trusted peers say.
    fn client(&self) -> IpAddr;

    /// The other end of the connection.
    fn peer(&self) -> IpAddr;

    /// The entries of `X-Forwarded-For` from the right, empty ones left out; `None` for an entry that is no address. No
    /// entries if the peer is not trusted: it could write what it likes. The walk is bounded by whoever implements it.
    fn hops(&self) -> impl Iterator<Item = Option<IpAddr>>;

    /// The value of a field, of its first line if there are several.
    fn field(&self, name: &str) -> Option<&[u8]>;

    /// The host that is asked for, in its normal form and without port.
    fn host(&self) -> &[u8];

    /// The user that an authenticator before this filter has found.
    fn user(&self) -> Option<&[u8]>;
}

/// The deepest entry of `X-Forwarded-For` that can be named; no chain of proxies is as long, and no more are read.
pub const DEEPEST: u8 = 64;

/// Where a Middleware takes an address from (Traefik's `ipStrategy`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpStrategy {
    /// Which of the addresses.
    pub choice: Choice,
    /// How many leading bits of an IPv6 address count, if not all.
    pub ipv6_subnet: Option<Ipv6Prefix>,
}

/// Which of the addresses that a request has come through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The other end of the connection.
    Peer,
    /// The entry of `X-Forwarded-For` at this place from the right, counted from 1.
    Depth(NonZeroU8),
    /// The first entry of `X-Forwarded-For` from the right that is in none of these networks.
    FirstOutside(Networks),
}

/// The length of an IPv6 prefix, 1 to 128.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Prefix(NonZeroU8);

impl Ipv6Prefix {
    /// What a provider gives one customer at least, so what one client can choose addresses from.
    pub const CUSTOMER: Self = Self(NonZeroU8::MIN.saturating_add(63));

    /// A prefix of `bits`.
    ///
    /// # Errors
    /// If there is no such prefix, ready for a problem.
    pub fn new(bits: i64) -> Result<Self, String> {
        u8::try_from(bits)
            .ok()
            .filter(|bits| *bits <= 128)
            .and_then(NonZeroU8::new)
            .map(Self)
            .ok_or_else(|| format!("`{bits}` is not the length of an IPv6 prefix, 1 to 128"))
    }

    /// `address`, as far as this prefix goes, if it is an IPv6 address.
    #[must_use]
    pub fn of(self, address: IpAddr) -> IpAddr {
        subnet(address, self.0.get())
    }
}

impl IpStrategy {
    /// The strategy of Traefik's three fields. A depth of zero is none; with a depth, excluded addresses do not count.
    ///
    /// # Errors
    /// What is wrong with the fields, ready for a problem.
    pub fn of<'e>(
        depth: Option<i64>,
        excluded: impl IntoIterator<Item = &'e str>,
        ipv6_subnet: Option<i64>,
    ) -> Result<Self, String> {
        let mut excluded = excluded.into_iter().peekable();
        let choice = match depth {
            Some(depth @ 1..) => {
                let depth = u8::try_from(depth).ok().filter(|depth| *depth <= DEEPEST);
                let depth = depth.and_then(NonZeroU8::new);
                Choice::Depth(depth.ok_or_else(|| format!("`depth` is more than {DEEPEST}"))?)
            }
            Some(depth @ ..0) => return Err(format!("`depth` is {depth}; it counts from the right, from 1")),
            Some(0) | None if excluded.peek().is_some() => {
                Choice::FirstOutside(Networks::of(excluded).map_err(|error| error.to_string())?)
            }
            Some(0) | None => Choice::Peer,
        };
        let ipv6_subnet = ipv6_subnet.map(Ipv6Prefix::new).transpose()?;
        Ok(Self { choice, ipv6_subnet })
    }

    /// The address of `caller`. `None` if there is none at the place that the strategy names, or what stands there is
    /// no address.
    #[must_use]
    pub fn address(&self, caller: &impl Caller) -> Option<IpAddr> {
        let address = match &self.choice {
            Choice::Peer => Some(caller.peer().to_canonical()),
            Choice::Depth(depth) => caller.hops().nth(usize::from(depth.get()) - 1).flatten(),
            Choice::FirstOutside(networks) => caller
                .hops()
                .find(|hop| hop.is_none_or(|hop| !networks.contains(hop)))
                .flatten(),
        }?;
        Some(match self.ipv6_subnet {
            Some(prefix) => prefix.of(address),
            None => address.to_canonical(),
        })
    }
}

/// A request made up for tests.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[derive(Debug)]
    pub(crate) struct Made {
        pub(crate) client: IpAddr,
        pub(crate) peer: IpAddr,
        pub(crate) forwarded: &'static str,
        pub(crate) trusted: bool,
        pub(crate) field: Option<(&'static str, &'static [u8])>,
        pub(crate) user: Option<&'static [u8]>,
    }

    pub(crate) fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A request of `client` through a trusted `peer`.
    pub(crate) fn made(client: &str, peer: &str, forwarded: &'static str) -> Made {
        Made {
            client: ip(client),
            peer: ip(peer),
            forwarded,
            trusted: true,
            field: None,
            user: None,
        }
    }

    impl Caller for Made {
        fn client(&self) -> IpAddr {
            self.client
        }

        fn peer(&self) -> IpAddr {
            self.peer
        }

        fn hops(&self) -> impl Iterator<Item = Option<IpAddr>> {
            let entries = self.forwarded.rsplit(',').map(str::trim);
            entries
                .filter(|entry| self.trusted && !entry.is_empty())
                .map(|entry| entry.parse().ok())
        }

        fn field(&self, name: &str) -> Option<&[u8]> {
            self.field
                .filter(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        }

        fn host(&self) -> &[u8] {
            b"shop.example.com"
        }

        fn user(&self) -> Option<&[u8]> {
            self.user
        }
    }

    fn strategy(depth: Option<i64>, excluded: &[&str], subnet: Option<i64>) -> Result<IpStrategy, String> {
        IpStrategy::of(depth, excluded.iter().copied(), subnet)
    }

    /// Depth, excluded networks, length of IPv6 networks, chain, and the address that counts.
    type Case = (
        Option<i64>,
        &'static [&'static str],
        Option<i64>,
        &'static str,
        Option<&'static str>,
    );

    #[test]
    fn the_address_that_a_strategy_names() {
        let chain = "1.1.1.1, 2.2.2.2,, 10.0.0.3 ,10.0.0.4";
        let table: &[Case] = &[
            (None, &[], None, chain, Some("10.0.0.9")),
            (Some(0), &[], None, chain, Some("10.0.0.9")),
            (Some(1), &[], None, chain, Some("10.0.0.4")),
            (Some(3), &[], None, chain, Some("2.2.2.2")),
            (Some(4), &[], None, chain, Some("1.1.1.1")),
            // There is no fifth.
            (Some(5), &[], None, chain, None),
            (Some(1), &[], None, "", None),
            (Some(1), &[], None, "unknown", None),
            (Some(2), &[], None, "1.1.1.1,unknown", Some("1.1.1.1")),
            (None, &["10.0.0.0/8"], None, chain, Some("2.2.2.2")),
            (
                None,
                &["10.0.0.4", "10.0.0.3", "2.2.2.2"],
                None,
                chain,
                Some("1.1.1.1"),
            ),
            (None, &["0.0.0.0/0"], None, chain, None),
            (None, &["10.0.0.0/8"], None, "1.1.1.1, unknown, 10.0.0.1", None),
            // A depth goes before excluded addresses.
            (Some(1), &["10.0.0.0/8"], None, chain, Some("10.0.0.4")),
            (Some(1), &[], Some(48), "2001:db8:1:2::3", Some("2001:db8:1::")),
            (
                Some(1),
                &[],
                Some(128),
                "2001:db8:1:2::3",
                Some("2001:db8:1:2::3"),
            ),
            (Some(1), &[], Some(8), "1.2.3.4", Some("1.2.3.4")),
            (Some(1), &[], None, "::ffff:1.2.3.4", Some("1.2.3.4")),
        ];
        for (depth, excluded, subnet, forwarded, expected) in table {
            let strategy = strategy(*depth, excluded, *subnet).unwrap();
            let mut caller = made("2.2.2.2", "10.0.0.9", forwarded);
            assert_eq!(
                strategy.address(&caller),
                expected.map(ip),
                "{depth:?} {excluded:?} {forwarded}"
            );
            // What an untrusted peer writes is nothing; the peer itself is what it is.
            caller.trusted = false;
            let peer = (strategy.choice == Choice::Peer).then(|| ip("10.0.0.9"));
            assert_eq!(strategy.address(&caller), peer, "{depth:?} {excluded:?}");
        }
    }

    #[test]
    fn strategies_that_cannot_be() {
        for (depth, excluded, subnet) in [
            (Some(-1), &[][..], None),
            (Some(65), &[], None),
            (Some(i64::MAX), &[], None),
            (None, &["10.0.0.0/33"], None),
            (None, &[""], None),
            (None, &[], Some(0)),
            (None, &[], Some(129)),
            (None, &[], Some(-64)),
        ] {
            assert!(
                strategy(depth, excluded, subnet).is_err(),
                "{depth:?} {excluded:?} {subnet:?}"
            );
        }
    }
}
