//! Imperfect responses of backends, and the gateway's own answers to imperfect requests.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use gateway_tests::frames::{self, Raw, kind};
use gateway_tests::http2::{Http2, block, receive_body, request, request_with};
use gateway_tests::{Backend, Client, Gateway, Reply, exchange, gateway, get, manifest};

const DOOR: &str = "external-http";

const ASK: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn start(backend: &Backend) -> (Gateway, SocketAddr) {
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    (gateway, address)
}

/// The access log's entry of the last request: status, body bytes, refusal.
fn logged(gateway: &Gateway, requests: usize) -> (u64, u64, Option<String>) {
    gateway.until("the line is written", |gateway| {
        gateway.access_log().len() == requests
    });
    let log = gateway.access_log();
    let line = log.last().unwrap();
    (
        line["status"].as_u64().unwrap(),
        line["bytes_out"].as_u64().unwrap(),
        line["refusal"].as_str().map(str::to_owned),
    )
}

/// Sends a head and chunks, waits for a signal, and continues with more.
fn in_two_parts(first: &'static [u8], second: &'static [u8]) -> (Reply, std::sync::mpsc::SyncSender<()>) {
    let (tell, told) = sync_channel::<()>(1);
    let told = Mutex::new(told);
    let reply = Reply::script(move |stream, _| {
        stream.write_all(first).unwrap();
        told.lock()
            .unwrap()
            .recv_timeout(Duration::from_secs(10))
            .unwrap();
        stream.write_all(second).unwrap();
        // Until the gateway ends it.
        let _ended = stream.read(&mut [0; 1]);
    });
    (reply, tell)
}

/// As long as nothing has been sent, a malformed body is a 502 like any other invalid response.
#[test]
fn a_chunk_that_is_malformed_from_the_start_is_a_502() {
    let backend = Backend::start("app");
    let (gateway, address) = start(&backend);
    for (number, body) in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\nzz\r\n",
        "5\r\nhello!\r\n",
    ]
    .iter()
    .enumerate()
    {
        backend.reply(Reply::Raw(
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes(),
        ));
        let answer = exchange(address, ASK).expect("an answer");
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (502, "Bad Gateway\n"),
            "{body:?}"
        );
        let (status, sent, refusal) = logged(&gateway, number + 1);
        assert_eq!(
            (status, sent, refusal.as_deref()),
            (502, 0, Some("upstream_malformed")),
            "{body:?}"
        );
    }
    assert_eq!(
        gateway.metric("blastdoor_requests_total", &[("status_class", "2xx")]),
        0.0
    );
}

/// Once something has been sent, the client gets the intact part without a proper end, and the log says how much that was.
#[test]
fn the_intact_part_of_a_malformed_body_arrives() {
    let backend = Backend::start("app");
    let (gateway, address) = start(&backend);
    let (reply, tell) = in_two_parts(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"5\r\nhello\r\n1\r\n!\r\nzz\r\n0\r\n\r\n",
    );
    backend.reply(reply.clone());
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // What is sent ahead must not turn the end into a reset that overtakes the answer.
    client.write_all([ASK, ASK, ASK].concat().as_bytes()).unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"3\r\nabc\r\n") {
        let mut byte = [0; 1];
        client.read_exact(&mut byte).unwrap();
        got.push(byte[0]);
    }
    tell.send(()).unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("an end, not a reset");
    let data: Vec<u8> = rest
        .into_iter()
        .filter(|byte| byte.is_ascii_alphanumeric() || *byte == b'!')
        .collect();
    assert_eq!(String::from_utf8(data).unwrap(), "5hello1!", "and no last chunk");
    drop(client);
    assert_eq!(
        logged(&gateway, 1),
        (200, 9, Some("upstream_malformed".to_owned()))
    );

    backend.reply(reply);
    block(async {
        let client = Http2::connect(address).await;
        let (response, _) = client.open(request("GET", "a.test", "/"), true).await.unwrap();
        let (parts, mut incoming) = response.await.unwrap().into_parts();
        assert_eq!(parts.status, 200);
        let first = incoming.data().await.unwrap().unwrap();
        assert_eq!(first, "abc");
        tell.send(()).unwrap();
        let mut rest = Vec::new();
        let error = loop {
            match incoming.data().await.expect("no proper end") {
                Ok(data) => rest.extend_from_slice(&data),
                Err(error) => break error,
            }
        };
        assert_eq!(String::from_utf8(rest).unwrap(), "hello!");
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
    });
    assert_eq!(
        logged(&gateway, 2),
        (200, 9, Some("upstream_malformed".to_owned()))
    );
}

