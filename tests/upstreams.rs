//! What happens to requests when backends fail.

use std::io::Write;
use std::time::{Duration, Instant};

use gateway_tests::{Backend, Client, Reply, exchange, free_port, gateway, get, manifest};

const DOOR: &str = "external-http";

fn app(ports: &[u16]) -> String {
    manifest::ingress("app", DOOR, &[("a.test", "Prefix", "/", "app")]) + &manifest::service("app", ports)
}

/// If one endpoint of three refuses connections, no request fails, and the endpoint soon gets none.
#[test]
fn a_refusing_endpoint_is_tried_elsewhere_and_ejected() {
    let (one, two) = (Backend::start("app"), Backend::start("app"));
    let gateway = gateway!()
        .manifest("app.yaml", &app(&[one.port(), free_port(), two.port()]))
        .start();
    for number in 0..500 {
        // A connection each, so that the gateway needs new ones now and then as well.
        let method = if number % 2 == 0 { "GET" } else { "POST" };
        let response = exchange(
            gateway.door(DOOR),
            format!("{method} /{number} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"),
        );
        assert_eq!(response.expect("an answer").status, 200);
    }
    gateway.counts("blastdoor_upstream_ejections_total", &[], 1.0);
    assert_eq!(
        one.requests() + two.requests(),
        500,
        "each request reached one backend once"
    );
    let failures = gateway.metric("blastdoor_upstream_connect_failures_total", &[]);
    assert!(
        (3.0..=4.0).contains(&failures),
        "{failures} failed connections before it was left alone"
    );
}

#[test]
fn an_ejected_endpoint_comes_back() {
    let backend = Backend::start("app");
    let port = backend.port();
    let gateway = gateway!().manifest("app.yaml", &app(&[port])).start();
    let address = gateway.door(DOOR);
    assert_eq!(get(address, "a.test", "/").status, 200);
    drop(backend);
    let statuses: Vec<u16> = (0..6).map(|_| get(address, "a.test", "/").status).collect();
    assert_eq!(
        (statuses[0], *statuses.last().unwrap()),
        (502, 503),
        "refused, then ejected: {statuses:?}"
    );
    let started = Instant::now();
    assert_eq!(get(address, "a.test", "/").field("retry-after"), Some("1"));
    assert!(started.elapsed() < Duration::from_secs(1));
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let _probe = std::io::Read::read(&mut stream, &mut [0; 4096]);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            });
        }
    });
    gateway.until_status(DOOR, "a.test", "/", 200);
}

/// An address that drops packets costs the connect timeout once per attempt, then nothing.
#[test]
fn a_silent_address_times_out() {
    // A listener whose queue is full and that never accepts swallows further handshakes.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let _queued: Vec<_> = (0..4)
        .map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)))
        .collect();
    let gateway = gateway!()
        .door(DOOR, "timeouts = { connect = \"300ms\" }")
        .manifest("app.yaml", &app(&[address.port()]))
        .start();
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 504);
}

/// A kept connection that the backend closes at the wrong moment.
#[test]
fn a_closed_kept_connection_is_retried_only_when_that_is_safe() {
    let backend = Backend::start("app");
    let gateway = gateway!().manifest("app.yaml", &app(&[backend.port()])).start();
    let mut client = Client::connect(gateway.door(DOOR));
    assert_eq!(client.get("a.test", "/warm").expect("an answer").status, 200);
    // The next request on the kept connection gets no answer, and the connection closes.
    for (method, body, expected) in [
        ("GET", "", 200),
        ("DELETE", "", 200),
        ("PUT", "xy", 200),
        ("POST", "xy", 502),
        ("PATCH", "xy", 502),
    ] {
        backend.reply(Reply::Name);
        assert_eq!(client.get("a.test", "/warm").expect("an answer").status, 200);
        let before = backend.seen().len();
        // One close; whatever comes after it is answered.
        let first = std::sync::atomic::AtomicBool::new(true);
        backend.reply(Reply::script(move |stream, _| {
            if !first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .unwrap();
            }
        }));
        let response = client.request(format!(
            "{method} /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(response.expect("an answer").status, expected, "{method}");
        let tries = backend.seen().len() - before;
        assert_eq!(
            tries,
            if expected == 200 { 2 } else { 1 },
            "{method} was sent {tries} times"
        );
        client = Client::connect(gateway.door(DOOR));
    }
}

/// If a fresh connection breaks, the request may have been processed: there is no second attempt.
#[test]
fn a_broken_fresh_connection_is_not_retried() {
    for reply in [Reply::Close, Reply::Reset] {
        let backend = Backend::with("app", reply);
        let gateway = gateway!().manifest("app.yaml", &app(&[backend.port()])).start();
        assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 502);
        assert_eq!(backend.requests(), 1);
        gateway.counts("blastdoor_refusals_total", &[("reason", "upstream_reset")], 1.0);
    }
}

/// A backend that dies fails only its own requests.
#[test]
fn connections_are_kept_and_reused() {
    let backend = Backend::start("app");
    let gateway = gateway!().manifest("app.yaml", &app(&[backend.port()])).start();
    for _ in 0..50 {
        assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 200);
    }
    assert_eq!(
        (backend.requests(), backend.connections()),
        (50, 1),
        "50 clients, one connection to the backend"
    );
    gateway.counts("blastdoor_upstream_reused_total", &[], 49.0);
}

/// The choice is even, and follows the requests in flight.
#[test]
fn requests_spread_over_the_endpoints() {
    let backends: Vec<Backend> = (0..4).map(|_| Backend::start("app")).collect();
    let ports: Vec<u16> = backends.iter().map(Backend::port).collect();
    let gateway = gateway!().manifest("app.yaml", &app(&ports)).start();
    let mut client = Client::connect(gateway.door(DOOR));
    for _ in 0..400 {
        assert_eq!(client.get("a.test", "/").expect("an answer").status, 200);
    }
    for backend in &backends {
        assert!(
            (50..=150).contains(&backend.requests()),
            "{} of 400",
            backend.requests()
        );
    }
    // One endpoint that hangs gets no more than its share of waiting requests.
    backends[0].reply(Reply::Silence);
    let clients: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = Client::connect(gateway.door(DOOR));
            client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
            std::thread::sleep(Duration::from_millis(10));
            client
        })
        .collect();
    let hanging = backends[0]
        .seen()
        .iter()
        .filter(|seen| seen.line() == "GET / HTTP/1.1")
        .count();
    assert!(hanging > 0 && clients.len() == 20);
    let in_flight = gateway.metric("blastdoor_connections", &[("state", "active")]);
    assert!(
        in_flight <= 10.0,
        "{in_flight} of 20 requests wait for the endpoint that hangs"
    );
}
