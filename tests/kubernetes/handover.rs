//! The Lease is given up by a holder that is told to end, and never at the price of the end.

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
        .door(DOOR, "publish = { hostname = \"lb.example.com\" }")
        .start()
}

fn lease(server: &ApiServer) -> Value {
    server.request("GET", LEASE, None).1["spec"].clone()
}

fn held_by(server: &ApiServer, name: &str) -> bool {
    lease(server)["holderIdentity"] == name
}

fn has_status(server: &ApiServer, name: &str) -> bool {
    let path = format!("/apis/networking.k8s.io/v1/namespaces/default/ingresses/{name}");
    let (_, ingress) = server.request("GET", &path, None);
    !ingress["status"]["loadBalancer"]["ingress"].is_null()
}

fn asked_for_the_lease(server: &ApiServer, user: &str, verb: &str) -> usize {
    let asked = server.asked_by(user);
    let of_lease = |verb_: &str, resource: &str| verb_ == verb && resource == "leases";
    asked
        .iter()
        .filter(|asked| of_lease(&asked.verb, &asked.resource))
        .count()
}

#[test]
fn who_is_told_to_end_gives_the_lease_up() {
    let server = api_server!();
    let mut first = replica(&server, "one", None);
    until("the first holds the Lease", || held_by(&server, "one"));
    let mut second = replica(&server, "two", None);
    until("the second waits for it", || {
        asked_for_the_lease(&server, "two", "get") > 1
    });
    let transitions = lease(&server)["leaseTransitions"].as_i64().unwrap();

    // The second is held still, so that what the first leaves behind can be seen.
    second.signal(Signal::STOP);
    first.terminate();
    until("it is given up", || held_by(&server, ""));
    assert_eq!(first.wait().code(), Some(0), "{}", first.stderr());
    assert_eq!(lease(&server)["holderIdentity"], "");
    assert_eq!(lease(&server)["leaseTransitions"], transitions);
    let writes = asked_for_the_lease(&server, "one", "update");
    second.signal(Signal::CONT);
    let started = Instant::now();
    until("the second takes it", || held_by(&server, "two"));
    eprintln!("taken over after {:?}", started.elapsed());
    assert_eq!(lease(&server)["leaseTransitions"], transitions + 1);
    assert_eq!(asked_for_the_lease(&server, "one", "update"), writes);
    server.create(&ingress("late", DOOR, "late.test", "app"));
    until("the second writes", || has_status(&server, "late"));

    // As it usually goes: nobody stands still.
    let mut third = replica(&server, "three", None);
    until("the third waits for it", || {
        asked_for_the_lease(&server, "three", "get") > 1
    });
    second.terminate();
    let started = Instant::now();
    until("the third takes it", || held_by(&server, "three"));
    eprintln!("taken over after {:?}", started.elapsed());
    assert_eq!(second.wait().code(), Some(0), "{}", second.stderr());
    assert_eq!(lease(&server)["leaseTransitions"], transitions + 2);

    // Who does not hold it leaves it alone.
    let mut fourth = replica(&server, "four", None);
    until("the fourth waits for it", || {
        asked_for_the_lease(&server, "four", "get") > 1
    });
    fourth.terminate();
    assert_eq!(fourth.wait().code(), Some(0), "{}", fourth.stderr());
    assert!(held_by(&server, "three"));
    assert_eq!(asked_for_the_lease(&server, "four", "update"), 0);
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
    link.silence();
    gateway.terminate();
    let started = Instant::now();
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.stderr());
    let took = started.elapsed();
    eprintln!("ended after {took:?}");
    // It drains for a fraction of a second. An answer of the API server may be waited for eight times as long as the
    // end is.
    assert!(took < Duration::from_secs(7), "{took:?}");
    assert!(held_by(&server, "one"), "it runs out by itself");
}
