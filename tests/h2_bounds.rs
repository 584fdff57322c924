//! What one HTTP/2 connection may cost, and that its streams do not end each other: a client that reads nothing holds a
//! bounded number of bytes, however many requests it sends; and a reader that stands still ends nobody else's requests.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_tests::frames::{
    END_HEADERS, END_STREAM, End, PREFACE, Raw, block, data, frame, get, headers, kind, request, settings,
};
use gateway_tests::{Backend, Gateway, Reply, gateway, manifest};

const DOOR: &str = "external-http";
const KIB: f64 = 1024.0;
const PATIENCE: Duration = Duration::from_secs(20);

/// SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_INITIAL_WINDOW_SIZE
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const REFUSED_STREAM: u32 = 7;

/// What connections hold beyond what the kernel and the backends' sockets do.
fn queued(gateway: &Gateway) -> f64 {
    gateway.metric("blastdoor_http2_unsent_bytes", &[("listener", DOOR)])
}

/// A client with room for everything, or with none.
fn client(address: SocketAddr, window: u32) -> Raw {
    let mut raw = Raw::with(address, &[(INITIAL_WINDOW_SIZE, window)]);
    if window > 0 {
        raw.send(&frame(kind::WINDOW_UPDATE, 0, 0, &0x7ffe_0000_u32.to_be_bytes()));
    }
    raw
}

/// A client for which little can wait in its kernel.
fn with_a_small_buffer(address: SocketAddr) -> Raw {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut raw = Raw::on(socket.into());
    raw.send(&[PREFACE, &settings(&[])].concat());
    raw
}

fn ask(raw: &mut Raw, count: u32) {
    let requests: Vec<u8> = (0..count)
        .flat_map(|number| headers(1 + 2 * number, true, &get("a.test", "/", &[])))
        .collect();
    assert!(raw.send(&requests));
}

/// What a hundred requests hold whose answers nobody reads: at most the bound, and one head beyond it.
#[test]
fn a_connection_holds_no_more_than_its_bound() {
    let body = vec![b'b'; 1 << 20];
    let large = [b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n", &body[..]].concat();
    let field = format!("x-large: {}\r\n", "x".repeat(700)).repeat(40);
    let head = format!("HTTP/1.1 200 OK\r\n{field}Content-Length: 2\r\n\r\nok");
    let early = format!("HTTP/1.1 103 Early Hints\r\n{field}\r\n").repeat(15);
    let interim = format!("{early}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let table = [
        (
            "large bodies, and an open window",
            large.clone(),
            0x7fff_ffff,
            200.0,
        ),
        ("large bodies, and no window", large, 0, 0.0),
        // The kernel may have room for all of them.
        ("large heads", head.into_bytes(), 0x7fff_ffff, 0.0),
        ("interim heads", interim.into_bytes(), 0x7fff_ffff, 30.0),
    ];
    for (what, answer, window, at_least) in table {
        let backend = Backend::with("app", Reply::Raw(answer));
        backend.count_only();
        let gateway = gateway!()
            .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
            .start();
        let before = gateway.resident();
        let mut raw = client(gateway.door(DOOR), window);
        ask(&mut raw, 100);
        gateway.until("all have been asked", |_| backend.requests() == 100);
        gateway.until(what, |gateway| queued(gateway) >= at_least * KIB);
        // More would come now.
        let mut most: f64 = 0.0;
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(100));
            most = most.max(queued(&gateway));
        }
        assert!(most <= (512.0 + 48.0) * KIB, "{what}: {most} bytes wait");
        let grown = gateway.resident().saturating_sub(before);
        // Everything else that a hundred requests need, in a build that is not optimised.
        assert!(grown < 8 << 20, "{what}: {grown} bytes more are resident");
        drop(raw);
        gateway.until("it is given back", |gateway| queued(gateway) == 0.0);
    }
}

