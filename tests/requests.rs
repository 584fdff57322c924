//! How requests are forwarded to backends: what is added, counted once, left out, waited for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use gateway_tests::frames::{self, End, Raw};
use gateway_tests::http2::{Http2, block, receive, request, request_with, send};
use gateway_tests::{Backend, Client, Gateway, Http2Backend, Reply, exchange, gateway, manifest};

const DOOR: &str = "external-http";

fn start(backend: &Backend) -> (Gateway, SocketAddr) {
    with(backend, "")
}

fn with(backend: &Backend, settings: &str) -> (Gateway, SocketAddr) {
    let gateway = gateway!()
        .door(DOOR, settings)
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    (gateway, address)
}

/// RFC 9110 8.6: if content is expected, its absence is stated; many servers answer 411 otherwise.
#[test]
fn an_empty_post_has_content_length_zero() {
    let backend = Backend::start("app");
    let (_gateway, address) = start(&backend);
    for (method, length) in [
        ("POST", Some("0")),
        ("PUT", Some("0")),
        ("PATCH", Some("0")),
        ("GET", None),
        ("DELETE", None),
        ("OPTIONS", None),
        ("BREW", None),
    ] {
        for version in ["HTTP/1.1", "HTTP/1.0", "HTTP/2", "HTTP/2, with an empty frame"] {
            if version.starts_with("HTTP/1") {
                let answer = exchange(address, format!("{method} / {version}\r\nHost: a.test\r\n\r\n"));
                assert_eq!(answer.expect("an answer").status, 200);
            } else {
                let in_head = version == "HTTP/2";
                let mut raw = Raw::open(address);
                let head = frames::request(method.as_bytes(), b"a.test", b"/", &[]);
                let mut bytes = frames::headers(1, in_head, &head);
                if !in_head {
                    bytes.extend(frames::data(1, true, b""));
                }
                raw.send(&bytes);
                assert_eq!(raw.end_of(1, Duration::from_secs(10)), End::Status(200));
            }
            let seen = backend.last();
            assert_eq!(seen.field("content-length"), length, "{method}, {version}");
            assert_eq!(seen.field("transfer-encoding"), None, "{method}, {version}");
        }
    }
}

/// Some clients end a request that has no content with an empty frame, and not at once.
#[test]
fn a_get_that_ends_late_is_not_chunked() {
    let backend = Backend::start("app");
    let (_gateway, address) = start(&backend);
    let mut raw = Raw::open(address);
    raw.send(&frames::headers(1, false, &frames::get("a.test", "/", &[])));
    std::thread::sleep(Duration::from_millis(20));
    raw.send(&frames::data(1, true, b""));
    assert_eq!(raw.end_of(1, Duration::from_secs(10)), End::Status(200));
    assert_eq!(backend.last().field("transfer-encoding"), None);
    // Content and trailers are what they are.
    block(async {
        let client = Http2::connect(address).await;
        let answer = client.exchange(request("GET", "a.test", "/"), b"content").await;
        assert_eq!(answer.status, 200);
        assert_eq!(backend.last().body, b"content");
        let trailers = gateway_tests::http2::fields(&[("x-sum", "7")]);
        let answer = client
            .try_exchange(request("GET", "a.test", "/"), &[], Some(trailers))
            .await;
        assert_eq!(answer.unwrap().status, 200);
        assert_eq!(backend.last().trailers, ["x-sum: 7"]);
        // A client that leaves it open still gets an answer.
        backend.reply(Reply::Early(
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly".to_vec(),
        ));
        let (response, _outgoing) = client.open(request("GET", "a.test", "/"), false).await.unwrap();
        assert_eq!(receive(response).await.unwrap().text(), "early");
    });
}

