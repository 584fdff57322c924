//! HTTP/2 at a plain door, by prior knowledge: messages both ways, concurrent streams, and their ends.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway_tests::http2::{
    Http2, block, fields, receive, receive_body, request, request_with, send, send_some,
};
use gateway_tests::{Backend, Builder, Gateway, Reply, gateway, manifest};
use h2::Reason;

const DOOR: &str = "external-http";

const MIB: usize = 1024 * 1024;

/// A gateway with one application, and its door.
fn door(backend: &Backend) -> (Gateway, SocketAddr) {
    started(gateway!(), backend)
}

fn started(builder: Builder, backend: &Backend) -> (Gateway, SocketAddr) {
    let gateway = builder
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    (gateway, address)
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index * 7 + index / 251) as u8).collect()
}

#[test]
fn bodies_of_many_sizes_pass_both_ways() {
    let backend = Backend::with("app", Reply::echo());
    let (_gateway, address) = door(&backend);
    block(async {
        let client = Http2::connect(address).await;
        for size in [
            0,
            1,
            100,
            16_383,
            16_384,
            16_385,
            65_535,
            65_536,
            262_144,
            MIB,
            5 * MIB,
        ] {
            let body = pattern(size);
            for (path, with_length) in [
                ("/plain", true),
                ("/plain", false),
                ("/chunked", true),
                ("/chunked", false),
            ] {
                let mut request = request("POST", "a.test", path);
                if with_length {
                    request.headers_mut().insert("content-length", size.into());
                }
                let answer = client.exchange(request, &body).await;
                let what = format!("{size} bytes to {path}, with length: {with_length}");
                assert_eq!((answer.status, answer.body == body), (200, true), "{what}");
                let length = answer.field("content-length").map(str::to_owned);
                assert_eq!(length, (path == "/plain").then(|| size.to_string()), "{what}");
                assert_eq!((answer.trailers, answer.interims), (None, vec![]), "{what}");
                let seen = backend.last();
                assert_eq!(seen.line(), format!("POST {path} HTTP/1.1"));
                if with_length {
                    assert_eq!(
                        seen.field("content-length"),
                        Some(size.to_string().as_str()),
                        "{what}"
                    );
                } else if size > 0 {
                    assert_eq!(seen.field("transfer-encoding"), Some("chunked"), "{what}");
                } else {
                    assert_eq!(seen.field("transfer-encoding"), None, "{what}");
                }
            }
        }
    });
    assert_eq!(backend.connections(), 1, "all of it went over one connection");
}

#[test]
fn trailers_pass_both_ways() {
    let backend = Backend::with(
        "app",
        Reply::Raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 42\r\nx-more: yes\r\n\r\n"
                .to_vec(),
        ),
    );
    let (_gateway, address) = door(&backend);
    block(async {
        let client = Http2::connect(address).await;
        for body in [&b"body"[..], b""] {
            let sent = fields(&[("x-check", "abc"), ("x-other", "d e")]);
            let answer = client
                .try_exchange(
                    request_with("POST", "a.test", "/", &[("te", "trailers")]),
                    body,
                    Some(sent),
                )
                .await
                .unwrap();
            assert_eq!(answer.text(), "ok");
            assert_eq!(
                (answer.trailer("x-sum"), answer.trailer("x-more")),
                (Some("42"), Some("yes"))
            );
            let seen = backend.last();
            assert_eq!(seen.body, body);
            assert_eq!(seen.trailers, ["x-check: abc", "x-other: d e"]);
            assert_eq!(seen.field("te"), Some("trailers"));
        }
    });
}

/// Framing and routing fields mean nothing in trailers (RFC 9110 6.5.1), and must not reach a backend that might
/// merge them into the head.
#[test]
fn trailers_cannot_smuggle_fields() {
    let backend = Backend::start("app");
    let (_gateway, address) = door(&backend);
    block(async {
        let client = Http2::connect(address).await;
        for (name, value) in [
            ("content-length", "5"),
            ("host", "other.test"),
            ("x-forwarded-for", "8.8.8.8"),
            ("x-blastdoor-door", "internal-http"),
            ("authorization", "Basic x"),
        ] {
            let trailers = fields(&[(name, value), ("x-fine", "1")]);
            let answer = client
                .try_exchange(request("POST", "a.test", "/"), b"body", Some(trailers))
                .await;
            let arrived: Vec<String> = backend
                .seen()
                .iter()
                .flat_map(|seen| seen.trailers.clone())
                .collect();
            assert!(
                arrived.iter().all(|line| line == "x-fine: 1"),
                "{name}: {arrived:?}, {answer:?}"
            );
        }
    });
}

