//! The choice between endpoints.

use std::net::SocketAddr;
use std::rc::Rc;

use door::Upstream;

use super::Endpoint;

/// Of two endpoints drawn at random, the one with fewer requests in flight: nearly as even as asking all of them,
/// at the cost of asking two (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing").
///
/// Ejected endpoints are passed over; when a draw hits only such, the others are looked through from a random
/// place, so that one healthy endpoint among many dead ones is always found.
pub(super) fn power_of_two(
    upstream: &Upstream,
    avoid: Option<SocketAddr>,
    known: impl Fn(SocketAddr) -> Rc<Endpoint>,
) -> Option<Rc<Endpoint>> {
    let all = &upstream.endpoints;
    let count = all.len();
    let usable = |index: usize| {
        let address = all.get(index)?.address;
        if avoid == Some(address) {
            return None;
        }
        let endpoint = known(address);
        endpoint.is_usable().then_some(endpoint)
    };
    let drawn = match count {
        0 => None,
        1 => usable(0),
        _ => {
            let first = fastrand::usize(..count);
            // Drawn from the others, so that the two always differ.
            let second = (first + 1 + fastrand::usize(..count - 1)) % count;
            match (usable(first), usable(second)) {
                (Some(left), Some(right)) => Some(if right.in_flight() < left.in_flight() {
                    right
                } else {
                    left
                }),
                (Some(one), None) | (None, Some(one)) => Some(one),
                (None, None) => {
                    let start = fastrand::usize(..count);
                    (0..count).find_map(|step| usable((start + step) % count))
                }
            }
        }
    };
    // The endpoint that failed is better than none, unless it is known to be down.
    drawn.or_else(|| avoid.map(known).filter(|endpoint| endpoint.is_usable()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use route::ObjectKey;

    use super::*;
    use crate::metrics::WorkerMetrics;
    use crate::upstream::HealthBoard;

    fn upstream(ports: &[u16]) -> Upstream {
        let endpoints = ports
            .iter()
            .map(|port| door::Endpoint {
                address: ([10, 0, 0, 1], *port).into(),
            })
            .collect();
        Upstream {
            service: ObjectKey::new("shop", "web"),
            port: 80,
            protocol: door::UpstreamProtocol::Http1,
            endpoints,
        }
    }

    fn known(ports: &[u16]) -> HashMap<u16, Rc<Endpoint>> {
        let board = HealthBoard::default();
        ports
            .iter()
            .map(|port| {
                let address = ([10, 0, 0, 1], *port).into();
                (
                    *port,
                    Rc::new(Endpoint::new(
                        address,
                        door::UpstreamProtocol::Http1,
                        board.health(address),
                        Arc::new(WorkerMetrics::default()),
                    )),
                )
            })
            .collect()
    }

    #[test]
    fn fewer_in_flight_wins_and_the_spread_is_even() {
        let ports = [1, 2, 3, 4];
        let endpoints = known(&ports);
        let mut held = Vec::new();
        for _ in 0..400 {
            let chosen = power_of_two(&upstream(&ports), None, |address| {
                Rc::clone(&endpoints[&address.port()])
            })
            .unwrap();
            held.push(chosen.begin());
        }
        for port in ports {
            let in_flight = endpoints[&port].in_flight();
            assert!((90..=110).contains(&in_flight), "{port}: {in_flight}");
        }
    }

    #[test]
    fn ejected_and_failed_endpoints_are_passed_over() {
        let ports = [1, 2, 3];
        let endpoints = known(&ports);
        let choose = |avoid: Option<u16>| {
            let avoid = avoid.map(|port| ([10, 0, 0, 1], port).into());
            power_of_two(&upstream(&ports), avoid, |address| {
                Rc::clone(&endpoints[&address.port()])
            })
            .map(|endpoint| endpoint.address().port())
        };
        endpoints[&1].eject_for_test();
        for _ in 0..100 {
            assert_eq!(choose(Some(2)), Some(3));
        }
        endpoints[&3].eject_for_test();
        assert_eq!(
            choose(Some(2)),
            Some(2),
            "the one that failed is better than none"
        );
        endpoints[&2].eject_for_test();
        assert_eq!(choose(None), None);
        assert!(
            power_of_two(&upstream(&[]), None, |address| Rc::clone(
                &endpoints[&address.port()]
            ))
            .is_none()
        );
    }
}