/// Browsers send one `cookie` field for each cookie over HTTP/2, up to 180 of them.
#[test]
fn split_cookies_count_as_one_field() {
    let backend = Backend::start("app");
    let (_gateway, address) = with(&backend, "limits = { headers = 20 }");
    let crumbs: Vec<String> = (0..180)
        .map(|number| format!("c{number:03}={}", "v".repeat(40)))
        .collect();
    block(async {
        let client = Http2::connect(address).await;
        let with = |fields: usize| {
            let mut asked = request("GET", "a.test", "/");
            for number in 0..fields {
                let name: http::HeaderName = format!("x-{number}").parse().unwrap();
                asked.headers_mut().insert(name, "y".parse().unwrap());
            }
            for crumb in &crumbs {
                asked.headers_mut().append("cookie", crumb.parse().unwrap());
            }
            asked
        };
        // With `Host` and `Cookie` there are twenty.
        assert_eq!(client.exchange(with(18), &[]).await.status, 200);
        assert_eq!(backend.last().field("cookie"), Some(crumbs.join("; ").as_str()));
        assert_eq!(client.exchange(with(19), &[]).await.status, 431);
        let mut large = request("GET", "a.test", "/");
        for _ in 0..180 {
            large
                .headers_mut()
                .append("cookie", "v".repeat(200).parse().unwrap());
        }
        assert_eq!(
            client.exchange(large, &[]).await.status,
            431,
            "the limit in bytes stays"
        );
    });
}

/// RFC 9110 5.6.1.2: empty elements are ignored and not forwarded.
#[test]
fn empty_hops_are_ignored() {
    let backend = Backend::start("app");
    let (_gateway, address) = with(
        &backend,
        "client_ip = \"xff\"\ntrusted_proxies = [\"127.0.0.0/8\"]",
    );
    for (fields, forwarded, client) in [
        ("X-Forwarded-For: 6.6.6.6,\r\n", "6.6.6.6, 127.0.0.1", "6.6.6.6"),
        (
            "X-Forwarded-For: , 6.6.6.6,, \t, 127.0.0.2\r\n",
            "6.6.6.6, 127.0.0.2, 127.0.0.1",
            "6.6.6.6",
        ),
        (
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For:\r\n",
            "6.6.6.6, 127.0.0.1",
            "6.6.6.6",
        ),
        ("X-Forwarded-For:\r\n", "127.0.0.1", "127.0.0.1"),
        ("X-Forwarded-For: ,,\r\n", "127.0.0.1", "127.0.0.1"),
    ] {
        let answer = exchange(address, format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"));
        assert_eq!(answer.expect("an answer").status, 200);
        let seen = backend.last();
        assert_eq!(seen.field("x-forwarded-for"), Some(forwarded), "{fields:?}");
        assert_eq!(seen.field("x-real-ip"), Some(client), "{fields:?}");
    }
}

/// RFC 9110 7.8: without a protocol there is nothing to change to.
#[test]
fn an_empty_upgrade_is_none() {
    let backend = Backend::start("app");
    let (_gateway, address) = start(&backend);
    for (fields, upgrade) in [
        ("Connection: upgrade\r\nUpgrade:\r\n", None),
        ("Connection: upgrade\r\nUpgrade: , ,\r\n", None),
        (
            "Connection: upgrade\r\nUpgrade: , chat,\r\nUpgrade:\r\n",
            Some("chat"),
        ),
    ] {
        let answer = exchange(address, format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"));
        assert_eq!(answer.expect("an answer").status, 200);
        let seen = backend.last();
        assert_eq!(seen.field("upgrade"), upgrade, "{fields:?}");
        assert_eq!(
            seen.field("connection").is_some(),
            upgrade.is_some(),
            "{fields:?}"
        );
    }
}

/// RFC 9112 3.2.4 and RFC 9110 7.6.2.
#[test]
fn options() {
    let backend = Backend::start("app");
    let (_gateway, address) = start(&backend);
    let ask = |line: &str, fields: &str| {
        exchange(
            address,
            format!("{line} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"),
        )
        .expect("an answer")
    };
    for (line, sent) in [
        ("OPTIONS http://a.test", "OPTIONS * HTTP/1.1"),
        ("OPTIONS *", "OPTIONS * HTTP/1.1"),
        ("OPTIONS http://a.test/", "OPTIONS / HTTP/1.1"),
        ("OPTIONS http://a.test?x", "OPTIONS /?x HTTP/1.1"),
        ("GET http://a.test", "GET / HTTP/1.1"),
    ] {
        assert_eq!(ask(line, "").text(), "app", "{line}");
        assert_eq!(backend.last().line(), sent, "{line}");
    }
    for (line, fields, sent) in [
        ("OPTIONS /", "Max-Forwards: 1\r\n", Some("0")),
        ("OPTIONS /", "Max-Forwards: 070\r\n", Some("69")),
        ("OPTIONS *", "Max-Forwards: 10\r\n", Some("9")),
        ("OPTIONS /", "Max-Forwards: 7\r\nMax-Forwards: 3\r\n", Some("2")),
        ("OPTIONS /", "Max-Forwards: some\r\n", Some("some")),
        ("OPTIONS /", "", None),
        // Other methods may ignore it.
        ("GET /", "Max-Forwards: 0\r\n", Some("0")),
    ] {
        assert_eq!(ask(line, fields).text(), "app", "{line}, {fields:?}");
        assert_eq!(backend.last().field("max-forwards"), sent, "{line}, {fields:?}");
    }
    let before = backend.requests();
    for line in ["OPTIONS /", "OPTIONS *", "OPTIONS http://a.test"] {
        let answer = ask(line, "Max-Forwards: 0\r\n");
        assert_eq!(answer.status, 200, "{line}");
        assert_eq!(
            answer.field("allow"),
            Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
        );
    }
    let answer = block(async {
        let asked = request_with("OPTIONS", "a.test", "/", &[("max-forwards", "0")]);
        Http2::connect(address).await.exchange(asked, &[]).await
    });
    assert_eq!((answer.status, answer.headers.contains_key("allow")), (200, true));
    // The answer reveals nothing about hosts that are not here.
    let elsewhere = exchange(
        address,
        "OPTIONS / HTTP/1.1\r\nHost: b.test\r\nMax-Forwards: 0\r\n\r\n",
    );
    assert_eq!(elsewhere.expect("an answer").status, 404);
    assert_eq!(backend.requests(), before, "none of these went on");
}

/// RFC 9110 10.2.2: `Location` is a URI reference, whatever the request's target was made of.
#[test]
fn the_location_of_a_redirect_is_a_uri() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(DOOR, "redirect = \"external-https\"")
        .manifest(
            "app.yaml",
            &manifest::app("app", "external-https", "a.test", backend.port()),
        )
        .start();
    for (target, location) in [
        ("/x?y=1&z=a+b", "/x?y=1&z=a+b"),
        (
            "/%7Cx%2f;v=1@b:c!$'()*,~?a=b/c?d",
            "/%7Cx%2f;v=1@b:c!$'()*,~?a=b/c?d",
        ),
        ("/a|b^`{c}[d]", "/a%7Cb%5E%60%7Bc%7D%5Bd%5D"),
        (
            "/s?q=\"a\"<b>|\\^`{}[]",
            "/s?q=%22a%22%3Cb%3E%7C%5C%5E%60%7B%7D%5B%5D",
        ),
        ("/s?100%&%zz&%4", "/s?100%25&%25zz&%254"),
        ("/s?%41", "/s?%41"),
    ] {
        let answer = exchange(
            gateway.door(DOOR),
            format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        );
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 308, "{target}");
        assert_eq!(
            answer.field("location"),
            Some(format!("https://a.test{location}").as_str()),
            "{target}"
        );
    }
}

