//! Verdicts on endpoints: what leads to them, and what ends them.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::record::{FIRST, FORGIVEN};
use super::*;
use crate::upstream::balance::tests::upstream;
use crate::upstream::key::ProtocolKey;

fn key(port: u16) -> Key {
    Key {
        address: ([10, 0, 0, 1], port).into(),
        protocol: ProtocolKey::Http1,
        namespace_id: 0,
    }
}

fn fail(health: &Health, times: u32) -> Vec<bool> {
    (0..times).map(|_| health.failed()).collect()
}

#[test]
fn three_failed_connects_eject_and_one_success_restores() {
    let board = HealthBoard::default();
    let health = board.health(key(80));
    assert!(!health.not_reached() && !health.not_reached());
    health.reached();
    assert!(!health.not_reached() && !health.not_reached());
    assert!(health.not_reached(), "the third in a row");
    assert!(!health.not_reached(), "and only that one");
    assert_eq!(
        board.health(key(80)).availability(),
        Availability::Down,
        "every worker sees it"
    );
    health.served();
    assert!(health.is_down(), "an old connection's answer opens no new one");
    health.reached();
    assert_eq!(health.availability(), Availability::In);
}

#[test]
fn three_faults_in_a_row_eject() {
    let board = HealthBoard::default();
    let health = board.health(key(1));
    assert_eq!(fail(&health, 2), [false, false]);
    health.served();
    assert_eq!(fail(&health, 3), [false, false, true]);
    let first = board.take_out(&health, &upstream(&[1, 2]));
    assert_eq!(first, Some(Duration::from_millis(FIRST)));
    assert_eq!(health.availability(), Availability::Out);
    assert_eq!(
        fail(&health, 5),
        [false; 5],
        "those were sent before it was taken out"
    );
    assert!(!health.examine(), "not before its time");
    health.served();
    assert_eq!(health.availability(), Availability::In);
}

