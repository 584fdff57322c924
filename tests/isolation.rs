//! The promise: a request that arrives at one door never reaches an Ingress of another, whatever it says.

use gateway_tests::{Backend, Client, DOORS, Gateway, Response, exchange, gateway, manifest, scaled};
use prove::tricks::{Names, Opening, http1};

/// Four doors with an application each, and the backends behind them.
fn four_doors() -> (Gateway, Vec<Backend>) {
    let backends: Vec<Backend> = DOORS.iter().map(|door| Backend::start(door)).collect();
    let mut builder = gateway!();
    for (door, backend) in DOORS.iter().zip(&backends) {
        let yaml = manifest::app(
            &format!("app-{door}"),
            door,
            &format!("{door}.test"),
            backend.port(),
        );
        builder = builder.manifest(&format!("{door}.yaml"), &yaml);
    }
    (builder.start(), backends)
}

#[test]
fn no_trick_crosses_a_door() {
    let (gateway, backends) = four_doors();
    for door in DOORS {
        let address = gateway.door(door);
        for other in DOORS.iter().filter(|other| **other != door) {
            let (host, own) = (format!("{other}.test"), format!("{door}.test"));
            let names = Names::at_root(&host, &own, other);
            // Those that begin with a request of the door's own are `prove`'s alone.
            let tricks = http1(&names).into_iter().filter(|trick| trick.skip == 0);
            for trick in tricks.filter(|trick| trick.opening == Opening::Usual) {
                let response = exchange(address, trick.message.concat()).expect("an answer");
                assert!(
                    (400..500).contains(&response.status),
                    "{} at {door}: {}",
                    response.status,
                    trick.name
                );
            }
        }
    }
    for (door, backend) in DOORS.iter().zip(&backends) {
        assert_eq!(
            (backend.connections(), backend.requests()),
            (0, 0),
            "{door}'s backend"
        );
    }
    assert_eq!(
        gateway.metric("blastdoor_requests_total", &[("status_class", "2xx")]),
        0.0
    );
    assert!(
        gateway.metric(
            "blastdoor_cross_door_probes_total",
            &[("listener", "external-http"), ("owner", "internal-http")]
        ) > 0.0
    );
}

