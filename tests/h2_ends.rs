//! The end of an HTTP/2 connection: what the gateway has sent arrives completely, however slowly it is read and whatever
//! the client still sends. The gateway does not wait for ever for a client that never closes.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::frames::{END_STREAM, End, Frame, Raw, data, frame, get, headers, kind};
use gateway_tests::http2::{
    Answer, Http2, block, fields, receive, receive_body, request_with, response, send,
};
use gateway_tests::{Backend, Gateway, Http2Backend, Reply, gateway, manifest, scaled};

const DOOR: &str = "external-http";

/// The number of requests after which a connection accepts no more.
const ROTATION: u32 = 10_000;

const LARGE: usize = 4 * 1024 * 1024;

/// A large answer at `/large`, and a short one elsewhere.
fn rig(lines: &str) -> (Gateway, SocketAddr, Backend) {
    let body = vec![b'l'; LARGE];
    let backend = Backend::with(
        "app",
        Reply::computed(move |seen| {
            let body = if seen.line().contains("/large") {
                &body[..]
            } else {
                b"ok"
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            [head.as_bytes(), body].concat()
        }),
    );
    backend.count_only();
    let gateway = gateway!()
        .every_door("drain = { wait = \"300ms\", timeout = \"30s\" }")
        .door(DOOR, lines)
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    (gateway, address, backend)
}

/// A client with room for everything at once, so that the socket alone slows the gateway down.
fn roomy(address: SocketAddr) -> Raw {
    let mut raw = Raw::with(address, &[(4, 0x7fff_ffff)]);
    raw.send(&frame(kind::WINDOW_UPDATE, 0, 0, &0x7ffe_0000_u32.to_be_bytes()));
    raw
}

/// Sends `count` short requests from stream `first` on, and reads all of their answers.
fn ask(raw: &mut Raw, first: u32, count: u32) {
    let streams: Vec<u32> = (0..count).map(|number| first + 2 * number).collect();
    for some in streams.chunks(50) {
        let requests: Vec<u8> = some
            .iter()
            .flat_map(|stream| headers(*stream, true, &get("a.test", "/", &[])))
            .collect();
        assert!(raw.send(&requests));
        let mut left = some.len();
        while left > 0 {
            let found = raw.frame(Duration::from_secs(60)).expect("an answer");
            acknowledge(raw, &found);
            left -= usize::from(found.stream > 0 && found.flags & END_STREAM != 0);
        }
    }
}

/// Answers SETTINGS and PING.
fn acknowledge(raw: &mut Raw, found: &Frame) {
    if matches!(found.kind, kind::SETTINGS | kind::PING) && found.flags & 1 == 0 {
        let payload: &[u8] = if found.kind == kind::PING {
            &found.payload
        } else {
            &[]
        };
        raw.send(&frame(found.kind, 1, 0, payload));
    }
}

/// Reads the answer of `stream` at a megabyte a second, with a PING and a WINDOW_UPDATE for each frame, as many clients
/// do. Returns how much of the body arrived, and whether its end did.
fn read_slowly(raw: &mut Raw, stream: u32) -> (usize, bool) {
    let mut length = 0;
    loop {
        let Ok(found) = raw.frame(Duration::from_secs(20)) else {
            return (length, false);
        };
        acknowledge(raw, &found);
        if found.kind == kind::DATA && found.stream == stream {
            length += found.payload.len();
            let room = u32::try_from(found.payload.len().max(1)).unwrap().to_be_bytes();
            raw.send(&frame(kind::WINDOW_UPDATE, 0, 0, &room));
            raw.send(&frame(kind::PING, 0, 0, b"measured"));
            std::thread::sleep(Duration::from_secs_f64(found.payload.len() as f64 / 1e6));
            if found.flags & END_STREAM != 0 {
                return (length, true);
            }
        }
    }
}

/// The answer that is under way when a connection has used up its requests.
#[test]
fn a_slow_reader_gets_all_of_it_at_the_rotation() {
    let (gateway, address, _backend) = rig("");
    let mut raw = roomy(address);
    ask(&mut raw, 1, ROTATION - 1);
    let last = 1 + 2 * (ROTATION - 1);
    raw.send(&headers(last, true, &get("a.test", "/large", &[])));
    assert_eq!(read_slowly(&mut raw, last), (LARGE, true));
    // It closes, and the connection is gone.
    drop(raw);
    gateway.until("the end", |gateway| {
        gateway.metric("blastdoor_connections", &[]) == 0.0
    });
}

#[test]
fn a_slow_reader_gets_all_of_it_in_a_drain() {
    let (mut gateway, address, backend) = rig("");
    let mut raw = roomy(address);
    raw.send(&headers(1, true, &get("a.test", "/large", &[])));
    gateway.until("it is under way", |_| backend.requests() == 1);
    gateway.terminate();
    assert_eq!(read_slowly(&mut raw, 1), (LARGE, true));
    drop(raw);
    assert_eq!(gateway.wait().code(), Some(0));
}

/// The gateway does not read for ever from a client that keeps sending, nor wait for one that does not close.
#[test]
fn a_client_that_never_closes_is_left_alone() {
    let (gateway, address, _backend) = rig("timeouts = { write_stall = \"1s\" }");
    let gone = |gateway: &Gateway| gateway.metric("blastdoor_connections", &[]) == 0.0;
    for silent in [true, false] {
        let mut raw = roomy(address);
        ask(&mut raw, 1, ROTATION);
        // The end of what the gateway sends.
        while let Ok(found) = raw.frame(Duration::from_secs(20)) {
            acknowledge(&mut raw, &found);
        }
        if !silent {
            let endless = data(1, false, &[0; 16 * 1024]);
            let until = Instant::now() + Duration::from_secs(30);
            while raw.send(&endless) && Instant::now() < until {}
        }
        gateway.until_patiently("it is given up", gone);
    }
}

/// The reason for a connection's end, while the client keeps sending.
#[test]
fn a_flooding_client_learns_why_its_connection_ends() {
    let (_gateway, address, _backend) = rig("");
    for _ in 0..20 {
        let mut raw = Raw::open(address);
        let pings = frame(kind::PING, 0, 0, b"12345678").repeat(2000);
        raw.send(&pings);
        let found = raw.end_of(1, Duration::from_secs(20));
        assert_eq!(found, End::GoAway(11));
    }
}

/// Forty callers of one gRPC service share a connection, as the calls of a channel do, across its rotation and across the
/// end of the gateway: each call gets its whole answer, or learns that it was not processed.
#[test]
fn forty_callers_lose_no_call_in_a_rotation_or_drain() {
    let backend = Http2Backend::start(|request, mut respond| async move {
        let mut incoming = request.into_body();
        let Ok(asked) = receive_body(&mut incoming).await else {
            return;
        };
        let head = response(200, &[("content-type", "application/grpc")]);
        let Ok(outgoing) = respond.send_response(head, false) else {
            return;
        };
        let answer = [&asked[..], &[b'a'; 2000]].concat();
        let _gone = send(outgoing, &answer, Some(fields(&[("grpc-status", "0")]))).await;
    });
    for run in 0..scaled("runs of forty callers", 1, 10) {
        let mut gateway = gateway!()
            .log("access = \"off\"")
            .every_door("drain = { wait = \"600ms\", timeout = \"20s\" }")
            .manifest(
                "app.yaml",
                &manifest::app_speaking("app", DOOR, "a.test", backend.port(), "grpc"),
            )
            .start();
        let address = gateway.door(DOOR);
        let calls = Arc::new(Calls::default());
        let callers = {
            let calls = Arc::clone(&calls);
            std::thread::spawn(move || block(forty(address, &calls)))
        };
        while calls.done.load(Ordering::SeqCst) < ROTATION as usize + 2000 && !callers.is_finished() {
            std::thread::sleep(Duration::from_millis(5));
        }
        gateway.terminate();
        gateway.until("red", |gateway| gateway.admin("/lb/external-http").0 == 503);
        std::thread::sleep(Duration::from_millis(200));
        calls.stop.store(true, Ordering::SeqCst);
        let lost = callers.join().unwrap();
        assert_eq!(lost, Vec::<String>::new(), "run {run}, of {:?} calls", calls.done);
        assert!(calls.connections.load(Ordering::SeqCst) > 1, "it was rotated");
        assert_eq!(gateway.wait().code(), Some(0));
    }
}

#[derive(Default)]
struct Calls {
    done: AtomicUsize,
    connections: AtomicUsize,
    stop: AtomicBool,
}

/// Calls until it is stopped, and returns what was lost.
async fn forty(address: SocketAddr, calls: &Arc<Calls>) -> Vec<String> {
    let channel = Rc::new(RefCell::new(Rc::new(Http2::measuring(address).await)));
    calls.connections.store(1, Ordering::SeqCst);
    let tasks: Vec<_> = (0..40)
        .map(|caller| {
            let (channel, calls) = (Rc::clone(&channel), Arc::clone(calls));
            tokio::task::spawn_local(async move {
                let mut lost = Vec::new();
                while !calls.stop.load(Ordering::SeqCst) {
                    let client = Rc::clone(&channel.borrow());
                    match call(&client, caller).await {
                        Ok(answer) if is_whole(&answer, caller) => {
                            calls.done.fetch_add(1, Ordering::SeqCst);
                        }
                        Ok(answer) => lost.push(format!("{answer:?}")),
                        Err(None) => {
                            // It was not processed. Another caller may have replaced the connection meanwhile.
                            if Rc::ptr_eq(&client, &channel.borrow()) {
                                let fresh = Rc::new(Http2::measuring(address).await);
                                if Rc::ptr_eq(&client, &channel.borrow()) {
                                    *channel.borrow_mut() = fresh;
                                    calls.connections.fetch_add(1, Ordering::SeqCst);
                                }
                            }
                        }
                        Err(Some(error)) => lost.push(error.to_string()),
                    }
                }
                lost
            })
        })
        .collect();
    let mut lost = Vec::new();
    for task in tasks {
        lost.extend(task.await.unwrap());
    }
    lost
}

/// The answer to a call; no error if the call may be made again elsewhere.
async fn call(client: &Http2, caller: usize) -> Result<Answer, Option<h2::Error>> {
    let asked = request_with(
        "POST",
        "a.test",
        "/test.S/Call",
        &[("content-type", "application/grpc"), ("te", "trailers")],
    );
    let unprocessed = |error: h2::Error| {
        let told = error.is_remote()
            && (error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)
                || error.reason() == Some(h2::Reason::REFUSED_STREAM));
        (!told).then_some(error)
    };
    let (response, outgoing) = client.open(asked, false).await.map_err(|_closing| None)?;
    let _unwanted = send(outgoing, &question(caller), None).await;
    receive(response).await.map_err(unprocessed)
}

fn question(caller: usize) -> Vec<u8> {
    format!("question of {caller}").into_bytes()
}

fn is_whole(answer: &Answer, caller: usize) -> bool {
    answer.status == 200
        && answer.trailer("grpc-status") == Some("0")
        && answer.body.starts_with(&question(caller))
        && answer.body.len() == question(caller).len() + 2000
}
