//! Whom a limit counts.

use std::net::IpAddr;

use crate::caller::{Caller, Choice, IpStrategy, Ipv6Prefix};

/// What requests must have in common to be counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The client, as the door resolves it; of an IPv6 address, as many bits as the prefix has.
    Client(Ipv6Prefix),
    /// The address that a Middleware's strategy finds. A request without one is counted by its peer: nobody chooses
    /// that, and it is the bucket of nobody else.
    Strategy(IpStrategy),
    /// The value of a field of the request; requests without it count as one.
    Field(Box<str>),
    /// The host that is asked for.
    Host,
    /// The user that an authenticator has found; where there is none, the client.
    User,
}

/// What one bucket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key<'k> {
    /// Requests from an address, or from the network that begins with it.
    Address(IpAddr),
    /// Requests with a text in common.
    Text(&'k [u8]),
}

impl Default for Source {
    fn default() -> Self {
        Self::Client(Ipv6Prefix::CUSTOMER)
    }
}

impl Source {
    /// The source that a Middleware's strategy means. Without `depth` and `excludedIPs` it is the client as the door
    /// resolves it: behind a load balancer the peer is everybody.
    #[must_use]
    pub fn of_strategy(mut strategy: IpStrategy) -> Self {
        let prefix = strategy.ipv6_subnet.unwrap_or(Ipv6Prefix::CUSTOMER);
        if strategy.choice == Choice::Peer {
            return Self::Client(prefix);
        }
        strategy.ipv6_subnet = Some(prefix);
        Self::Strategy(strategy)
    }

    /// The source of one word: `client`, `host`, `user`, or `header:NAME`.
    ///
    /// # Errors
    /// If `text` is none of these, ready for a problem.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "client" => Ok(Self::default()),
            "host" => Ok(Self::Host),
            "user" => Ok(Self::User),
            other => match other.split_once(':') {
                Some(("header", name)) => Self::field(name.trim()),
                _ => Err(format!(
                    "`{other}` is none of `client`, `host`, `user` and `header:NAME`"
                )),
            },
        }
    }

    /// The source of a field.
    ///
    /// # Errors
    /// If there can be no field of this name, ready for a problem.
    pub fn field(name: &str) -> Result<Self, String> {
        let known = http::HeaderName::from_bytes(name.as_bytes());
        let known = known.map_err(|_| format!("`{name}` is not the name of a header"))?;
        Ok(Self::Field(known.as_str().into()))
    }

    /// Whether clients choose their key themselves, so that the limit stops only those who play by the rules.
    #[must_use]
    pub fn is_chosen_by_clients(&self) -> bool {
        matches!(self, Self::Field(_))
    }

    /// The bucket of `caller`.
    pub fn key<'k>(&'k self, caller: &'k impl Caller) -> Key<'k> {
        match self {
            Self::Client(prefix) => Key::Address(prefix.of(caller.client())),
            Self::Strategy(strategy) => Key::Address(
                strategy
                    .address(caller)
                    .unwrap_or_else(|| Ipv6Prefix::CUSTOMER.of(caller.peer())),
            ),
            Self::Field(name) => Key::Text(caller.field(name).unwrap_or_default()),
            Self::Host => Key::Text(caller.host()),
            Self::User => match caller.user() {
                Some(user) => Key::Text(user),
                None => Key::Address(Ipv6Prefix::CUSTOMER.of(caller.client())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::tests::{ip, made};

    fn address(text: &str) -> Key<'static> {
        Key::Address(ip(text))
    }

    #[test]
    fn whom_each_source_counts() {
        let mut caller = made(
            "2001:db8:1:2:3::4",
            "2001:db8:9:9:9::9",
            "192.0.2.1, 2001:db8:5:6:7::8",
        );
        caller.field = Some(("x-api-key", b"k1"));
        let strategy = |depth, excluded: &[&str], subnet| {
            Source::of_strategy(IpStrategy::of(depth, excluded.iter().copied(), subnet).unwrap())
        };
        let table = [
            (Source::default(), address("2001:db8:1:2::")),
            (
                Source::Client(Ipv6Prefix::new(48).unwrap()),
                address("2001:db8:1::"),
            ),
            (strategy(None, &[], None), address("2001:db8:1:2::")),
            (strategy(None, &[], Some(128)), address("2001:db8:1:2:3::4")),
            (strategy(Some(1), &[], None), address("2001:db8:5:6::")),
            (strategy(Some(1), &[], Some(32)), address("2001:db8::")),
            (strategy(Some(2), &[], None), address("192.0.2.1")),
            (strategy(None, &["2001:db8::/32"], None), address("192.0.2.1")),
            // Nobody there: the peer.
            (strategy(Some(3), &[], Some(32)), address("2001:db8:9:9::")),
            (Source::parse("header:X-Api-Key").unwrap(), Key::Text(b"k1")),
            (Source::parse("header: other").unwrap(), Key::Text(b"")),
            (Source::parse("host").unwrap(), Key::Text(b"shop.example.com")),
            (Source::parse("user").unwrap(), address("2001:db8:1:2::")),
            (Source::parse(" client ").unwrap(), address("2001:db8:1:2::")),
        ];
        for (source, key) in table {
            assert_eq!(source.key(&caller), key, "{source:?}");
        }
        caller.user = Some(b"ada");
        assert_eq!(Source::User.key(&caller), Key::Text(b"ada"));
    }

    #[test]
    fn an_address_has_one_key_in_both_its_forms() {
        let source = Source::default();
        let mapped = made("::ffff:192.0.2.1", "::1", "");
        assert_eq!(source.key(&mapped), address("192.0.2.1"));
    }

    #[test]
    fn what_is_no_source() {
        for text in [
            "",
            "Client",
            "ip",
            "header",
            "header:",
            "header:a b",
            "header:ü",
            "cookie:x",
            "host:x",
        ] {
            assert!(Source::parse(text).is_err(), "{text}");
        }
    }
}
