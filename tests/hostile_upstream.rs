//! Backends that send invalid responses. The client gets a clean 502 or a closed connection, and never the invalid bytes.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gateway_tests::{Backend, Client, Reply, gateway, get, manifest};

const DOOR: &str = "external-http";

const NONSENSE: &[(&str, &[u8])] = &[
    (
        "CL and TE",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "two CL",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    ),
    ("CL sign", b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc"),
    (
        "TE gzip",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "TE on 1.0",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("bare LF", b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"),
    (
        "bare LF in field",
        b"HTTP/1.1 200 OK\r\nX: y\nSet-Cookie: z\r\n\r\n",
    ),
    (
        "bare CR",
        b"HTTP/1.1 200 OK\r\nX: y\rz\r\nContent-Length: 0\r\n\r\n",
    ),
    ("NUL", b"HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 0\r\n\r\n"),
    (
        "folded",
        b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "space before colon",
        b"HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n",
    ),
    ("no colon", b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"),
    ("status 99", b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n"),
    ("status text", b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n"),
    ("status 2000", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    ("version 2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("not HTTP", b"SSH-2.0-OpenSSH_9.9\r\n"),
    ("HTTP/0.9", b"<html>hello</html>"),
    (
        "33 connection options",
        b"HTTP/1.1 200 OK\r\nConnection: a,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,b\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "33 protocols",
        b"HTTP/1.1 200 OK\r\nUpgrade: a,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,b\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "empty line first",
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ("cut head", b"HTTP/1.1 200 OK\r\nContent-Le"),
    (
        "unsolicited 101",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ),
];

#[test]
fn an_invalid_response_is_a_502() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    for (what, bytes) in NONSENSE {
        backend.reply(Reply::RawThenClose(bytes.to_vec()));
        let response = get(gateway.door(DOOR), "a.test", "/");
        assert_eq!(
            (response.status, response.text().as_str()),
            (502, "Bad Gateway\n"),
            "{what}"
        );
        backend.reply(Reply::Name);
        assert_eq!(
            get(gateway.door(DOOR), "a.test", "/").text(),
            "app",
            "{what}: the next client"
        );
    }
    assert_eq!(
        gateway.metric("blastdoor_upstream_ejections_total", &[]),
        0.0,
        "the only endpoint is never taken out"
    );
}

#[test]
fn a_flood_of_interim_responses_is_cut() {
    let flood =
        "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let backend = Backend::with("app", Reply::Raw(flood.into_bytes()));
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 502);
}

#[test]
fn an_endless_head_ends() {
    let backend = Backend::with(
        "app",
        Reply::RawThenClose(("HTTP/1.1 200 OK\r\nX: ".to_owned() + &"y".repeat(1 << 20)).into_bytes()),
    );
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 502);
}

/// A body that ends early cuts the client's connection: it must not look complete.
#[test]
fn a_broken_body_never_looks_whole() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    for raw in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ] {
        backend.reply(Reply::RawThenClose(raw.as_bytes().to_vec()));
        let mut client = Client::connect(gateway.door(DOOR));
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.response(), None, "{raw:?}");
    }
}

/// Bytes after a response belong to no request: the connection is not reused.
#[test]
fn bytes_after_a_response_reach_no_client() {
    let backend = Backend::with(
        "app",
        Reply::Raw(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
                .to_vec(),
        ),
    );
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut client = Client::connect(gateway.door(DOOR));
    for _ in 0..5 {
        assert_eq!(client.get("a.test", "/").expect("an answer").text(), "ok");
    }
    assert_eq!(backend.connections(), 5);
}

/// Hop-by-hop fields of the backend are not forwarded either.
#[test]
fn hop_by_hop_fields_of_the_backend() {
    let raw = "HTTP/1.1 200 Fine\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n\
               Upgrade: h2c\r\nServer: app\r\nDate: then\r\nX-Kept:  1 \r\nContent-Length: 0\r\n\r\n";
    let backend = Backend::with("app", Reply::Raw(raw.as_bytes().to_vec()));
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let response = get(gateway.door(DOOR), "a.test", "/");
    assert_eq!(
        response.head,
        "HTTP/1.1 200 Fine\r\nServer: app\r\nDate: then\r\nX-Kept: 1\r\nContent-Length: 0\r\n\r\n"
    );
}

/// Bytes left over from one backend's connection are never taken for another backend's answer, however fast the client
/// sends requests.
#[test]
fn leftovers_of_one_backend_are_not_the_answer_of_another() {
    let generous = Backend::with(
        "generous",
        Reply::Raw(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nSet-Cookie: x\r\nContent-Length: 3\r\n\r\nbad"
                .to_vec(),
        ),
    );
    let honest = Backend::start("honest");
    let gateway = gateway!()
        .manifest("a.yaml", &manifest::app("a", DOOR, "a.test", generous.port()))
        .manifest("b.yaml", &manifest::app("b", DOOR, "b.test", honest.port()))
        .start();
    for _ in 0..50 {
        let mut client = Client::connect(gateway.door(DOOR));
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\nGET / HTTP/1.1\r\nHost: b.test\r\n\r\n");
        assert_eq!(client.response().expect("an answer").text(), "");
        let second = client.response().expect("an answer");
        assert_eq!(
            (second.text().as_str(), second.field("set-cookie")),
            ("honest", None)
        );
    }
}

/// When a backend gives up in the middle of a body, what the client has sent of it is never taken for a request.
#[test]
fn the_rest_of_a_body_is_not_a_request() {
    let refusing = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = refusing.local_addr().expect("an address").port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in refusing.incoming() {
            let mut stream = stream.expect("a connection");
            counted.fetch_add(1, Ordering::SeqCst);
            stream.read_exact(&mut [0; 100]).expect("a part of the head");
            // With unread bytes in its socket, closing is a reset.
        }
    });
    let gateway = gateway!()
        .manifest("a.yaml", &manifest::app("a", DOOR, "a.test", port))
        .start();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(400);
    for _ in 0..20 {
        let mut client = Client::connect(gateway.door(DOOR));
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{smuggled}",
            smuggled.len()
        ));
        if let Some(answer) = client.response() {
            assert_eq!(answer.status, 502);
            // If all of the body was taken the connection may be kept, but there is no second answer on it.
            let _closed = client.stream().shutdown(std::net::Shutdown::Write);
            assert!(client.response().is_none(), "one request, one answer");
        }
    }
    assert_eq!(
        connections.load(Ordering::SeqCst),
        20,
        "a POST is never sent twice"
    );
    assert_eq!(
        gateway.metric("blastdoor_requests_total", &[("method", "GET")]),
        0.0
    );
}
