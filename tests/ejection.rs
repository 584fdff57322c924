//! Failing endpoints: how many requests they get, for how long they are out, and what brings them back.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway_tests::http2::response;
use gateway_tests::tls::{Authority, H1, Offer, TlsClient, TlsFront, annotated};
use gateway_tests::{
    Backend, Client, Gateway, Http2Backend, Reply, exchange, free_port, gateway, get, manifest,
};
use h2::server::SendResponse;

const DOOR: &str = "external-http";
const TLS_DOOR: &str = "external-https";

fn app(ports: &[u16]) -> String {
    manifest::ingress("app", DOOR, &[("a.test", "Prefix", "/", "app")]) + &manifest::service("app", ports)
}

/// An answer that takes 100 ms.
fn unhurried() -> Reply {
    Reply::script(|stream, _| {
        std::thread::sleep(Duration::from_millis(100));
        let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    })
}

/// Requests of twenty concurrent clients; the statuses, grouped by client.
fn crowd(address: SocketAddr, each: usize, method: &str) -> Vec<u16> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20)
            .map(|client| {
                scope.spawn(move || {
                    (0..each)
                        .map(|number| {
                            let request = format!(
                                "{method} /{client}/{number} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
                            );
                            exchange(address, request).expect("an answer").status
                        })
                        .collect::<Vec<u16>>()
                })
            })
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    })
}

fn ejections(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric("blastdoor_upstream_ejections_total", &[("reason", reason)])
}

/// One of four endpoints fails at once while the others take their time. It is always free, and used to get half of all
/// requests.
#[test]
fn an_endpoint_that_fails_fast_attracts_no_requests() {
    let refused = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_vec();
    for (reply, method, reason) in [
        (Reply::Reset, "GET", Some("broken")),
        (Reply::Close, "POST", Some("broken")),
        (
            Reply::RawThenClose(b"nonsense\r\n\r\n".to_vec()),
            "GET",
            Some("malformed"),
        ),
        (Reply::Raw(refused), "GET", None),
    ] {
        let good: Vec<Backend> = (0..3).map(|_| Backend::with("app", unhurried())).collect();
        let bad = Backend::with("app", reply);
        let mut ports: Vec<u16> = good.iter().map(Backend::port).collect();
        ports.push(bad.port());
        let gateway = gateway!().manifest("app.yaml", &app(&ports)).start();
        let statuses = crowd(gateway.door(DOOR), 20, method);
        let failed = statuses.iter().filter(|status| **status != 200).count();
        assert!(
            bad.requests() <= 90,
            "{reason:?}: {} of {} requests went to the one that fails",
            bad.requests(),
            statuses.len()
        );
        if let Some(reason) = reason {
            gateway.until("an ejection", |gateway| ejections(gateway, reason) >= 1.0);
        }
        if method == "GET" && reason == Some("broken") {
            assert_eq!(failed, 0, "another endpoint was asked");
        } else {
            assert_eq!(failed, bad.requests(), "{reason:?}: nobody else had a bad answer");
        }
        if method == "POST" {
            let all: usize = good.iter().map(Backend::requests).sum();
            assert_eq!(all + bad.requests(), statuses.len(), "each was sent once");
        }
    }
}

/// A request whose endpoint broke off without a byte is sent to another one, once, if it is idempotent.
#[test]
fn a_request_that_broke_on_a_new_connection_is_tried_elsewhere() {
    for (method, expected, more) in [("GET", 200, 1), ("DELETE", 200, 1), ("POST", 502, 0)] {
        // Whichever gets the request first breaks off.
        let asked = std::sync::Arc::new(AtomicUsize::new(0));
        let backends: Vec<Backend> = (0..2)
            .map(|_| {
                let asked = std::sync::Arc::clone(&asked);
                Backend::with(
                    "app",
                    Reply::script(move |stream, _| {
                        if asked.fetch_add(1, Ordering::SeqCst) > 0 {
                            stream
                                .write_all(
                                    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                                )
                                .unwrap();
                        }
                    }),
                )
            })
            .collect();
        let ports: Vec<u16> = backends.iter().map(Backend::port).collect();
        let gateway = gateway!().manifest("app.yaml", &app(&ports)).start();
        let answer = exchange(
            gateway.door(DOOR),
            format!("{method} / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nab"),
        );
        assert_eq!(answer.expect("an answer").status, expected, "{method}");
        let requests: Vec<usize> = backends.iter().map(Backend::requests).collect();
        assert_eq!(requests.iter().sum::<usize>(), 1 + more, "{method}: {requests:?}");
        assert!(requests.iter().all(|count| *count <= 1), "{method}: {requests:?}");
    }
}