/// Answers of streams that the client does not read leave room for one that it does.
#[test]
fn streams_that_stand_still_do_not_starve_another() {
    let body = vec![b'b'; 1 << 20];
    let large = [b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n", &body[..]].concat();
    let backend = Backend::with("app", Reply::Raw(large));
    backend.count_only();
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut raw = client(gateway.door(DOOR), 0);
    raw.send(&frame(kind::WINDOW_UPDATE, 0, 0, &0x7ffe_0000_u32.to_be_bytes()));
    ask(&mut raw, 90);
    gateway.until("all have been asked", |_| backend.requests() == 90);
    let last = 1 + 2 * 95;
    raw.send(&headers(last, true, &get("a.test", "/", &[])));
    raw.send(&frame(kind::WINDOW_UPDATE, 0, last, &(2_u32 << 20).to_be_bytes()));
    let mut length = 0;
    loop {
        let found = raw
            .frame(PATIENCE)
            .unwrap_or_else(|end| panic!("{end:?} after {length}"));
        if found.kind == kind::DATA && found.stream == last {
            length += found.payload.len();
            if found.flags & END_STREAM != 0 {
                break;
            }
        }
    }
    assert_eq!(length, 1 << 20);
}

/// A backend that speaks HTTP/2 frame by frame: sends settings, and hands each frame to `act`, which answers with bytes.
fn scripted(
    values: &'static [(u16, u32)],
    act: impl Fn(usize, u8, u32) -> Vec<u8> + Send + Sync + 'static,
) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (act, connections) = (Arc::new(act), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&connections);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let act = Arc::clone(&act);
            std::thread::spawn(move || serve(stream, values, |kind, id| act(number, kind, id)));
        }
    });
    (port, connections)
}

fn serve(mut stream: TcpStream, values: &[(u16, u32)], act: impl Fn(u8, u32) -> Vec<u8>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut preface = vec![0; PREFACE.len()];
    stream.read_exact(&mut preface).ok()?;
    stream.write_all(&settings(values)).ok()?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).ok()?;
        let id = u32::from_be_bytes(head[5..].try_into().ok()?);
        let answer = match (head[3], head[4] & 1) {
            (kind::SETTINGS, 0) => frame(kind::SETTINGS, 1, 0, &[]),
            (kind::PING, 0) => frame(kind::PING, 1, 0, &payload),
            (kind, _) => act(kind, id),
        };
        stream.write_all(&answer).ok()?;
    }
}

fn start(port: u16) -> Gateway {
    let app = manifest::app_speaking("app", DOOR, "a.test", port, "kubernetes.io/h2c");
    gateway!()
        .every_door("workers = 1")
        .manifest("app.yaml", &app)
        .start()
}

/// `:status: 200`
const OK: &[u8] = &[0x88];

fn answer(id: u32) -> Vec<u8> {
    [frame(kind::HEADERS, END_HEADERS, id, OK), data(id, true, b"ok")].concat()
}

/// Asks on each connection, on this stream, and is answered.
fn all_are_answered(clients: &mut [Raw], stream: u32) {
    for raw in &mut *clients {
        raw.send(&headers(stream, true, &get("a.test", "/", &[])));
    }
    for raw in clients {
        let answered = loop {
            let found = raw.frame(PATIENCE).expect("a frame");
            if found.stream == stream && found.flags & END_STREAM != 0 {
                break found.kind;
            }
        };
        assert_eq!(answered, kind::DATA, "on stream {stream}");
    }
}

/// One client reads nothing of an answer that comes in very small frames. Ten others share the backend's connection.
#[test]
fn a_reader_that_stands_still_does_not_end_the_requests_of_others() {
    let (port, connections) = scripted(&[], |_, kind, id| match kind {
        // The first request is the slow client's: frames without end, and some without bytes.
        kind::HEADERS if id == 1 => {
            let mut answer = frame(kind::HEADERS, END_HEADERS, id, OK);
            for _ in 0..60_000 {
                answer.extend(data(id, false, b"x"));
            }
            for _ in 0..300 {
                answer.extend(data(id, false, b""));
            }
            answer
        }
        kind::HEADERS => answer(id),
        _ => Vec::new(),
    });
    let gateway = start(port);
    let address = gateway.door(DOOR);
    let mut slow = client(address, 0);
    ask(&mut slow, 1);
    assert_eq!(slow.end_of(1, PATIENCE), End::Status(200));
    let mut others: Vec<Raw> = (0..10).map(|_| client(address, 65_535)).collect();
    for round in 0..20 {
        all_are_answered(&mut others, 1 + 2 * round);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1, "all share one connection");
    // What has come for it is complete.
    slow.send(&frame(kind::WINDOW_UPDATE, 0, 1, &(1_u32 << 20).to_be_bytes()));
    let mut length = 0;
    while length < 60_000 {
        let found = slow.frame(PATIENCE).expect("a frame");
        length += usize::from(found.kind == kind::DATA) * found.payload.len();
    }
    assert_eq!(length, 60_000);
}

