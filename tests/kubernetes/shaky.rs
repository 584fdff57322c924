//! An API server that is slow, frozen, silent or cut off: what is served does not change, and changes made meanwhile are
//! live soon after.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use gateway_tests::{Gateway, Load, gateway, get, scaled};
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::{ApiServer, until};
use crate::backend::Backend;
use crate::link::Link;
use crate::objects::{app, ingress};

const DOOR: &str = "external-http";
const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";

fn host(number: usize) -> String {
    format!("app-{number}.test")
}

/// A Service that answers, and so many Ingresses for it, each with a host of its own.
fn deploy(server: &ApiServer, count: usize) -> Backend {
    let backend = Backend::start("app");
    for object in app("app", &backend) {
        server.create(&object);
    }
    let mut connection = server.connection();
    for number in 0..count {
        connection.create(&ingress(&format!("app-{number}"), DOOR, &host(number), "app"));
    }
    backend
}

fn delete(server: &ApiServer, name: &str) {
    let (status, _) = server.request("DELETE", &format!("{INGRESSES}/{name}"), None);
    assert_eq!(status, 200);
}

/// A gateway behind the link, with a load on it that must never fail.
fn loaded(server: &ApiServer, link: &Link) -> (Gateway, Load) {
    let config = link.config(server, &server.user_with_all_rights("gateway"));
    let gateway = gateway!().log("access = \"off\"").cluster(&config).start();
    let load = Load::start(gateway.door(DOOR), &host(0), 4, 200);
    (gateway, load)
}

/// Nothing of what is served has changed, and the gateway counts as ready.
fn all_stands(gateway: &Gateway, count: usize) {
    assert_eq!(gateway.admin("/readyz").0, 200);
    let door = gateway.door(DOOR);
    for number in 0..count {
        assert_eq!(get(door, &host(number), "/").status, 200, "{}", host(number));
    }
}

fn unharmed(load: Load) {
    let outcome = load.finish();
    assert_eq!(outcome.failures, Vec::<String>::new(), "of {}", outcome.done);
    assert!(outcome.done > 0);
}

fn errors(gateway: &Gateway) -> f64 {
    gateway.metric("blastdoor_config_problems", &[("severity", "error")])
}

/// A refused client tries again after half a minute at the latest.
fn is_well_again(gateway: &Gateway) {
    until("nothing is wrong any more", || errors(gateway) == 0.0);
}

/// A change that was made after trouble is live.
fn is_followed(server: &ApiServer, gateway: &Gateway, host: &str) {
    let name = host.trim_end_matches(".test");
    server.create(&ingress(name, DOOR, host, "app"));
    let started = Instant::now();
    until("the change is live", || {
        get(gateway.door(DOOR), host, "/").status == 200
    });
    eprintln!("{host}: live after {:?}", started.elapsed());
}

/// `None` while the door does not listen.
fn status(door: SocketAddr, host: &str) -> Option<u16> {
    TcpStream::connect(door).ok()?;
    Some(get(door, host, "/").status)
}

#[test]
fn over_a_slow_link_it_is_ready_late_with_a_complete_table() {
    let server = api_server!();
    // More than one page of a list.
    let count = scaled("Ingresses", 520, 2_000);
    let _backend = deploy(&server, count);
    let link = Link::to(&server);
    link.slow(Duration::from_secs(1), Duration::from_millis(20));
    let config = link.config(&server, &server.user_with_all_rights("gateway"));
    let started = Instant::now();
    let gateway = gateway!()
        .log("access = \"off\"")
        .door("internal-http", "publish = { hostname = \"lb.example.com\" }")
        .cluster(&config)
        .without_waiting()
        .start();
    // The last of the four doors.
    gateway.until("bound", |gateway| gateway.stderr().contains("internal-https"));
    let door = gateway.door(DOOR);
    let mut refused = 0;
    until("ready", || {
        // Of the first page and of the last: no table has one without the other.
        match [host(0), host(count - 1)].map(|host| status(door, &host)) {
            [None, _] => {}
            [Some(503), Some(503 | 200)] => refused += 1,
            [Some(200), Some(200)] => {}
            answers => panic!("before everything is known: {answers:?}"),
        }
        gateway.admin("/readyz").0 == 200
    });
    eprintln!(
        "{count} Ingresses: ready after {:?}; {refused} refusals before",
        started.elapsed()
    );
    assert!(refused > 0, "it was never asked before it was ready");
    all_stands(&gateway, count);

    // A slow link loses nothing: changes arrive, and status and Events are written.
    let load = Load::start(door, &host(0), 4, 200);
    is_followed(&server, &gateway, "late.test");
    delete(&server, &format!("app-{}", count - 1));
    until("the deletion is live", || {
        get(door, &host(count - 1), "/").status == 404
    });
    server.create(&ingress("inside", "internal-http", "inside.test", "app"));
    until("a status is written", || {
        server.published("inside") == json!([{ "hostname": "lb.example.com" }])
    });
    assert_eq!(errors(&gateway), 0.0, "{}", gateway.stderr());
    all_stands(&gateway, count - 1);
    unharmed(load);
}