#[test]
fn answers_without_a_body() {
    let backend = Backend::start("app");
    let (_gateway, address) = door(&backend);
    block(async {
        let client = Http2::connect(address).await;
        backend.reply(Reply::Raw(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: x\r\n\r\n".to_vec(),
        ));
        let answer = client.exchange(request("HEAD", "a.test", "/"), &[]).await;
        assert_eq!(
            (answer.status, answer.field("content-length"), answer.body.len()),
            (200, Some("1234"), 0)
        );
        backend.reply(Reply::Raw(b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n".to_vec()));
        let answer = client.exchange(request("DELETE", "a.test", "/"), &[]).await;
        assert_eq!((answer.status, answer.field("content-length")), (204, None));
        backend.reply(Reply::Raw(
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: x\r\n\r\n".to_vec(),
        ));
        let answer = client.get("a.test", "/").await;
        assert_eq!(
            (answer.status, answer.field("etag"), answer.body.len()),
            (304, Some("x"), 0)
        );
        backend.reply(Reply::Raw(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
        ));
        let answer = client.get("a.test", "/").await;
        assert_eq!((answer.status, answer.field("content-length")), (200, Some("0")));
    });
    assert_eq!(
        backend.connections(),
        2,
        "behind the 304 that states a body comes who knows what"
    );
}

#[test]
fn a_response_that_ends_with_its_connection_is_whole() {
    let backend = Backend::with(
        "app",
        Reply::RawThenClose(b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec()),
    );
    let (_gateway, address) = door(&backend);
    let answer = block(async { Http2::connect(address).await.get("a.test", "/").await });
    assert_eq!((answer.status, answer.text().as_str()), (200, "until the end"));
}

/// A body that breaks off must not look complete: its stream is reset, and the others continue.
#[test]
fn a_broken_body_never_looks_whole() {
    let backend = Backend::start("app");
    let (_gateway, address) = door(&backend);
    block(async {
        let client = Http2::connect(address).await;
        for raw in [
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n0\r\n\r\n",
        ] {
            backend.reply(Reply::RawThenClose(raw.as_bytes().to_vec()));
            let broken = client
                .try_exchange(request("GET", "a.test", "/"), &[], None)
                .await;
            assert_eq!(
                broken.unwrap_err().reason(),
                Some(Reason::INTERNAL_ERROR),
                "{raw:?}"
            );
            backend.reply(Reply::Name);
            assert_eq!(client.get("a.test", "/").await.text(), "app");
        }
        for raw in ["SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\nX: y\r\n\r\n", ""] {
            backend.reply(Reply::RawThenClose(raw.as_bytes().to_vec()));
            let answer = client.exchange(request("POST", "a.test", "/"), b"x").await;
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (502, "Bad Gateway\n"),
                "{raw:?}"
            );
        }
    });
}

/// Connection-specific fields of a backend have no place in HTTP/2 (RFC 9113 8.2.2).
#[test]
fn hop_by_hop_fields_of_the_backend() {
    let raw = "HTTP/1.1 200 Fine\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\
               Upgrade: h2c\r\nServer: app\r\nDate: then\r\nX-Kept:  1 \r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n";
    let backend = Backend::with("app", Reply::Raw(raw.as_bytes().to_vec()));
    let (_gateway, address) = door(&backend);
    let answer = block(async { Http2::connect(address).await.get("a.test", "/").await });
    let expected = fields(&[
        ("server", "app"),
        ("date", "then"),
        ("x-kept", "1"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("content-length", "0"),
    ]);
    assert_eq!(answer.headers, expected);
}

#[test]
fn a_hundred_streams_at_once() {
    let backend = Backend::with(
        "app",
        Reply::computed(|seen| {
            let number: u64 = seen.line().split(['/', ' ']).nth(2).unwrap().parse().unwrap();
            std::thread::sleep(Duration::from_millis(5 * (100 - number % 100)));
            let body = format!("answer {number}");
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        }),
    );
    let (gateway, address) = door(&backend);
    block(async {
        let client = std::rc::Rc::new(Http2::connect(address).await);
        assert_eq!(client.get("a.test", "/0").await.text(), "answer 0");
        assert_eq!(
            client.sender.current_max_send_streams(),
            100,
            "what the door allows at once"
        );
        let started = Instant::now();
        let tasks: Vec<_> = (0..300)
            .map(|number| {
                let client = std::rc::Rc::clone(&client);
                tokio::task::spawn_local(async move {
                    (number, client.get("a.test", &format!("/{number}")).await.text())
                })
            })
            .collect();
        for task in tasks {
            let (number, text) = task.await.unwrap();
            assert_eq!(text, format!("answer {number}"));
        }
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "they run beside each other"
        );
    });
    gateway.counts(
        "blastdoor_requests_total",
        &[("listener", DOOR), ("status_class", "2xx")],
        301.0,
    );
    assert!(
        backend.connections() <= 101,
        "{} connections to the backend",
        backend.connections()
    );
}

/// The backend answers before it has read the request: the client gets that answer, and its connection continues.
#[test]
fn an_answer_before_the_end_of_the_request_is_relayed() {
    let backend = Backend::with(
        "app",
        Reply::Early(
            b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig".to_vec(),
        ),
    );
    let (gateway, address) = door(&backend);
    block(async {
        let client = Http2::connect(address).await;
        for _ in 0..5 {
            let answer = client
                .exchange(request("POST", "a.test", "/"), &pattern(3 * MIB))
                .await;
            assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
        }
        assert_eq!(
            client
                .exchange(request("POST", "b.test", "/"), &pattern(3 * MIB))
                .await
                .status,
            404,
            "so do answers of the gateway's own"
        );
        backend.reply(Reply::Name);
        assert_eq!(client.get("a.test", "/").await.text(), "app");
    });
    gateway.until("no stream is left", |gateway| {
        gateway.metric("blastdoor_connections", &[("state", "active")]) == 0.0
    });
}

/// A response that is not read blocks only its own window: the others continue, and memory does not grow.
#[test]
fn a_stream_that_is_not_read_stalls_no_other() {
    let backend = Backend::with(
        "app",
        Reply::computed(|seen| {
            let size = if seen.line().contains("large") {
                32 * MIB
            } else {
                1000
            };
            let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes();
            answer.resize(answer.len() + size, b'x');
            answer
        }),
    );
    let (gateway, address) = started(gateway!().log("access = \"off\""), &backend);
    block(async {
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(64 * 1024)
            .initial_connection_window_size(16 * 1024 * 1024);
        let client = Http2::with(address, &builder).await;
        assert_eq!(client.get("a.test", "/small").await.body.len(), 1000);
        let before = gateway.resident();
        let mut unread = Vec::new();
        for _ in 0..20 {
            let (response, _) = client
                .open(request("GET", "a.test", "/large"), true)
                .await
                .unwrap();
            unread.push(response.await.unwrap());
        }
        for _ in 0..200 {
            assert_eq!(client.get("a.test", "/small").await.body.len(), 1000);
        }
        let grown = gateway.resident().saturating_sub(before);
        assert!(grown < 20 * MIB as u64, "20 streams of 32 MiB took {grown} bytes");
        let mut last = unread.pop().unwrap();
        assert_eq!(
            receive_body(last.body_mut()).await.unwrap().len(),
            32 * MIB,
            "read at last, it is whole"
        );
    });
    gateway.until("the others were given up", |gateway| {
        gateway.metric("blastdoor_connections", &[]) == 0.0
    });
}

/// A request body that the backend does not read stops at the windows; the others continue.
#[test]
fn an_upload_that_is_not_read_stalls_no_other() {
    let backend = Backend::with("app", Reply::echo());
    let stuck = Backend::with(
        "stuck",
        Reply::script(|stream, _| {
            // Reads nothing until the connection ends.
            std::thread::sleep(Duration::from_secs(3));
            let _rest = stream.read_to_end(&mut Vec::new());
        }),
    );
    let gateway = gateway!()
        .log("access = \"off\"")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .manifest(
            "stuck.yaml",
            &manifest::app("stuck", DOOR, "stuck.test", stuck.port()),
        )
        .start();
    block(async {
        let client = Http2::connect(gateway.door(DOOR)).await;
        assert_eq!(client.get("a.test", "/").await.status, 200);
        let before = gateway.resident();
        let (_response, mut outgoing) = client
            .open(request("POST", "stuck.test", "/"), false)
            .await
            .unwrap();
        let chunk = vec![b'x'; 64 * 1024];
        let mut sent = 0;
        while let Ok(count) =
            tokio::time::timeout(Duration::from_millis(500), send_some(&mut outgoing, &chunk)).await
        {
            sent += count.unwrap();
            assert!(sent < 64 * MIB, "nothing holds the client back");
        }
        for _ in 0..20 {
            let answer = client
                .exchange(request("POST", "a.test", "/"), &pattern(300_000))
                .await;
            assert_eq!(answer.body.len(), 300_000);
        }
        let grown = gateway.resident().saturating_sub(before);
        assert!(grown < 8 * MIB as u64, "{sent} bytes that wait took {grown}");
        outgoing.send_reset(Reason::CANCEL);
    });
}

/// A client that resets a stream also ends the backend's work: the backend's connection is not reused, and nothing is sent
/// twice.
#[test]
fn a_reset_stream_leaves_nothing_behind() {
    let backend = Backend::with(
        "app",
        Reply::script(|stream, head| {
            if head.contains("/download") {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\nstart")
                    .unwrap();
            }
            // Until the gateway closes it.
            let _rest = stream.read_to_end(&mut Vec::new());
        }),
    );
    let (gateway, address) = door(&backend);
    block(async {
        let client = Http2::connect(address).await;
        for round in 0..10_usize {
            let upload = round % 2 == 0;
            let path = if upload { "/upload" } else { "/download" };
            let (response, mut outgoing) = client.open(request("POST", "a.test", path), false).await.unwrap();
            send_some(&mut outgoing, b"some").await.unwrap();
            if upload {
                while backend.requests() <= round {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            } else {
                let mut answer = response.await.unwrap();
                answer.body_mut().data().await.unwrap().unwrap();
            }
            outgoing.send_reset(Reason::CANCEL);
        }
        backend.reply(Reply::Name);
        assert_eq!(client.get("a.test", "/after").await.text(), "app");
    });
    assert_eq!((backend.requests(), backend.connections()), (11, 11));
    gateway.until("each has its line", |gateway| gateway.access_log().len() == 11);
    for line in &gateway.access_log()[..10] {
        assert_eq!(line["refusal"], "client_gone", "{line}");
    }
    assert_eq!(gateway.metric("blastdoor_upstream_retries_total", &[]), 0.0);
}

/// If the backend breaks while a POST is under way, the client gets an error, and the POST is not repeated.
#[test]
fn a_post_is_never_sent_twice() {
    let backend = Backend::start("app");
    let (_gateway, address) = door(&backend);
    block(async {
        let client = Http2::connect(address).await;
        for reply in [Reply::Close, Reply::Reset] {
            backend.reply(Reply::Name);
            client.get("a.test", "/").await;
            let before = backend.requests();
            backend.reply(reply);
            let answer = client.exchange(request("POST", "a.test", "/"), b"once").await;
            assert_eq!(answer.status, 502);
            assert_eq!(backend.requests(), before + 1);
        }
    });
}

#[test]
fn interim_answers_pass() {
    let backend = Backend::start("app");
    let (_gateway, address) = door(&backend);
    block(async {
        let client = Http2::connect(address).await;
        backend.reply(Reply::Raw(
            b"HTTP/1.1 103 Early Hints\r\nLink: </x.css>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                .to_vec(),
        ));
        let answer = client.get("a.test", "/").await;
        assert_eq!(
            (answer.interims.as_slice(), answer.text().as_str()),
            (&[103, 103][..], "ok")
        );

        backend.reply(Reply::script(|stream, head| {
            assert!(head.contains("Expect: 100-continue"), "{head}");
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
            let mut body = [0; 4];
            stream.read_exact(&mut body).unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
                .and_then(|()| stream.write_all(&body))
                .unwrap();
        }));
        let expecting = request_with(
            "POST",
            "a.test",
            "/",
            &[("expect", "100-continue"), ("content-length", "4")],
        );
        let (mut response, outgoing) = client.open(expecting, false).await.unwrap();
        let interim = poll_fn(|context| response.poll_informational(context)).await;
        assert_eq!(interim.unwrap().unwrap().status(), 100);
        send(outgoing, b"body", None).await.unwrap();
        assert_eq!(receive(response).await.unwrap().text(), "body");
    });
}

/// Cookies may be split into several fields (RFC 9113 8.2.3); a backend that reads HTTP/1.1 gets one field (RFC 6265
/// 5.4).
#[test]
fn split_cookies_are_joined() {
    let backend = Backend::start("app");
    let (_gateway, address) = door(&backend);
    block(async {
        let crumbs = [
            ("cookie", "a=1"),
            ("x-between", "y"),
            ("cookie", "b=2"),
            ("cookie", "c=3; d=4"),
        ];
        let client = Http2::connect(address).await;
        assert_eq!(
            client
                .exchange(request_with("GET", "a.test", "/", &crumbs), &[])
                .await
                .status,
            200
        );
    });
    assert_eq!(backend.last().field("cookie"), Some("a=1; b=2; c=3; d=4"));
}

#[test]
fn the_authority_is_the_host() {
    let backend = Backend::start("app");
    let (_gateway, address) = door(&backend);
    block(async {
        let client = Http2::connect(address).await;
        for (authority, host, status) in [
            ("a.test", None, 200),
            ("a.test", Some("a.test"), 200),
            ("A.TEST", Some("a.test"), 200),
            ("a.test.", None, 200),
            ("a.test:8080", None, 200),
            ("a.test", Some("a.test:80"), 200),
            ("a.test:80", Some("a.test"), 200),
            ("a.test", Some("a.test."), 200),
            ("a.test.", Some("A.TEST:80"), 200),
            ("a.test", Some("a.test:443"), 400),
            ("a.test", Some(""), 400),
            ("a.test", Some("a.test/"), 400),
            ("a.test", Some("b.test"), 400),
            ("b.test", Some("a.test"), 400),
            ("a.test", Some("a.test:81"), 400),
            ("user@a.test", None, 400),
        ] {
            let mut asked = request("GET", authority, "/");
            if let Some(host) = host {
                asked.headers_mut().insert("host", host.parse().unwrap());
            }
            let before = backend.requests();
            let answer = client.try_exchange(asked, &[], None).await;
            let got = answer.as_ref().map_or(400, |answer| answer.status);
            assert_eq!(got, status, "{authority} and {host:?}: {answer:?}");
            assert_eq!(backend.requests() - before, usize::from(status == 200));
            if status == 200 {
                assert_eq!(backend.last().fields("host").len(), 1);
                assert_eq!(
                    backend
                        .last()
                        .field("x-forwarded-host")
                        .map(str::to_lowercase)
                        .as_deref(),
                    Some(authority.to_lowercase().as_str())
                );
            }
        }
        // The answer to a request that has no head is the answer to that request, whatever came before it.
        for method in ["HEAD", "GET", "HEAD"] {
            client.exchange(request("HEAD", "a.test", "/"), &[]).await;
            let answer = client
                .exchange(request_with(method, "a.test", "/", &[("host", "b.test")]), &[])
                .await;
            let body = if method == "HEAD" { "" } else { "Bad Request\n" };
            assert_eq!((answer.status, answer.text().as_str()), (400, body), "{method}");
        }
        for fields in [
            &[("host", "a.test"), ("host", "a.test")][..],
            &[("host", "a.test"), ("host", "b.test")],
        ] {
            let answer = client
                .try_exchange(request_with("GET", "a.test", "/", fields), &[], None)
                .await;
            assert!(answer.is_err() || answer.unwrap().status == 400, "{fields:?}");
        }
    });
}

#[test]
fn forwarded_fields_are_the_gateways() {
    let backend = Backend::start("app");
    let (_gateway, address) = door(&backend);
    block(async {
        let client = Http2::connect(address).await;
        let claims = [
            ("x-forwarded-for", "8.8.8.8"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.test"),
            ("x-real-ip", "8.8.8.8"),
            ("forwarded", "for=8.8.8.8"),
            ("x-blastdoor-door", "internal-http"),
            ("x_forwarded_for", "8.8.8.8"),
        ];
        client
            .exchange(request_with("GET", "a.test", "/p?q=1", &claims), &[])
            .await;
    });
    let seen = backend.last();
    assert_eq!(seen.line(), "GET /p?q=1 HTTP/1.1");
    for (name, value) in [
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-port", Some("80")),
        ("x-forwarded-host", Some("a.test")),
        ("x-real-ip", Some("127.0.0.1")),
        ("x-blastdoor-door", Some(DOOR)),
        ("forwarded", None),
        ("x_forwarded_for", None),
        ("host", Some("a.test")),
    ] {
        assert_eq!(seen.field(name), value, "{name}");
    }
    assert!(seen.field("x-request-id").is_some_and(|id| id.len() > 8));
}

#[test]
fn limits_of_a_head() {
    let backend = Backend::start("app");
    let (_gateway, address) = door(&backend);
    block(async {
        let client = Http2::connect(address).await;
        let many = |count: usize| {
            let mut asked = request("GET", "a.test", "/");
            for number in 0..count {
                let name: http::HeaderName = format!("x-{number}").parse().unwrap();
                asked.headers_mut().insert(name, "y".parse().unwrap());
            }
            asked
        };
        // `Host` is the hundredth.
        assert_eq!(client.exchange(many(99), &[]).await.status, 200);
        assert_eq!(client.exchange(many(100), &[]).await.status, 431);
        for (length, status) in [(8_000, 200), (16_384, 200), (16_385, 414), (30_000, 414)] {
            let path = "/".to_owned() + &"p".repeat(length - 1);
            assert_eq!(
                client.exchange(request("GET", "a.test", &path), &[]).await.status,
                status,
                "{length}"
            );
        }
        for (length, status) in [(30_000, 200), (33_000, 431), (100_000, 431)] {
            let value = "v".repeat(length);
            let answer = client
                .exchange(request_with("GET", "a.test", "/", &[("x-long", &value)]), &[])
                .await;
            assert_eq!(answer.status, status, "{length}");
        }
        assert_eq!(
            client.get("a.test", "/").await.text(),
            "app",
            "the connection goes on"
        );
    });
    assert_eq!(
        backend
            .seen()
            .iter()
            .filter(|seen| seen.head.contains("x-99"))
            .count(),
        0
    );
}

#[test]
fn the_number_of_streams_is_limited() {
    let backend = Backend::with("app", Reply::Silence);
    let (_gateway, address) = started(gateway!().door(DOOR, "limits = { h2_streams = 3 }"), &backend);
    block(async {
        let client = std::rc::Rc::new(Http2::connect(address).await);
        assert_eq!(client.get("b.test", "/").await.status, 404);
        for _ in 0..5 {
            let client = std::rc::Rc::clone(&client);
            tokio::task::spawn_local(async move { client.get("a.test", "/").await });
        }
        assert_eq!(client.sender.current_max_send_streams(), 3);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(backend.requests(), 3, "the others wait at the client");
    });
}

#[test]
fn a_body_limit_counts_what_arrives() {
    let backend = Backend::start("app");
    let (_gateway, address) = started(gateway!().door(DOOR, "limits = { body = \"1MiB\" }"), &backend);
    block(async {
        let client = Http2::connect(address).await;
        for (size, status) in [(MIB, 200), (MIB + 1, 413), (4 * MIB, 413)] {
            for with_length in [true, false] {
                let mut asked = request("POST", "a.test", "/");
                if with_length {
                    asked.headers_mut().insert("content-length", size.into());
                }
                let answer = client.exchange(asked, &pattern(size)).await;
                assert_eq!(answer.status, status, "{size}, with length: {with_length}");
            }
        }
        assert_eq!(client.get("a.test", "/").await.status, 200);
    });
}

/// Extended CONNECT (RFC 8441): a WebSocket on one of several streams.
#[test]
fn a_websocket_passes_over_a_stream() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut socket = tungstenite::accept(stream.unwrap()).unwrap();
                while let Ok(message) = socket.read() {
                    if message.is_text() || message.is_binary() {
                        socket.send(message).unwrap();
                    }
                }
            });
        }
    });
    let plain = Backend::start("app");
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", plain.port()))
        .manifest("ws.yaml", &manifest::app("ws", DOOR, "ws.test", port))
        .start();
    block(async {
        let client = Http2::connect(gateway.door(DOOR)).await;
        client.get("a.test", "/").await;
        assert!(client.sender.is_extended_connect_protocol_enabled());
        let (response, mut outgoing) = client.open(connect("websocket", "ws.test"), false).await.unwrap();
        let mut answer = response.await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().contains_key("sec-websocket-accept"));
        assert!(!answer.headers().contains_key("connection"));
        assert!(!answer.headers().contains_key("upgrade"));
        for size in [0, 5, 125, 126, 65_536, 1_000_000] {
            let payload = pattern(size);
            let masked = websocket_frame(&payload, Some([1, 2, 3, 4]));
            let expected = websocket_frame(&payload, None);
            let upload = async {
                let mut rest = &masked[..];
                while !rest.is_empty() {
                    let sent = send_some(&mut outgoing, rest).await.unwrap();
                    rest = &rest[sent..];
                }
            };
            let download = async {
                let mut got = Vec::new();
                while got.len() < expected.len() {
                    let chunk = answer.body_mut().data().await.unwrap().unwrap();
                    answer
                        .body_mut()
                        .flow_control()
                        .release_capacity(chunk.len())
                        .unwrap();
                    got.extend_from_slice(&chunk);
                }
                got
            };
            let ((), got) = tokio::join!(upload, download);
            assert!(got == expected, "{size} bytes");
            assert_eq!(
                client.get("a.test", "/").await.text(),
                "app",
                "other streams go on"
            );
        }
        // Its end is the end of the tunnel both ways.
        outgoing.send_data(Bytes::new(), true).unwrap();
        assert!(receive_body(answer.body_mut()).await.is_ok());

        for (protocol, host, status) in [("websocket", "b.test", 404), ("connect-udp", "ws.test", 501)] {
            let answer = client.exchange(connect(protocol, host), &[]).await;
            assert_eq!(answer.status, status, "{protocol} at {host}");
        }
        let refused = client.exchange(connect("websocket", "a.test"), &[]).await;
        assert_eq!(
            refused.status, 502,
            "a backend that does not switch: its 200 would say that the WebSocket is open"
        );
    });
    gateway.until("the tunnel has gone", |gateway| {
        gateway.metric("blastdoor_connections", &[("state", "active")]) == 0.0
    });
}