/// A backend answers one request with interim heads without end, whether its client reads them or not. Ten others share the
/// connection on which they come.
#[test]
fn a_flood_of_interim_heads_harms_no_other_request() {
    let value = vec![b'l'; 12_000];
    let large = block(&[(b":status", b"103"), (b"link", &value)]);
    for (what, interim, count) in [
        ("small", block(&[(b":status", b"103")]), 5_000),
        ("large", large, 100),
    ] {
        for reads in [true, false] {
            let (interim, told) = (interim.clone(), Arc::new(AtomicUsize::new(0)));
            let cut = Arc::clone(&told);
            let (port, connections) = scripted(&[], move |_, kind, id| match kind {
                kind::HEADERS if id == 1 => frame(kind::HEADERS, END_HEADERS, id, &interim).repeat(count),
                kind::HEADERS => answer(id),
                kind::RST_STREAM => {
                    assert_eq!(id, 1);
                    cut.fetch_add(1, Ordering::SeqCst);
                    Vec::new()
                }
                _ => Vec::new(),
            });
            let gateway = start(port);
            let address = gateway.door(DOOR);
            let before = gateway.resident();
            let mut flooded = with_a_small_buffer(address);
            ask(&mut flooded, 1);
            let _silent = if reads {
                std::thread::spawn(move || while flooded.frame(PATIENCE).is_ok() {});
                None
            } else {
                Some(flooded)
            };
            gateway.until("it is asked", |_| connections.load(Ordering::SeqCst) == 1);
            let mut others: Vec<Raw> = (0..10).map(|_| client(address, 65_535)).collect();
            for round in 0..20 {
                all_are_answered(&mut others, 1 + 2 * round);
            }
            gateway.until("the backend is told", |_| told.load(Ordering::SeqCst) > 0);
            assert_eq!(
                connections.load(Ordering::SeqCst),
                1,
                "{what}: all share one connection"
            );
            let grown = gateway.resident().saturating_sub(before);
            assert!(grown < 8 << 20, "{what}: {grown} bytes more are resident");
        }
    }
}

