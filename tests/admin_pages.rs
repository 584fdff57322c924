//! The pages of the admin port about what is live, of which the dashboard is made.

use std::net::TcpListener;

use gateway_tests::{Backend, Gateway, gateway, get, manifest};
use serde_json::Value;

const DOOR: &str = "external-http";

fn page(gateway: &Gateway, path: &str) -> Value {
    let (status, body) = gateway.admin(path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// `service state ready/not-ready: address state@doors`, for each Service.
fn services(gateway: &Gateway, query: &str) -> Vec<String> {
    let page = page(gateway, &format!("/api/v1/endpoints{query}"));
    let rows = page["services"].as_array().unwrap().iter().map(|row| {
        let endpoints = row["endpoints"].as_array().unwrap().iter().map(|endpoint| {
            let doors = endpoint["listeners"].as_array().unwrap();
            format!(" {}@{}", endpoint["state"].as_str().unwrap(), doors.len())
        });
        let text = |field: &str| row[field].as_str().unwrap().to_owned();
        format!(
            "{} {} {}/{}:{}",
            text("service"),
            text("state"),
            row["ready"],
            row["not_ready"],
            endpoints.collect::<String>()
        )
    });
    rows.collect()
}

#[test]
fn endpoints_in_trouble_come_first() {
    let backend = Backend::start("fine");
    // Nobody listens there.
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let route =
        |host: &str, service: &str| manifest::ingress(service, DOOR, &[(host, "Prefix", "/", service)]);
    let gateway = gateway!()
        .manifest(
            "fine.yaml",
            &manifest::app("fine", DOOR, "fine.test", backend.port()),
        )
        .manifest("dead.yaml", &manifest::app("dead", DOOR, "dead.test", dead))
        .manifest(
            "none.yaml",
            &(route("none.test", "none") + &manifest::service("none", &[])),
        )
        .start();
    assert_eq!(
        services(&gateway, ""),
        [
            "test/none none 0/0:",
            "test/dead ready 1/0: ready@0",
            "test/fine ready 1/0: ready@0"
        ]
    );
    for _ in 0..3 {
        assert_eq!(get(gateway.door(DOOR), "dead.test", "/").status, 502);
    }
    let dead = "test/dead none 1/0: down@1";
    gateway.until("the door to know", |gateway| {
        services(gateway, "?state=trouble") == [dead, "test/none none 0/0:"]
    });
    assert_eq!(services(&gateway, "?q=DEAD"), [dead]);
    assert_eq!(services(&gateway, "?q=no+such"), [""; 0]);
    assert_eq!(services(&gateway, "?door=internal-http"), [""; 0]);
    assert_eq!(
        services(&gateway, "?limit=1&offset=2"),
        ["test/fine ready 1/0: ready@0"]
    );
    let page = page(&gateway, "/api/v1/endpoints?limit=1");
    let counts = ["total", "all", "none", "some"].map(|field| page[field].as_u64().unwrap());
    assert_eq!(counts, [3, 3, 2, 0]);
    let none = self::page(&gateway, "/api/v1/endpoints?q=test/none");
    let why = none["services"][0]["why"].as_str().unwrap();
    assert!(why.contains("no EndpointSlice lists an address"), "{why}");
}

#[test]
fn traffic_problems_and_certificates() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(
            "internal-https",
            "tls = { default_certificate = \"self-signed\" }",
        )
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .manifest(
            "odd.yaml",
            &manifest::ingress("odd", DOOR, &[("b.test", "Prefix", "/", "missing")]),
        )
        .start();
    let before = page(&gateway, "/api/v1/traffic");
    for (host, status) in [("a.test", 200), ("a.test", 200), ("b.test", 503), ("c.test", 404)] {
        assert_eq!(get(gateway.door(DOOR), host, "/").status, status);
    }
    let door = |page: &Value| {
        let doors = page["doors"].as_array().unwrap();
        doors
            .iter()
            .find(|door| door["listener"] == DOOR)
            .unwrap()
            .clone()
    };
    gateway.until("all to be counted", |gateway| {
        door(&page(gateway, "/api/v1/traffic"))["requests"]
            == serde_json::json!({ "2xx": 2, "4xx": 1, "5xx": 1 })
    });
    let after = page(&gateway, "/api/v1/traffic");
    assert_eq!(before["started"], after["started"]);
    assert!(after["time"].as_f64() > before["time"].as_f64());
    let door = door(&after);
    assert_eq!(
        door["refusals"],
        serde_json::json!({ "blocked": 1, "no_route": 1 })
    );
    let counts = door["durations"]["counts"].as_array().unwrap();
    assert_eq!(counts.iter().filter_map(Value::as_u64).sum::<u64>(), 4);
    assert_eq!(
        counts.len(),
        door["durations"]["bounds_ms"].as_array().unwrap().len() + 1
    );
    assert_eq!(
        (&door["state"], &door["scheme"], &door["ends_tls"]),
        (&"ready".into(), &"http".into(), &false.into())
    );

    let problems = page(&gateway, "/api/v1/problems?severity=error&q=missing");
    assert_eq!(
        (&problems["total"], &problems["errors"]),
        (&1.into(), &1.into()),
        "{problems}"
    );
    assert_eq!(problems["problems"][0]["object"]["name"], "odd");

    let certificates = page(&gateway, "/api/v1/certificates");
    let expected =
        serde_json::json!({ "listener": "internal-https", "secret": "default", "hosts": [], "more": 0 });
    let mut first = certificates["certificates"][0].clone();
    assert!(first.as_object_mut().unwrap().remove("expires").unwrap().is_u64());
    assert_eq!((first, &certificates["total"]), (expected, &1.into()));

    for wrong in [
        "problems?severity=bad",
        "endpoints?state=odd",
        "certificates?limit=x",
        "traffic?x=1",
    ] {
        let (status, body) = gateway.admin(&format!("/api/v1/{wrong}"));
        assert!(
            status == 400 && body.starts_with("{\"error\":"),
            "{wrong}: {status} {body}"
        );
    }
}

#[test]
fn the_dashboard_and_its_files_are_served() {
    let gateway = gateway!().start();
    let (status, index) = gateway.admin("/");
    assert_eq!(status, 200);
    let files: Vec<&str> = index
        .split('"')
        .filter(|text| text.starts_with("/dashboard/"))
        .collect();
    assert!(files.len() > 5, "{index}");
    for file in files {
        assert_eq!(gateway.admin(file).0, 200, "{file}");
    }
    assert_eq!(gateway.admin("/dashboard/none.js").0, 404);
}
