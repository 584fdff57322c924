//! How exactly limits are kept: over all workers of a door, and over publications.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::{Backend, Client, Gateway, gateway, get, manifest};

use super::super::{DOOR, app};

const LIMIT: &str = "blastdoor.dev/rate-limit";
const BURST: &str = "blastdoor.dev/rate-limit-burst";

fn gateway_of(workers: usize, annotations: &[(&str, &str)], backend: &Backend) -> Gateway {
    gateway!()
        .door(DOOR, &format!("workers = {workers}"))
        .manifest("app.yaml", &app(backend, annotations))
        .start()
}

/// Requests from many connections at once, `each` on every one of them or until a time. Returns how many passed.
fn storm(door: SocketAddr, connections: usize, each: usize, until: Option<Instant>) -> u64 {
    let passed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut client = Client::connect(door);
                for _ in 0..each {
                    if let Some(until) = until {
                        if Instant::now() >= until {
                            return;
                        }
                        // Faster than the limit by far, and leaving the gateway some of the machine.
                        std::thread::sleep(Duration::from_millis(4));
                    }
                    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
                    let status = client.response().expect("an answer").status;
                    assert!(matches!(status, 200 | 429), "{status}");
                    passed.fetch_add(u64::from(status == 200), Ordering::Relaxed);
                }
            });
        }
    });
    passed.into_inner()
}

/// A client's connections are spread over all workers, and the door counts it once.
#[test]
fn workers_keep_one_limit_together() {
    let backend = Backend::start("app");
    for workers in [2, 8, 64] {
        let gateway = gateway_of(workers, &[(LIMIT, "1/10h"), (BURST, "200")], &backend);
        let door = gateway.door(DOOR);
        // Its first request may go uncounted if others come in the same instant.
        assert_eq!(get(door, "a.test", "/").status, 200);
        assert_eq!(storm(door, 40, 10, None), 199, "{workers} workers");
    }
}

/// The rate of a hundred a minute with a burst of two hundred, at sixty times the pace: 1,200 in ten.
#[test]
fn a_rate_is_kept_for_as_long_as_it_is_tried() {
    let backend = Backend::start("app");
    for workers in [2, 8, 64] {
        let gateway = gateway_of(workers, &[(LIMIT, "100/1s"), (BURST, "200")], &backend);
        let started = Instant::now();
        let until = started + Duration::from_secs(10);
        let passed = storm(gateway.door(DOOR), 8, usize::MAX, Some(until));
        let most = 200.0 + 100.0 * started.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "some thousands at most")]
        let passed = passed as f64;
        assert!(
            passed <= most * 1.01 && passed >= 1200.0 * 0.99,
            "{workers} workers: {passed} of {most}"
        );
    }
}

/// Two hundred publications, each of which compiles the Ingress anew.
#[test]
fn reloads_lose_no_count() {
    let backend = Backend::start("app");
    let gateway = gateway_of(2, &[(LIMIT, "1/10h"), (BURST, "30")], &backend);
    let door = gateway.door(DOOR);
    let mut passed = 0;
    for round in 0..200 {
        if round % 10 == 0 {
            passed += u64::from(get(door, "a.test", "/").status == 200);
        }
        // The burst is written anew, and the Ingress is another object each time.
        let annotations = [
            (LIMIT, "1/10h"),
            (BURST, "30"),
            ("blastdoor.dev/response-headers", &*format!("X-Round: {round}")),
        ];
        gateway.put("app.yaml", &app(&backend, &annotations));
        let marker = manifest::app("marker", DOOR, &format!("r{round}.test"), backend.port());
        gateway.put("marker.yaml", &marker);
        gateway.until_status(DOOR, &format!("r{round}.test"), "/", 200);
    }
    assert_eq!(passed, 20);
    assert_eq!(storm(door, 4, 10, None), 10);
    let answer = get(door, "a.test", "/");
    assert_eq!(answer.status, 429);
}
