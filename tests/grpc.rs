//! gRPC from end to end: messages framed by hand over HTTP/2 (gRPC over HTTP/2, "Protocol"), so that every field and
//! every frame boundary can be looked at. Stock clients and servers are in `tests/interop`.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway_tests::http2::{Answer, Http2, block, fields, receive, request_with, response, send, send_some};
use gateway_tests::{Backend, Gateway, Http2Backend, gateway, get, manifest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;

const DOOR: &str = "external-http";

/// A message with its prefix: not compressed, and its length.
fn message(text: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(text);
    framed
}

/// The messages of a whole body.
fn messages(mut body: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Some((prefix, rest)) = body.split_at_checked(5) {
        assert_eq!(prefix[0], 0);
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize;
        found.push(rest[..length].to_vec());
        body = &rest[length..];
    }
    assert_eq!(body, b"", "a message is cut");
    found
}

/// Reads messages one by one from a body that goes on.
struct Messages {
    body: RecvStream,
    pending: Vec<u8>,
}

impl Messages {
    fn new(body: RecvStream) -> Self {
        Self {
            body,
            pending: Vec::new(),
        }
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some((prefix, rest)) = self.pending.split_at_checked(5) {
                let length = u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize;
                if let Some(text) = rest.get(..length) {
                    let text = text.to_vec();
                    self.pending.drain(..5 + length);
                    return Some(text);
                }
            }
            let chunk = self.body.data().await?.ok()?;
            self.body.flow_control().release_capacity(chunk.len()).unwrap();
            self.pending.extend_from_slice(&chunk);
        }
    }
}

fn call(path: &str, more: &[(&str, &str)]) -> Request<()> {
    let mut all = vec![("content-type", "application/grpc"), ("te", "trailers")];
    all.extend_from_slice(more);
    request_with("POST", "a.test", path, &all)
}

/// A service of all four kinds of calls.
async fn serve(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let head = response(200, &[("content-type", "application/grpc"), ("x-initial", "i")]);
    let path = request.uri().path().to_owned();
    let echoed = request.headers().get("x-data-bin").cloned();
    let mut incoming = Messages::new(request.into_body());
    let mut done = fields(&[("grpc-status", "0"), ("grpc-message", "fine")]);
    if let Some(value) = echoed {
        done.insert("x-data-bin", value);
    }
    match path.as_str() {
        "/test.S/Unary" => {
            let text = incoming.next().await.unwrap_or_default();
            let outgoing = respond.send_response(head, false).unwrap();
            send(outgoing, &message(&text), Some(done)).await.unwrap();
        }
        "/test.S/Upload" => {
            let mut count = 0;
            while incoming.next().await.is_some() {
                count += 1;
            }
            let outgoing = respond.send_response(head, false).unwrap();
            send(
                outgoing,
                &message(format!("{count} messages").as_bytes()),
                Some(done),
            )
            .await
            .unwrap();
        }
        "/test.S/Download" => {
            incoming.next().await;
            let mut outgoing = respond.send_response(head, false).unwrap();
            for number in 0..100 {
                let framed = message(format!("message {number}").as_bytes());
                outgoing.send_data(framed.into(), false).unwrap();
            }
            outgoing.send_trailers(done).unwrap();
        }
        "/test.S/Chat" => {
            let mut outgoing = respond.send_response(head, false).unwrap();
            while let Some(text) = incoming.next().await {
                if outgoing.send_data(message(&text).into(), false).is_err() {
                    return;
                }
            }
            let _gone = outgoing.send_trailers(done);
        }
        "/test.S/Refuse" => {
            let head = response(
                200,
                &[
                    ("content-type", "application/grpc"),
                    ("grpc-status", "5"),
                    ("grpc-message", "not here"),
                ],
            );
            respond.send_response(head, true).unwrap();
        }
        "/test.S/Never" => {
            // Until it is cancelled.
            let reset = poll_fn(|context| respond.poll_reset(context)).await;
            assert_eq!(reset.unwrap(), Reason::CANCEL);
        }
        "/test.S/Begin" => {
            let mut outgoing = respond.send_response(head, false).unwrap();
            outgoing.send_data(message(b"begun").into(), false).unwrap();
            let _reset = poll_fn(|context| outgoing.poll_reset(context)).await;
        }
        _ => respond.send_response(response(404, &[]), true).map(drop).unwrap(),
    }
}

