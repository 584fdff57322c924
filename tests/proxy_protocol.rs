//! The PROXY header (haproxy.org, `proxy-protocol.txt`), versions 1 and 2: believed from trusted proxies, refused when it is
//! malformed, and ignored from anyone else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use gateway_tests::frames::{End, PREFACE, Raw, get as h2_get, headers, settings};
use gateway_tests::{Backend, Client, Gateway, free_port, gateway, get, manifest};

const DOOR: &str = "external-http";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const TRUSTED: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

/// Version 2 with this command, family and rest.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend_from_slice(&[0x20 | command, family]);
    header.extend_from_slice(&u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend_from_slice(rest);
    header
}

/// TCP over IPv4 from 192.0.2.7:4711.
fn inet(tlvs: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0, 80];
    v2(1, 0x11, &[&addresses, tlvs].concat())
}

/// TCP over IPv6 from 2001:db8::7.
fn inet6() -> Vec<u8> {
    let mut addresses = vec![0; 36];
    addresses[..16].copy_from_slice(&"2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    addresses[31] = 1;
    addresses[33] = 9;
    v2(1, 0x21, &addresses)
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut tlv = vec![kind];
    tlv.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
    tlv.extend_from_slice(value);
    tlv
}

fn rig(lines: &str) -> (Gateway, SocketAddr, Backend) {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(DOOR, lines)
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    (gateway, address, backend)
}

fn required() -> String {
    format!("{TRUSTED}\nclient_ip = \"proxy-protocol\"\nproxy_protocol = \"required\"")
}

fn optional() -> String {
    format!("{TRUSTED}\nclient_ip = \"proxy-protocol\"\nproxy_protocol = \"optional\"")
}

fn good() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    vec![
        (
            "v1 IPv4",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n".to_vec(),
            "192.0.2.7",
        ),
        (
            "v1 IPv6",
            b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n".to_vec(),
            "2001:db8::7",
        ),
        ("v1 unknown", b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (
            "v1 unknown, with more",
            b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n".to_vec(),
            "127.0.0.1",
        ),
        (
            "v1 mapped",
            b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 80\r\n".to_vec(),
            "192.0.2.7",
        ),
        ("v2 IPv4", inet(&[]), "192.0.2.7"),
        ("v2 IPv6", inet6(), "2001:db8::7"),
        ("v2 LOCAL", v2(0, 0, &[]), "127.0.0.1"),
        (
            "v2 LOCAL with addresses",
            v2(0, 0x11, &[192, 0, 2, 7, 198, 51, 100, 1, 0, 1, 0, 2]),
            "127.0.0.1",
        ),
        ("v2 unspecified", v2(1, 0, &[]), "127.0.0.1"),
        ("v2 UNIX", v2(1, 0x31, &[0; 216]), "127.0.0.1"),
        (
            "v2 AWS endpoint",
            inet(&tlv(0xea, b"\x01vpce-08d2bf15fac5001c9")),
            "192.0.2.7",
        ),
        (
            "v2 many TLVs",
            inet(
                &[
                    tlv(1, b"h2"),
                    tlv(2, b"internal.test"),
                    tlv(4, &[0; 300]),
                    tlv(0x20, &[7; 60]),
                ]
                .concat(),
            ),
            "192.0.2.7",
        ),
        ("v2 with its checksum", sealed(), "192.0.2.7"),
    ]
}

/// A header whose CRC32C is its own (RFC 9260, appendix A).
fn sealed() -> Vec<u8> {
    let mut header = inet(&tlv(3, &[0; 4]));
    let crc = !header.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| match crc & 1 {
            0 => crc >> 1,
            _ => crc >> 1 ^ 0x82f6_3b78,
        })
    });
    let place = header.len() - 4;
    header[place..].copy_from_slice(&crc.to_be_bytes());
    header
}

