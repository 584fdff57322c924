//! What is written for users: addresses in the status, Events, and one writer.

use std::time::Duration;

use gateway_tests::{Gateway, gateway, scaled};
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::{ApiServer, until};
use crate::backend::Backend;
use crate::objects::{app, ingress};

const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";

/// A replica with a user of its own, so that the audit log tells who wrote. Its external door publishes a host name,
/// its internal one two addresses, and both admit what is labelled `both`.
fn replica(server: &ApiServer, name: &str) -> Gateway {
    gateway!()
        .cluster(&server.user_with_all_rights(name))
        .env("POD_NAME", name)
        .door(
            "external-http",
            "selector = \"expose in (external-http, both)\"\noverlap = true\npublish = { hostname = \"lb.example.com\" }",
        )
        .door(
            "internal-http",
            "selector = \"expose in (internal-http, both)\"\noverlap = true\npublish = { ip = [\"10.0.0.9\", \"10.0.0.1\"] }",
        )
        .start()
}

fn patches(server: &ApiServer, user: &str) -> usize {
    server.count(user, "patch", "ingresses/status")
}

#[test]
fn the_status_is_the_union_of_the_doors_and_is_written_once() {
    let server = api_server!();
    for (name, expose) in [("out", "external-http"), ("twice", "both"), ("none", "nowhere")] {
        server.create(&ingress(name, expose, &format!("{name}.test"), "app"));
    }
    let foreign = json!({ "status": { "loadBalancer": { "ingress": [{ "hostname": "somebody.else" }] } } });
    assert_eq!(
        server
            .request("PATCH", &format!("{INGRESSES}/none/status"), Some(&foreign))
            .0,
        200
    );
    let _gateway = replica(&server, "one");
    let (host, both) = (
        json!([{ "hostname": "lb.example.com" }]),
        json!([{ "ip": "10.0.0.1" }, { "ip": "10.0.0.9" }, { "hostname": "lb.example.com" }]),
    );
    until("the status is written", || {
        server.published("out") == host && server.published("twice") == both
    });
    assert_eq!(patches(&server, "one"), 2);
    std::thread::sleep(Duration::from_secs(scaled("seconds of silence", 4, 60) as u64));
    assert_eq!(patches(&server, "one"), 2, "nothing changes, nothing is written");

    // It leaves every door, and only the gateway's own addresses are removed.
    let relabel = json!({ "metadata": { "labels": { "expose": "nowhere" } } });
    server.request("PATCH", &format!("{INGRESSES}/out"), Some(&relabel));
    until("the status is cleared", || server.published("out").is_null());
    assert_eq!(server.published("none"), json!([{ "hostname": "somebody.else" }]));
    assert_eq!(patches(&server, "one"), 3);
}

#[test]
fn of_two_replicas_one_writes_and_the_other_takes_over() {
    let server = api_server!();
    let first = replica(&server, "one");
    until("somebody holds the Lease", || {
        let (_, lease) = server.request(
            "GET",
            "/apis/coordination.k8s.io/v1/namespaces/default/leases/blastdoor",
            None,
        );
        lease["spec"]["holderIdentity"] == "one"
    });
    let _second = replica(&server, "two");
    server.create(&ingress("out", "external-http", "out.test", "app"));
    until("the status is written", || !server.published("out").is_null());
    drop(first);
    server.create(&ingress("late", "external-http", "late.test", "app"));
    until("the other writes", || !server.published("late").is_null());
    assert_eq!((patches(&server, "one"), patches(&server, "two")), (1, 1));
}