/// A backend that reads only as far as a script says.
fn listen(script: impl Fn(&mut TcpStream, &str) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0; 1];
                if stream.read_exact(&mut byte).is_err() {
                    return;
                }
                head.push(byte[0]);
            }
            script(&mut stream, &String::from_utf8(head).unwrap());
        }
    });
    port
}

const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";

const SWITCH: &[u8] = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// `docker exec`: POST with content, and the connection changes its protocol behind it (RFC 9110 7.8).
#[test]
fn a_request_with_content_may_change_the_protocol() {
    let waiting = listen(|stream, head| {
        assert!(
            head.contains("Upgrade: tcp\r\n") && head.contains("Connection: Upgrade\r\n"),
            "{head}"
        );
        let chunked = head.contains("chunked");
        let mut body = vec![0; if chunked { CHUNKS.len() } else { 5 }];
        if head.contains("Expect") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
        stream.read_exact(&mut body).unwrap();
        // Not a byte of the new protocol before the switch.
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(
            stream.read(&mut [0; 1]).is_err(),
            "a byte came ahead of the switch"
        );
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(SWITCH).unwrap();
        stream.write_all(&body).unwrap();
        let mut early = [0; 5];
        stream.read_exact(&mut early).unwrap();
        stream.write_all(&early).unwrap();
    });
    // One that does not wait for the content: the client changes its protocol behind it all the same.
    let hasty = listen(|stream, _| {
        stream.write_all(SWITCH).unwrap();
        let mut all = [0; 10];
        stream.read_exact(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let plain = Backend::start("plain");
    let gateway = gateway!()
        .manifest("a.yaml", &manifest::app("waiting", DOOR, "waiting.test", waiting))
        .manifest("b.yaml", &manifest::app("hasty", DOOR, "hasty.test", hasty))
        .manifest(
            "c.yaml",
            &manifest::app("plain", DOOR, "plain.test", plain.port()),
        )
        .start();
    let address = gateway.door(DOOR);
    let head = |host: &str, framing: &str| {
        format!(
            "POST /exec HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n{framing}\r\n\r\n"
        )
    };

    for (framing, body) in [
        ("Content-Length: 5", "hello"),
        ("Transfer-Encoding: chunked", CHUNKS),
        ("Content-Length: 5\r\nExpect: 100-continue", "hello"),
    ] {
        let mut client = Client::connect(address);
        client.send(head("waiting.test", framing));
        if framing.contains("Expect") {
            assert_eq!(client.any_response(false).expect("an answer").status, 100);
        }
        client.send(format!("{body}early"));
        let answer = client.response().expect("an answer");
        assert_eq!(
            (answer.status, answer.field("upgrade")),
            (101, Some("tcp")),
            "{framing:?}"
        );
        let expected = format!("{body}early");
        assert_eq!(
            client.take(expected.len()).expect("bytes"),
            expected.as_bytes(),
            "{framing:?}"
        );
        drop(client);
    }

    let mut client = Client::connect(address);
    client.send(head("hasty.test", "Content-Length: 5") + "he");
    let told = client.stream().try_clone().unwrap();
    told.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(
        told.peek(&mut [0; 1]).is_err(),
        "not before the content has been sent"
    );
    told.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.send("llo");
    assert_eq!(client.response().expect("an answer").status, 101);
    client.send("early");
    assert_eq!(client.take(10).expect("bytes"), b"helloearly");

    // An answer that is no switch leaves the connection in step.
    let mut client = Client::connect(address);
    let answer = client.request(head("plain.test", "Content-Length: 5") + "hello");
    assert_eq!(answer.expect("an answer").text(), "plain");
    assert_eq!(plain.last().body, b"hello");
    assert_eq!(client.get("plain.test", "/").expect("an answer").text(), "plain");
}

const PUT: &str = "PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

/// Waits for a moment, reads the request's body, waits again, and answers on a connection that ends with that.
fn slow(before: u64, says_continue: bool, after: u64) -> Reply {
    Reply::script(move |stream, head| {
        assert!(head.contains("Expect: 100-continue\r\n"), "{head}");
        std::thread::sleep(Duration::from_millis(before));
        if says_continue {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
        let mut body = [0; 5];
        stream.read_exact(&mut body).unwrap();
        std::thread::sleep(Duration::from_millis(after));
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
            .and_then(|()| stream.write_all(&body))
            .unwrap();
    })
}

/// RFC 9110 10.1.1: if the backend is silent, the gateway tells the client to continue; from then on a slow answer is the
/// backend's responsibility.
#[test]
fn a_silent_backend_is_not_waited_for() {
    let backend = Backend::start("app");
    let (gateway, address) = with(
        &backend,
        "timeouts = { body_idle = \"1s\", response_head = \"20s\" }",
    );
    // No 100 before the body; and a late 100, which the client has had already.
    for reply in [slow(0, false, 2500), slow(600, true, 2500)] {
        backend.reply(reply);
        let mut client = Client::connect(address);
        let started = Instant::now();
        client.send(PUT);
        assert_eq!(client.any_response(false).expect("an interim answer").status, 100);
        let waited = started.elapsed();
        assert!(
            waited >= Duration::from_millis(90),
            "the backend has its chance: {waited:?}"
        );
        assert!(waited < Duration::from_millis(550), "{waited:?}");
        client.send("hello");
        let answer = client.any_response(false).expect("an answer");
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "hello"),
            "and no second 100"
        );
        backend.reply(Reply::Name);
        assert_eq!(
            client.get("a.test", "/").expect("an answer").text(),
            "app",
            "still in step"
        );
    }
    // A client that gets the 100 and does not continue is too slow.
    backend.reply(slow(0, false, 0));
    let mut client = Client::connect(address);
    client.send(PUT);
    assert_eq!(client.any_response(false).expect("an interim answer").status, 100);
    assert_eq!(client.any_response(false).expect("an answer").status, 408);
    // A client that sends at once needs no 100.
    backend.reply(Reply::computed(|seen| {
        std::thread::sleep(Duration::from_millis(400));
        assert_eq!(seen.body, b"hello");
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()
    }));
    let mut client = Client::connect(address);
    client.send(format!("{PUT}hello"));
    assert_eq!(client.any_response(false).expect("an answer").status, 200);
    assert_eq!(gateway.metric("blastdoor_panics_total", &[]), 0.0);
}

/// If the backend answers in time, its answer decides.
#[test]
fn the_backends_own_100_or_refusal_is_relayed() {
    let backend = Backend::start("app");
    let (_gateway, address) = start(&backend);
    backend.reply(slow(0, true, 300));
    let mut client = Client::connect(address);
    client.send(PUT);
    assert_eq!(client.any_response(false).expect("an interim answer").status, 100);
    client.send("hello");
    assert_eq!(
        client.any_response(false).expect("an answer").text(),
        "hello",
        "one 100 and no second"
    );
    backend.reply(Reply::Early(
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ));
    let mut client = Client::connect(address);
    client.send(PUT);
    let answer = client.any_response(false).expect("an answer");
    assert_eq!(
        (answer.status, answer.field("connection")),
        (401, Some("close")),
        "and no 100 before it"
    );
    // An expectation that is empty, or said twice, is what it is.
    for (fields, sent) in [
        ("Expect:\r\n", None),
        ("Expect: 100-continue, 100-Continue\r\n", Some("100-continue")),
        (
            "Expect: 100-continue\r\nExpect: 100-continue\r\n",
            Some("100-continue"),
        ),
    ] {
        backend.reply(Reply::Name);
        let answer = exchange(
            address,
            format!("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n{fields}\r\nhello"),
        );
        assert_eq!(answer.expect("an answer").status, 200, "{fields:?}");
        assert_eq!(backend.last().field("expect"), sent, "{fields:?}");
    }
}

#[test]
fn a_silent_backend_is_not_waited_for_over_http2() {
    let backend = Backend::start("app");
    let speaking = Http2Backend::start(|request, mut respond| async move {
        assert_eq!(request.headers()["expect"], "100-continue");
        let mut incoming = request.into_body();
        let body = gateway_tests::http2::receive_body(&mut incoming).await.unwrap();
        let mut out = respond
            .send_response(gateway_tests::http2::response(200, &[]), false)
            .unwrap();
        out.send_data(body.into(), true).unwrap();
    });
    let gateway = gateway!()
        .door(DOOR, "timeouts = { body_idle = \"1s\", response_head = \"20s\" }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .manifest(
            "h2.yaml",
            &manifest::app_speaking("h2", DOOR, "h2.test", speaking.port(), "kubernetes.io/h2c"),
        )
        .start();
    let address = gateway.door(DOOR);
    block(async {
        let client = Http2::connect(address).await;
        for (host, reply) in [
            ("a.test", slow(0, false, 2000)),
            ("a.test", slow(600, true, 0)),
            ("h2.test", Reply::Name),
        ] {
            backend.reply(reply);
            let expecting = request_with(
                "PUT",
                host,
                "/",
                &[("expect", "100-continue"), ("content-length", "5")],
            );
            let (mut response, outgoing) = client.open(expecting, false).await.unwrap();
            let started = Instant::now();
            let interim = std::future::poll_fn(|context| response.poll_informational(context)).await;
            assert_eq!(interim.unwrap().unwrap().status(), 100);
            assert!(started.elapsed() < Duration::from_millis(550));
            send(outgoing, b"hello", None).await.unwrap();
            let answer = receive(response).await.unwrap();
            assert_eq!(
                (answer.interims.as_slice(), answer.text().as_str()),
                (&[][..], "hello")
            );
        }
    });
}