#[test]
fn a_host_of_another_door_looks_like_one_that_exists_nowhere() {
    let (gateway, _backends) = four_doors();
    for door in DOORS {
        let address = gateway.door(door);
        let ask = |host: &str, method: &str| -> Response {
            exchange(
                address,
                format!("{method} /secret HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            )
            .expect("an answer")
        };
        for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS"] {
            let nowhere = ask("nowhere.test", method);
            assert_eq!(nowhere.status, 404);
            for other in DOORS.iter().filter(|other| **other != door) {
                let elsewhere = ask(&format!("{other}.test"), method);
                assert_eq!(
                    elsewhere.without_date(),
                    nowhere.without_date(),
                    "{method} for {other} at {door}"
                );
            }
        }
    }
    // Whoever operates the gateway learns which door the host belongs to, and nobody else does.
    let owners_are_told = |gateway: &Gateway| {
        let lines = gateway.access_log();
        let mut asked = lines.iter().filter(|line| line["path"] == "/secret");
        asked.clone().count() == DOORS.len() * DOORS.len() * 5
            && asked.all(|line| {
                let host = line["host"].as_str().unwrap_or_default();
                let owner = DOORS.iter().find(|door| host == format!("{door}.test"));
                line.get("cross_door_owner").and_then(|owner| owner.as_str()) == owner.copied()
            })
    };
    gateway.until("each line names the owner", owners_are_told);
    for door in DOORS {
        for owner in DOORS.iter().filter(|other| **other != door) {
            let of_pair = |gateway: &Gateway| {
                let said = gateway.stderr();
                let warnings = said.lines().filter_map(|line| {
                    let line: serde_json::Value = serde_json::from_str(line).ok()?;
                    (line["listener"] == door && line["cross_door_owner"] == *owner).then_some(line)
                });
                warnings.collect::<Vec<_>>()
            };
            gateway.until("a warning", |gateway| !of_pair(gateway).is_empty());
            let warning = &of_pair(&gateway)[0];
            assert_eq!(warning["level"], "WARN", "{warning}");
            assert_eq!(warning["host"], format!("{owner}.test"), "{warning}");
            assert_eq!(warning["client"], "127.0.0.1", "{warning}");
        }
    }
}

/// Whoever asks again and again fills no log of diagnostics, and every request has its line in the access log.
#[test]
fn a_flood_of_probes_is_told_at_a_limited_rate() {
    let (gateway, _backends) = four_doors();
    let mut client = Client::connect(gateway.door("external-http"));
    for _ in 0..200 {
        let head = "GET / HTTP/1.1\r\nHost: internal-http.test\r\n\r\n";
        assert_eq!(client.request(head).unwrap().status, 404);
    }
    gateway.until("every request is logged", |gateway| {
        let lines = gateway.access_log();
        let probes = lines
            .iter()
            .filter(|line| line["cross_door_owner"] == "internal-http");
        probes.count() == 200
    });
    gateway.counts(
        "blastdoor_cross_door_probes_total",
        &[("listener", "external-http"), ("owner", "internal-http")],
        200.0,
    );
    let said = gateway.says("only another door knows");
    let warnings = said
        .lines()
        .filter(|line| line.contains("only another door knows"));
    // One in 10 s; a machine that is very slow may take longer for all of them.
    assert!(warnings.clone().count() < 20, "{said}");
}

/// A wildcard at one door, a precise host at another, an internal catch-all: each door knows only its own.
#[test]
fn overlapping_hosts_stay_apart() {
    let [inside, outside, catch_all] = ["inside", "outside", "catch-all"].map(Backend::start);
    let gateway = gateway!()
        .manifest(
            "a.yaml",
            &manifest::app("inside", "internal-http", "*.example.com", inside.port()),
        )
        .manifest(
            "b.yaml",
            &manifest::app("outside", "external-http", "shop.example.com", outside.port()),
        )
        .manifest(
            "c.yaml",
            &manifest::app("catch-all", "internal-https", "", catch_all.port()),
        )
        .start();
    let ask = |door: &str, host: &str| {
        let response = gateway_tests::get(gateway.door(door), host, "/");
        (response.status, response.text())
    };
    assert_eq!(ask("internal-http", "shop.example.com"), (200, "inside".into()));
    assert_eq!(ask("external-http", "shop.example.com"), (200, "outside".into()));
    assert_eq!(ask("external-http", "other.example.com").0, 404);
    assert_eq!(ask("internal-https", "anything.test"), (200, "catch-all".into()));
    assert_eq!(ask("external-https", "anything.test").0, 404);
}

/// The same host and path at every door, each with its own backend, under mixed requests on reused connections.
#[test]
fn a_hundred_thousand_mixed_requests_and_no_crossing() {
    let backends: Vec<Backend> = DOORS.iter().map(|door| Backend::start(door)).collect();
    let mut builder = gateway!().log("access = \"off\"");
    for (door, backend) in DOORS.iter().zip(&backends) {
        backend.count_only();
        let yaml = manifest::ingress(
            &format!("app-{door}"),
            door,
            &[
                ("same.test", "Prefix", "/", &format!("app-{door}")),
                (&format!("{door}.test"), "Prefix", "/", &format!("app-{door}")),
            ],
        ) + &manifest::service(&format!("app-{door}"), &[backend.port()]);
        builder = builder.manifest(&format!("{door}.yaml"), &yaml);
    }
    let gateway = builder.start();
    let requests = scaled("mixed requests", 100_000, 100_000);
    let threads: Vec<_> = DOORS
        .iter()
        .map(|door| {
            let (door, address) = ((*door).to_owned(), gateway.door(door));
            std::thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(7);
                let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(address)).collect();
                let mut crossings = 0_usize;
                for _ in 0..requests / DOORS.len() {
                    let other = DOORS[random.usize(..DOORS.len())];
                    let index = random.usize(..clients.len());
                    let (head, expected) = match random.u8(..6) {
                        0 | 1 => ("GET / HTTP/1.1\r\nHost: same.test\r\n\r\n".to_owned(), Some(door.clone())),
                        2 => (format!("GET http://same.test/x HTTP/1.1\r\nHost: same.test\r\nX-Forwarded-Host: {other}.test\r\n\r\n"), Some(door.clone())),
                        3 => (format!("GET / HTTP/1.1\r\nHost: {other}.test\r\n\r\n"), (other == door).then(|| door.clone())),
                        4 => (format!("POST / HTTP/1.1\r\nHost: same.test\r\nContent-Length: 3\r\nForwarded: host={other}.test\r\n\r\nabc"), Some(door.clone())),
                        _ => (format!("GET /{other} HTTP/1.1\r\nHost: {door}.test:8080\r\nX-Blastdoor-Door: {other}\r\n\r\n"), Some(door.clone())),
                    };
                    let response = clients[index].request(&head).expect("an answer");
                    let got = (response.status == 200).then(|| response.text());
                    crossings += usize::from(got != expected);
                    if response.field("connection") == Some("close") {
                        clients[index] = Client::connect(address);
                    }
                }
                crossings
            })
        })
        .collect();
    let crossings: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(crossings, 0, "of {requests} requests");
    let reached: usize = backends.iter().map(Backend::requests).sum();
    assert!(reached > requests / 2, "{reached} requests reached a backend");
}