/// Over HTTP/2 the head is sent as soon as it arrives; the intact part of the body follows.
#[test]
fn the_intact_part_of_a_body_arrives_over_http2() {
    let backend = Backend::with(
        "app",
        Reply::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n".to_vec()),
    );
    let (gateway, address) = start(&backend);
    block(async {
        let client = Http2::connect(address).await;
        let (response, _) = client.open(request("GET", "a.test", "/"), true).await.unwrap();
        let (parts, mut incoming) = response.await.expect("a head").into_parts();
        assert_eq!(parts.status, 200);
        assert_eq!(incoming.data().await.expect("data").expect("data"), "hello");
        let error = receive_body(&mut incoming).await.expect_err("no proper end");
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
    });
    assert_eq!(
        logged(&gateway, 1),
        (200, 5, Some("upstream_malformed".to_owned()))
    );
}

/// To an HTTP/1.0 client the end of the connection is the end of the body: an incomplete body ends in a reset.
#[test]
fn a_cut_body_does_not_look_whole_to_old_clients() {
    let backend = Backend::start("app");
    let (_gateway, address) = start(&backend);
    for second in [b"zz\r\n".as_slice(), b""] {
        let (reply, tell) = in_two_parts(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            second,
        );
        backend.reply(reply);
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client
            .write_all(b"GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
            .unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"abc") {
            let mut byte = [0; 1];
            client.read_exact(&mut byte).unwrap();
            got.push(byte[0]);
        }
        tell.send(()).unwrap();
        if second.is_empty() {
            backend.stop();
        }
        let error = client.read(&mut [0; 16]).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

/// RFC 9110 6.6.1: a response without a date gets one, and one with a date keeps it.
#[test]
fn dates() {
    let backend = Backend::start("app");
    let (_gateway, address) = start(&backend);
    let old = "Thu, 01 Jan 2026 00:00:00 GMT";
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(), false),
        (
            format!("HTTP/1.1 200 OK\r\nDATE: {old}\r\nContent-Length: 2\r\n\r\nok"),
            true,
        ),
        // What `Connection` names ends here, and does not count.
        (
            format!("HTTP/1.1 200 OK\r\nConnection: date\r\nDate: {old}\r\nContent-Length: 2\r\n\r\nok"),
            false,
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            false,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), false),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
            false,
        ),
    ];
    for (raw, kept) in cases {
        backend.reply(Reply::Raw(raw.clone().into_bytes()));
        let judge = |dates: Vec<String>, version: &str| {
            let [date] = dates.as_slice() else {
                panic!("{version}, {raw:?}: {dates:?}");
            };
            assert_eq!(date == old, kept, "{version}, {raw:?}");
            assert!(date.ends_with(" GMT") && date.len() == old.len(), "{date}");
        };
        let mut client = Client::connect(address);
        let mut answer = client.send(ASK).any_response(false).expect("an answer");
        if answer.status == 103 {
            assert_eq!(answer.field("date"), None, "interim answers need none");
            answer = client.response().expect("an answer");
        }
        let dates = answer.head.lines().filter_map(|line| line.split_once(": "));
        let dates = dates.filter(|(name, _)| name.eq_ignore_ascii_case("date"));
        judge(dates.map(|(_, value)| value.to_owned()).collect(), "HTTP/1.1");
        let answer = block(async { Http2::connect(address).await.get("a.test", "/").await });
        let dates = answer.headers.get_all("date").iter();
        judge(
            dates.map(|date| date.to_str().unwrap().to_owned()).collect(),
            "HTTP/2",
        );
    }
}

/// The gateway's own answers also have a date, including those to gRPC clients.
#[test]
fn dates_of_own_answers() {
    let backend = Backend::start("app");
    let (_gateway, address) = start(&backend);
    assert!(get(address, "nowhere.test", "/").field("date").is_some());
    block(async {
        let client = Http2::connect(address).await;
        let answer = client.get("nowhere.test", "/").await;
        assert!(answer.field("date").is_some());
        let call = request_with(
            "POST",
            "nowhere.test",
            "/x",
            &[("content-type", "application/grpc")],
        );
        let answer = client.exchange(call, &[]).await;
        assert_eq!(answer.field("grpc-status"), Some("12"));
        assert!(answer.field("date").is_some_and(|date| date.ends_with(" GMT")));
    });
}