fn rig(app_protocol: &str) -> (Gateway, SocketAddr, Http2Backend) {
    let backend = Http2Backend::start(serve);
    let gateway = gateway!()
        .door(
            DOOR,
            "timeouts = { response_head = \"1s\", response_idle = \"1s\", body_idle = \"1s\" }",
        )
        .manifest(
            "app.yaml",
            &manifest::app_speaking("app", DOOR, "a.test", backend.port(), app_protocol),
        )
        .start();
    let address = gateway.door(DOOR);
    (gateway, address, backend)
}

fn assert_fine(answer: &Answer) {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("content-type"), Some("application/grpc"));
    assert_eq!(answer.field("x-initial"), Some("i"));
    assert_eq!(
        (answer.trailer("grpc-status"), answer.trailer("grpc-message")),
        (Some("0"), Some("fine"))
    );
}

#[test]
fn the_four_kinds_of_calls() {
    for app_protocol in ["kubernetes.io/h2c", "grpc"] {
        let (_gateway, address, backend) = rig(app_protocol);
        block(async {
            let client = Http2::connect(address).await;
            for size in [0, 1, 20_000, 4 * 1024 * 1024] {
                let text = vec![b'm'; size];
                let answer = client.exchange(call("/test.S/Unary", &[]), &message(&text)).await;
                assert_fine(&answer);
                assert_eq!(messages(&answer.body), [text]);
            }
            let upload: Vec<u8> = (0..200).flat_map(|number| message(&vec![b'u'; number])).collect();
            let answer = client.exchange(call("/test.S/Upload", &[]), &upload).await;
            assert_fine(&answer);
            assert_eq!(messages(&answer.body), [b"200 messages"]);

            let answer = client
                .exchange(call("/test.S/Download", &[]), &message(b"go"))
                .await;
            assert_fine(&answer);
            assert_eq!(messages(&answer.body).len(), 100);
            assert_eq!(messages(&answer.body)[99], b"message 99");

            let (pending, mut outgoing) = client.open(call("/test.S/Chat", &[]), false).await.unwrap();
            send_some(&mut outgoing, &message(b"first")).await.unwrap();
            let (head, body) = pending.await.unwrap().into_parts();
            assert_eq!(head.status, 200);
            let mut answers = Messages::new(body);
            assert_eq!(answers.next().await.unwrap(), b"first");
            for number in 0..50 {
                // Each answer comes before the next question is asked.
                let text = format!("question {number}");
                send_some(&mut outgoing, &message(text.as_bytes())).await.unwrap();
                assert_eq!(answers.next().await.unwrap(), text.as_bytes());
            }
            outgoing.send_data(Bytes::new(), true).unwrap();
            assert_eq!(answers.next().await, None);
            let trailers = answers.body.trailers().await.unwrap().unwrap();
            assert_eq!(trailers["grpc-status"], "0");
        });
        assert_eq!(
            backend.connections(),
            1,
            "{app_protocol}: one connection carries them all"
        );
    }
}

#[test]
fn metadata_pass_both_ways() {
    let (_gateway, address, _backend) = rig("grpc");
    block(async {
        let client = Http2::connect(address).await;
        let more = [
            ("x-data-bin", "AAEC/w=="),
            ("grpc-accept-encoding", "gzip"),
            ("user-agent", "test/1"),
        ];
        let answer = client
            .exchange(call("/test.S/Unary", &more), &message(b"x"))
            .await;
        assert_fine(&answer);
        assert_eq!(answer.trailer("x-data-bin"), Some("AAEC/w=="));
    });
}