/// Whatever endpoints do, half of them stay in rotation: the requests may be the cause.
#[test]
fn at_least_half_of_the_endpoints_stay_in_use() {
    let backends: Vec<Backend> = (0..4).map(|_| Backend::with("app", Reply::Close)).collect();
    let ports: Vec<u16> = backends.iter().map(Backend::port).collect();
    let gateway = gateway!().manifest("app.yaml", &app(&ports)).start();
    let statuses = crowd(gateway.door(DOOR), 5, "POST");
    assert_eq!(statuses, vec![502; 100], "none is 503");
    gateway.until("an ejection", |gateway| ejections(gateway, "broken") >= 2.0);
    backends.iter().for_each(Backend::forget);
    crowd(gateway.door(DOOR), 2, "POST");
    let asked = backends.iter().filter(|backend| backend.requests() > 5).count();
    assert!(asked >= 2, "{asked} of 4");
}

/// An endpoint that hangs is detected by the response timeout.
#[test]
fn an_endpoint_that_never_answers_is_ejected() {
    let (silent, good) = (Backend::with("app", Reply::Silence), Backend::start("app"));
    let gateway = gateway!()
        .door(DOOR, "timeouts = { response_head = \"300ms\" }")
        .manifest("app.yaml", &app(&[silent.port(), good.port()]))
        .start();
    let address = gateway.door(DOOR);
    gateway.until("it is ejected", |gateway| {
        let _either = get(address, "a.test", "/");
        ejections(gateway, "slow") >= 1.0
    });
    assert_eq!(silent.requests(), 3, "three in a row");
    assert_eq!(get(address, "a.test", "/").status, 200);
    // It recovers, and one request finds that out.
    silent.reply(Reply::Name);
    silent.forget();
    gateway.until("it is asked again", |_| {
        assert_eq!(get(address, "a.test", "/").status, 200);
        silent.requests() > 3
    });
}

/// What clients do never counts against a backend.
#[test]
fn a_clients_fault_does_not_count_against_the_backend() {
    let backends: Vec<Backend> = (0..2).map(|_| Backend::start("app")).collect();
    let ports: Vec<u16> = backends.iter().map(Backend::port).collect();
    let gateway = gateway!()
        .door(
            DOOR,
            "limits = { body = \"1KiB\" }\ntimeouts = { body_idle = \"200ms\" }",
        )
        .manifest("app.yaml", &app(&ports))
        .start();
    let address = gateway.door(DOOR);
    let chunked = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    for _ in 0..8 {
        assert_eq!(exchange(address, format!("{chunked}zz\r\n")).unwrap().status, 400);
        let large = format!("{chunked}800\r\n{}\r\n0\r\n\r\n", "x".repeat(0x800));
        assert_eq!(exchange(address, large).unwrap().status, 413);
        let stalled = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nab";
        assert_eq!(exchange(address, stalled).unwrap().status, 408);
        let mut gone = Client::connect(address);
        gone.send(stalled);
    }
    assert_eq!(gateway.metric("blastdoor_upstream_ejections_total", &[]), 0.0);
    assert_eq!(get(address, "a.test", "/").status, 200);
}

