//! Many objects: how soon ready, how much memory, how fast a change is live.

use std::time::{Duration, Instant};

use gateway_tests::{gateway, get, scaled};
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::ApiServer;
use crate::backend::Backend;
use crate::objects::{ingress, service, slice};

const DOOR: &str = "external-http";
const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
/// Endpoints of each Service. The first answers; the others are addresses that this test does not call.
const ENDPOINTS: usize = 5;

/// Ingresses, each with a Service and a slice of endpoints.
fn fill(server: &ApiServer, from: usize, to: usize, backend: &Backend) {
    let hands = 4;
    std::thread::scope(|scope| {
        for hand in 0..hands {
            scope.spawn(move || {
                let mut connection = server.connection();
                for number in (from..to).skip(hand).step_by(hands) {
                    let name = format!("app-{number}");
                    connection.create(&service(&name));
                    let addresses: Vec<String> = (0..ENDPOINTS)
                        .map(|index| match (number % 10, index) {
                            (0, _) => backend.address.to_string(),
                            (_, index) => format!("10.{}.{}.{index}", number / 250 % 250, number % 250),
                        })
                        .collect();
                    let mut endpoints = slice(&name, &addresses, backend.port);
                    if number % 10 == 0 {
                        endpoints["endpoints"].as_array_mut().unwrap().truncate(1);
                    }
                    connection.create(&endpoints);
                    connection.create(&ingress(&name, DOOR, &format!("{name}.test"), &name));
                }
            });
        }
    });
}

#[test]
fn ten_thousand_ingresses_are_live_in_time() {
    let server = api_server!();
    let backend = Backend::start("app");
    let (few, many) = (100, scaled("Ingresses", 1_000, 10_000));
    fill(&server, 0, few, &backend);
    let user = server.user_with_all_rights("gateway");
    let start = || {
        gateway!()
            .log("access = \"off\"")
            .cluster(&user)
            .without_waiting()
            .start()
    };
    let ready = |gateway: &gateway_tests::Gateway| {
        let started = Instant::now();
        gateway.until("ready", |gateway| gateway.stderr().contains("door bound"));
        gateway.until("ready", |gateway| gateway.admin("/readyz").0 == 200);
        started.elapsed()
    };
    let small = start();
    ready(&small);
    let base = small.resident_anonymous();
    drop(small);
    fill(&server, few, many, &backend);

    let gateway = start();
    let took = ready(&gateway);
    let per_ingress = (gateway.resident_anonymous().saturating_sub(base)) as usize / (many - few);

    // A change: another host for an Ingress whose backend answers. Measured from the API server's answer.
    let door = gateway.door(DOOR);
    let mut connection = server.connection();
    let mut latencies: Vec<Duration> = (0..scaled("changes", 50, 200))
        .map(|change| {
            let number = change * 10 % many;
            let mut object = ingress(
                &format!("app-{number}"),
                DOOR,
                &format!("change-{change}.test"),
                &format!("app-{number}"),
            );
            let patch = json!({ "spec": object["spec"].take() });
            let path = format!("{INGRESSES}/app-{number}");
            let (status, _) = connection.request("PATCH", &path, Some(&patch));
            let started = Instant::now();
            assert_eq!(status, 200);
            while get(door, &format!("change-{change}.test"), "/").status != 200 {
                assert!(
                    started.elapsed() < Duration::from_secs(20),
                    "change {change} is not live"
                );
            }
            started.elapsed()
        })
        .collect();
    latencies.sort();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    eprintln!(
        "{many} Ingresses with {} endpoints: ready in {took:?}; {per_ingress} bytes each; change to live {:?} (p50), {:?} (p99)",
        many * ENDPOINTS,
        at(0.5),
        at(0.99)
    );
    // With few of them, the memory of the start outweighs theirs.
    let most = scaled("bytes for each Ingress at most", 6 * 1_024, 3_000);
    assert!(per_ingress <= most, "{per_ingress} bytes for each Ingress");

    // A storm of changes is one burden, not many: all live soon.
    let started = Instant::now();
    for number in (0..many).step_by(many / 100) {
        let relabel = json!({ "metadata": { "labels": { "expose": "internal-http" } } });
        let (status, _): (u16, Value) =
            connection.request("PATCH", &format!("{INGRESSES}/app-{number}"), Some(&relabel));
        assert_eq!(status, 200);
    }
    let last = (0..many).step_by(many / 100).next_back().unwrap();
    let inside = gateway.door("internal-http");
    while get(inside, &format!("app-{last}.test"), "/").status == 404 {
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
