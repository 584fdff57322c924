//! An Ingress that is relabelled goes from one door to another, under requests to both.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::{Client, gateway, scaled};
use serde_json::json;

use crate::api_server;
use crate::apiserver::until;
use crate::backend::Backend;
use crate::objects::{app, ingress};

const DOORS: [&str; 2] = ["external-http", "internal-http"];
const PATH: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses/app";

/// One request: when it was sent, when it was answered, with what.
type Seen = (Instant, Instant, u16);

/// Asks without a break.
fn watch(door: SocketAddr, stop: &AtomicBool) -> Vec<Seen> {
    let mut client = Client::connect(door);
    let mut seen = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let sent = Instant::now();
        let response = client.get("a.test", "/").unwrap();
        seen.push((sent, Instant::now(), response.status));
    }
    seen
}

/// What is true whatever the clocks of threads do: a request that was sent after another had been answered was also
/// decided after it. So a request sent to the old door after the new one had answered 200 must not be served. The time
/// in which neither door serves is at most from when the last request was sent that the old one served until the first
/// answer of the new one; that includes two whole requests, and whatever keeps this machine from sending them. It is at
/// least from when the old door had refused one until the last was sent that the new one refused.
#[test]
fn a_relabelled_ingress_is_never_at_two_doors_and_at_none_for_a_moment() {
    let server = api_server!();
    let backend = Backend::start("app");
    for object in app("app", &backend) {
        server.create(&object);
    }
    server.create(&ingress("app", DOORS[0], "a.test", "app"));
    let gateway = gateway!()
        .log("access = \"off\"")
        .cluster(&server.user_with_all_rights("gateway"))
        .start();
    let doors = DOORS.map(|door| gateway.door(door));
    let mut connection = server.connection();
    let mut gaps: Vec<Duration> = Vec::new();
    let mut certain: Vec<Duration> = Vec::new();
    for round in 0..scaled("relabels", 50, 500) {
        let (old, new) = (round % 2, 1 - round % 2);
        let stop = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            let stop = &stop;
            let watchers = doors.map(|door| scope.spawn(move || watch(door, stop)));
            let label = json!({ "metadata": { "labels": { "expose": DOORS[new] } } });
            assert_eq!(connection.request("PATCH", PATH, Some(&label)).0, 200);
            let door = doors[new];
            until("it has moved", || {
                gateway_tests::get(door, "a.test", "/").status == 200
            });
            stop.store(true, Ordering::SeqCst);
            watchers.map(|watcher| watcher.join().unwrap())
        });
        for (_, _, status) in seen.iter().flatten() {
            assert!(matches!(status, 200 | 404), "round {round}: {status}");
        }
        let last = seen[old].iter().rfind(|(.., status)| *status == 200);
        let first = seen[new].iter().find(|(.., status)| *status == 200);
        // Too quick to be seen at one of them.
        let (Some((sent, ..)), Some((_, answered, _))) = (last, first) else {
            continue;
        };
        assert!(
            sent < answered,
            "round {round}: the old door served after the new one did"
        );
        for door in &seen {
            let turns = door.windows(2).filter(|pair| pair[0].2 != pair[1].2).count();
            assert!(
                turns <= 1,
                "round {round}: it has moved once and {turns} changes were seen"
            );
        }
        // A request that the new door refused after the old one had refused: certainly at neither in between.
        let left = seen[old].iter().find(|(.., status)| *status == 404);
        let waited = seen[new].iter().rfind(|(.., status)| *status == 404);
        if let (Some((_, left, _)), Some((waited, ..))) = (left, waited) {
            certain.push(waited.saturating_duration_since(*left));
        }
        gaps.push(*answered - *sent);
    }
    let figures = |durations: &mut Vec<Duration>| {
        durations.sort();
        let (count, at) = (durations.len(), |index: usize| durations[index]);
        format!(
            "{:?} (fastest), {:?} (median), {:?} (slowest)",
            at(0),
            at(count / 2),
            at(count - 1)
        )
    };
    eprintln!(
        "{} relabels: at neither door for at most {}",
        gaps.len(),
        figures(&mut gaps)
    );
    eprintln!(
        "{} relabels: at neither door for at least {}",
        certain.len(),
        figures(&mut certain)
    );
    // What is certain does not depend on when this test was let run.
    assert!(
        certain[certain.len() / 2] < Duration::from_millis(10),
        "{certain:?}"
    );
    assert!(gaps.len() >= 25, "{} moves were seen at both doors", gaps.len());
}