/// Clients cancel requests without end, and the backend's answers are on their way already. Another client shares the
/// connection on which they come.
#[test]
fn answers_that_come_too_late_harm_no_other_request() {
    let (asked, cancelled) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (asks, cancels) = (Arc::clone(&asked), Arc::clone(&cancelled));
    let answered = Mutex::new(HashSet::new());
    let (port, connections) = scripted(&[], move |_, kind, id| match kind {
        kind::HEADERS => {
            asks.fetch_add(1, Ordering::SeqCst);
            Vec::new()
        }
        // As if it had been sent before the gateway gave up.
        kind::RST_STREAM if answered.lock().unwrap().insert(id) => {
            cancels.fetch_add(1, Ordering::SeqCst);
            answer(id)
        }
        // Only the other client sends a body.
        kind::DATA if answered.lock().unwrap().insert(id) => answer(id),
        _ => Vec::new(),
    });
    let gateway = start(port);
    let address = gateway.door(DOOR);
    let mut other = client(address, 65_535);
    let post = request(b"POST", b"a.test", b"/", &[]);
    for round in 0..20 {
        let mut greedy = client(address, 65_535);
        let before = (asked.load(Ordering::SeqCst), cancelled.load(Ordering::SeqCst));
        ask(&mut greedy, 90);
        gateway.until("all have come", |_| asked.load(Ordering::SeqCst) == before.0 + 90);
        let stream = 1 + 2 * round;
        other.send(&headers(stream, false, &post));
        drop(greedy);
        gateway.until("all have been cancelled", |_| {
            cancelled.load(Ordering::SeqCst) == before.1 + 90
        });
        other.send(&data(stream, true, b"body"));
        let mut text = Vec::new();
        loop {
            let found = other.frame(PATIENCE).expect("a frame");
            assert_ne!(found.kind, kind::RST_STREAM, "in round {round}");
            if found.kind == kind::DATA {
                text.extend(found.payload);
                if found.flags & END_STREAM != 0 {
                    break;
                }
            }
        }
        assert_eq!(text, b"ok", "in round {round}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1, "all share one connection");
}

/// The same at the front: bodies of requests that are refused at once are on their way already.
#[test]
fn bodies_that_come_too_late_do_not_end_the_connection() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .every_door("workers = 1")
        .door(DOOR, "limits = { h2_streams = 800, h2_buffer = \"4MiB\" }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut raw = client(gateway.door(DOOR), 65_535);
    let refused = request(b"POST", b"unknown.test", b"/", &[(b"content-length", b"8")]);
    let mut next = (1..).step_by(2);
    for round in 0..2 {
        let streams: Vec<u32> = next.by_ref().take(700).collect();
        let heads = streams
            .iter()
            .flat_map(|stream| headers(*stream, false, &refused));
        raw.send(&heads.collect::<Vec<u8>>());
        // The gateway waits a little for bodies.
        let mut reset = 0;
        while reset < 700 {
            reset += usize::from(raw.frame(PATIENCE).expect("a frame").kind == kind::RST_STREAM);
        }
        // As if they had been sent before that was known.
        let bodies = streams.iter().flat_map(|stream| data(*stream, true, b"too late"));
        raw.send(&bodies.collect::<Vec<u8>>());
        let stream = next.next().unwrap();
        raw.send(&headers(stream, true, &get("a.test", "/", &[])));
        loop {
            let found = raw
                .frame(PATIENCE)
                .unwrap_or_else(|end| panic!("{end:?} in round {round}"));
            assert_ne!(found.kind, kind::GOAWAY, "in round {round}");
            if found.stream == stream && found.flags & END_STREAM != 0 {
                break;
            }
        }
    }
}

/// The same at the front: a client sends very small pieces of a request to a backend that does not read them.
#[test]
fn a_body_in_small_pieces_to_a_slow_backend_does_not_end_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let other = Backend::start("other");
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", port))
        .manifest(
            "other.yaml",
            &manifest::app("other", DOOR, "b.test", other.port()),
        )
        .start();
    let mut raw = client(gateway.door(DOOR), 65_535);
    raw.send(&headers(1, false, &request(b"POST", b"a.test", b"/", &[])));
    // Accepted, and not read: what the kernel does not take stays with the gateway.
    let (_silent, _) = listener.accept().unwrap();
    let mut sent = 0;
    for _ in 0..16 {
        raw.send(&data(1, false, &[b'x'; 16_000]));
        sent += 16_000;
    }
    while sent < 262_000 {
        raw.send(&data(1, false, b"y"));
        sent += 1;
    }
    raw.send(&headers(3, true, &get("b.test", "/", &[])));
    let end = raw.end_of(3, PATIENCE);
    assert!(matches!(end, End::Status(200)), "{end:?}");
}

/// A backend that takes few requests at once, or none yet, is not asked for more.
#[test]
fn requests_wait_for_what_a_backend_takes() {
    static LIMITS: [&[(u16, u32)]; 3] = [
        &[],
        &[(MAX_CONCURRENT_STREAMS, 2)],
        &[(MAX_CONCURRENT_STREAMS, 1)],
    ];
    for values in LIMITS {
        let (port, connections) = scripted(values, move |_, kind, id| match kind {
            kind::HEADERS => answer(id),
            _ => Vec::new(),
        });
        let gateway = start(port);
        let mut raw = client(gateway.door(DOOR), 65_535);
        ask(&mut raw, 50);
        let (mut left, mut bytes) = (50, Vec::new());
        while left > 0 {
            let found = raw.frame(PATIENCE).expect("a frame");
            assert_ne!(found.kind, kind::RST_STREAM, "{values:?}");
            if found.kind == kind::DATA {
                bytes.extend(found.payload);
                left -= usize::from(found.flags & END_STREAM != 0);
            }
        }
        assert_eq!(bytes, b"ok".repeat(50), "{values:?}");
        assert!(connections.load(Ordering::SeqCst) <= 16, "{values:?}");
        assert_eq!(
            gateway.metric("blastdoor_upstream_retries_total", &[]),
            0.0,
            "{values:?}"
        );
    }
}

/// A request that a backend says it did not process is tried again whatever its method, and not for ever.
#[test]
fn a_refused_stream_is_tried_again() {
    for (refusals, expected) in [(1, 200), (3, 200), (4, 502)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let (port, _) = scripted(&[], move |_, kind, id| match kind {
            kind::HEADERS if counted.fetch_add(1, Ordering::SeqCst) < refusals => {
                frame(kind::RST_STREAM, 0, id, &REFUSED_STREAM.to_be_bytes())
            }
            kind::HEADERS => answer(id),
            _ => Vec::new(),
        });
        let gateway = start(port);
        let mut raw = client(gateway.door(DOOR), 65_535);
        raw.send(&headers(
            1,
            true,
            &request(b"POST", b"a.test", b"/", &[(b"content-length", b"0")]),
        ));
        assert_eq!(
            raw.end_of(1, PATIENCE),
            End::Status(expected),
            "{refusals} refusals"
        );
        assert_eq!(asked.load(Ordering::SeqCst), refusals.min(3) + 1);
    }
}

/// So many bytes of a body for a stream, in frames as large as the library counts for nothing, or larger. Behind each
/// comes a frame of a type that does not exist, so that each is in a buffer of its own.
fn pinning(stream: u32, bytes: usize, piece: usize) -> Vec<u8> {
    let unknown = if piece == 256 {
        frame(0xfa, 0, 0, &[0; 7_900])
    } else {
        Vec::new()
    };
    let one = [data(stream, false, &vec![b'x'; piece]), unknown].concat();
    one.repeat(bytes / piece)
}

/// What the traffic of the door holds, as far as it is counted.
fn held(gateway: &Gateway) -> f64 {
    gateway.metric("blastdoor_memory_held_bytes", &[("listener", DOOR)])
}

/// What a client has sent, and its backend does not read, counts, and holds no more than its bytes.
#[test]
fn what_a_backend_does_not_read_is_counted() {
    // Bytes of each body: together they are less than the window of the connection.
    const BODY: usize = 240 * 1024;
    for piece in [16 * 1024, 256] {
        // No window for the bodies of requests.
        let (port, _) = scripted(&[(INITIAL_WINDOW_SIZE, 0)], |_, _, _| Vec::new());
        let gateway = start(port);
        let mut raw = Raw::open(gateway.door(DOOR));
        // The larger windows count from then on.
        while raw.frame(PATIENCE).unwrap().kind != kind::WINDOW_UPDATE {}
        raw.send(&frame(kind::SETTINGS, 1, 0, &[]));
        let post = request(b"POST", b"a.test", b"/", &[]);
        let streams = [1, 3, 5, 7];
        for stream in streams {
            assert!(raw.send(&headers(stream, false, &post)));
        }
        let (before, resident) = (held(&gateway), gateway.resident());
        for stream in streams {
            assert!(raw.send(&pinning(stream, BODY, piece)));
        }
        gateway.until("it is counted", |gateway| {
            held(gateway) - before >= 0.95 * (4 * BODY) as f64
        });
        let grown = gateway.resident().saturating_sub(resident);
        assert!(
            grown < 8 << 20,
            "pieces of {piece}: {grown} bytes more are resident"
        );
        drop(raw);
        // Some buffers are kept for a while.
        gateway.until("it is given back", |gateway| {
            held(gateway) <= before + 256.0 * KIB
        });
    }
}

/// The same of what a backend sends and its clients do not read.
#[test]
fn what_a_client_does_not_read_is_counted() {
    const BODY: usize = 60 * 1024;
    const STREAMS: u32 = 20;
    for piece in [12 * 1024, 256] {
        let (port, _) = scripted(&[], move |_, kind, id| match kind {
            kind::HEADERS => [
                frame(kind::HEADERS, END_HEADERS, id, OK),
                pinning(id, BODY, piece),
            ]
            .concat(),
            _ => Vec::new(),
        });
        let gateway = start(port);
        let mut raw = client(gateway.door(DOOR), 0);
        let (before, resident) = (held(&gateway), gateway.resident());
        ask(&mut raw, STREAMS);
        gateway.until("it is counted", |gateway| {
            held(gateway) - before >= 0.95 * f64::from(STREAMS) * BODY as f64
        });
        let grown = gateway.resident().saturating_sub(resident);
        assert!(
            grown < 10 << 20,
            "pieces of {piece}: {grown} bytes more are resident"
        );
        drop(raw);
    }
}