fn ask(bytes: &[u8]) -> Vec<u8> {
    [bytes, b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 9.9.9.9\r\nX-Real-IP: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\n\r\n"].concat()
}

#[test]
fn a_good_header_names_the_client() {
    for lines in [required(), optional()] {
        let (gateway, address, backend) = rig(&lines);
        for (what, header, client) in good() {
            let mut connection = Client::connect(address);
            for ahead in [&header[..], b""] {
                let answer = connection.request(ask(ahead));
                assert_eq!(answer.expect("an answer").status, 200, "{what}");
                let seen = backend.last();
                let from_client = client != "127.0.0.1";
                if from_client {
                    assert_eq!(seen.field("x-forwarded-for"), Some(client), "{what}");
                    assert_eq!(seen.field("x-real-ip"), Some(client), "{what}");
                }
                assert_eq!(seen.field("x-forwarded-port"), Some("80"), "{what}");
                assert_eq!(seen.field("forwarded").filter(|_| from_client), None, "{what}");
            }
            gateway.until("lines", |gateway| {
                gateway.access_log().len() == backend.requests()
            });
            if client != "127.0.0.1" {
                assert_eq!(gateway.access_log().last().unwrap()["client"], client, "{what}");
            }
        }
        assert_eq!(gateway.metric("blastdoor_panics_total", &[]), 0.0);
    }
}

#[test]
fn a_proxy_header_may_arrive_byte_by_byte() {
    let (_gateway, address, backend) = rig(&required());
    for (what, header, _) in good().into_iter().filter(|(_, header, _)| header.len() < 80) {
        let mut connection = Client::connect(address);
        for byte in ask(&header) {
            connection.send([byte]);
            std::thread::sleep(Duration::from_micros(200));
        }
        assert_eq!(connection.response().expect("an answer").text(), "app", "{what}");
    }
    assert!(backend.requests() > 8);
}

/// The header and HTTP/2 in one piece: no byte is lost or read twice.
#[test]
fn before_http2() {
    let (_gateway, address, backend) = rig(&required());
    let mut raw = Raw::connect(address);
    let asked = headers(
        1,
        true,
        &h2_get("a.test", "/", &[(b"x-forwarded-for", b"9.9.9.9")]),
    );
    raw.send(&[&inet(&[])[..], PREFACE, &settings(&[]), &asked].concat());
    assert_eq!(raw.end_of(1, Duration::from_secs(5)), End::Status(200));
    assert_eq!(backend.last().field("x-forwarded-for"), Some("192.0.2.7"));
}

fn closed_without_a_word(address: SocketAddr, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let _sent = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => answer.is_empty(),
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset && answer.is_empty(),
    }
}