#[test]
fn a_grpc_error_is_a_head_without_a_body() {
    let (_gateway, address, _backend) = rig("grpc");
    block(async {
        let client = Http2::connect(address).await;
        let (pending, outgoing) = client.open(call("/test.S/Refuse", &[]), false).await.unwrap();
        send(outgoing, &message(b"x"), None).await.unwrap();
        let answer = pending.await.unwrap();
        assert!(answer.body().is_end_stream(), "the head ends the stream");
        assert_eq!(
            (
                answer.status().as_u16(),
                &answer.headers()["grpc-status"],
                &answer.headers()["grpc-message"]
            ),
            (200, &"5".parse().unwrap(), &"not here".parse().unwrap())
        );
        let plain = client
            .exchange(call("/test.S/Unknown", &[]), &message(b"x"))
            .await;
        assert_eq!(plain.status, 404, "what is no gRPC passes as it is");
    });
}

/// The gateway's own answers reach gRPC clients as a gRPC status (gRPC, "Status codes and their use").
#[test]
fn errors_of_the_gateway_have_a_grpc_status() {
    let (silent, closed) = (Http2Backend::start(serve), Backend::start("closed"));
    closed.stop();
    let empty = manifest::ingress("empty", DOOR, &[("empty.test", "Prefix", "/", "empty")])
        + &manifest::service_speaking("empty", &[], "grpc");
    let gateway = gateway!()
        .door(
            DOOR,
            "timeouts = { connect = \"500ms\" }\nlimits = { body = \"1KiB\" }",
        )
        .manifest("empty.yaml", &empty)
        .manifest(
            "closed.yaml",
            &manifest::app_speaking("closed", DOOR, "closed.test", closed.port(), "grpc"),
        )
        .manifest(
            "silent.yaml",
            &manifest::app_speaking("silent", DOOR, "silent.test", silent.port(), "grpc"),
        )
        .start();
    block(async {
        let client = Http2::connect(gateway.door(DOOR)).await;
        let rows: [(&str, &str, &[(&str, &str)], usize, &str); 5] = [
            ("no route", "nowhere.test", &[], 5, "12"),
            ("no endpoint", "empty.test", &[], 5, "14"),
            ("no connection", "closed.test", &[], 5, "14"),
            (
                "too large a message",
                "silent.test",
                &[("content-length", "5000")],
                5000,
                "8",
            ),
            ("a deadline", "silent.test", &[("grpc-timeout", "300m")], 5, "4"),
        ];
        for (what, host, more, size, status) in rows {
            for kind in [
                "application/grpc",
                "application/grpc+proto",
                "application/grpc;x=y",
            ] {
                let mut asked = call("/test.S/Never", more);
                *asked.uri_mut() = format!("http://{host}/test.S/Never").parse().unwrap();
                asked.headers_mut().insert("content-type", kind.parse().unwrap());
                let answer = client.exchange(asked, &vec![0; size]).await;
                assert_eq!((answer.status, answer.body.len()), (200, 0), "{what}");
                assert_eq!(answer.field("grpc-status"), Some(status), "{what}");
                assert_eq!(answer.field("content-type"), Some("application/grpc"), "{what}");
                assert!(answer.field("grpc-message").is_some(), "{what}");
                assert_eq!(answer.trailers, None, "{what}: the head is all");
            }
        }
        let mut web = call("/x", &[]);
        *web.uri_mut() = "http://nowhere.test/".parse().unwrap();
        web.headers_mut()
            .insert("content-type", "application/grpc-web".parse().unwrap());
        assert_eq!(
            client.exchange(web, &[]).await.status,
            404,
            "what only looks like it is answered in HTTP"
        );
    });
    gateway.until("lines", |gateway| gateway.access_log().len() == 16);
    let refusals: Vec<String> = gateway
        .access_log()
        .iter()
        .map(|line| line["refusal"].as_str().unwrap_or("-").to_owned())
        .collect();
    assert_eq!(refusals[0], "no_route");
    assert_eq!(refusals[12], "deadline_exceeded");
}