/// Failed connects fail no request while one endpoint of four accepts connections.
#[test]
fn three_more_endpoints_are_tried_at_once() {
    for _ in 0..3 {
        let good = Backend::start("app");
        let dead = [free_port(), free_port(), free_port()];
        let gateway = gateway!()
            .manifest("app.yaml", &app(&[good.port(), dead[0], dead[1], dead[2]]))
            .start();
        for number in 0..12 {
            let method = if number % 2 == 0 { "POST" } else { "GET" };
            let request = format!("{method} / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
            assert_eq!(exchange(gateway.door(DOOR), request).unwrap().status, 200);
        }
        assert_eq!(good.requests(), 12);
    }
}

/// The same for connections whose TLS is passed through.
#[test]
fn three_more_endpoints_are_tried_for_what_is_passed_through() {
    let theirs = Authority::new("theirs").server(&["passed.test"]);
    let inner = Backend::start("passed");
    let front = TlsFront::start(&theirs, H1, None, inner.port());
    let ports = [front.port(), free_port(), free_port(), free_port()];
    let through = annotated(
        &manifest::ingress("passed", TLS_DOOR, &[("passed.test", "Prefix", "/", "passed")]),
        &[("nginx.ingress.kubernetes.io/ssl-passthrough", "true")],
    ) + &manifest::service("passed", &ports);
    let gateway = gateway!()
        .door(TLS_DOOR, "tls = { default_certificate = \"self-signed\" }")
        .manifest("passed.yaml", &through)
        .start();
    for _ in 0..12 {
        let client = TlsClient::new(&Offer::default());
        let shaken = client
            .connect(gateway.door(TLS_DOOR), Some("passed.test"))
            .unwrap();
        assert_eq!(shaken.http1().get("a.test", "/").unwrap().text(), "passed");
    }
}

/// If the only endpoint, or all of them, are down, a request tries one instead of failing at once.
#[test]
fn the_first_request_after_a_return_is_answered() {
    let backend = Backend::start("app");
    let port = backend.port();
    let gateway = gateway!().manifest("app.yaml", &app(&[port])).start();
    let address = gateway.door(DOOR);
    let mut backend = Some(backend);
    for round in 0..4 {
        assert_eq!(get(address, "a.test", "/").status, 200, "{round}");
        drop(backend.take());
        for _ in 0..5 {
            assert!(matches!(get(address, "a.test", "/").status, 502 | 503));
        }
        backend = Some(Backend::at(port, "app", Reply::Name));
        assert_eq!(get(address, "a.test", "/").status, 200, "{round}");
    }
}

/// An endpoint that left the slices and comes back is another instance, whatever is known of its address.
#[test]
fn an_endpoint_that_left_and_returned_starts_anew() {
    let (leaving, staying) = (Backend::with("app", Reply::Close), Backend::start("app"));
    let both = app(&[leaving.port(), staying.port()]);
    let gateway = gateway!().manifest("app.yaml", &both).start();
    let address = gateway.door(DOOR);
    let post = || {
        exchange(
            address,
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n",
        )
    };
    // Several times over, so that it is out for longer than this test takes.
    gateway.until("it is out for long", |gateway| {
        let _either = post();
        ejections(gateway, "broken") >= 4.0
    });
    let at_marker = |name: &str| {
        let host = format!("{name}.test");
        gateway.put(
            &format!("{name}.yaml"),
            &manifest::app(name, DOOR, &host, staying.port()),
        );
        gateway.until_status(DOOR, &host, "/", 200);
    };
    gateway.put("app.yaml", &app(&[staying.port()]));
    at_marker("gone");
    leaving.reply(Reply::Name);
    leaving.forget();
    gateway.put("app.yaml", &both);
    at_marker("back");
    for _ in 0..20 {
        assert_eq!(get(address, "a.test", "/").status, 200);
    }
    assert!(leaving.requests() > 2, "{} of 20", leaving.requests());
}

/// What was down is asked by the gateway itself before users ask it.
#[test]
fn an_endpoint_that_was_down_answers_the_gateway_first() {
    let backend = Backend::start("app");
    let port = backend.port();
    let gateway = gateway!().manifest("app.yaml", &app(&[port])).start();
    let address = gateway.door(DOOR);
    assert_eq!(get(address, "a.test", "/").status, 200);
    drop(backend);
    gateway.until("it is down", |gateway| {
        assert!(matches!(get(address, "a.test", "/").status, 502 | 503));
        gateway.metric("blastdoor_upstream_ejections_total", &[]) >= 1.0
    });
    let back = Backend::at(port, "app", Reply::Name);
    gateway.until("it is back", |gateway| {
        gateway.stderr().contains("endpoint is back")
    });
    let asked = back.last();
    assert_eq!(
        (asked.line(), asked.field("user-agent")),
        ("OPTIONS * HTTP/1.1", Some("blastdoor"))
    );
    assert_eq!(get(address, "a.test", "/").status, 200);
    assert_eq!(back.requests(), 2);
}

/// What is passed through may speak anything: only what has answered a request of HTTP is asked for one.
#[test]
fn an_endpoint_that_never_answered_is_only_connected() {
    let port = free_port();
    let gateway = gateway!().manifest("app.yaml", &app(&[port])).start();
    let address = gateway.door(DOOR);
    gateway.until("it is down", |gateway| {
        assert!(matches!(get(address, "a.test", "/").status, 502 | 503));
        gateway.metric("blastdoor_upstream_ejections_total", &[]) >= 1.0
    });
    let back = Backend::at(port, "app", Reply::Name);
    gateway.until("it is back", |gateway| {
        gateway.stderr().contains("endpoint is back")
    });
    assert_eq!(back.requests(), 0);
    assert_eq!(get(address, "a.test", "/").status, 200);
}

/// The worker that probes an endpoint may end.
#[test]
fn an_endpoint_is_still_probed_after_its_door_is_rebound() {
    let staying = Backend::start("app");
    let returning = free_port();
    let gateway = gateway!()
        .manifest("app.yaml", &app(&[returning, staying.port()]))
        .start();
    let old = gateway.door(DOOR);
    gateway.until("it is down", |gateway| {
        let _either = exchange(old, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        gateway.metric("blastdoor_upstream_ejections_total", &[]) >= 1.0
    });
    // A request under way keeps the old workers, and with them what they know, until the new ones know it.
    staying.reply(Reply::script(|stream, _| {
        std::thread::sleep(Duration::from_secs(4));
        let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }));
    staying.forget();
    let mut slow = Client::connect(old);
    slow.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    gateway.until("it is under way", |_| staying.requests() == 1);
    // The backend has chosen what it does.
    std::thread::sleep(Duration::from_millis(100));
    staying.reply(Reply::Name);
    let free = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let at = config.find("[listeners.external-http]").unwrap();
    let moved = config[..at].to_owned() + &config[at..].replacen("127.0.0.1:0", &free.to_string(), 1);
    std::fs::write(gateway.config(), moved).unwrap();
    gateway.until("the door has moved", |gateway| gateway.door(DOOR) == free);
    gateway.until("it is served", |_| {
        std::net::TcpStream::connect(free).is_ok() && get(free, "a.test", "/").status == 200
    });
    for _ in 0..10 {
        assert_eq!(get(free, "a.test", "/").status, 200);
    }
    assert_eq!(slow.response().expect("an answer").status, 200);
    drop(slow);
    // Old workers end within a moment.
    std::thread::sleep(Duration::from_millis(1500));
    let back = Backend::at(returning, "app", Reply::Name);
    gateway.until("it is back", |_| {
        assert_eq!(get(free, "a.test", "/").status, 200);
        back.requests() > 0
    });
}

fn h2c(ports: &[u16]) -> String {
    manifest::ingress("app", DOOR, &[("a.test", "Prefix", "/", "app")])
        + &manifest::service_speaking("app", ports, "kubernetes.io/h2c")
}

/// The same for backends that speak HTTP/2: connections that end before any response, and streams that are reset.
#[test]
fn an_endpoint_that_breaks_streams_is_ejected() {
    let closing = Backend::with("app", Reply::Close);
    let resetting = Http2Backend::start(|_, mut respond: SendResponse<_>| async move {
        respond.send_reset(h2::Reason::INTERNAL_ERROR);
    });
    for (bad, method, expected) in [
        (closing.port(), "GET", 200),
        (closing.port(), "POST", 502),
        (resetting.port(), "GET", 502),
    ] {
        let good = Http2Backend::start(|_, mut respond: SendResponse<_>| async move {
            respond.send_response(response(200, &[]), true).map(drop).unwrap();
        });
        let gateway = gateway!().manifest("app.yaml", &h2c(&[bad, good.port()])).start();
        let address = gateway.door(DOOR);
        let request = format!("{method} / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
        let mut failed = 0;
        for _ in 0..60 {
            let status = exchange(address, &request).unwrap().status;
            assert!(status == 200 || status == expected, "{method}: {status}");
            failed += usize::from(status != 200);
        }
        gateway.until("an ejection", |gateway| ejections(gateway, "broken") >= 1.0);
        assert!(failed <= 10, "{method}: {failed} failed");
    }
}

/// A call that a backend cancels because its deadline has passed says nothing about the backend.
#[test]
fn cancelled_streams_do_not_count() {
    let cancelling = || {
        Http2Backend::start(|_, mut respond: SendResponse<_>| async move {
            respond.send_reset(h2::Reason::CANCEL);
        })
    };
    let (one, two) = (cancelling(), cancelling());
    let gateway = gateway!()
        .manifest("app.yaml", &h2c(&[one.port(), two.port()]))
        .start();
    for _ in 0..20 {
        assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 502);
    }
    assert_eq!(gateway.metric("blastdoor_upstream_ejections_total", &[]), 0.0);
}

/// A namespace that routes to an address cannot get it ejected for another namespace.
#[test]
fn one_namespace_ejects_nothing_of_another() {
    let backends: Vec<Backend> = (0..2)
        .map(|_| {
            Backend::with(
                "app",
                Reply::script(|stream, head| {
                    if head.starts_with("GET /slow") {
                        std::thread::sleep(Duration::from_millis(1300));
                    }
                    let _gone = stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                }),
            )
        })
        .collect();
    let ports: Vec<u16> = backends.iter().map(Backend::port).collect();
    let theirs = annotated(
        &app(&ports).replace("a.test", "b.test"),
        &[("nginx.ingress.kubernetes.io/proxy-read-timeout", "1")],
    )
    .replace("namespace: test", "namespace: other");
    let gateway = gateway!()
        .manifest("app.yaml", &app(&ports))
        .manifest("theirs.yaml", &theirs)
        .start();
    let address = gateway.door(DOOR);
    gateway.until("one is ejected for them", |gateway| {
        assert_eq!(get(address, "b.test", "/slow").status, 504);
        ejections(gateway, "slow") >= 1.0
    });
    backends.iter().for_each(Backend::forget);
    for _ in 0..40 {
        assert_eq!(get(address, "a.test", "/").status, 200);
    }
    for backend in &backends {
        assert!(backend.requests() >= 8, "{} of 40", backend.requests());
    }
}

/// Handshakes that a plain backend does not answer are a matter of those who ask it for TLS. They take the address out for
/// nobody else, and for themselves as what fails requests: it accepts connections.
#[test]
fn unanswered_handshakes_eject_no_plain_endpoint() {
    let backends: Vec<Backend> = (0..2).map(|_| Backend::start("app")).collect();
    let ports: Vec<u16> = backends.iter().map(Backend::port).collect();
    let https = ("nginx.ingress.kubernetes.io/backend-protocol", "HTTPS");
    let secure = |host: &str, name: &str| {
        let ingress = manifest::ingress(name, DOOR, &[(host, "Prefix", "/", "app")]);
        annotated(&ingress, &[https])
    };
    let theirs = (secure("b.test", "secure") + &manifest::service("app", &ports))
        .replace("namespace: test", "namespace: other");
    let gateway = gateway!()
        .door(DOOR, "timeouts = { connect = \"50ms\" }")
        .manifest("app.yaml", &(app(&ports) + &secure("c.test", "secure")))
        .manifest("theirs.yaml", &theirs)
        .start();
    let address = gateway.door(DOOR);
    for round in 0..8 {
        for host in ["b.test", "c.test"] {
            assert_eq!(get(address, host, "/").status, 504, "{host} {round}");
        }
        assert_eq!(get(address, "a.test", "/").status, 200, "{round}");
    }
    backends.iter().for_each(Backend::forget);
    for _ in 0..40 {
        assert_eq!(get(address, "a.test", "/").status, 200);
    }
    for backend in &backends {
        assert!(backend.requests() >= 8, "{} of 40", backend.requests());
    }
    assert_eq!(ejections(&gateway, "unreached"), 0.0, "it accepts connections");
    assert!(ejections(&gateway, "tls") >= 1.0);
}

/// Thousands of addresses that refuse connections cost a few probes a second, whatever asks for them.
#[test]
fn many_addresses_that_refuse_are_probed_a_few_at_a_time() {
    // Free ports of loopback addresses that nobody listens at.
    let port = free_port();
    let addresses = (0..600_u32).map(|number| std::net::Ipv4Addr::from(0x7f01_0000 + number));
    let endpoints: String = addresses
        .map(|address| format!("- addresses: [\"{address}\"]\n"))
        .collect();
    let yaml = app(&[port]).replace("- addresses: [\"127.0.0.1\"]\n  conditions: {}\n", &endpoints);
    let gateway = gateway!().manifest("app.yaml", &yaml).start();
    let address = gateway.door(DOOR);
    gateway.until("most are ejected", |gateway| {
        for _ in 0..20 {
            get(address, "a.test", "/");
        }
        ejections(gateway, "unreached") >= 300.0
    });
    let probes = |gateway: &Gateway| gateway.metric("blastdoor_upstream_probes_total", &[]);
    let (before, began) = (probes(&gateway), std::time::Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    let (made, steps) = (
        probes(&gateway) - before,
        began.elapsed().as_millis() as f64 / 50.0,
    );
    assert!(made > 0.0, "they are probed");
    // Steps of 50 ms on average, and each is at least 25 ms long; and there may be several workers.
    assert!(made <= 4.0 * (steps + 20.0), "{made} probes in {steps} steps");
}
