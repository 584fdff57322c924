//! How often a request is tried, and where.

use std::net::SocketAddr;

use smallvec::SmallVec;

/// The number of endpoints at which one request is tried, at most.
const MOST: usize = 4;

/// Where a request has been tried without success.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    tried: SmallVec<[SocketAddr; MOST]>,
    /// It may have reached an endpoint, or has waited for one: after that it is tried once more at most.
    once: bool,
}

/// What may be tried after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Other endpoints, at once: no backend has seen the request, and hardly any time has passed.
    Unreached,
    /// One other endpoint, once.
    Elsewhere,
    /// Once, at the same endpoint if there is no other: what failed is one connection, which may just have been old.
    Anywhere,
    /// At the same endpoint if there is no other: the backend has said that it did not process the request.
    Unprocessed,
}

impl Tries {
    /// Records a failure; returns whether another attempt is allowed.
    pub(crate) fn go_on(&mut self, again: Again, address: SocketAddr) -> bool {
        self.tried.push(address);
        let allowed = match again {
            Again::Unreached | Again::Unprocessed => true,
            Again::Elsewhere | Again::Anywhere => !std::mem::replace(&mut self.once, true),
        };
        allowed && self.tried.len() < MOST
    }

    /// Whether the request has been tried there.
    pub(crate) fn include(&self, address: SocketAddr) -> bool {
        self.tried.contains(&address)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tried.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_more_tries_without_a_connection_and_one_if_it_may_have_arrived() {
        let address = |port| ([10, 0, 0, 1], port).into();
        let run = |failures: &[Again]| {
            let mut tries = Tries::default();
            let mut ports = 1..;
            failures
                .iter()
                .map(|again| tries.go_on(*again, address(ports.next().unwrap())))
                .collect::<Vec<bool>>()
        };
        use Again::{Anywhere, Elsewhere, Unprocessed, Unreached};
        assert_eq!(run(&[Unprocessed; 4]), [true, true, true, false]);
        assert_eq!(run(&[Anywhere, Unprocessed, Anywhere]), [true, true, false]);
        assert_eq!(run(&[Unreached; 4]), [true, true, true, false]);
        assert_eq!(run(&[Elsewhere, Elsewhere]), [true, false]);
        assert_eq!(run(&[Elsewhere, Unreached, Anywhere]), [true, true, false]);
        assert_eq!(
            run(&[Unreached, Anywhere, Unreached, Unreached]),
            [true, true, true, false]
        );
    }
}
