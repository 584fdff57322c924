//! The promise over HTTP/2: a request at one door never reaches an Ingress of another, and no request is lost when a door
//! closes.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gateway_tests::http2::{Http2, block, request, request_with};
use gateway_tests::{Backend, DOORS, Gateway, Reply, gateway, manifest, scaled};
use prove::tricks::{Names, http2};

const DOOR: &str = "external-http";

/// Four doors with an application each, and the backends behind them.
fn four_doors() -> (Gateway, Vec<Backend>) {
    four_doors_that_log("access = \"off\"")
}

fn four_doors_that_log(log: &str) -> (Gateway, Vec<Backend>) {
    let backends: Vec<Backend> = DOORS.iter().map(|door| Backend::start(door)).collect();
    let mut builder = gateway!().log(log);
    for (door, backend) in DOORS.iter().zip(&backends) {
        let name = format!("app-{door}");
        let yaml = manifest::ingress(
            &name,
            door,
            &[
                ("same.test", "Prefix", "/", &name),
                (&format!("{door}.test"), "Prefix", "/", &name),
            ],
        ) + &manifest::service(&name, &[backend.port()]);
        builder = builder.manifest(&format!("{door}.yaml"), &yaml);
    }
    (builder.start(), backends)
}

#[test]
fn no_trick_crosses_a_door() {
    let (gateway, backends) = four_doors();
    block(async {
        for door in DOORS {
            let address = gateway.door(door);
            for other in DOORS.iter().filter(|other| **other != door) {
                let client = Http2::connect(address).await;
                let (host, own) = (format!("{other}.test"), format!("{door}.test"));
                let tricks = http2(&Names::at_root(&host, &own, other));
                // Those that begin with a request of the door's own are `prove`'s alone.
                for trick in tricks.into_iter().filter(|trick| trick.skip == 0) {
                    let what = format!("{} at {door}", trick.name);
                    let stream = trick.message.into_iter().next().unwrap();
                    let body = stream.body.unwrap_or_default();
                    match client.try_exchange(stream.request, &body, None).await {
                        Ok(answer) => assert!(
                            (400..500).contains(&answer.status),
                            "{} for {what}",
                            answer.status
                        ),
                        Err(error) => assert!(error.reason().is_some(), "{error} for {what}"),
                    }
                }
            }
        }
    });
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
            &[("listener", DOOR), ("owner", "internal-http")]
        ) > 0.0
    );
}

#[test]
fn a_host_of_another_door_looks_like_one_that_exists_nowhere() {
    let (gateway, _backends) = four_doors_that_log("access = \"all\"");
    block(async {
        for door in DOORS {
            let client = Http2::connect(gateway.door(door)).await;
            for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS"] {
                let nowhere = client
                    .exchange(request(method, "nowhere.test", "/secret"), &[])
                    .await;
                assert_eq!(nowhere.status, 404);
                for other in DOORS.iter().filter(|other| **other != door) {
                    let host = format!("{other}.test");
                    let elsewhere = client.exchange(request(method, &host, "/secret"), &[]).await;
                    assert_eq!(
                        elsewhere.without_date(),
                        nowhere.clone().without_date(),
                        "{method} for {other} at {door}"
                    );
                }
            }
        }
    });
    // Only the log knows whose host it is.
    gateway.until("each line names the owner", |gateway| {
        let lines = gateway.access_log();
        let mut asked = lines.iter().filter(|line| line["path"] == "/secret");
        asked.clone().count() == DOORS.len() * DOORS.len() * 5
            && asked.all(|line| {
                let host = line["host"].as_str().unwrap_or_default();
                let owner = DOORS.iter().find(|door| host == format!("{door}.test"));
                line.get("cross_door_owner").and_then(|owner| owner.as_str()) == owner.copied()
            })
    });
}

/// The same host and path at every door, each with its own backend, under mixed requests on reused connections of both
/// versions.
#[test]
fn ten_thousand_mixed_requests_and_no_crossing() {
    let (gateway, backends) = four_doors();
    for backend in &backends {
        backend.count_only();
    }
    let requests = scaled("mixed requests", 10_000, 100_000);
    let threads = DOORS.map(|door| {
        let address = gateway.door(door);
        std::thread::spawn(move || block(mixed(door, address, requests / DOORS.len())))
    });
    let crossings: Vec<String> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(crossings, Vec::<String>::new(), "of {requests} requests");
    let reached: usize = backends.iter().map(Backend::requests).sum();
    assert!(reached > requests / 2, "{reached} requests reached a backend");
    assert_eq!(gateway.metric("blastdoor_panics_total", &[]), 0.0);
}