#[test]
fn one_request_tries_an_ejected_endpoint_and_each_ejection_is_twice_as_long() {
    let board = HealthBoard::default();
    let health = board.health(key(1));
    let mut terms = Vec::new();
    for _ in 0..7 {
        let term = board.take_out(&health, &upstream(&[1, 2])).unwrap();
        terms.push(term.as_millis());
        // Time passes.
        health.verdict.store(health.now(), Relaxed);
        assert_eq!(health.availability(), Availability::Due);
        assert!(health.examine(), "one");
        assert!(!health.examine(), "and no other");
        assert!(health.failed(), "it is no better");
    }
    assert_eq!(terms, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    health.served();
    health.last.store(health.now() - FORGIVEN - 1, Relaxed);
    let forgiven = board.take_out(&health, &upstream(&[1, 2]));
    assert_eq!(forgiven, Some(Duration::from_millis(FIRST)));
}

#[test]
fn at_least_half_of_the_endpoints_stay_in() {
    for (count, most) in [(1_u16, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
        let board = HealthBoard::default();
        let healths: Vec<_> = (0..count).map(|port| board.health(key(port))).collect();
        let all = upstream(&(0..count).collect::<Vec<u16>>());
        let out = healths
            .iter()
            .filter(|health| board.take_out(health, &all).is_some())
            .count();
        assert_eq!(out, most, "of {count}");
    }
    // Those that are down count.
    let board = HealthBoard::default();
    let (one, two) = (board.health(key(1)), board.health(key(2)));
    while !one.is_down() {
        one.not_reached();
    }
    assert_eq!(board.take_out(&two, &upstream(&[1, 2])), None);
}

#[test]
fn one_request_at_a_time_tries_an_ejected_endpoint() {
    let health = HealthBoard::default().health(key(1));
    let probing = health.probing();
    assert!(probing.is_some() && health.probing().is_none());
    drop(probing);
    assert!(health.probing().is_some(), "the next one takes over");
    let attempt = health.last_resort();
    assert!(attempt.is_some() && health.last_resort().is_none());
    drop(attempt);
    let tries = (0..100).filter(|_| health.last_resort().is_some()).count();
    assert!((19..=60).contains(&tries), "{tries} at once");
    health.next_try.store(health.now(), Relaxed);
    assert!(health.last_resort().is_some());
}

#[test]
fn an_unused_address_is_dropped() {
    let board = HealthBoard::default();
    drop(board.health(key(80)));
    board.sweep();
    assert!(board.known.lock().unwrap().is_empty());
}

#[test]
fn an_endpoint_that_returns_starts_anew() {
    let board = HealthBoard::default();
    let healths: Vec<_> = (1..=3).map(|port| board.health(key(port))).collect();
    for health in &healths {
        while !health.is_down() {
            health.not_reached();
        }
    }
    let of_namespace = |ports: &[u16], namespace_id| {
        let mut upstream = upstream(ports);
        upstream.namespace_id = namespace_id;
        upstream
    };
    // The same address of another namespace is another endpoint.
    let (one, two, other) = (
        of_namespace(&[1], 0),
        of_namespace(&[1, 2], 0),
        of_namespace(&[3], 1),
    );
    board.forget_all_but([&one, &two, &other].into_iter());
    let states: Vec<Availability> = healths.iter().map(|health| health.availability()).collect();
    assert_eq!(states, [Availability::Down, Availability::Down, Availability::In]);
    board.forget_all_but([&one].into_iter());
    let states: Vec<Availability> = healths.iter().map(|health| health.availability()).collect();
    assert_eq!(states, [Availability::Down, Availability::In, Availability::In]);
}

/// However many rules name one list of endpoints, it is compared once with what is known: of addresses that are gone, many or
/// few.
#[test]
fn a_list_that_many_rules_name_is_looked_at_once() {
    for gone in [1_u16, 1_000] {
        let board = HealthBoard::default();
        let healths: Vec<_> = (0..gone).map(|port| board.health(key(port))).collect();
        healths.iter().for_each(|health| {
            fail(health, 1);
        });
        let ports: Vec<u16> = (10_000..12_000).collect();
        let one = upstream(&ports);
        let rules: Vec<Upstream> = (0..500)
            .map(|number| Upstream {
                service: ObjectKey::new("shop", "app"),
                namespace_id: one.namespace_id,
                port: number,
                protocol: one.protocol.clone(),
                endpoints: Arc::clone(&one.endpoints),
                none: None,
            })
            .collect();
        board.forget_all_but(rules.iter());
        assert!(healths.iter().all(|health| health.is_blank()));
        let compared = board.compared.load(Relaxed);
        assert!(compared <= 2_000, "{compared} for {gone}");
    }
}

#[test]
fn what_is_not_well_can_be_listed() {
    let board = HealthBoard::default();
    let records: Vec<_> = (1..=3).map(|port| board.health(key(port))).collect();
    assert_eq!(board.unwell(), []);
    fail(&records[1], 3);
    board.take_out(&records[1], &upstream(&[1, 2]));
    for _ in 0..3 {
        records[0].not_reached();
    }
    let unwell = |port, is_reachable| UnwellEndpoint {
        namespace_id: 0,
        address: key(port).address,
        is_reachable,
    };
    assert_eq!(board.unwell(), [unwell(1, false), unwell(2, true)]);
    // Called with another protocol too, and fine there: it is listed once.
    let h2c = board.health(Key {
        protocol: ProtocolKey::H2c,
        ..key(1)
    });
    assert_eq!(board.unwell().len(), 2);
    fail(&h2c, 3);
    assert!(board.take_out(&h2c, &upstream(&[1, 2, 3, 4, 5, 6])).is_some());
    assert_eq!(board.unwell(), [unwell(1, false), unwell(2, true)]);
    records[0].reached();
    assert_eq!(board.unwell(), [unwell(1, true), unwell(2, true)]);
}