#[test]
fn a_deadline_ends_a_call() {
    let (gateway, address, backend) = rig("grpc");
    block(async {
        let client = Http2::connect(address).await;
        for (timeout, least) in [("400m", 350), ("1S", 950), ("300000u", 250)] {
            let started = Instant::now();
            let answer = client
                .exchange(
                    call("/test.S/Never", &[("grpc-timeout", timeout)]),
                    &message(b"x"),
                )
                .await;
            assert_eq!(answer.field("grpc-status"), Some("4"), "{timeout}");
            let took = started.elapsed();
            assert!(
                took >= Duration::from_millis(least) && took < Duration::from_secs(3),
                "{timeout}: {took:?}"
            );
        }
        let answer = client
            .exchange(call("/test.S/Begin", &[("grpc-timeout", "500m")]), &message(b"x"))
            .await;
        assert_eq!(
            (answer.status, messages(&answer.body)),
            (200, vec![b"begun".to_vec()])
        );
        assert_eq!(
            answer.trailer("grpc-status"),
            Some("4"),
            "a stream under way ends with trailers"
        );
        // What does not parse is no deadline.
        for timeout in ["1", "x", "123456789S", "1X", "-1S"] {
            let answer = client
                .exchange(
                    call("/test.S/Unary", &[("grpc-timeout", timeout)]),
                    &message(b"x"),
                )
                .await;
            assert_fine(&answer);
        }
    });
    gateway.until("the backend is told", |_| backend.under_way() == 0);
}

/// A server keeps the deadline as well, and its clock may be a moment ahead of the gateway's (gRPC, "Deadlines").
#[test]
fn a_cancel_at_the_deadline_is_deadline_exceeded() {
    let backend = Http2Backend::start(|request, mut respond| async move {
        let after = request.uri().path().rsplit('/').next().unwrap().parse().unwrap();
        let begun = request.uri().path().contains("Begun").then(|| {
            let mut outgoing = respond
                .send_response(response(200, &[("content-type", "application/grpc")]), false)
                .unwrap();
            outgoing.send_data(message(b"begun").into(), false).unwrap();
            outgoing
        });
        tokio::time::sleep(Duration::from_millis(after)).await;
        match begun {
            Some(mut outgoing) => outgoing.send_reset(Reason::CANCEL),
            None => respond.send_reset(Reason::CANCEL),
        }
    });
    let gateway = speaking_grpc(&backend);
    block(async {
        let client = Http2::connect(gateway.door(DOOR)).await;
        // Milliseconds after which the backend cancels a call that has two seconds, and the status.
        for (after, status) in [(100, "1"), (1980, "4"), (1995, "4"), (2000, "4"), (2005, "4")] {
            let asked = |kind| call(&format!("/test.S/{kind}/{after}"), &[("grpc-timeout", "2S")]);
            let (head, begun) = (asked("Head"), asked("Begun"));
            let question = message(b"x");
            let (head, begun) = tokio::join!(
                client.exchange(head, &question),
                client.exchange(begun, &question)
            );
            assert_eq!(head.field("grpc-status"), Some(status), "{after}");
            assert_eq!(begun.trailer("grpc-status"), Some(status), "{after}");
        }
    });
}

/// gRPC over HTTP/2, "Errors": what a reset of the backend means.
#[test]
fn resets_have_a_grpc_status() {
    let backend = Http2Backend::start(|request, mut respond| async move {
        let code: u32 = request.uri().path().rsplit('/').next().unwrap().parse().unwrap();
        if request.uri().path().contains("Begun") {
            let mut outgoing = respond
                .send_response(response(200, &[("content-type", "application/grpc")]), false)
                .unwrap();
            outgoing.send_data(message(b"begun").into(), false).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            outgoing.send_reset(code.into());
        } else {
            respond.send_reset(code.into());
        }
    });
    let gateway = speaking_grpc(&backend);
    block(async {
        let client = Http2::connect(gateway.door(DOOR)).await;
        for (reason, status) in [
            (Reason::NO_ERROR, "13"),
            (Reason::PROTOCOL_ERROR, "13"),
            (Reason::INTERNAL_ERROR, "13"),
            (Reason::FLOW_CONTROL_ERROR, "13"),
            (Reason::SETTINGS_TIMEOUT, "13"),
            (Reason::FRAME_SIZE_ERROR, "13"),
            (Reason::REFUSED_STREAM, "14"),
            (Reason::CANCEL, "1"),
            (Reason::COMPRESSION_ERROR, "13"),
            (Reason::CONNECT_ERROR, "13"),
            (Reason::ENHANCE_YOUR_CALM, "8"),
            (Reason::INADEQUATE_SECURITY, "7"),
        ] {
            let code = u32::from(reason);
            let head = client
                .exchange(call(&format!("/test.S/Head/{code}"), &[]), &message(b"x"))
                .await;
            assert_eq!(
                (head.status, head.field("grpc-status")),
                (200, Some(status)),
                "{reason:?}"
            );
            if reason == Reason::REFUSED_STREAM {
                // After a response has begun it means nothing.
                continue;
            }
            let begun = client
                .exchange(call(&format!("/test.S/Begun/{code}"), &[]), &message(b"x"))
                .await;
            assert_eq!(
                (messages(&begun.body), begun.trailer("grpc-status")),
                (vec![b"begun".to_vec()], Some(status)),
                "{reason:?}"
            );
        }
    });
}