/// RFC 9110 15: the meaning of a status above 599 concerns only backend and client.
#[test]
fn unusual_statuses_and_versions_pass() {
    let backend = Backend::start("app");
    let (gateway, address) = start(&backend);
    for status in [218, 299, 418, 599, 600, 777, 999] {
        backend.reply(Reply::Raw(
            format!("HTTP/1.1 {status} Odd\r\nContent-Length: 3\r\n\r\nodd").into_bytes(),
        ));
        let answer = get(address, "a.test", "/");
        assert_eq!((answer.status, answer.text().as_str()), (status, "odd"));
        assert!(answer.head.starts_with(&format!("HTTP/1.1 {status} Odd\r\n")));
        let answer = block(async { Http2::connect(address).await.get("a.test", "/").await });
        assert_eq!((answer.status, answer.text().as_str()), (status, "odd"));
    }
    gateway.counts("blastdoor_requests_total", &[("status_class", "9xx")], 2.0);
    // RFC 9110 2.5: a higher minor version is read as the highest known.
    backend.reply(Reply::Raw(
        b"HTTP/1.2 200 OK\r\nContent-Length: 3\r\n\r\n1.2".to_vec(),
    ));
    let answer = get(address, "a.test", "/");
    assert_eq!(answer.text(), "1.2");
    assert!(answer.head.starts_with("HTTP/1.1 200"), "{}", answer.head);
}

/// White space is read where the grammar of chunks has it, and where servers pad their sizes.
#[test]
fn padded_chunk_sizes() {
    let body = "5   \r\nhello\r\n1 ; a = \"b\" ;c\r\n \r\n6\t\r\nworld!\r\n0  \r\n\r\n";
    let backend = Backend::with(
        "app",
        Reply::Raw(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes()),
    );
    let (_gateway, address) = start(&backend);
    assert_eq!(get(address, "a.test", "/").text(), "hello world!");
    backend.reply(Reply::Raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 0\r\n0123456789abcdef\r\n0\r\n\r\n".to_vec(),
    ));
    assert_eq!(get(address, "a.test", "/").status, 502, "two sizes are none");
}

/// A 204 or 304 that states a body: if the backend sends it after all, it must not be the next answer.
#[test]
fn contradictory_answers_end_their_connection() {
    let backend = Backend::start("app");
    let (_gateway, address) = start(&backend);
    let mut client = Client::connect(address);
    for (head, connections) in [
        ("204 No Content\r\nContent-Length: 5\r\n", 3),
        ("304 Not Modified\r\nContent-Length: 5\r\n", 3),
        ("204 No Content\r\nTransfer-Encoding: chunked\r\n", 3),
        ("304 Not Modified\r\nTransfer-Encoding: chunked\r\n", 3),
        ("204 No Content\r\nContent-Length: 0\r\n", 1),
        ("304 Not Modified\r\nETag: \"x\"\r\n", 1),
    ] {
        // What an earlier case has left open is of no use to this one.
        backend.reply(Reply::RawThenClose(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()));
        assert_eq!(client.get("a.test", "/").expect("an answer").status, 204);
        backend.reply(Reply::Raw(format!("HTTP/1.1 {head}\r\n").into_bytes()));
        let before = backend.connections();
        for _ in 0..3 {
            let status: u16 = head[..3].parse().unwrap();
            assert_eq!(client.get("a.test", "/").expect("an answer").status, status);
        }
        assert_eq!(backend.connections() - before, connections, "{head:?}");
    }
}

