//! Ingresses that no door selects: what they cost, and how often they are told of.
//!
//! `BLASTDOOR_TEST_FULL=1 cargo test -p gateway-tests --test kubernetes -- unserved --nocapture` prints the share of one
//! core and the memory of the gateway. `BLASTDOOR_PROGRAM` names another build of it to measure.

use std::time::{Duration, Instant};

use gateway_tests::{Gateway, scaled};
use serde_json::json;

use crate::api_server;
use crate::apiserver::{ApiServer, until};
use crate::objects::{in_namespace, ingress, service, slice};

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
/// Events at a start, beside one every ten seconds.
const CROWD: usize = 100;
/// Ingresses of one namespace: fewer than the problems of one that are logged in ten seconds.
const TOGETHER: usize = 80;
/// Changes of either kind in a second.
const RATE: usize = 10;

/// Nanoseconds of CPU that the gateway has used.
fn cpu(gateway: &Gateway) -> u64 {
    let process = gateway.pid().as_raw_nonzero();
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let used = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
    used.map(|text| text.split(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

fn namespace_of(number: usize) -> String {
    format!("team-{}", number / TOGETHER)
}

fn fill(server: &ApiServer, count: usize, expose: Option<&str>) {
    for first in (0..count).step_by(TOGETHER) {
        let name = namespace_of(first);
        server.create(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
    }
    std::thread::scope(|scope| {
        for hand in 0..4 {
            scope.spawn(move || {
                let mut connection = server.connection();
                for number in (hand..count).step_by(4) {
                    let name = format!("app-{number}");
                    let mut object =
                        ingress(&name, expose.unwrap_or_default(), &format!("{name}.test"), &name);
                    if expose.is_none() {
                        object["metadata"]["labels"].take();
                    }
                    connection.create(&in_namespace(object, &namespace_of(number)));
                }
            });
        }
    });
}

fn measure(server: &ApiServer, what: &str, expose: Option<&str>) {
    let (count, seconds) = (
        scaled("Ingresses that no door selects", 400, 5_000),
        scaled("seconds of changes", 5, 30),
    );
    fill(server, count, expose);
    for number in 0..RATE {
        let name = format!("app-{number}");
        server.create(&service(&name));
        server.create(&slice(&name, &["10.0.0.1".to_owned()], 80));
    }
    let other = std::env::var_os("BLASTDOOR_PROGRAM");
    let program = other
        .as_ref()
        .map_or(env!("CARGO_BIN_EXE_blastdoor-under-test"), |other| {
            other.to_str().expect("a path in UTF-8")
        });
    let gateway = Gateway::builder(program)
        .cluster(&server.user_with_all_rights("gateway"))
        .env("POD_NAME", "one")
        .start();
    let told = |gateway: &Gateway| gateway.stderr().matches("served nowhere").count();
    until("everything is told", || told(&gateway) >= count);
    let events = || server.count("gateway", "create", "events");
    let expected = if expose.is_some() { count.min(CROWD) } else { 0 };
    until("Events are written", || events() >= expected);
    std::thread::sleep(Duration::from_secs(5));

    let (began, cpu_before, memory) = (Instant::now(), cpu(&gateway), gateway.resident());
    let mut connection = server.connection();
    for change in 0..seconds * RATE {
        let edit = json!({ "spec": { "rules": [{ "host": format!("change-{change}.test") }] } });
        let number = change * 7 % count;
        let path = format!(
            "/apis/networking.k8s.io/v1/namespaces/{}/ingresses/app-{number}",
            namespace_of(number)
        );
        assert_eq!(connection.request("PATCH", &path, Some(&edit)).0, 200);
        let edit = json!({ "endpoints": [{ "addresses": [format!("10.0.1.{}", change % 250)] }] });
        let name = format!("app-{}-1", change % RATE);
        assert_eq!(
            connection
                .request("PATCH", &format!("{SLICES}/{name}"), Some(&edit))
                .0,
            200
        );
        let due = Duration::from_secs(1) * u32::try_from(change + 1).unwrap() / RATE as u32;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    let took = began.elapsed();
    let used = Duration::from_nanos(cpu(&gateway) - cpu_before);
    eprintln!(
        "{count} Ingresses {what}, {RATE} edits and {RATE} changes of endpoints a second: {:.2} % of a core, memory {} KiB and {:+} KiB after {took:?}, {} Events, {} lines",
        100.0 * used.as_secs_f64() / took.as_secs_f64(),
        memory / 1_024,
        (gateway.resident() as i64 - memory as i64) / 1_024,
        events(),
        told(&gateway),
    );
    if other.is_none() {
        assert_eq!(told(&gateway), count, "each is told once");
        let trickle = 2 + seconds / 5;
        assert!(events() <= expected + trickle, "{} Events", events());
    }
}

#[test]
fn without_a_label_they_are_told_once_and_cost_little() {
    let server = api_server!();
    measure(&server, "without a label", None);
}

#[test]
fn with_an_unknown_value_they_are_told_once_and_cost_little() {
    let server = api_server!();
    measure(&server, "with an unknown value", Some("elsewhere"));
}
