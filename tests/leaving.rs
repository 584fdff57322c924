//! Clients that leave before they have their answer: the backend's work ends with them, and the log says so.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use gateway_tests::http2::{Http2, block, request};
use gateway_tests::tls::{Offer, TlsClient};
use gateway_tests::{Backend, Client, Gateway, Reply, gateway, manifest};

const DOOR: &str = "external-http";
const TLS_DOOR: &str = "external-https";

/// How long "at once" may take on a busy machine; without this feature such requests took at least 30 s to end.
const AT_ONCE: Duration = Duration::from_secs(8);

/// A backend that sends `first` and then nothing more, and signals when its connection has ended.
fn waiting(first: &'static str) -> (Backend, Receiver<&'static str>) {
    let (tell, told) = sync_channel(16);
    let backend = Backend::with(
        "app",
        Reply::script(move |stream, _| {
            stream.write_all(first.as_bytes()).unwrap();
            tell.send("asked").unwrap();
            // The end of the connection, or a reset.
            let mut rest = [0; 1024];
            while matches!(stream.read(&mut rest), Ok(count) if count > 0) {}
            tell.send("ended").unwrap();
        }),
    );
    (backend, told)
}

fn start(backend: &Backend) -> Gateway {
    let app = |door| manifest::app("app", door, "a.test", backend.port());
    gateway!()
        .door(TLS_DOOR, "tls = { default_certificate = \"self-signed\" }")
        .manifest("app.yaml", &app(DOOR))
        .manifest(
            "tls.yaml",
            &manifest::ingress("tls", TLS_DOOR, &[("a.test", "Prefix", "/", "app")]),
        )
        .start()
}

fn ended(told: &Receiver<&'static str>) {
    let started = Instant::now();
    assert_eq!(
        told.recv_timeout(AT_ONCE),
        Ok("ended"),
        "after {:?}",
        started.elapsed()
    );
}

fn logged(gateway: &Gateway, status: u16) {
    gateway.until("the log says so", |gateway| {
        gateway
            .access_log()
            .iter()
            .any(|line| line["refusal"] == "client_gone" && line["status"] == status)
    });
}

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";

/// A client that closes its direction has left, before the answer and in the middle of one that may last for hours.
#[test]
fn a_client_that_closes_in_order_has_left() {
    for (first, status) in [("", 499), (EVENTS, 200)] {
        let (backend, told) = waiting(first);
        let gateway = start(&backend);
        let mut client = Client::connect(gateway.door(DOOR));
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(told.recv_timeout(AT_ONCE), Ok("asked"));
        client.stream().shutdown(Shutdown::Write).unwrap();
        ended(&told);
        logged(&gateway, status);
    }
}

#[test]
fn a_client_may_leave_with_a_body_and_pipelined_requests() {
    for sent in [
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\n\r\nGET /next HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n",
    ] {
        let (backend, told) = waiting("");
        let gateway = start(&backend);
        let mut client = Client::connect(gateway.door(DOOR));
        client.send(sent);
        assert_eq!(told.recv_timeout(AT_ONCE), Ok("asked"), "{sent:?}");
        drop(client);
        ended(&told);
        logged(&gateway, 499);
        assert_eq!(backend.requests(), 1, "{sent:?}");
    }
}

#[test]
fn a_close_notify_means_that_the_client_has_left() {
    for first in ["", EVENTS] {
        let (backend, told) = waiting(first);
        let gateway = start(&backend);
        let address = gateway.door(TLS_DOOR);
        let session = TlsClient::new(&Offer::default()).session(Some("a.test"));
        let tcp = TcpStream::connect(address).unwrap();
        let mut tls = rustls::StreamOwned::new(session, tcp);
        tls.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
        assert_eq!(told.recv_timeout(AT_ONCE), Ok("asked"));
        tls.conn.send_close_notify();
        tls.flush().unwrap();
        ended(&told);
    }
}

#[test]
fn over_http2_requests_end_with_their_connection() {
    let (backend, told) = waiting("");
    let gateway = start(&backend);
    let address = gateway.door(DOOR);
    let told = block(async {
        let client = Http2::connect(address).await;
        let _pending = client.open(request("GET", "a.test", "/"), true).await.unwrap();
        tokio::task::spawn_blocking(move || {
            assert_eq!(told.recv_timeout(AT_ONCE), Ok("asked"));
            told
        })
        .await
        .unwrap()
    });
    // The client's runtime, and with it its connection, has ended.
    ended(&told);
    logged(&gateway, 499);
}

