//! The other gateways of an installation, wherever their Service is. Nothing is sent to the made-up addresses of these
//! tests: they check the problems.

use gateway_tests::{Gateway, free_port, gateway, get};
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::{ApiServer, until};
use crate::backend::Backend;
use crate::objects::{app, in_namespace, ingress, service, slice};

const INSIDE: &str = "internal-http";
const OUTSIDE: &str = "external-http";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/blastdoor/endpointslices";

fn rights() -> String {
    let path = format!(
        "{}/kubernetes/permissions/namespaced.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(path).unwrap()
}

/// The Service of the gateways, whose only pod is at this address.
fn gateways(address: &str) -> Value {
    let mut slice = in_namespace(slice("blastdoor", &[address.to_owned()], 10_000), "blastdoor");
    slice["endpoints"][0]["conditions"]["ready"] = false.into();
    slice
}

/// An application that works, and one of a tenant whose endpoint is another pod of the gateway.
fn apps(server: &ApiServer, port: u16) -> Backend {
    let backend = Backend::start("app");
    let shop = |object: Value| server.create(&in_namespace(object, "shop"));
    for object in app("app", &backend) {
        shop(object);
    }
    shop(ingress("app", OUTSIDE, "a.test", "app"));
    shop(service("tenant"));
    shop(slice("tenant", &["198.51.100.7".to_owned()], port));
    shop(ingress("tenant", OUTSIDE, "tenant.test", "tenant"));
    backend
}

fn start(server: &ApiServer, port: u16) -> Gateway {
    let token = server.kubectl(&["create", "token", "blastdoor", "-n", "blastdoor"]);
    gateway!()
        .cluster(&server.token("account", token.trim()))
        .source("namespaces = [\"shop\"]\nreplicas = { services = [\"blastdoor/blastdoor\"] }")
        .env("POD_NAMESPACE", "blastdoor")
        .door(INSIDE, &format!("bind = \"127.0.0.1:{port}\""))
        .start()
}

fn errors(gateway: &Gateway) -> f64 {
    gateway.metric("blastdoor_config_problems", &[("severity", "error")])
}

fn refused(port: u16) -> String {
    format!("198.51.100.7:{port} is one of the gateway's own ports")
}

#[test]
fn gateways_beyond_the_watched_namespaces_are_followed() {
    let server = api_server!();
    server.create(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } }));
    server.apply(&rights());
    server.create(&gateways("198.51.100.6"));
    let port = free_port();
    let _backend = apps(&server, port);
    let gateway = start(&server, port);
    assert_eq!(get(gateway.door(OUTSIDE), "a.test", "/").status, 200);
    assert_eq!(errors(&gateway), 0.0, "{}", gateway.stderr());

    let path = format!("{SLICES}/blastdoor-1");
    let replaced = server.request("PUT", &path, Some(&gateways("198.51.100.7")));
    assert_eq!(replaced.0, 200, "{replaced:?}");
    gateway.until("the other pod is known", |gateway| {
        gateway.stderr().contains(&refused(port)) && errors(gateway) == 2.0
    });
    assert_eq!(get(gateway.door(OUTSIDE), "tenant.test", "/").status, 503);
    assert_eq!(get(gateway.door(OUTSIDE), "a.test", "/").status, 200);

    server.request("PUT", &path, Some(&gateways("198.51.100.6")));
    gateway.until("the other pod is gone", |gateway| errors(gateway) == 0.0);

    // Without the Service, own ports are refused everywhere, and backends at other ports are served.
    assert_eq!(server.request("DELETE", &path, None).0, 200);
    gateway.until("the Service is missed", |gateway| errors(gateway) == 3.0);
    assert_eq!(get(gateway.door(OUTSIDE), "tenant.test", "/").status, 503);
    assert_eq!(get(gateway.door(OUTSIDE), "a.test", "/").status, 200);
    let asked = server.asked_by("system:serviceaccount:blastdoor:blastdoor");
    assert!(asked.iter().all(|asked| asked.status != 403), "{asked:?}");
}

#[test]
fn without_the_right_to_list_replicas_own_ports_are_refused() {
    let server = api_server!();
    server.create(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } }));
    let right = "- apiGroups: [\"discovery.k8s.io\"]\n  resources: [\"endpointslices\"]\n  verbs: [\"list\", \"watch\"]\n";
    let rights = rights();
    let (before, after) = rights.rsplit_once(right).unwrap();
    server.apply(&format!("{before}{after}"));
    server.create(&gateways("198.51.100.6"));
    let port = free_port();
    let _backend = apps(&server, port);
    // It becomes ready, and serves what is at other ports.
    let gateway = start(&server, port);
    assert_eq!(get(gateway.door(OUTSIDE), "a.test", "/").status, 200);
    assert_eq!(get(gateway.door(OUTSIDE), "tenant.test", "/").status, 503);
    gateway.says(&refused(port));
    let rule = "no permission to read endpointslices; nobody knows where this gateway's other pods are";
    let log = gateway.says(rule);
    assert!(log.contains("in a Role in namespace blastdoor"), "{log}");

    server.apply(&rights);
    until("the right is noticed", || errors(&gateway) == 0.0);
}
