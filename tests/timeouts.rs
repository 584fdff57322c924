//! Slow clients and backends: their requests end in time and with the right status.

use std::io::Write;
use std::time::{Duration, Instant};

use gateway_tests::{Backend, Client, Reply, gateway, get, manifest};

const DOOR: &str = "external-http";

/// Runs a case against a door with short timeouts and returns how long it took.
fn timed(case: impl FnOnce(&mut Client, &Backend)) -> Duration {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(DOOR, "idle_timeout = \"2s\"\ntimeouts = { first_byte = \"500ms\", head = \"500ms\", body_idle = \"500ms\", response_head = \"500ms\", response_idle = \"500ms\", write_stall = \"500ms\" }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut client = Client::connect(gateway.door(DOOR));
    let started = Instant::now();
    case(&mut client, &backend);
    started.elapsed()
}

fn within(elapsed: Duration, least: u64, most: u64) {
    assert!(
        (least..=most).contains(&(elapsed.as_millis() as u64)),
        "{elapsed:?} is not between {least} and {most} ms"
    );
}

#[test]
fn a_silent_connection() {
    within(timed(|client, _| assert!(client.is_closed())), 450, 1500);
}

#[test]
fn a_slow_head() {
    let elapsed = timed(|client, _| {
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\nX:");
        let response = client.response().expect("an answer");
        assert_eq!(
            (response.status, response.field("connection")),
            (408, Some("close"))
        );
    });
    within(elapsed, 450, 1500);
}

/// Sending byte by byte does not extend a deadline.
#[test]
fn slow_heads_and_bodies_time_out() {
    for head in [
        "GET / HTTP/1.1\r\nHost: a.test\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\n",
    ] {
        let elapsed = timed(|client, _| {
            client.send(head);
            let mut writer = client.stream().try_clone().unwrap();
            std::thread::spawn(move || {
                for _ in 0..40 {
                    std::thread::sleep(Duration::from_millis(50));
                    if writer.write_all(b"x").is_err() {
                        return;
                    }
                }
            });
            assert_eq!(client.response().expect("an answer").status, 408, "{head:?}");
        });
        within(elapsed, 450, 1500);
    }
}

#[test]
fn a_stalled_body() {
    let elapsed = timed(|client, _| {
        client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nab");
        assert_eq!(client.response().expect("an answer").status, 408);
    });
    within(elapsed, 450, 1500);
}

#[test]
fn a_slow_backend() {
    let elapsed = timed(|client, backend| {
        backend.reply(Reply::Silence);
        assert_eq!(client.get("a.test", "/").expect("an answer").status, 504);
    });
    within(elapsed, 450, 1500);
    let elapsed = timed(|client, backend| {
        backend.reply(Reply::script(|stream, _| {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
                .unwrap();
            std::thread::sleep(Duration::from_secs(3));
        }));
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.response(), None, "a stalled body is cut");
    });
    within(elapsed, 450, 1500);
}

/// Behind load balancers the idle time must be theirs and more; no other timeout ends an idle connection.
#[test]
fn an_idle_connection_lives_as_long_as_it_should() {
    let elapsed = timed(|client, _| {
        assert_eq!(client.get("a.test", "/").expect("an answer").status, 200);
        std::thread::sleep(Duration::from_millis(1200));
        assert_eq!(client.get("a.test", "/").expect("an answer").status, 200);
        assert!(client.is_closed());
    });
    within(elapsed, 3100, 4200);
}

#[test]
fn a_route_can_have_its_own_timeout() {
    let backend = Backend::with("app", Reply::Silence);
    let yaml = manifest::app("app", DOOR, "a.test", backend.port()).replacen(
        "  labels:",
        "  annotations: {nginx.ingress.kubernetes.io/proxy-read-timeout: \"1\"}\n  labels:",
        1,
    );
    let gateway = gateway!().manifest("app.yaml", &yaml).start();
    let started = Instant::now();
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 504);
    within(started.elapsed(), 950, 2500);
}

/// A full door refuses connections, and recovers as soon as one ends.
#[test]
fn budgets_of_connections() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(DOOR, "limits = { connections = 4, connections_per_client = 3 }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("a.test", "/").expect("an answer").status, 200);
    }
    assert_eq!(
        get(address, "a.test", "/").status,
        503,
        "one client has its share"
    );
    gateway.counts("blastdoor_refusals_total", &[("reason", "connection_limit")], 1.0);
    clients.pop();
    gateway.until_status(DOOR, "a.test", "/", 200);
}