async fn mixed(door: &'static str, address: SocketAddr, requests: usize) -> Vec<String> {
    let tasks: Vec<_> = (0..16)
        .map(|seed| {
            tokio::task::spawn_local(async move {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut crossings = Vec::new();
                let mut client = Rc::new(Http2::connect(address).await);
                for _ in 0..requests / 16 {
                    let other = DOORS[random.usize(..DOORS.len())];
                    let (elsewhere, here) = (format!("{other}.test"), format!("{door}.test"));
                    let (asked, body, reaches) = match random.u8(..6) {
                        0 | 1 => (request("GET", "same.test", "/"), &b""[..], true),
                        2 => (
                            request_with("GET", "same.test", "/x", &[("x-forwarded-host", &elsewhere)]),
                            &b""[..],
                            true,
                        ),
                        3 => (request("GET", &elsewhere, "/"), &b""[..], other == door),
                        4 => (
                            request_with("POST", "same.test", "/", &[("host", "same.test")]),
                            &b"abc"[..],
                            true,
                        ),
                        _ => (
                            request_with("GET", &here, &format!("/{other}"), &[("x-blastdoor-door", other)]),
                            &b""[..],
                            true,
                        ),
                    };
                    let what = format!("{asked:?} at {door}");
                    match client.try_exchange(asked, body, None).await {
                        Ok(answer) if reaches && answer.status == 200 && answer.text() == door => {}
                        Ok(answer) if !reaches && answer.status == 404 => {}
                        outcome => crossings.push(format!("{what}: {outcome:?}")),
                    }
                    if random.u8(..50) == 0 {
                        client = Rc::new(Http2::connect(address).await);
                    }
                }
                crossings
            })
        })
        .collect();
    let mut crossings = Vec::new();
    for task in tasks {
        crossings.extend(task.await.unwrap());
    }
    crossings
}

/// The gateway announces its end with GOAWAY, answers requests under way, and ends.
#[test]
fn the_end_is_announced_with_goaway() {
    let backend = Backend::with(
        "app",
        Reply::computed(|seen| {
            if seen.line().contains("slow") {
                std::thread::sleep(Duration::from_millis(1500));
            }
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone".to_vec()
        }),
    );
    let mut gateway = gateway!()
        .every_door("drain = { wait = \"500ms\", timeout = \"5s\" }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    block(async {
        let idle = Http2::connect(address).await;
        let busy = Http2::connect(address).await;
        assert_eq!(idle.get("a.test", "/").await.text(), "done");
        let (response, _) = busy.open(request("GET", "a.test", "/slow"), true).await.unwrap();
        while backend.requests() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        gateway.terminate();
        idle.ended().await.expect("an idle connection ends in order");
        let answer = gateway_tests::http2::receive(response).await.unwrap();
        assert_eq!(answer.text(), "done", "what is in flight ends in order");
        busy.ended().await.unwrap();
    });
    assert_eq!(gateway.wait().code(), Some(0));
}

/// SIGTERM under load, with clients that open a new connection when theirs takes no more streams.
#[test]
fn twenty_drains_under_load() {
    let backend = Backend::start("app");
    backend.count_only();
    for number in 0..scaled("drains", 5, 20) {
        let mut gateway = gateway!()
            .log("access = \"off\"")
            .every_door("drain = { wait = \"600ms\", timeout = \"5s\" }")
            .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
            .start();
        let address = gateway.door(DOOR);
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let load = {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            std::thread::spawn(move || block(load(address, &stop, &done)))
        };
        while done.load(Ordering::SeqCst) < 200 {
            std::thread::sleep(Duration::from_millis(5));
        }
        gateway.terminate();
        // The load balancer finds the door unhealthy and stops before the wait is over.
        gateway.until("red", |gateway| gateway.admin("/lb/external-http").0 == 503);
        std::thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::SeqCst);
        let failures = load.join().unwrap();
        assert_eq!(
            failures,
            Vec::<String>::new(),
            "drain {number}, of {done:?} requests"
        );
        assert_eq!(gateway.wait().code(), Some(0));
    }
}

/// Four connections with eight streams each send as many requests as they can; returns every failure.
async fn load(address: SocketAddr, stop: &Arc<AtomicBool>, done: &Arc<AtomicUsize>) -> Vec<String> {
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let shared = Rc::new(std::cell::RefCell::new(Rc::new(Http2::connect(address).await)));
        for _ in 0..8 {
            let (shared, stop, done) = (Rc::clone(&shared), Arc::clone(stop), Arc::clone(done));
            tasks.push(tokio::task::spawn_local(async move {
                let mut failures = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let client = Rc::clone(&shared.borrow());
                    let opened = client.open(request("GET", "a.test", "/load"), true).await;
                    let Ok((response, _)) = opened else {
                        // It accepts no more streams, and nothing was sent. Another task may have replaced it meanwhile.
                        let fresh = Rc::new(Http2::connect(address).await);
                        let mut current = shared.borrow_mut();
                        if Rc::ptr_eq(&client, &current) {
                            *current = fresh;
                        }
                        continue;
                    };
                    match gateway_tests::http2::receive(response).await {
                        Ok(answer) if answer.status == 200 => {
                            done.fetch_add(1, Ordering::SeqCst);
                        }
                        outcome => failures.push(format!("{outcome:?}")),
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                failures
            }));
        }
    }
    let mut failures = Vec::new();
    for task in tasks {
        failures.extend(task.await.unwrap());
    }
    failures
}