#[test]
fn a_malformed_header_ends_the_connection() {
    let mut version = inet(&[]);
    version[12] = 0x11;
    let mut command = inet(&[]);
    command[12] = 0x22;
    let long = v2(
        1,
        0x11,
        &[&[192, 0, 2, 7, 198, 51, 100, 1, 0, 1, 0, 2][..], &[0; 4096]].concat(),
    );
    let rows: Vec<(&str, Vec<u8>)> = vec![
        (
            "v1: too few words",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n".to_vec(),
        ),
        (
            "v1: too many words",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80 x\r\n".to_vec(),
        ),
        (
            "v1: two spaces",
            b"PROXY TCP4  192.0.2.7 198.51.100.1 4711 80\r\n".to_vec(),
        ),
        (
            "v1: a bare LF",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\n".to_vec(),
        ),
        (
            "v1: IPv6 as IPv4",
            b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 80\r\n".to_vec(),
        ),
        (
            "v1: IPv4 as IPv6",
            b"PROXY TCP6 192.0.2.7 198.51.100.1 4711 80\r\n".to_vec(),
        ),
        (
            "v1: an octet too large",
            b"PROXY TCP4 192.0.2.777 198.51.100.1 4711 80\r\n".to_vec(),
        ),
        (
            "v1: a leading zero",
            b"PROXY TCP4 192.0.2.07 198.51.100.1 4711 80\r\n".to_vec(),
        ),
        (
            "v1: a port too large",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 70000 80\r\n".to_vec(),
        ),
        (
            "v1: a signed port",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 80\r\n".to_vec(),
        ),
        (
            "v1: a name",
            b"PROXY TCP4 a.test 198.51.100.1 4711 80\r\n".to_vec(),
        ),
        (
            "v1: another family",
            b"PROXY UDP4 192.0.2.7 198.51.100.1 4711 80\r\n".to_vec(),
        ),
        ("v1: nothing", b"PROXY \r\n".to_vec()),
        ("v1: without end", [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat()),
        ("v2: version 1", version),
        ("v2: another command", command),
        ("v2: another family", v2(1, 0x41, &[0; 12])),
        (
            "v2: too short for IPv4",
            v2(1, 0x11, &[192, 0, 2, 7, 198, 51, 100, 1, 0, 1, 0]),
        ),
        ("v2: too short for IPv6", v2(1, 0x21, &[0; 35])),
        ("v2: too long", long),
        ("v2: a TLV that says too much", inet(&[5, 0xff, 0xff, 1])),
        ("v2: a TLV without its length", inet(&[5, 0])),
        ("v2: another checksum", inet(&tlv(3, &[0; 4]))),
    ];
    for lines in [required(), optional()] {
        let (gateway, address, backend) = rig(&lines);
        for (what, bytes) in &rows {
            assert!(closed_without_a_word(address, &ask(bytes)), "{what}");
        }
        assert_eq!(backend.connections(), 0);
        let refused = [("reason", "proxy_header")];
        gateway.counts("blastdoor_refusals_total", &refused, rows.len() as f64);
        // The log gives the reason, but not once per connection.
        gateway.says("a TLV runs past the end");
        let told = gateway.says("CRC32C is wrong");
        let told: Vec<&str> = told
            .lines()
            .filter(|line| line.contains("connection refused"))
            .collect();
        assert!(told.len() <= 8, "{told:?}");
        assert_eq!(
            Client::connect(address).request(ask(&inet(&[]))).unwrap().status,
            200
        );
    }
}

#[test]
fn proxy_headers_are_required_or_optional_by_peer() {
    let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n";
    // Required, and there is none.
    let (_gateway, address, backend) = rig(&required());
    for bytes in [
        &b""[..],
        b"\r\n",
        b"proxy TCP4 192.0.2.7 198.51.100.1 4711 80\r\n",
        b"PROXY\tTCP4 ",
    ] {
        assert!(closed_without_a_word(address, &ask(bytes)), "{bytes:?}");
    }
    assert_eq!(backend.connections(), 0);
    // Optional, and there is none: the peer is the client, and the door's settings decide whether it is believed.
    let (_gateway, address, backend) = rig(&optional());
    assert_eq!(get(address, "a.test", "/").status, 200);
    assert_eq!(backend.last().field("x-real-ip"), Some("127.0.0.1"));
    // From an untrusted peer it is not read as a PROXY header.
    let untrusted = "trusted_proxies = [\"10.0.0.0/8\"]\nclient_ip = \"proxy-protocol\"\n";
    for (mode, without) in [("required", None), ("optional", Some(200))] {
        let (_gateway, address, backend) = rig(&format!("{untrusted}proxy_protocol = \"{mode}\""));
        let answer = Client::connect(address)
            .request(ask(b""))
            .map(|answer| answer.status);
        assert_eq!(answer, without, "{mode}, without");
        let before = backend.requests();
        for header in [&header[..], &inet(&[])] {
            let answer = Client::connect(address)
                .request(ask(header))
                .map(|answer| answer.status);
            assert_eq!(answer, without.map(|_| 400), "{mode}, with");
        }
        assert_eq!(backend.requests(), before);
    }
    // Off: bytes that look like one are malformed HTTP.
    let (_gateway, address, backend) = rig(TRUSTED);
    for header in [&header[..], &inet(&[])] {
        assert_eq!(Client::connect(address).request(ask(header)).unwrap().status, 400);
    }
    assert_eq!(backend.connections(), 0);
}

/// One header for a connection: a second one is a malformed request.
#[test]
fn a_second_proxy_header_is_a_malformed_request() {
    let (_gateway, address, backend) = rig(&required());
    for second in [&b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"[..], &inet(&[])] {
        let answer = Client::connect(address).request(ask(&[&inet(&[])[..], second].concat()));
        assert_eq!(answer.unwrap().status, 400);
    }
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_slow_header_has_five_seconds() {
    let (gateway, address, backend) = rig(&optional());
    let slow = [&b""[..], b"PROXY TCP4 192.0.2", &SIGNATURE[..5], &inet(&[])[..20]];
    let threads = slow.map(<[u8]>::to_vec).map(|bytes| {
        std::thread::spawn(move || {
            let started = Instant::now();
            assert!(closed_without_a_word(address, &bytes), "{bytes:?}");
            let took = started.elapsed();
            assert!(
                took > Duration::from_secs(4) && took < Duration::from_secs(8),
                "{bytes:?}: {took:?}"
            );
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(backend.connections(), 0);
    gateway.until("all have gone", |gateway| {
        gateway.metric("blastdoor_connections", &[]) == 0.0
    });
}

/// A load balancer's health check has a header without a source, or none.
#[test]
fn health_checks() {
    let check = |header: &[u8]| [header, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
    let (_gateway, address, backend) = rig(&(optional() + "\nhealth_path = \"/healthz\""));
    for (what, header, status) in [
        ("none", vec![], 200),
        ("v2 LOCAL", v2(0, 0, &[]), 200),
        ("v1 unknown", b"PROXY UNKNOWN\r\n".to_vec(), 200),
        ("a client's", inet(&[]), 404),
        (
            "a client's, from a trusted network",
            b"PROXY TCP4 127.0.0.9 127.0.0.1 1 2\r\n".to_vec(),
            404,
        ),
    ] {
        let answer = Client::connect(address)
            .request(check(&header))
            .expect("an answer");
        assert_eq!(answer.status, status, "{what}");
    }
    assert_eq!(backend.connections(), 0);
}

/// The destination in a header opens no other door.
#[test]
fn the_destination_of_a_proxy_header_is_ignored() {
    let inside = Backend::start("inside");
    let gateway = gateway!()
        .door(DOOR, &required())
        .manifest(
            "inside.yaml",
            &manifest::app("inside", "internal-http", "inside.test", inside.port()),
        )
        .start();
    let door = gateway.door("internal-http");
    let header = format!("PROXY TCP4 192.0.2.7 127.0.0.1 4711 {}\r\n", door.port());
    let asked = header + "GET / HTTP/1.1\r\nHost: inside.test\r\n\r\n";
    assert_eq!(
        Client::connect(gateway.door(DOOR)).request(asked).unwrap().status,
        404
    );
    let names = inet(&[tlv(2, b"inside.test"), tlv(1, b"internal-http")].concat());
    let asked = [&names[..], b"GET / HTTP/1.1\r\nHost: inside.test\r\n\r\n"].concat();
    assert_eq!(
        Client::connect(gateway.door(DOOR)).request(asked).unwrap().status,
        404
    );
    assert_eq!(inside.connections(), 0);
}

/// Connections are counted by client, not by load balancer.
#[test]
fn the_limit_per_client_counts_clients() {
    let (_gateway, address, _backend) = rig(&(required() + "\nlimits = { connections_per_client = 2 }"));
    let mut held = Vec::new();
    for client in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        let family = if client.contains(':') { "TCP6" } else { "TCP4" };
        let to = if client.contains(':') { "::1" } else { "127.0.0.1" };
        let asked = ask(format!("PROXY {family} {client} {to} 1 2\r\n").as_bytes());
        for _ in 0..2 {
            let mut connection = Client::connect(address);
            assert_eq!(
                connection.request(&asked).expect("an answer").status,
                200,
                "{client}"
            );
            held.push(connection);
        }
        assert!(
            Client::connect(address)
                .request(&asked)
                .is_none_or(|answer| answer.status == 503),
            "{client}"
        );
    }
}

/// Some load balancers that check the admin port send a header first.
#[test]
fn the_admin_port_accepts_a_proxy_header() {
    let port = free_port();
    let _gateway = gateway!()
        .env("BLASTDOOR_ADMIN__BIND", &format!("127.0.0.1:{port}"))
        .without_waiting()
        .start();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the admin port is not there"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    for (what, header, _) in [("none", vec![], "")].into_iter().chain(good()) {
        let asked = [
            &header[..],
            b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        ]
        .concat();
        let mut connection = Client::connect(address);
        assert_eq!(
            connection.request(&asked).expect("an answer").status,
            200,
            "{what}"
        );
        // And in two pieces.
        let mut connection = Client::connect(address);
        let (first, rest) = asked.split_at(asked.len() / 3);
        connection.send(first);
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(
            connection.request(rest).expect("an answer").status,
            200,
            "{what}, in pieces"
        );
    }
}

/// Without any limit per client, one client leaves room at the door for others: it has as many connections as are free. All
/// addresses of an IPv6 network of 64 bits are one client.
#[test]
fn one_client_leaves_room_for_others() {
    let (gateway, address, _backend) = rig(&(required() + "\nlimits = { connections = 40 }"));
    let connect = |client: &str| {
        let (family, to) = match client.contains(':') {
            true => ("TCP6", "::1"),
            false => ("TCP4", "127.0.0.1"),
        };
        let mut connection = Client::connect(address);
        let asked = ask(format!("PROXY {family} {client} {to} 1 2\r\n").as_bytes());
        let answer = connection.request(&asked).filter(|answer| answer.status == 200);
        answer.map(|_| connection)
    };
    let mut held = Vec::new();
    for number in 0..40 {
        held.extend(connect(&format!("2001:db8::{number:x}:1")));
    }
    assert_eq!(held.len(), 20, "of 40");
    for client in ["2001:db8:0:1::1", "192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3"] {
        held.extend([connect(client).expect(client)]);
    }
    gateway.says("its address has its share of the door's connections");
    // What it gives back it may have again.
    held.drain(..10);
    gateway.until("there is room", |_| connect("2001:db8::99").is_some());
}

/// Who is trusted to name clients, and names none, stands for many: a load balancer that checks health has no limit.
#[test]
fn who_names_clients_has_no_limit() {
    let (_gateway, address, _backend) = rig(&(optional() + "\nlimits = { connections_per_client = 2 }"));
    let held: Vec<Client> = (0..6)
        .map(|_| {
            let mut connection = Client::connect(address);
            assert_eq!(connection.request(ask(b"")).expect("an answer").status, 200);
            connection
        })
        .collect();
    assert_eq!(held.len(), 6);
}
