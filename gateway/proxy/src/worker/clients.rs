//! Which connections belong to one client, and how many each client has.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::settings::PerClient;

/// Parts of the map with a lock each: every accept and every end of a connection takes one.
const PARTS: usize = 32;

/// After a crowd has gone, a part with room for more than this is made small again.
const ROOMY: usize = 64;

/// Whom bounds per client count as one: an IPv4 address, or an IPv6 network of 64 bits. One subscriber has all addresses
/// of such a network (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

/// The connections that are open, by client. Empty as long as there is no limit.
#[derive(Debug)]
pub(crate) struct ClientCounts {
    parts: [Mutex<HashMap<Client, usize>>; PARTS],
    hasher: RandomState,
}

impl Client {
    /// The client at an address. An IPv6 address that stands for an IPv4 address counts as that: mapped ones, and those of
    /// translators (RFC 6052), behind which the whole IPv4 Internet is one network of 64 bits.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => match address.segments() {
                [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
                    let [.., a, b, c, d] = address.octets();
                    Self::V4(Ipv4Addr::new(a, b, c, d))
                }
                [a, b, c, d, ..] => Self::V6([a, b, c, d]),
            },
        }
    }
}

impl Default for ClientCounts {
    fn default() -> Self {
        Self {
            parts: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }
}

impl ClientCounts {
    /// Counts one more connection of a client, unless it has as many as `limit` allows when `open` of the door's `most`
    /// are.
    pub(crate) fn enter(&self, client: Client, limit: PerClient, open: usize, most: usize) -> bool {
        let Some(mut counts) = self.part(client) else {
            return true;
        };
        let count = counts.get(&client).copied().unwrap_or_default();
        let admitted = limit.admits(count, open, most);
        if admitted {
            counts.insert(client, count + 1);
        }
        admitted
    }

    /// Uncounts a connection that was counted.
    pub(crate) fn leave(&self, client: Client) {
        let Some(mut counts) = self.part(client) else {
            return;
        };
        if let Some(count) = counts.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&client);
                if counts.is_empty() && counts.capacity() > ROOMY {
                    counts.shrink_to(ROOMY);
                }
            }
        }
    }

    fn part(&self, client: Client) -> Option<MutexGuard<'_, HashMap<Client, usize>>> {
        let hash = self.hasher.hash_one(client) % PARTS as u64;
        let part = self.parts.get(usize::try_from(hash).ok()?)?;
        Some(part.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ClientShare;

    #[test]
    fn a_client_is_an_address_or_a_network_of_64_bits() {
        // Both addresses, and whether they are one client.
        let table = [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("64:ff9b::10.0.0.1", "10.0.0.1", true),
            ("64:ff9b::10.0.0.1", "64:ff9b::10.0.0.2", false),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
            ("::a00:1", "10.0.0.1", false),
        ];
        for (left, right, same) in table {
            let (one, two) = (left.parse().unwrap(), right.parse().unwrap());
            assert_eq!(Client::of(one) == Client::of(two), same, "{left} {right}");
        }
    }

    /// Opens connections of each client in turn until none gets another; how many each has.
    fn fill(total: usize, clients: u8, limit: PerClient) -> Vec<usize> {
        let counts = ClientCounts::default();
        let mut each = vec![0; clients.into()];
        loop {
            let before: usize = each.iter().sum();
            for (number, count) in (0..).zip(&mut each) {
                let client = Client::of([10, 0, 0, number].into());
                let open = all(&counts);
                if open < total && counts.enter(client, limit, open, total) {
                    *count += 1;
                }
            }
            if each.iter().sum::<usize>() == before {
                return each;
            }
        }
    }

    fn all(counts: &ClientCounts) -> usize {
        let parts = counts
            .parts
            .iter()
            .map(|part| part.lock().unwrap().values().sum::<usize>());
        parts.sum()
    }

    #[test]
    fn one_client_leaves_room_for_others() {
        let share = PerClient::Share(ClientShare::default());
        for (total, clients, limit, expected) in [
            (3_000, 1, share, vec![1_500]),
            (300, 2, share, vec![100, 100]),
            (300, 1, PerClient::Fixed(7), vec![7]),
            (30, 3, PerClient::Unlimited, vec![10, 10, 10]),
            (1, 1, share, vec![1]),
        ] {
            assert_eq!(fill(total, clients, limit), expected, "{total} {limit:?}");
        }
    }

    #[test]
    fn a_full_door_decides_by_itself_about_a_client_with_few_connections() {
        let counts = ClientCounts::default();
        let client = Client::of([10, 0, 0, 1].into());
        let limit = PerClient::Share(ClientShare::default());
        let admitted = |most: usize| {
            (0..20)
                .filter(|_| counts.enter(client, limit, most, most))
                .count()
        };
        assert_eq!(admitted(30_000), 8, "as many as a browser opens");
        assert_eq!(admitted(30_000), 0);
    }

    #[test]
    fn nothing_is_kept_of_clients_that_have_gone() {
        let counts = ClientCounts::default();
        let clients: Vec<Client> = (0..20_000_u32).map(|bits| Client::V4(bits.into())).collect();
        for client in &clients {
            assert!(counts.enter(*client, PerClient::Fixed(1), 0, 1));
            assert!(!counts.enter(*client, PerClient::Fixed(1), 0, 1));
        }
        for client in &clients {
            counts.leave(*client);
        }
        for part in &counts.parts {
            let part = part.lock().unwrap();
            assert!(
                part.is_empty() && part.capacity() <= 2 * ROOMY,
                "{}",
                part.capacity()
            );
        }
    }
}
