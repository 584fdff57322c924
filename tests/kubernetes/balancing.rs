//! Requests are spread over all endpoints of a Service, and over the right ones when those change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use gateway_tests::{gateway, get};
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::until;
use crate::backend::Backend;
use crate::objects::{backend, ingress_with, service, slice};

const DOOR: &str = "external-http";

/// Endpoint `number` of the Service `echo`, in its own slice because it has its own port.
fn replica(number: usize, backend: &Backend) -> Value {
    let mut replica = slice("echo", &[backend.address.to_string()], backend.port);
    replica["metadata"]["name"] = format!("echo-{number}").into();
    replica
}

/// How many of these requests each endpoint got. None may fail, even while endpoints come and go.
fn spread(door: SocketAddr, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let answer = get(door, "load-balancing", "/");
        assert_eq!(answer.status, 200, "{answer:?}");
        *counts.entry(answer.text()).or_default() += 1;
    }
    counts
}

#[test]
fn load_balancing() {
    let server = api_server!();
    server.create(&service("echo"));
    server.create(&ingress_with(
        "load-balancing",
        DOOR,
        &json!({ "defaultBackend": backend("echo") }),
    ));
    let names: Vec<String> = (0..12).map(|number| format!("pod-{number}")).collect();
    let backends: Vec<Backend> = names.iter().map(|name| Backend::start(name)).collect();
    for (number, backend) in backends.iter().take(10).enumerate() {
        server.create(&replica(number, backend));
    }
    let gateway = gateway!()
        .cluster(&server.user_with_all_rights("gateway"))
        .start();
    let door = gateway.door(DOOR);
    let counts = spread(door, 1_000);
    eprintln!("1000 requests over 10 endpoints: {counts:?}");
    assert!(
        counts.keys().eq(names[..10].iter().collect::<BTreeSet<_>>()),
        "{counts:?}"
    );
    // By chance, one run in a hundred billion exceeds this.
    assert!(
        counts.values().all(|count| (40..=190).contains(count)),
        "{counts:?}"
    );

    // Five leave, two come.
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    for number in 0..5 {
        assert_eq!(
            server
                .request("DELETE", &format!("{slices}/echo-{number}"), None)
                .0,
            200
        );
    }
    for (number, backend) in backends.iter().enumerate().skip(10) {
        server.create(&replica(number, backend));
    }
    let left: BTreeSet<&String> = names[5..].iter().collect();
    until("the endpoints are the new ones", || {
        spread(door, 100).keys().eq(left.iter().copied())
    });
    let counts = spread(door, 700);
    eprintln!("700 requests over 7 endpoints: {counts:?}");
    assert!(counts.keys().eq(left.iter().copied()), "{counts:?}");
    assert!(
        counts.values().all(|count| (40..=190).contains(count)),
        "{counts:?}"
    );
}
