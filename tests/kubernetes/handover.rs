//! A holder that is told to end releases the Lease, and that never delays its end.

use std::time::{Duration, Instant};

use gateway_tests::{Gateway, gateway};
use rustix::process::Signal;
use serde_json::Value;

use crate::api_server;
use crate::apiserver::{ApiServer, until};
use crate::link::Link;
use crate::objects::ingress;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/blastdoor";
const DOOR: &str = "external-http";

fn replica(server: &ApiServer, name: &str, link: Option<&Link>) -> Gateway {
    let direct = server.user_with_all_rights(name);
    let config = link.map_or(direct.clone(), |link| link.config(server, &direct));
    gateway!()
        .cluster(&config)
        .env("POD_NAME", name)
        .log("level = \"info,control=debug\"")
        .door(DOOR, "publish = { hostname = \"lb.example.com\" }")
        .start()
}

fn lease(server: &ApiServer) -> Value {
    server.request("GET", LEASE, None).1["spec"].clone()
}

fn held_by(server: &ApiServer, name: &str) -> bool {
    lease(server)["holderIdentity"] == name
}

#[test]
fn a_replica_that_is_told_to_end_releases_the_lease() {
    let server = api_server!();
    let mut first = replica(&server, "one", None);
    until("the first holds the Lease", || held_by(&server, "one"));
    let mut second = replica(&server, "two", None);
    until("the second waits for it", || {
        server.count("two", "get", "leases") > 1
    });
    let transitions = lease(&server)["leaseTransitions"].as_i64().unwrap();

    // The second is frozen, so that the test sees what the first leaves behind.
    second.signal(Signal::STOP);
    first.terminate();
    until("it is given up", || held_by(&server, ""));
    assert_eq!(first.wait().code(), Some(0), "{}", first.stderr());
    assert_eq!(lease(&server)["holderIdentity"], "");
    assert_eq!(lease(&server)["leaseTransitions"], transitions);
    let writes = server.count("one", "update", "leases");
    second.signal(Signal::CONT);
    let started = Instant::now();
    until("the second takes it", || held_by(&server, "two"));
    eprintln!("taken over after {:?}", started.elapsed());
    assert_eq!(lease(&server)["leaseTransitions"], transitions + 1);
    assert_eq!(server.count("one", "update", "leases"), writes);
    server.create(&ingress("late", DOOR, "late.test", "app"));
    until("the second writes", || !server.published("late").is_null());

    // The usual case: neither is frozen.
    let mut third = replica(&server, "three", None);
    until("the third waits for it", || {
        server.count("three", "get", "leases") > 1
    });
    second.terminate();
    let started = Instant::now();
    until("the third takes it", || held_by(&server, "three"));
    eprintln!("taken over after {:?}", started.elapsed());
    assert_eq!(second.wait().code(), Some(0), "{}", second.stderr());
    assert_eq!(lease(&server)["leaseTransitions"], transitions + 2);

    // A replica that does not hold it leaves it alone.
    let mut fourth = replica(&server, "four", None);
    until("the fourth waits for it", || {
        server.count("four", "get", "leases") > 1
    });
    fourth.terminate();
    assert_eq!(fourth.wait().code(), Some(0), "{}", fourth.stderr());
    assert!(held_by(&server, "three"));
    assert_eq!(server.count("four", "update", "leases"), 0);
    third.terminate();
    assert_eq!(third.wait().code(), Some(0), "{}", third.stderr());
    assert!(held_by(&server, ""));
}

#[test]
fn without_an_api_server_the_end_is_not_delayed() {
    let server = api_server!();
    let link = Link::to(&server);
    let mut gateway = replica(&server, "one", Some(&link));
    until("it holds the Lease", || held_by(&server, "one"));
    // It is renewed at least every five seconds, and an answer may take eight: the gateway is waiting for one now.
    link.silence();
    std::thread::sleep(Duration::from_millis(5_200));
    gateway.terminate();
    let started = Instant::now();
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.stderr());
    // It drains for a fraction of a second, and waits for a second at most.
    eprintln!("ended after {:?}", started.elapsed());
    // It reports the attempt once there is an answer or the wait for one is over.
    let log = gateway.stderr();
    assert!(log.contains("holding the Lease"), "{log}");
    for tried in ["released the Lease", "was not released"] {
        assert!(!log.contains(tried), "{log}");
    }
    assert!(held_by(&server, "one"), "it expires by itself");
}
