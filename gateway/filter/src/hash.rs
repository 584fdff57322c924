//! Rendezvous hashing (highest random weight; Thaler and Ravishankar, 1998): the same key finds the same endpoint at every
//! worker and replica, and an endpoint that comes or goes moves only the keys that are its own.

use std::net::{IpAddr, SocketAddr};

/// A key, hashed while its parts are written.
///
/// The numbers are the same in every process: replicas of different versions must agree too. Nothing relies on collisions
/// being hard to find: whoever chooses keys chooses endpoints anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(u64);

impl Default for KeyHash {
    fn default() -> Self {
        // FNV-1a, offset basis.
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl KeyHash {
    /// The hash of one part.
    #[must_use]
    pub fn of(part: &[u8]) -> Self {
        let mut hash = Self::default();
        hash.write(part);
        hash
    }

    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            // FNV-1a, 64 bits.
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The weight of an endpoint for this key: the one with the largest gets it.
    #[must_use]
    pub fn weight(self, endpoint: SocketAddr) -> u64 {
        let (high, low) = match endpoint.ip() {
            IpAddr::V4(address) => (0, u64::from(address.to_bits())),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                #[expect(clippy::cast_possible_truncation, reason = "its halves")]
                let halves = ((bits >> 64) as u64, bits as u64);
                halves
            }
        };
        mixed(mixed(mixed(self.0 ^ high) ^ low) ^ u64::from(endpoint.port()))
    }
}

/// The finaliser of SplitMix64, with its increment: zero is no fixed point.
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The positions of endpoints for a key, the best first. Finding each costs one pass over all, and no memory.
#[derive(Debug, Clone)]
pub struct Ranking<E> {
    endpoints: E,
    key: KeyHash,
    /// The weight and the position of the last one.
    last: Option<(u64, usize)>,
}

impl<E: Iterator<Item = SocketAddr> + Clone> Ranking<E> {
    /// The ranking of these endpoints.
    pub fn new(key: KeyHash, endpoints: E) -> Self {
        Self {
            endpoints,
            key,
            last: None,
        }
    }
}

impl<E: Iterator<Item = SocketAddr> + Clone> Iterator for Ranking<E> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let weighed = self.endpoints.clone().enumerate();
        let weighed = weighed.map(|(position, endpoint)| (self.key.weight(endpoint), position));
        let next = match self.last {
            None => weighed.max(),
            Some(last) => weighed.filter(|weighed| *weighed < last).max(),
        };
        self.last = Some(next?);
        next.map(|(_, position)| position)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoints(count: u16) -> Vec<SocketAddr> {
        (0..count)
            .map(|last| ([10, 0, 0, 1], 8000 + last).into())
            .collect()
    }

    fn first(key: &str, endpoints: &[SocketAddr]) -> SocketAddr {
        let position = Ranking::new(KeyHash::of(key.as_bytes()), endpoints.iter().copied()).next();
        endpoints[position.unwrap()]
    }

    #[test]
    fn keys_spread_evenly() {
        let endpoints = endpoints(10);
        let mut counts = [0_u32; 10];
        for key in 0..10_000 {
            let chosen = first(&format!("/page/{key}"), &endpoints);
            counts[usize::from(chosen.port() - 8000)] += 1;
        }
        // The standard deviation of each is 30.
        assert!(
            counts.iter().all(|count| (850..=1150).contains(count)),
            "{counts:?}"
        );
    }

    /// Replicas of different versions must agree.
    #[test]
    fn the_numbers_are_always_the_same() {
        let weight =
            |key: &str, endpoint: &str| KeyHash::of(key.as_bytes()).weight(endpoint.parse().unwrap());
        assert_eq!(KeyHash::of(b"a").0, 0xaf63_dc4c_8601_ec8c, "FNV-1a of `a`");
        assert_eq!(mixed(0), 0xe220_a839_7b1d_cdaf, "the first number of SplitMix64");
        assert_ne!(weight("a", "10.0.0.1:80"), weight("a", "10.0.0.1:81"));
        assert_ne!(weight("a", "10.0.0.1:80"), weight("a", "[::ffff:10.0.0.1]:80"));
        assert_ne!(weight("a", "10.0.0.1:80"), weight("b", "10.0.0.1:80"));
    }

    proptest! {
        #[test]
        fn an_endpoint_that_goes_moves_only_its_own_keys(key in ".{0,20}", count in 2_u16..30, gone in any::<prop::sample::Index>()) {
            let all = endpoints(count);
            let mut left = all.clone();
            let gone = left.remove(gone.index(left.len()));
            let (before, after) = (first(&key, &all), first(&key, &left));
            prop_assert!(before == after || before == gone);
        }

        #[test]
        fn a_ranking_has_every_position_once(key in ".{0,20}", count in 0_u16..30) {
            let all = endpoints(count);
            let ranking: Vec<usize> = Ranking::new(KeyHash::of(key.as_bytes()), all.iter().copied()).collect();
            let mut sorted = ranking.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..usize::from(count)).collect::<Vec<_>>());
            // As a sort by weight would have it.
            let hash = KeyHash::of(key.as_bytes());
            let weights: Vec<u64> = ranking.iter().map(|position| hash.weight(all[*position])).collect();
            prop_assert!(weights.is_sorted_by(|left, right| left >= right));
        }
    }
}