/// A smuggled request would be answered as a second one: there is never more than one answer, and no backend sees
/// the other door's host.
#[test]
fn nothing_is_smuggled_inside_a_body() {
    let (gateway, backends) = four_doors();
    let inner = "GET / HTTP/1.1\r\nHost: internal-http.test\r\n\r\n";
    let address = gateway.door("external-http");
    for head in [
        format!(
            "POST / HTTP/1.1\r\nHost: external-http.test\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
            inner.len() + 5
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: external-http.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{inner}"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: external-http.test\r\nContent-Length: 0\r\nContent-Length: {}\r\n\r\n{inner}",
            inner.len()
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: external-http.test\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
        ),
    ] {
        let mut client = Client::connect(address);
        let response = client.request(&head).expect("an answer");
        assert_eq!(response.status, 400, "{head:?}");
        assert!(client.is_closed(), "a second answer to {head:?}");
    }
    // A body is a body, whatever it looks like.
    let mut client = Client::connect(address);
    let body = format!(
        "POST / HTTP/1.1\r\nHost: external-http.test\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    );
    assert_eq!(client.request(body).expect("an answer").text(), "external-http");
    assert_eq!(
        client.get("internal-http.test", "/").expect("an answer").status,
        404
    );
    assert_eq!(backends[0].connections(), 0, "the internal backend");
    assert_eq!(
        backends[2].requests(),
        1,
        "the external backend saw the one whole request"
    );
}

/// A backend that is one of the gateway's own doors would bypass the wall.
#[test]
fn a_door_is_no_backend() {
    let inside = Backend::start("inside");
    let gateway = gateway!()
        .manifest(
            "inside.yaml",
            &manifest::app("inside", "internal-http", "inside.test", inside.port()),
        )
        .start();
    let port = gateway.door("internal-http").port();
    gateway.put(
        "loop.yaml",
        &manifest::app("loop", "external-http", "inside.test", port),
    );
    gateway.until_status("external-http", "inside.test", "/", 503);
    assert_eq!(inside.requests(), 0);
}

/// A draining door still answers, so it must not be a backend either, whatever changes meanwhile.
#[test]
fn a_draining_door_is_no_backend() {
    let (inside, other) = (Backend::start("inside"), Backend::start("other"));
    let gateway = gateway!()
        .every_door("drain = { wait = \"4s\", timeout = \"1s\" }")
        .manifest(
            "inside.yaml",
            &manifest::app("inside", "internal-http", "inside.test", inside.port()),
        )
        .start();
    let port = gateway.door("internal-http").port();
    gateway.put(
        "loop.yaml",
        &manifest::app("loop", "external-http", "inside.test", port),
    );
    gateway.until_status("external-http", "inside.test", "/", 503);
    gateway.terminate();
    gateway.until("the doors drain", |gateway| {
        gateway.admin("/lb/external-http").0 == 503
    });
    gateway.put(
        "other.yaml",
        &manifest::app("other", "external-http", "other.test", other.port()),
    );
    gateway.until_status("external-http", "other.test", "/", 200);
    assert_eq!(
        gateway_tests::get(gateway.door("external-http"), "inside.test", "/").status,
        503
    );
    assert_eq!(inside.requests(), 0);
}