/// A client that has ended its direction may still read what is ready for it.
#[test]
fn an_answer_that_has_arrived_is_still_delivered() {
    let backend = Backend::with("app", Reply::text(&"x".repeat(20_000)));
    let gateway = start(&backend);
    let stream = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // Smaller than the answer: it waits in the gateway, without the backend.
    stream.set_recv_buffer_size(4096).unwrap();
    stream.connect(&gateway.door(DOOR).into()).unwrap();
    let mut stream = TcpStream::from(stream);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        .unwrap();
    gateway.until("the backend has answered", |_| backend.requests() == 1);
    std::thread::sleep(Duration::from_millis(300));
    stream.shutdown(Shutdown::Write).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(&"x".repeat(20_000)), "{} bytes", answer.len());
}

/// In a tunnel each direction ends by itself.
#[test]
fn an_upgraded_connection_may_be_half_closed() {
    let backend = Backend::with(
        "app",
        Reply::script(|stream, _| {
            stream
                .write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n",
                )
                .unwrap();
            let mut said = Vec::new();
            stream.read_to_end(&mut said).unwrap();
            stream.write_all(&said).unwrap();
        }),
    );
    let gateway = start(&backend);
    let mut client = Client::connect(gateway.door(DOOR));
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
    assert_eq!(client.response().expect("an answer").status, 101);
    client.send("all of it");
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"all of it");
}

/// An address that drops packets.
fn black_hole() -> (SocketAddr, impl Sized) {
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let queued: Vec<_> = (0..4)
        .map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(200)))
        .collect();
    (address, (full, queued))
}

/// The place of a client that has left is free, however long the connect to the backend may take.
#[test]
fn a_client_that_leaves_during_a_connect_frees_its_place() {
    let (address, _full) = black_hole();
    let passed = manifest::app("passed", TLS_DOOR, "passed.test", address.port()).replacen(
        "  labels:",
        "  annotations: {nginx.ingress.kubernetes.io/ssl-passthrough: \"true\"}\n  labels:",
        1,
    );
    let gateway = gateway!()
        .every_door("timeouts = { connect = \"60s\" }")
        .door(TLS_DOOR, "tls = { default_certificate = \"self-signed\" }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", address.port()))
        .manifest("passed.yaml", &passed)
        .start();
    let mut http1 = Client::connect(gateway.door(DOOR));
    http1.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nab");
    let mut through = TcpStream::connect(gateway.door(TLS_DOOR)).unwrap();
    let mut hello = TlsClient::new(&Offer::default()).session(Some("passed.test"));
    hello.write_tls(&mut through).unwrap();
    let connections = |gateway: &Gateway, count: f64| {
        gateway.until(&format!("{count} connections"), |gateway| {
            gateway.metric("blastdoor_connections", &[]) == count
        });
    };
    gateway.until("it connects", |gateway| {
        gateway.metric("blastdoor_upstream_connects_total", &[]) == 2.0
    });
    connections(&gateway, 2.0);
    let started = Instant::now();
    drop((http1, through));
    connections(&gateway, 0.0);
    block(async {
        let client = Http2::connect(gateway.door(DOOR)).await;
        let (_pending, mut outgoing) = client.open(request("POST", "a.test", "/"), false).await.unwrap();
        // Other tasks of this thread send and receive.
        let patiently = async |name, labels: &[(&str, &str)]| {
            while gateway.metric(name, labels) < 3.0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                assert!(started.elapsed() < Duration::from_secs(40), "{name}");
            }
        };
        patiently("blastdoor_upstream_connects_total", &[]).await;
        outgoing.send_reset(h2::Reason::CANCEL);
        patiently("blastdoor_refusals_total", &[("reason", "client_gone")]).await;
    });
}

/// Whether the kernel probes the connection to `port` while it is silent (proc(5), `/proc/net/tcp`: timer 2).
fn is_kept_alive(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).any(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns[2].ends_with(&format!(":{port:04X}")) && columns[3] == "01" && columns[5].starts_with("02:")
    })
}

/// The kernel detects a backend whose node has disappeared, as it does a client.
#[test]
fn connections_to_backends_are_kept_alive() {
    let (backend, told) = waiting(EVENTS);
    let gateway = start(&backend);
    let mut client = Client::connect(gateway.door(DOOR));
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(told.recv_timeout(AT_ONCE), Ok("asked"));
    gateway.until("the timer runs", |_| is_kept_alive(backend.port()));
    drop(client);
}