fn connect(protocol: &'static str, host: &str) -> http::Request<()> {
    let mut asked = request_with(
        "CONNECT",
        host,
        "/chat",
        &[("sec-websocket-version", "13"), ("origin", "http://ws.test")],
    );
    asked
        .extensions_mut()
        .insert(h2::ext::Protocol::from_static(protocol));
    asked
}

/// A binary message (RFC 6455 5.2).
fn websocket_frame(payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut frame = vec![0x82];
    let bit = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        short @ ..126 => frame.push(bit | short as u8),
        middle @ ..65_536 => {
            frame.push(bit | 126);
            frame.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            frame.push(bit | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    if let Some(mask) = mask {
        frame.extend_from_slice(&mask);
        frame.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
    } else {
        frame.extend_from_slice(payload);
    }
    frame
}

/// CONNECT asks for a tunnel past the routing table; TRACE for the request's own secrets.
#[test]
fn refused_methods() {
    let backend = Backend::start("app");
    let (_gateway, address) = door(&backend);
    block(async {
        let client = Http2::connect(address).await;
        let tunnel = http::Request::builder()
            .method("CONNECT")
            .uri("a.test:80")
            .body(())
            .unwrap();
        assert_eq!(client.exchange(tunnel, &[]).await.status, 405);
        let trace = client.exchange(request("TRACE", "a.test", "/"), &[]).await;
        assert_eq!((trace.status, trace.field("allow").is_some()), (405, true));
        assert_eq!(
            client.exchange(request("BREW", "a.test", "/"), &[]).await.status,
            200,
            "an unknown one is the backend's"
        );
    });
    assert_eq!(backend.requests(), 1);
}

#[test]
fn own_answers() {
    let backend = Backend::start("app");
    let inside = Backend::start("inside");
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .manifest(
            "inside.yaml",
            &manifest::app("inside", "internal-http", "inside.test", inside.port()),
        )
        .manifest(
            "empty.yaml",
            &(manifest::ingress("empty", DOOR, &[("empty.test", "Prefix", "/", "empty")])
                + &manifest::service("empty", &[])),
        )
        .start();
    block(async {
        let client = Http2::connect(gateway.door(DOOR)).await;
        for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS"] {
            let nowhere = client.exchange(request(method, "nowhere.test", "/x"), &[]).await;
            let elsewhere = client.exchange(request(method, "inside.test", "/x"), &[]).await;
            assert_eq!(nowhere.status, 404);
            assert!(nowhere.headers.contains_key("date"));
            let nowhere = nowhere.without_date();
            assert_eq!(
                nowhere.headers,
                fields(&[
                    ("content-type", "text/plain; charset=utf-8"),
                    ("content-length", "10")
                ])
            );
            assert_eq!(nowhere.text(), if method == "HEAD" { "" } else { "Not Found\n" });
            assert_eq!(elsewhere.without_date(), nowhere, "{method}");
        }
        let none = client.get("empty.test", "/").await;
        assert_eq!((none.status, none.field("retry-after")), (503, Some("1")));
        for path in ["/a/../b", "/%2e%2e/b", "/%00", "/a\\..\\b", "/%zz"] {
            let Ok(uri) = format!("http://a.test{path}").parse::<http::Uri>() else {
                continue;
            };
            let asked = http::Request::builder().uri(uri).body(()).unwrap();
            assert_eq!(client.exchange(asked, &[]).await.status, 400, "{path}");
        }
        assert_eq!(client.get("a.test", "/").await.status, 200);
    });
    assert_eq!((backend.requests(), inside.connections()), (1, 0));
}

#[test]
fn the_log_and_metrics_of_http2_requests() {
    let backend = Backend::start("app");
    let (gateway, address) = door(&backend);
    block(async {
        let client = Http2::connect(address).await;
        let asked = request_with(
            "POST",
            "a.test",
            "/path?token=secret",
            &[("x-request-id", "id-1")],
        );
        client.exchange(asked, b"body").await;
        client.get("b.test", "/none").await;
        let listener = ("listener", DOOR);
        gateway.until("two lines", |gateway| gateway.access_log().len() == 2);
        let log = gateway.access_log();
        let mut first = log[0].clone();
        let fields = first.as_object_mut().unwrap();
        assert!(fields.remove("time").is_some());
        for number in ["duration_ms", "connect_ms", "first_byte_ms"] {
            assert!(fields.remove(number).unwrap().is_number(), "{number}");
        }
        let id = fields.remove("request_id").unwrap();
        assert_eq!(backend.last().field("x-request-id"), id.as_str());
        let expected = serde_json::json!({
            "listener": DOOR, "client": "127.0.0.1", "method": "POST", "host": "a.test", "path": "/path", "status": 200,
            "bytes_in": 4, "bytes_out": 3, "upstream": format!("127.0.0.1:{}", backend.port()), "ingress": "test/app",
            "refusal": null, "network.protocol.version": "2", "service": "test/app", "attempts": 1,
        });
        assert_eq!(first, expected);
        assert_eq!(
            (&log[1]["status"], &log[1]["refusal"]),
            (&404.into(), &"no_route".into())
        );
        for (labels, expected) in [
            ([("method", "POST"), ("status_class", "2xx")], 1.0),
            ([("method", "GET"), ("status_class", "4xx")], 1.0),
        ] {
            let labels = [&[listener], &labels[..]].concat();
            gateway.counts("blastdoor_requests_total", &labels, expected);
        }
        gateway.counts("blastdoor_request_duration_seconds_count", &[listener], 2.0);
        gateway.until("idle", |gateway| {
            gateway.metric("blastdoor_connections", &[listener, ("state", "idle")]) == 1.0
        });
        assert_eq!(
            gateway.metric("blastdoor_connections", &[listener, ("state", "active")]),
            0.0
        );
    });
    assert_eq!(gateway.metric("blastdoor_panics_total", &[]), 0.0);
}

/// An idle connection gets GOAWAY before it ends.
#[test]
fn an_idle_connection_gets_goaway() {
    let backend = Backend::start("app");
    let (_gateway, address) = started(gateway!().door(DOOR, "idle_timeout = \"1s\""), &backend);
    block(async {
        let client = Http2::connect(address).await;
        for _ in 0..3 {
            assert_eq!(client.get("a.test", "/").await.status, 200);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let started = Instant::now();
        client.ended().await.unwrap();
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
    });
}

/// A long request is not idle.
#[test]
fn a_request_under_way_keeps_its_connection() {
    let backend = Backend::with(
        "app",
        Reply::computed(|_| {
            std::thread::sleep(Duration::from_secs(3));
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow".to_vec()
        }),
    );
    let (_gateway, address) = started(gateway!().door(DOOR, "idle_timeout = \"1s\""), &backend);
    let answer = block(async { Http2::connect(address).await.get("a.test", "/").await });
    assert_eq!(answer.text(), "slow");
}

/// Without `h2c` the preface is malformed HTTP/1.1.
#[test]
fn a_door_may_refuse_prior_knowledge() {
    let backend = Backend::start("app");
    let (_gateway, address) = started(gateway!().door(DOOR, "h2c = false"), &backend);
    assert_eq!(gateway_tests::get(address, "a.test", "/").status, 200);
    let raw = gateway_tests::exchange(address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("an answer");
    assert!((400..=505).contains(&raw.status), "{}", raw.status);
    assert_eq!(backend.requests(), 1);
}
