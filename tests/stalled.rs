//! Clients that stop reading, and backends: when the gateway has given them up, the kernel frees what waits for them, and does
//! not keep it until they read or its own retries end after many minutes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gateway_tests::tls::{Authority, Identity, Offer, TlsClient, secret, with_tls};
use gateway_tests::{Backend, Gateway, Reply, gateway, manifest};
use rcgen::{CertificateParams, KeyPair};
use socket2::{Domain, Socket, Type};

const DOOR: &str = "external-http";
const TLS_DOOR: &str = "external-https";

/// A client with hardly any room for what it is sent.
fn client(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// How many bytes the kernel holds in the direction from one end of connections to the other, whatever their state. `None`
/// when there is no such connection.
fn held(from: SocketAddr, to: SocketAddr) -> Option<u64> {
    // An address as the kernel prints it: the bytes of IPv4 in the order of the machine, then the port.
    let shown = |address: SocketAddr| {
        let SocketAddr::V4(address) = address else {
            panic!("{address}")
        };
        format!(
            "{:08X}:{:04X}",
            u32::from_le_bytes(address.ip().octets()),
            address.port()
        )
    };
    let (from, to) = (shown(from), shown(to));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (sent, _) = columns.get(4)?.split_once(':')?;
        (columns[1] == from && columns[2] == to).then(|| u64::from_str_radix(sent, 16).unwrap())
    })
}

/// Waits until the kernel holds something for this client, and then until it holds nothing any more although the client has
/// not read and not closed.
fn is_freed(gateway: &Gateway, client: &TcpStream, what: &str) {
    let (door, peer) = (client.peer_addr().unwrap(), client.local_addr().unwrap());
    gateway.until(&format!("{what}: something waits"), |_| {
        held(door, peer).is_some_and(|held| held > 0)
    });
    gateway.until(&format!("{what}: nothing waits"), |_| {
        held(door, peer).unwrap_or(0) == 0
    });
}

/// A certificate and another of about 60,000 bytes behind it.
fn long_chain() -> Identity {
    let short = Authority::new("test").server(&["a.test"]);
    let names: Vec<String> = (0..2_400).map(|number| format!("{number:018}.test")).collect();
    let key = KeyPair::generate().unwrap();
    let long = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    Identity {
        chain: short.chain.clone() + &long.pem(),
        ..short
    }
}

#[test]
fn a_client_that_does_not_read_the_handshake_is_reset() {
    let identity = long_chain();
    let app = with_tls(
        &manifest::app("app", TLS_DOOR, "a.test", 1),
        &[(&["a.test"], "one")],
    );
    let gateway = gateway!()
        .door(TLS_DOOR, "tls = {}\ntimeouts = { tls_handshake = \"1s\" }")
        .manifest("app.yaml", &app)
        .manifest("one.yaml", &secret("one", &identity))
        .start();
    let mut session = TlsClient::new(&Offer::default()).session(Some("a.test"));
    let mut hello = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut hello).unwrap();
    }
    let mut client = client(gateway.door(TLS_DOOR));
    client.write_all(&hello).unwrap();
    is_freed(&gateway, &client, "handshake");
    gateway.counts("blastdoor_refusals_total", &[("reason", "tls_handshake")], 1.0);
    // It is told so as soon as it reads.
    let mut flight = Vec::new();
    let end = client.read_to_end(&mut flight).unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
}

fn large(length: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; length]].concat()
}

#[test]
fn clients_that_do_not_read_are_given_up_by_the_kernel_too() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(
            DOOR,
            "timeouts = { write_stall = \"300ms\" }\nidle_timeout = \"1s\"",
        )
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    const UPGRADE: &str = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    let upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let tunnel = Reply::RawThenClose([upgraded.as_bytes(), &vec![b'x'; 8 << 20]].concat());
    for (what, reply, fields) in [
        ("a body", Reply::Raw(large(8 << 20)), ""),
        // All of it fits into the kernel's buffer.
        ("the end", Reply::Raw(large(60_000)), "Connection: close\r\n"),
        ("between requests", Reply::Raw(large(60_000)), ""),
        ("a tunnel", tunnel, UPGRADE),
    ] {
        backend.reply(reply);
        let mut client = client(address);
        let request = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n");
        client.write_all(request.as_bytes()).unwrap();
        is_freed(&gateway, &client, what);
    }
}

#[test]
fn a_backend_that_does_not_read_is_given_up_by_the_kernel_too() {
    let (report, addresses) = std::sync::mpsc::sync_channel(1);
    let backend = Backend::with(
        "app",
        Reply::script(move |stream, _| {
            report
                .send((stream.peer_addr().unwrap(), stream.local_addr().unwrap()))
                .unwrap();
            // It reads nothing until the gateway has gone, and does not close.
            std::thread::sleep(Duration::from_secs(30));
        }),
    );
    backend.count_only();
    let gateway = gateway!()
        .door(DOOR, "timeouts = { body_idle = \"1s\" }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut client = TcpStream::connect(gateway.door(DOOR)).unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000\r\n\r\n")
        .unwrap();
    client
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let (from, to) = addresses.recv_timeout(Duration::from_secs(20)).unwrap();
    let some = vec![b'x'; 64 * 1024];
    while client.write_all(&some).is_ok() {}
    // A write has waited in vain.
    gateway.counts("blastdoor_refusals_total", &[("reason", "upstream_stalled")], 1.0);
    gateway.until("nothing waits", |_| held(from, to).unwrap_or(0) == 0);
    gateway.counts("blastdoor_connections", &[("state", "active")], 0.0);
}