fn speaking_grpc(backend: &Http2Backend) -> Gateway {
    gateway!()
        .manifest(
            "app.yaml",
            &manifest::app_speaking("app", DOOR, "a.test", backend.port(), "grpc"),
        )
        .start()
}

/// Trailers obey the limits of heads, in both directions: within them they arrive completely, beyond them they are
/// refused.
#[test]
fn trailers_obey_the_limits() {
    let backend = Http2Backend::start(|request, mut respond| async move {
        let path = request.uri().path().to_owned();
        let mut incoming = request.into_body();
        let Ok(_body) = gateway_tests::http2::receive_body(&mut incoming).await else {
            return;
        };
        let Ok(arrived) = incoming.trailers().await else {
            return;
        };
        let arrived = arrived.map_or(0, |trailers| trailers.len());
        let head = response(
            200,
            &[
                ("content-type", "application/grpc"),
                ("x-arrived", &arrived.to_string()),
            ],
        );
        let mut trailers = http::HeaderMap::new();
        if let Some((_, wanted)) = path.split_once("/Send/") {
            let (count, length) = wanted.split_once('x').unwrap();
            trailers = many(count.parse().unwrap(), length.parse().unwrap());
        }
        trailers.insert("grpc-status", "0".parse().unwrap());
        let outgoing = respond.send_response(head, false).unwrap();
        let _gone = send(outgoing, &message(b"answer"), Some(trailers)).await;
    });
    let gateway = speaking_grpc(&backend);
    block(async {
        // Number and length of the values, and whether they are within a hundred fields and 32 KiB.
        for (count, length, within) in [
            (1, 10, true),
            (25, 1000, true),
            (99, 10, true),
            (101, 10, false),
            (60, 1000, false),
            (1, 31_000, true),
            (1, 33_000, false),
            (1, 100_000, false),
            (1, 150_000, false),
            (300, 1000, false),
        ] {
            let what = format!("{count} of {length} bytes");
            // Far too much may end the connection, which is an answer to it as well.
            let client = Http2::connect(gateway.door(DOOR)).await;
            let up = client
                .try_exchange(
                    call("/test.S/Count", &[]),
                    &message(b"x"),
                    Some(many(count, length)),
                )
                .await;
            match up {
                Ok(up) if within => {
                    assert_eq!(up.trailer("grpc-status"), Some("0"), "{what}");
                    assert_eq!(up.field("x-arrived"), Some(&*count.to_string()), "{what}");
                }
                Ok(up) => assert_eq!(up.field("grpc-status"), Some("8"), "{what}"),
                Err(error) => assert!(!within && count * length > 4 * 38_000, "{what}: {error}"),
            }
            let client = Http2::connect(gateway.door(DOOR)).await;
            let down = client
                .exchange(
                    call(&format!("/test.S/Send/{count}x{length}"), &[]),
                    &message(b"x"),
                )
                .await;
            assert_eq!(messages(&down.body), [b"answer"], "{what}");
            let expected = if within { "0" } else { "8" };
            assert_eq!(down.trailer("grpc-status"), Some(expected), "{what}");
            if within {
                assert_eq!(down.trailers.unwrap().len(), count + 1, "{what}");
            }
        }
    });
    // Behind one long field, the library leaves everything out.
    block(async {
        let client = Http2::connect(gateway.door(DOOR)).await;
        for wanted in ["1x300000", "1x800000", "300x1000", "9x100000"] {
            let down = client
                .exchange(call(&format!("/test.S/Send/{wanted}"), &[]), &message(b"x"))
                .await;
            assert_eq!(down.trailer("grpc-status"), Some("8"), "{wanted}");
        }
    });
}

