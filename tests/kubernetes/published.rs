//! `publish = { service = … }`: the status of Ingresses follows the address of a Service.

use std::time::Duration;

use gateway_tests::{Gateway, gateway, scaled};
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::{ApiServer, until};
use crate::objects::{in_namespace, ingress, service};

const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
const SERVICES: &str = "/api/v1/namespaces/edge/services";

fn replica(server: &ApiServer, source: &str) -> Gateway {
    gateway!()
        .cluster(&server.user_with_all_rights("gateway"))
        .env("POD_NAME", "gateway")
        .source(source)
        .door("external-http", "publish = { service = \"edge/gateway\" }")
        .start()
}

fn patches(server: &ApiServer) -> usize {
    server.count("gateway", "patch", "ingresses/status")
}

fn missing(gateway: &Gateway) -> f64 {
    gateway.metric("blastdoor_config_problems", &[("severity", "warning")])
}

/// The load balancer gets these addresses, or loses the ones it had.
fn assign(server: &ApiServer, addresses: &Value) {
    let status = json!({ "status": { "loadBalancer": { "ingress": addresses } } });
    let (code, answer) = server.request("PATCH", &format!("{SERVICES}/gateway/status"), Some(&status));
    assert_eq!(code, 200, "{answer}");
}

fn create_service(server: &ApiServer) {
    let mut object = in_namespace(service("gateway"), "edge");
    object["spec"]["type"] = "LoadBalancer".into();
    server.create(&object);
}

#[test]
fn the_status_follows_the_address_of_a_service() {
    let server = api_server!();
    server.create(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "edge" } }));
    for name in ["one", "two"] {
        server.create(&ingress(name, "external-http", &format!("{name}.test"), "app"));
    }
    server.create(&ingress("elsewhere", "internal-http", "elsewhere.test", "app"));
    // As long as the gateway does not know what to write, it leaves what others have written.
    let foreign = json!([{ "hostname": "somebody.else" }]);
    let patch = json!({ "status": { "loadBalancer": { "ingress": foreign } } });
    let (code, _) = server.request("PATCH", &format!("{INGRESSES}/two/status"), Some(&patch));
    assert_eq!(code, 200);

    let gateway = replica(&server, "");
    let told = "door `external-http` publishes the Service edge/gateway, which does not exist";
    gateway.until("the missing Service is reported", |gateway| {
        gateway.stderr().contains(told)
    });
    assert_eq!(missing(&gateway), 1.0, "{}", gateway.stderr());
    until("the Lease is held", || {
        gateway.stderr().contains("holding the Lease")
    });
    let silence = Duration::from_secs(scaled("seconds of silence", 3, 60) as u64);
    std::thread::sleep(silence);
    assert_eq!(patches(&server), 0);
    assert_eq!(
        (server.published("one"), server.published("two")),
        (Value::Null, foreign.clone())
    );

    // It appears, without an address yet: the list is then known, and empty.
    create_service(&server);
    gateway.until("nothing is missing any more", |gateway| missing(gateway) == 0.0);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(
        patches(&server),
        0,
        "there is nothing of ours, and the rest stays"
    );

    // Its load balancer gets an address, another, two, none. What somebody else has written stays.
    let beside = |expected: &Value| -> Value {
        let ours = expected.as_array().into_iter().flatten();
        ours.chain(foreign.as_array().unwrap()).cloned().collect()
    };
    let both = |expected: &Value| {
        server.published("one") == *expected && server.published("two") == beside(expected)
    };
    let steps = [
        (json!([{ "ip": "203.0.113.7" }]), json!([{ "ip": "203.0.113.7" }])),
        (
            json!([{ "hostname": "lb.example.com" }]),
            json!([{ "hostname": "lb.example.com" }]),
        ),
        (
            json!([{ "hostname": "lb.example.com" }, { "ip": "203.0.113.9" }, { "ip": "203.0.113.10" }]),
            json!([{ "ip": "203.0.113.10" }, { "ip": "203.0.113.9" }, { "hostname": "lb.example.com" }]),
        ),
        (Value::Null, Value::Null),
        (json!([{ "ip": "203.0.113.8" }]), json!([{ "ip": "203.0.113.8" }])),
    ];
    let before = patches(&server);
    for (addresses, expected) in &steps {
        assign(&server, addresses);
        until("the status follows", || both(expected));
    }
    assert_eq!(
        patches(&server) - before,
        2 * steps.len(),
        "one write for each Ingress and change"
    );
    std::thread::sleep(silence);
    assert_eq!(patches(&server) - before, 2 * steps.len(), "and then silence");
    assert!(server.published("elsewhere").is_null());

    // It is deleted: the problem returns, and what was written stays until the gateway knows what to write.
    let (code, _) = server.request("DELETE", &format!("{SERVICES}/gateway"), None);
    assert_eq!(code, 200);
    gateway.until("the missing Service is reported", |gateway| {
        missing(gateway) == 1.0
    });
    std::thread::sleep(Duration::from_secs(1));
    assert!(both(&json!([{ "ip": "203.0.113.8" }])));
    create_service(&server);
    assign(&server, &json!([{ "ip": "203.0.113.11" }]));
    until("the status follows", || both(&json!([{ "ip": "203.0.113.11" }])));
    assert_eq!(missing(&gateway), 0.0);
}

#[test]
fn a_service_that_is_not_watched_is_reported() {
    let server = api_server!();
    server.create(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "edge" } }));
    create_service(&server);
    assign(&server, &json!([{ "ip": "203.0.113.7" }]));
    server.create(&ingress("one", "external-http", "one.test", "app"));
    let gateway = replica(&server, "namespaces = [\"default\"]");
    assert_eq!(missing(&gateway), 1.0, "{}", gateway.stderr());
    gateway.says("not in a watched namespace");
}