#[test]
fn an_event_reports_a_broken_rule_and_its_neighbours_are_served() {
    let server = api_server!();
    let backend = Backend::start("app");
    for object in app("app", &backend) {
        server.create(&object);
    }
    let count = scaled("healthy neighbours", 100, 999);
    let mut connection = server.connection();
    for number in 0..count {
        let object = ingress(
            &format!("good-{number}"),
            "external-http",
            &format!("good-{number}.test"),
            "app",
        );
        connection.create(&object);
    }
    let mut broken = ingress("broken", "external-http", "broken.test", "app");
    broken["metadata"]["annotations"] =
        json!({ "nginx.ingress.kubernetes.io/configuration-snippet": "deny all;" });
    connection.create(&broken);
    connection.create(&ingress("misplaced", "external-htp", "misplaced.test", "app"));
    for object in challenge() {
        connection.create(&object);
    }

    let gateway = replica(&server, "one");
    let events = || -> Vec<Value> {
        let (_, list) = server.request("GET", "/apis/events.k8s.io/v1/namespaces/default/events", None);
        list["items"].as_array().cloned().unwrap_or_default()
    };
    let of = |name: &str| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        events()
            .iter()
            .filter(|event| event["regarding"]["name"] == name)
            .map(|event| {
                assert_eq!(event["type"], "Warning");
                assert_eq!(event["reportingController"], "blastdoor.dev/gateway");
                assert!(event["regarding"]["uid"].is_string());
                (text(&event["reason"]), text(&event["note"]))
            })
            .collect()
    };
    until("the Events are there", || {
        let all = ["broken", "misplaced", "cm-acme-http-solver-7vlkz"];
        all.iter().all(|name| !of(name).is_empty())
    });
    let (reason, note) = of("broken").remove(0);
    assert_eq!(reason, "AnnotationRefused");
    assert!(
        note.starts_with("metadata.annotations[nginx.ingress.kubernetes.io/configuration-snippet]: "),
        "{note}"
    );
    let (reason, note) = of("misplaced").remove(0);
    assert_eq!(reason, "UnknownLabelValue");
    assert!(note.contains("external-http"), "{note}");
    let (reason, note) = of("cm-acme-http-solver-7vlkz").remove(0);
    assert_eq!(reason, "ChallengeUnreachable");
    for part in [
        "spec.acme.solvers[].http01.ingress.ingressTemplate.metadata.labels: {expose: ",
        "{expose: internal-http}` (door `internal-http`)",
        "{expose: external-http}` (door `external-http`)",
        "acme.cert-manager.io/http01-edit-in-place",
    ] {
        assert!(note.contains(part), "{note}");
    }
    assert_eq!(of("unlabelled"), [], "what nobody has asked for is no Event");

    let door = gateway.door("external-http");
    assert_eq!(gateway_tests::get(door, "broken.test", "/").status, 503);
    for number in 0..count {
        let host = format!("good-{number}.test");
        assert_eq!(gateway_tests::get(door, &host, "/").status, 200, "{host}");
    }

    // A successor recognises what has been reported already.
    let told = events().len();
    drop(gateway);
    let successor = replica(&server, "two");
    until("the successor has tried", || {
        server
            .asked_by("two")
            .iter()
            .any(|asked| asked.resource == "events" && asked.status == 409)
    });
    assert_eq!(events().len(), told);
    drop(successor);
}

/// The Ingress that cert-manager makes for a challenge, and another one without the label of a door.
fn challenge() -> [Value; 2] {
    let mut solver = ingress(
        "cm-acme-http-solver-7vlkz",
        "",
        "shop.test",
        "cm-acme-http-solver-x2x8n",
    );
    solver["metadata"]["labels"] = json!({
        "acme.cert-manager.io/http-domain": "1066846132", "acme.cert-manager.io/http-token": "1229430216",
        "acme.cert-manager.io/http01-solver": "true"
    });
    let path = &mut solver["spec"]["rules"][0]["http"]["paths"][0];
    path["path"] = "/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0".into();
    path["pathType"] = "Exact".into();
    let mut unlabelled = ingress("unlabelled", "", "unlabelled.test", "app");
    unlabelled["metadata"]["labels"].take();
    [solver, unlabelled]
}