fn many(count: usize, length: usize) -> http::HeaderMap {
    let value: http::HeaderValue = "v".repeat(length).parse().unwrap();
    (0..count)
        .map(|number| {
            let name = http::HeaderName::from_bytes(format!("x-{number}").as_bytes()).unwrap();
            (name, value.clone())
        })
        .collect()
}

#[test]
fn a_cancelled_call_is_cancelled_at_the_backend() {
    let (gateway, address, backend) = rig("grpc");
    block(async {
        let client = Http2::connect(address).await;
        for path in ["/test.S/Never", "/test.S/Begin", "/test.S/Chat"] {
            let (_pending, mut outgoing) = client.open(call(path, &[]), false).await.unwrap();
            send_some(&mut outgoing, &message(b"x")).await.unwrap();
            while backend.under_way() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            outgoing.send_reset(Reason::CANCEL);
            let started = Instant::now();
            while backend.under_way() > 0 {
                assert!(
                    started.elapsed() < Duration::from_secs(5),
                    "{path} goes on at the backend"
                );
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        assert_fine(&client.exchange(call("/test.S/Unary", &[]), &message(b"x")).await);
    });
    assert_eq!(backend.connections(), 1, "only the streams ended");
    assert_eq!(gateway.metric("blastdoor_panics_total", &[]), 0.0);
}

/// A call may stay open and silent for much longer than the door's timeouts.
#[test]
fn idle_streams_are_not_cut() {
    let (_gateway, address, _backend) = rig("grpc");
    block(async {
        let client = Http2::connect(address).await;
        let (pending, mut outgoing) = client.open(call("/test.S/Chat", &[]), false).await.unwrap();
        let mut answers = Messages::new(pending.await.unwrap().into_body());
        for text in [b"one", b"two"] {
            tokio::time::sleep(Duration::from_millis(2500)).await;
            send_some(&mut outgoing, &message(text)).await.unwrap();
            assert_eq!(answers.next().await.unwrap(), text);
        }
        outgoing.send_data(Bytes::new(), true).unwrap();
        assert_eq!(answers.next().await, None);
        assert_eq!(
            answers.body.trailers().await.unwrap().unwrap()["grpc-status"],
            "0"
        );
    });
}

#[test]
fn many_calls_at_once_share_connections() {
    let (_gateway, address, backend) = rig("kubernetes.io/h2c");
    block(async {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                tokio::task::spawn_local(async move {
                    let client = std::rc::Rc::new(Http2::connect(address).await);
                    let calls: Vec<_> = (0..50)
                        .map(|number| {
                            let client = std::rc::Rc::clone(&client);
                            tokio::task::spawn_local(async move {
                                let text = format!("call {number}");
                                let answer = client
                                    .exchange(call("/test.S/Unary", &[]), &message(text.as_bytes()))
                                    .await;
                                assert_fine(&answer);
                                assert_eq!(messages(&answer.body), [text.as_bytes()]);
                            })
                        })
                        .collect();
                    for call in calls {
                        call.await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(backend.requests(), 400);
    assert!(
        backend.connections() <= 16,
        "{} connections",
        backend.connections()
    );
}

/// A backend that drains its connections, as in a rolling restart, loses no call.
#[test]
fn a_backend_that_drains_loses_no_call() {
    let (_gateway, address, backend) = rig("grpc");
    block(async {
        let stop = std::rc::Rc::new(std::cell::Cell::new(false));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let stop = std::rc::Rc::clone(&stop);
                tokio::task::spawn_local(async move {
                    let client = Http2::connect(address).await;
                    let mut failures = Vec::new();
                    while !stop.get() {
                        let answer = client
                            .try_exchange(call("/test.S/Unary", &[]), &message(b"x"), None)
                            .await;
                        match answer {
                            Ok(answer) if answer.trailer("grpc-status") == Some("0") => {}
                            other => failures.push(format!("{other:?}")),
                        }
                    }
                    failures
                })
            })
            .collect();
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            backend.leave();
        }
        stop.set(true);
        for task in tasks {
            assert_eq!(task.await.unwrap(), Vec::<String>::new());
        }
    });
    assert!(
        backend.connections() > 10,
        "{} connections",
        backend.connections()
    );
}

/// A request that the backend has not processed is sent again; one that it reset is not, whatever its method.
#[test]
fn an_unprocessed_request_is_sent_again() {
    for (method, reason, expected, requests) in [
        ("POST", Reason::REFUSED_STREAM, 200, 2),
        ("POST", Reason::INTERNAL_ERROR, 502, 1),
        ("POST", Reason::CANCEL, 502, 1),
        ("GET", Reason::REFUSED_STREAM, 200, 2),
        ("GET", Reason::INTERNAL_ERROR, 502, 1),
    ] {
        let tries = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = std::sync::Arc::clone(&tries);
        let backend = Http2Backend::start(move |_, mut respond: SendResponse<Bytes>| {
            let first = counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            async move {
                if first {
                    respond.send_reset(reason);
                } else {
                    respond.send_response(response(200, &[]), true).map(drop).unwrap();
                }
            }
        });
        let gateway = gateway!()
            .manifest(
                "app.yaml",
                &manifest::app_speaking("app", DOOR, "a.test", backend.port(), "kubernetes.io/h2c"),
            )
            .start();
        let answer = block(async {
            let client = Http2::connect(gateway.door(DOOR)).await;
            client
                .exchange(request_with(method, "a.test", "/", &[]), &[])
                .await
        });
        assert_eq!(
            (answer.status, backend.requests()),
            (expected, requests),
            "{method} {reason:?}"
        );
    }
}

/// HTTP/1.1 clients also reach HTTP/2 backends.
#[test]
fn http1_reaches_http2() {
    let backend = Http2Backend::start(
        |request: Request<RecvStream>, mut respond: SendResponse<Bytes>| async move {
            let seen = format!(
                "{} {} {:?} {:?}",
                request.method(),
                request.uri(),
                request.headers().get("x-forwarded-for"),
                request.headers().get("connection"),
            );
            let mut body = request.into_body();
            let length = gateway_tests::http2::receive_body(&mut body).await.unwrap().len();
            let outgoing = respond
                .send_response(response(200, &[("x-length", &length.to_string())]), false)
                .unwrap();
            send(outgoing, seen.as_bytes(), None).await.unwrap();
        },
    );
    let gateway = gateway!()
        .manifest(
            "app.yaml",
            &manifest::app_speaking("app", DOOR, "a.test", backend.port(), "kubernetes.io/h2c"),
        )
        .start();
    let address = gateway.door(DOOR);
    let answer = get(address, "a.test", "/p?q=1");
    assert_eq!(answer.text(), "GET http://a.test/p?q=1 Some(\"127.0.0.1\") None");
    for body in [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let answer = gateway_tests::exchange(
            address,
            format!("POST / HTTP/1.1\r\nHost: a.test\r\nConnection: x-hop\r\nX-Hop: 1\r\n{body}"),
        )
        .unwrap();
        assert_eq!(
            (answer.status, answer.field("x-length")),
            (200, Some("5")),
            "{body}"
        );
    }
    let head = gateway_tests::exchange(address, "HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    block(async {
        let client = Http2::connect(address).await;
        let (pending, outgoing) = client
            .open(request_with("POST", "a.test", "/", &[]), false)
            .await
            .unwrap();
        send(outgoing, &vec![b'x'; 300_000], None).await.unwrap();
        assert_eq!(receive(pending).await.unwrap().field("x-length"), Some("300000"));
    });
    assert_eq!(backend.connections(), 1);
}