#[test]
fn a_frozen_api_server_changes_nothing() {
    let server = api_server!();
    let count = 20;
    let _backend = deploy(&server, count);
    let link = Link::to(&server);
    let (gateway, load) = loaded(&server, &link);
    let seconds = scaled("seconds of frozen API server", 6, 90);
    // A stalled watch may take a minute to be noticed: the connection is open and silent.
    server.freeze();
    let started = Instant::now();
    let mut noticed = None;
    while started.elapsed() < Duration::from_secs(seconds as u64) {
        all_stands(&gateway, count);
        if noticed.is_none() && errors(&gateway) > 0.0 {
            noticed = Some(started.elapsed());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let age = gateway.metric("blastdoor_config_age_seconds", &[]);
    eprintln!("frozen for {seconds} s: age {age} s, noticed after {noticed:?}");
    assert!(age >= seconds as f64 - 1.0, "{age}");
    if gateway_tests::full() {
        assert!(noticed.is_some(), "{}", gateway.stderr());
        gateway.says("its last known state stays in force");
    }
    server.thaw();
    is_followed(&server, &gateway, "new.test");
    is_well_again(&gateway);
    all_stands(&gateway, count);
    unharmed(load);
}

#[test]
fn a_link_that_drops_everything_is_detected_and_survived() {
    let server = api_server!();
    let count = 20;
    let _backend = deploy(&server, count);
    let link = Link::to(&server);
    let (gateway, load) = loaded(&server, &link);

    // For a moment: nothing is lost, and what was sent meanwhile arrives.
    link.silence();
    server.create(&ingress("meanwhile", DOOR, "meanwhile.test", "app"));
    std::thread::sleep(Duration::from_secs(3));
    all_stands(&gateway, count);
    assert_eq!(get(gateway.door(DOOR), "meanwhile.test", "/").status, 404);
    link.open();
    gateway.until_status(DOOR, "meanwhile.test", "/", 200);

    // Connections are gone, and new ones lead nowhere.
    link.silence();
    link.cut();
    let (started, before) = (Instant::now(), link.opened());
    until("it is noticed", || {
        all_stands(&gateway, count);
        errors(&gateway) > 0.0
    });
    eprintln!(
        "swallowed: noticed after {:?}, {} connections tried",
        started.elapsed(),
        link.opened() - before
    );
    gateway.says("the API server cannot be reached");
    delete(&server, "meanwhile");
    let seconds = scaled("seconds of silence", 4, 120);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(seconds as u64) {
        all_stands(&gateway, count);
        assert_eq!(
            get(gateway.door(DOOR), "meanwhile.test", "/").status,
            200,
            "as it was"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let age = gateway.metric("blastdoor_config_age_seconds", &[]);
    assert!(age >= seconds as f64, "{age}");
    assert!(errors(&gateway) > 0.0, "it lasts as long as it lasts");
    link.open();
    is_followed(&server, &gateway, "new.test");
    until("what was deleted is gone", || {
        get(gateway.door(DOOR), "meanwhile.test", "/").status == 404
    });
    is_well_again(&gateway);
    all_stands(&gateway, count);
    unharmed(load);
}

#[test]
fn resets_lose_no_change() {
    let server = api_server!();
    let count = 20;
    let _backend = deploy(&server, count);
    let link = Link::to(&server);
    let (gateway, load) = loaded(&server, &link);
    let door = gateway.door(DOOR);
    let mut connection = server.connection();
    let rounds = scaled("rounds of resets", 10, 200);
    for round in 0..rounds {
        // A change just before, and one while nothing is followed.
        let renamed =
            |host: &str| -> Value { json!({ "spec": ingress("moving", DOOR, host, "app")["spec"] }) };
        let (first, second) = (format!("first-{round}.test"), format!("second-{round}.test"));
        if round == 0 {
            connection.create(&ingress("moving", DOOR, &first, "app"));
        }
        let path = format!("{INGRESSES}/moving");
        assert_eq!(connection.request("PATCH", &path, Some(&renamed(&first))).0, 200);
        link.cut();
        assert_eq!(connection.request("PATCH", &path, Some(&renamed(&second))).0, 200);
        until("the last change is live", || {
            get(door, &second, "/").status == 200
        });
        assert_eq!(get(door, &first, "/").status, 404);
        assert_eq!(gateway.admin("/readyz").0, 200);
    }
    all_stands(&gateway, count);
    let lists = server.count("gateway", "list", "ingresses");
    eprintln!(
        "{rounds} rounds of resets: {} connections, {lists} lists of Ingresses",
        link.opened()
    );
    assert_eq!(lists, 1, "a watch that broke is taken up where it was");
    unharmed(load);
}
