//! An Ingress that is relabelled goes from one door to another, under requests to both.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::{Client, Finally, gateway, scaled};
use serde_json::json;

use crate::api_server;
use crate::apiserver::until;
use crate::backend::Backend;
use crate::objects::{app, ingress};

const DOORS: [&str; 2] = ["external-http", "internal-http"];
const PATH: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses/app";

/// One request: when it was sent, when it was answered, with what.
type Seen = (Instant, Instant, u16);

/// Sends requests without a break, and publishes how many.
fn watch(door: SocketAddr, stop: &AtomicBool, answered: &AtomicUsize) -> Vec<Seen> {
    let mut client = Client::connect(door);
    let mut seen = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let sent = Instant::now();
        let response = client.get("a.test", "/").unwrap();
        seen.push((sent, Instant::now(), response.status));
        answered.fetch_add(1, Ordering::SeqCst);
    }
    seen
}

/// What is true whatever the clocks of threads do: a request that was sent after another had been answered was also
/// decided after it. So a request sent to the old door after the new one had answered 200 must not be served. The time
/// in which neither door serves is at most from when the last request was sent that the old one served until the first
/// answer of the new one; that includes two whole requests, and whatever keeps this machine from sending them. It is at
/// least from when the old door had refused one until the last was sent that the new one refused.
#[test]
fn a_relabelled_ingress_is_at_one_door_at_most_and_soon_at_the_new_one() {
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
        let (stop, answered) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 2]);
        let seen = std::thread::scope(|scope| {
            let (stop, answered) = (&stop, &answered);
            let _ends = Finally(stop);
            let watchers = [0, 1].map(|door| scope.spawn(move || watch(doors[door], stop, &answered[door])));
            // Both have sent a request before it moves, and both send another after it has.
            let ask = |what: &str| {
                let counts = || [0, 1].map(|door| answered[door].load(Ordering::SeqCst));
                let before = counts();
                until(what, || (0..2).all(|door| counts()[door] >= before[door] + 2));
            };
            ask("both doors are watched");
            let label = json!({ "metadata": { "labels": { "expose": DOORS[new] } } });
            assert_eq!(connection.request("PATCH", PATH, Some(&label)).0, 200);
            let door = doors[new];
            until("it has moved", || {
                gateway_tests::get(door, "a.test", "/").status == 200
            });
            ask("both doors are still watched");
            stop.store(true, Ordering::SeqCst);
            watchers.map(|watcher| watcher.join().unwrap())
        });
        for (_, _, status) in seen.iter().flatten() {
            assert!(matches!(status, 200 | 404), "round {round}: {status}");
        }
        let last = seen[old].iter().rfind(|(.., status)| *status == 200);
        let first = seen[new].iter().find(|(.., status)| *status == 200);
        let (sent, ..) = last.expect("the old door served it before it moved");
        let (_, answered, _) = first.expect("the new door served it after it had moved");
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
        let (_, left, _) = left.expect("the old door refused it after it had moved");
        let (waited, ..) = waited.expect("the new door refused it before it moved");
        certain.push(waited.saturating_duration_since(*left));
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
}
