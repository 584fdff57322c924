//! Who is let in, by address.

use std::net::IpAddr;

use crate::caller::{Caller, IpStrategy};
use crate::cidr::Networks;

/// Refuses those who are in none of the networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    /// Who is let in.
    pub networks: Networks,
    /// Whose address counts.
    pub whose: Whose,
    /// The status of a refusal.
    pub status: RejectStatus,
}

/// Refuses the clients that are in one of the networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deny {
    /// Who is not let in.
    pub networks: Networks,
}

/// Whose address an allow list is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// The client, as the door resolves it.
    Client,
    /// The address that a Middleware's strategy finds; whoever has none is refused.
    Strategy(IpStrategy),
}

/// A status that refuses: an error with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectStatus(u16);

impl RejectStatus {
    /// 403.
    pub const FORBIDDEN: Self = Self(403);

    /// The status with the number `code`. Zero means the default, 403.
    ///
    /// # Errors
    /// If a refusal cannot have this status, ready for a problem.
    pub fn new(code: i64) -> Result<Self, String> {
        if code == 0 {
            return Ok(Self::FORBIDDEN);
        }
        u16::try_from(code)
            .ok()
            .filter(|code| (400..600).contains(code))
            .filter(|code| {
                http::StatusCode::from_u16(*code).is_ok_and(|code| code.canonical_reason().is_some())
            })
            .map(Self)
            .ok_or_else(|| format!("`{code}` is not a status that a refusal can have, like 403 or 404"))
    }

    /// The number.
    #[must_use]
    pub fn code(self) -> u16 {
        self.0
    }
}

impl Allow {
    /// An allow list for clients.
    #[must_use]
    pub fn clients(networks: Networks) -> Self {
        Self {
            networks,
            whose: Whose::Client,
            status: RejectStatus::FORBIDDEN,
        }
    }

    /// Whether `caller` is let in.
    #[must_use]
    pub fn admits(&self, caller: &impl Caller) -> bool {
        let address: Option<IpAddr> = match &self.whose {
            Whose::Client => Some(caller.client()),
            Whose::Strategy(strategy) => strategy.address(caller),
        };
        address.is_some_and(|address| self.networks.contains(address))
    }
}

impl Deny {
    /// Whether `caller` is let in.
    #[must_use]
    pub fn admits(&self, caller: &impl Caller) -> bool {
        !self.networks.contains(caller.client())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::tests::made;

    fn networks(list: &str) -> Networks {
        Networks::parse(list).unwrap()
    }

    #[test]
    fn clients_are_allowed_and_denied_by_what_the_door_resolves() {
        let caller = made("192.0.2.7", "10.0.0.9", "192.0.2.7");
        for (list, inside) in [
            ("192.0.2.0/24", true),
            ("10.0.0.0/8", false),
            ("10.0.0.0/8,192.0.2.7", true),
        ] {
            assert_eq!(Allow::clients(networks(list)).admits(&caller), inside, "{list}");
            let deny = Deny {
                networks: networks(list),
            };
            assert_eq!(deny.admits(&caller), !inside, "{list}");
        }
    }

    #[test]
    fn a_middleware_without_an_address_refuses() {
        let allow = |depth, list: &str| Allow {
            networks: networks(list),
            whose: Whose::Strategy(IpStrategy::of(depth, [], None).unwrap()),
            status: RejectStatus::FORBIDDEN,
        };
        let mut caller = made("192.0.2.7", "10.0.0.9", "198.51.100.1, 192.0.2.7");
        assert!(allow(None, "10.0.0.0/8").admits(&caller));
        assert!(!allow(None, "192.0.2.0/24").admits(&caller));
        assert!(allow(Some(1), "192.0.2.0/24").admits(&caller));
        assert!(allow(Some(2), "198.51.100.1").admits(&caller));
        assert!(!allow(Some(3), "0.0.0.0/0,::/0").admits(&caller));
        caller.trusted = false;
        assert!(!allow(Some(1), "0.0.0.0/0,::/0").admits(&caller));
    }

    #[test]
    fn a_subnet_is_what_is_looked_up() {
        let allow = Allow {
            networks: networks("2001:db8:1:2::/128"),
            whose: Whose::Strategy(IpStrategy::of(None, [], Some(64)).unwrap()),
            status: RejectStatus::FORBIDDEN,
        };
        assert!(allow.admits(&made("::1", "2001:db8:1:2:3:4:5:6", "")));
        assert!(!allow.admits(&made("::1", "2001:db8:1:3:3:4:5:6", "")));
    }

    #[test]
    fn statuses_that_refuse() {
        for (code, expected) in [
            (0, 403),
            (403, 403),
            (404, 404),
            (401, 401),
            (418, 418),
            (503, 503),
        ] {
            assert_eq!(RejectStatus::new(code).map(RejectStatus::code), Ok(expected));
        }
        for code in [
            -1, 1, 99, 200, 302, 100, 101, 204, 205, 304, 299, 499, 600, 999, 70_000,
        ] {
            assert!(RejectStatus::new(code).is_err(), "{code}");
        }
    }
}
