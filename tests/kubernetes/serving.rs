//! From objects to answers: nothing is served before everything is known, and every change applies at once.

use std::time::{Duration, Instant};

use gateway_tests::{Dns, Load, gateway, get};
use serde_json::json;

use crate::api_server;
use crate::apiserver::{ApiServer, until};
use crate::backend::Backend;
use crate::objects::{app, ingress};

const DOOR: &str = "external-http";
const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";

fn deploy(server: &ApiServer, backend: &Backend) {
    for object in app("app", backend) {
        server.create(&object);
    }
    server.create(&ingress("app", DOOR, "a.test", "app"));
}

#[test]
fn objects_come_change_and_go() {
    let server = api_server!();
    let backend = Backend::start("app");
    deploy(&server, &backend);
    let gateway = gateway!().cluster(&server.admin()).start();
    let at = |door: &str| get(gateway.door(door), "a.test", "/").status;
    assert_eq!(at(DOOR), 200);
    assert_eq!(at("internal-http"), 404);

    // Relabelled: it leaves the old door before it appears at the new one.
    let (old, new) = (gateway.door(DOOR), gateway.door("internal-http"));
    let relabel = json!({ "metadata": { "labels": { "expose": "internal-http" } } });
    assert_eq!(
        server
            .request("PATCH", &format!("{INGRESSES}/app"), Some(&relabel))
            .0,
        200
    );
    until("it has moved", || {
        // In this order, an Ingress at both doors at once would show as 200 and 200.
        let (there, here) = (get(new, "a.test", "/").status, get(old, "a.test", "/").status);
        assert!(there != 200 || here != 200, "served at both doors");
        there == 200
    });
    assert_eq!(at(DOOR), 404);

    assert_eq!(server.request("DELETE", &format!("{INGRESSES}/app"), None).0, 200);
    gateway.until_status("internal-http", "a.test", "/", 404);
}

/// Objects of either source become the same view, names in DNS included.
#[test]
fn external_names_are_resolved() {
    let server = api_server!();
    let backend = Backend::start("app");
    let dns = Dns::start();
    dns.resolves("crm.example.com", &[&backend.address.to_string()], 1);
    server.create(&json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "crm", "namespace": "default" },
        "spec": { "type": "ExternalName", "externalName": "crm.example.com" }
    }));
    let mut asking = ingress("crm", DOOR, "a.test", "crm");
    let port = "/spec/rules/0/http/paths/0/backend/service/port/number";
    *asking.pointer_mut(port).unwrap() = backend.port.into();
    server.create(&asking);
    let gateway = gateway!().cluster(&server.admin()).source(&dns.source()).start();
    gateway.until_status(DOOR, "a.test", "/", 200);

    let renamed = json!({ "spec": { "externalName": "gone.example.com" } });
    let service = "/api/v1/namespaces/default/services/crm";
    assert_eq!(server.request("PATCH", service, Some(&renamed)).0, 200);
    gateway.until_status(DOOR, "a.test", "/", 503);
    gateway.until("told", |gateway| {
        gateway.stderr().contains("DNS knows no such name")
    });
}

#[test]
fn without_an_api_server_it_waits_and_reports_that() {
    let Some(mut server) = ApiServer::prepare() else {
        return;
    };
    let gateway = gateway!().cluster(&server.admin()).without_waiting().start();
    gateway.until("a word about it", |gateway| {
        gateway.stderr().contains("cannot be reached")
    });
    assert_eq!(gateway.admin("/readyz").0, 503);
    // Without a table the doors listen after two seconds and answer 503, never 404.
    let door = gateway.door(DOOR);
    until("the doors listen", || std::net::TcpStream::connect(door).is_ok());
    let answer = get(gateway.door(DOOR), "a.test", "/");
    assert_eq!(answer.status, 503);
    assert!(answer.field("retry-after").is_some(), "{answer:?}");
    assert_eq!(gateway.admin("/readyz").0, 503);

    server.start_etcd();
    server.start_server();
    server.start_proxy();
    let backend = Backend::start("app");
    deploy(&server, &backend);
    gateway.until("ready by itself", |gateway| gateway.admin("/readyz").0 == 200);
    gateway.until_status(DOOR, "a.test", "/", 200);
}

#[test]
fn the_loss_of_the_api_server_changes_nothing() {
    let mut server = api_server!();
    let backend = Backend::start("app");
    deploy(&server, &backend);
    let gateway = gateway!()
        .log("access = \"off\"")
        .cluster(&server.admin())
        .start();
    let load = Load::start(gateway.door(DOOR), "a.test", 8, 400);

    let seconds = gateway_tests::scaled("seconds without an API server", 8, 600);
    server.kill_server();
    let before = load.done();
    std::thread::sleep(Duration::from_secs(seconds as u64));
    let without = load.done() - before;
    assert_eq!(gateway.admin("/readyz").0, 200);
    let age = gateway.metric("blastdoor_config_age_seconds", &[]);
    assert!(age >= seconds as f64 - 2.0, "{age}");

    server.start_server();
    let started = Instant::now();
    server.create(&ingress("new", DOOR, "new.test", "app"));
    gateway.until_status(DOOR, "new.test", "/", 200);
    // Meant to be within five seconds, on a machine that has nothing else to do.
    eprintln!("the API server is back: live after {:?}", started.elapsed());
    let outcome = load.finish();
    assert_eq!(outcome.failures, Vec::<String>::new(), "of {}", outcome.done);
    eprintln!("{} requests in the meantime, {} in all", without, outcome.done);
    assert!(without > 0);
}

#[test]
fn objects_deleted_during_an_outage_are_gone_afterwards() {
    let mut server = api_server!();
    let backend = Backend::start("app");
    deploy(&server, &backend);
    let gateway = gateway!()
        .cluster(&server.user_with_all_rights("gateway"))
        .start();
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 200);

    // The gateway alone is cut off: its API server listens at another port for a while.
    let port = server.port;
    server.kill_server();
    server.move_to(gateway_tests::free_port());
    server.start_server();
    server.restart_proxy();
    assert_eq!(server.request("DELETE", &format!("{INGRESSES}/app"), None).0, 200);
    server.create(&ingress("other", DOOR, "b.test", "app"));
    assert_eq!(
        get(gateway.door(DOOR), "a.test", "/").status,
        200,
        "still as before"
    );
    // So many versions that the gateway's position in the history is lost (410 Gone).
    server.forget_history();
    server.kill_server();
    server.move_to(port);
    server.start_server();
    gateway.until_status(DOOR, "b.test", "/", 200);
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 404);
}
