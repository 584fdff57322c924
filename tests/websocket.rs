//! Upgraded connections: WebSocket with a third-party library, and what must not be upgraded.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use gateway_tests::{Backend, Client, Reply, gateway, manifest};
use tungstenite::{Message, accept, client};

const DOOR: &str = "external-http";

#[test]
fn a_websocket_passes_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut socket = accept(stream.unwrap()).unwrap();
                while let Ok(message) = socket.read() {
                    if message.is_text() || message.is_binary() {
                        socket.send(message).unwrap();
                    }
                }
            });
        }
    });
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", port))
        .start();
    let stream = std::net::TcpStream::connect(gateway.door(DOOR)).unwrap();
    let (mut socket, response) = client("ws://a.test/socket", stream).unwrap();
    assert_eq!(response.status(), 101);
    for size in [0, 1, 125, 126, 65_536, 1_000_000] {
        let text = "w".repeat(size);
        socket.send(Message::text(text.clone())).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text(text));
    }
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    drop(socket);
    gateway.until("the connection is gone", |gateway| {
        gateway.metric("blastdoor_connections", &[("state", "active")]) == 0.0
    });
}

fn upgrade(extra: &str) -> String {
    format!("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: {extra}\r\n\r\n")
}

/// No byte after the head reaches the backend before its 101.
#[test]
fn nothing_is_forwarded_before_the_101() {
    let backend = Backend::with(
        "app",
        Reply::script(|stream, _| {
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            assert!(
                stream.read(&mut [0; 1]).is_err(),
                "a byte came ahead of the switch"
            );
            stream
                .write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nhi",
                )
                .unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut early = [0; 5];
            stream.read_exact(&mut early).unwrap();
            stream.write_all(&early).unwrap();
        }),
    );
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut client = Client::connect(gateway.door(DOOR));
    client.send(upgrade("chat") + "early");
    let response = client.response().expect("an answer");
    assert_eq!((response.status, response.field("upgrade")), (101, Some("chat")));
    assert_eq!(client.take(7).expect("bytes"), b"hiearly");
    assert!(client.is_closed(), "the backend's end is the client's end");
}

#[test]
fn a_refused_upgrade_is_a_plain_answer() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut client = Client::connect(gateway.door(DOOR));
    assert_eq!(client.request(upgrade("chat")).expect("an answer").text(), "app");
    assert_eq!(backend.last().field("upgrade"), Some("chat"));
    assert_eq!(
        client.get("a.test", "/next").expect("an answer").text(),
        "app",
        "the connection goes on"
    );
    // HTTP/2 in clear text would carry requests past the routing table.
    for protocol in ["h2c", "H2C", "chat, h2c"] {
        assert_eq!(client.request(upgrade(protocol)).expect("an answer").status, 200);
        assert_eq!(backend.last().fields("upgrade"), Vec::<&str>::new(), "{protocol}");
    }
}

#[test]
fn an_unsolicited_101_is_a_502() {
    let backend = Backend::with(
        "app",
        Reply::RawThenClose(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nGET".to_vec(),
        ),
    );
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut client = Client::connect(gateway.door(DOOR));
    assert_eq!(client.get("a.test", "/").expect("an answer").status, 502);
}