/// RFC 9110 9.3.2: the answer to HEAD has no body, whoever gives it and for whatever reason.
#[test]
fn a_refused_head_has_no_body() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(DOOR, "limits = { header_bytes = \"4KiB\", headers = 20, uri_bytes = 1000 }\ntimeouts = { head = \"300ms\" }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    let cases = [
        (
            "HEAD / HTTP/1.1\r\nHost: a.test\r\nExpect: miracles\r\n\r\n".to_owned(),
            417,
        ),
        (
            format!("HEAD / HTTP/1.1\r\nHost: a.test\r\n{}\r\n", "X: y\r\n".repeat(30)),
            431,
        ),
        (
            format!(
                "HEAD / HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n",
                "y".repeat(5000)
            ),
            431,
        ),
        (
            format!("HEAD /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(1500)),
            414,
        ),
        (format!("HEAD /{}", "x".repeat(1500)), 414),
        (
            "HEAD / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n".to_owned(),
            400,
        ),
        ("HEAD / HTTP/1.1\r\nHost : a.test\r\n\r\n".to_owned(), 400),
        ("HEAD /\" HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned(), 400),
        ("HEAD / HTTP/1.1\r\nHost: a.test\r\nX: ".to_owned(), 408),
        ("HEAD / HTTP/1.2\r\nHost: a.test\r\n\r\n".to_owned(), 505),
        ("HEAD / HTTP/1.1\r\nHost: u@a.test\r\n\r\n".to_owned(), 400),
        (
            "HEAD / HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n".to_owned(),
            404,
        ),
    ];
    for (bytes, status) in &cases {
        let mut client = Client::connect(address);
        client.send(bytes);
        let answer = client.response_to_head().expect("an answer");
        assert_eq!(answer.status, *status, "{bytes:?}");
        assert_ne!(
            answer.field("content-length"),
            Some("0"),
            "{bytes:?}: as GET would have it"
        );
        assert_eq!(client.rest(), b"", "{bytes:?}");
    }
    // A strict client ends its whole connection over a body that must not be.
    let long = vec![b'x'; 1500];
    let long_path = [b"/", long.as_slice()].concat();
    let many: Vec<(&[u8], &[u8])> = vec![(b"x", b"y"); 30];
    let cases: [(Vec<u8>, u16); 5] = [
        (
            frames::request(b"HEAD", b"a.test", b"/", &[(b"expect", b"miracles")]),
            417,
        ),
        (frames::request(b"HEAD", b"a.test", b"/", &many), 431),
        (frames::request(b"HEAD", b"a.test", &long_path, &[]), 414),
        (
            frames::request(b"HEAD", b"a.test", b"/", &[(b"host", b"b.test")]),
            400,
        ),
        (
            frames::request(b"HEAD", b"a.test", b"/", &[(b"content-length", b"x")]),
            400,
        ),
    ];
    for (head, status) in cases {
        let mut raw = Raw::open(address);
        raw.send(&frames::headers(1, true, &head));
        let mut ended = false;
        while let Ok(frame) = raw.frame(Duration::from_millis(if ended { 200 } else { 10_000 })) {
            assert!(
                !(ended && frame.stream == 1),
                "{status}: more after the end: {frame:?}"
            );
            match frame.kind {
                kind::HEADERS => {
                    assert_eq!(frame.end_of(1), Some(frames::End::Status(status)));
                    assert_eq!(frame.flags & frames::END_STREAM, frames::END_STREAM, "{status}");
                    ended = true;
                }
                kind::RST_STREAM if status == 400 => ended = true,
                kind::DATA | kind::RST_STREAM => panic!("{status}: {frame:?}"),
                _ => {}
            }
        }
        assert!(ended, "{status}");
    }
}

/// RFC 9110 7.8: a backend may change to a protocol that was asked for, and to no other.
#[test]
fn a_101_must_name_the_requested_protocol() {
    let backend = Backend::start("app");
    let (_gateway, address) = start(&backend);
    for (asked, answered, status) in [
        ("chat", "Upgrade: chat\r\n", 101),
        ("chat", "Upgrade: CHAT\r\n", 101),
        ("chat/2, chat/1", "Upgrade: chat/1\r\n", 101),
        ("spdy", "Upgrade: SPDY/3.1\r\n", 101),
        ("chat\r\nUpgrade: talk", "Upgrade: talk\r\n", 101),
        ("tls/1.2, chat", "Upgrade: TLS/1.2, chat\r\n", 101),
        ("chat", "Upgrade: talk\r\n", 502),
        ("chat", "Upgrade: chatter\r\n", 502),
        ("chat", "Upgrade: chat, talk\r\n", 502),
        ("chat/1", "Upgrade: chat/2\r\n", 502),
        ("chat", "Upgrade:\r\n", 502),
        ("chat", "", 502),
        ("chat", "Upgrade: h2c\r\n", 502),
    ] {
        backend.reply(Reply::RawThenClose(
            format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{answered}\r\n").into_bytes(),
        ));
        let answer = exchange(
            address,
            format!("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: {asked}\r\n\r\n"),
        )
        .expect("an answer");
        assert_eq!(answer.status, status, "{asked:?}, {answered:?}");
    }
    backend.reply(Reply::RawThenClose(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n".to_vec(),
    ));
    let connect = frames::block(&[
        (b":method", b"CONNECT"),
        (b":scheme", b"http"),
        (b":authority", b"a.test"),
        (b":path", b"/"),
        (b":protocol", b"websocket"),
    ]);
    let mut raw = Raw::open(address);
    raw.send(&frames::headers(1, false, &connect));
    assert_eq!(
        raw.end_of(1, Duration::from_secs(10)),
        frames::End::Status(502),
        "over HTTP/2"
    );
}

/// The answer that a door is full arrives, whatever the client has sent by then.
#[test]
fn a_full_door_answers_503() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(DOOR, "limits = { connections = 1 }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    // One in the middle of a request: an idle one would give way.
    let mut first = TcpStream::connect(address).unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let long = format!(
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 40000\r\n\r\n{}",
        "x".repeat(40_000)
    );
    for _ in 0..20 {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.write_all(long.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        // The client sends the rest while it gets the answer.
        client.write_all(b"more").unwrap();
        let mut answer = String::new();
        client
            .read_to_string(&mut answer)
            .expect("an answer and an end, not a reset");
        assert!(
            answer.starts_with("HTTP/1.1 503 ") && answer.contains("Retry-After: 1\r\n"),
            "{answer:?}"
        );
        let _gone = client.shutdown(Shutdown::Both);
    }
    first.write_all(b"Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    first.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 "),
        "who is in stays in: {answer:?}"
    );
    gateway.counts(
        "blastdoor_refusals_total",
        &[("reason", "connection_limit")],
        20.0,
    );
}
