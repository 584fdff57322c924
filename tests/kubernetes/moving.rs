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
/// answer of the new one; that includes two whole requests, and whatever keeps this machine from sending them.
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
    let mut refused = 0;
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
        refused += seen
            .iter()
            .flatten()
            .filter(|(begun, ended, status)| *status == 404 && begun > sent && ended < answered)
            .count();
        gaps.push(*answered - *sent);
    }
    gaps.sort();
    eprintln!(
        "{} relabels: at neither door for at most {:?} (fastest), {:?} (median), {:?} (slowest); {refused} requests were \
         refused at both doors in between",
        gaps.len(),
        gaps[0],
        gaps[gaps.len() / 2],
        gaps[gaps.len() - 1]
    );
    assert!(gaps.len() >= 25, "{} moves were seen at both doors", gaps.len());
}
