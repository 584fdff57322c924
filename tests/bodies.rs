//! Bodies of every framing and size, in both directions.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use gateway_tests::{Backend, Client, Gateway, Reply, exchange, gateway, manifest, scaled};

const DOOR: &str = "external-http";

fn start(backend: &Backend) -> Gateway {
    gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start()
}

#[test]
fn request_bodies_arrive_whole() {
    let backend = Backend::start("app");
    let gateway = start(&backend);
    let mut client = Client::connect(gateway.door(DOOR));
    for size in [0, 1, 2047, 2048, 2049, 16_383, 16_384, 65_536, 100_000, 1_000_000] {
        let body: Vec<u8> = (0..size)
            .map(|index| u8::try_from(index % 251).unwrap())
            .collect();
        let mut plain =
            format!("POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: {size}\r\n\r\n").into_bytes();
        plain.extend_from_slice(&body);
        assert_eq!(client.request(&plain).expect("an answer").status, 200, "{size}");
        let seen = backend.last();
        assert!(seen.body == body, "{size} bytes, plain");
        assert_eq!(seen.field("content-length"), Some(size.to_string().as_str()));
        let mut chunked = b"POST /c HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in body.chunks(7777) {
            write!(chunked, "{:X};note=\"x\"\r\n", chunk.len()).unwrap();
            chunked.extend_from_slice(chunk);
            chunked.extend_from_slice(b"\r\n");
        }
        chunked.extend_from_slice(b"0\r\n\r\n");
        assert_eq!(client.request(&chunked).expect("an answer").status, 200, "{size}");
        let seen = backend.last();
        assert!(seen.body == body, "{size} bytes, chunked");
        assert_eq!(
            (seen.field("transfer-encoding"), seen.field("content-length")),
            (Some("chunked"), None)
        );
    }
    assert_eq!(backend.connections(), 1, "one kept connection carried everything");
}

#[test]
fn response_bodies_arrive_whole() {
    let backend = Backend::start("app");
    let gateway = start(&backend);
    let mut client = Client::connect(gateway.door(DOOR));
    for size in [0, 1, 2048, 2049, 65_536, 300_000] {
        let body = "r".repeat(size);
        backend.reply(Reply::text(&body));
        let response = client.get("a.test", "/").expect("an answer");
        assert_eq!(
            (response.text() == body, response.field("content-length")),
            (true, Some(size.to_string().as_str()))
        );
        let mut raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
        for chunk in body.as_bytes().chunks(5000) {
            raw += &format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap());
        }
        backend.reply(Reply::Raw((raw + "0\r\n\r\n").into_bytes()));
        let response = client.get("a.test", "/").expect("an answer");
        assert!(response.text() == body, "{size} bytes, chunked");
        backend.reply(Reply::RawThenClose(
            format!("HTTP/1.1 200 OK\r\n\r\n{body}").into_bytes(),
        ));
        let response = client.get("a.test", "/").expect("an answer");
        assert_eq!(
            (response.text() == body, response.field("transfer-encoding")),
            (true, Some("chunked"))
        );
    }
    // For an HTTP/1.0 client a body without a length ends with the connection.
    backend.reply(Reply::Raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec(),
    ));
    let response = exchange(
        gateway.door(DOOR),
        "GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n",
    )
    .expect("an answer");
    assert_eq!(
        (
            response.text().as_str(),
            response.field("transfer-encoding"),
            response.field("connection")
        ),
        ("hello", None, Some("close"))
    );
}

#[test]
fn responses_without_a_body() {
    let backend = Backend::start("app");
    let gateway = start(&backend);
    let mut client = Client::connect(gateway.door(DOOR));
    backend.reply(Reply::Raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n".to_vec(),
    ));
    let response = client
        .request("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .expect("an answer");
    assert_eq!(
        (response.status, response.field("content-length")),
        (200, Some("77"))
    );
    backend.reply(Reply::Raw(
        b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n".to_vec(),
    ));
    assert_eq!(client.get("a.test", "/").expect("an answer").status, 304);
    backend.reply(Reply::Raw(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()));
    let response = client.get("a.test", "/").expect("an answer");
    assert_eq!(
        (
            response.status,
            response.field("content-length"),
            response.field("transfer-encoding")
        ),
        (204, None, None)
    );
    backend.reply(Reply::Name);
    assert_eq!(
        client.get("a.test", "/").expect("an answer").text(),
        "app",
        "the connection is still in step"
    );
    assert_eq!(backend.connections(), 1);
}

#[test]
fn trailers_pass_when_the_client_takes_them() {
    let raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 7\r\nContent-Length: 5\r\n\r\n";
    let backend = Backend::with("app", Reply::Raw(raw.to_vec()));
    let gateway = start(&backend);
    let mut client = Client::connect(gateway.door(DOOR));
    let with = client
        .request("GET / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
        .expect("an answer");
    assert_eq!(with.trailers, ["X-Sum: 7"], "and never one that frames");
    assert_eq!(backend.last().field("te"), Some("trailers"));
    let without = client.get("a.test", "/").expect("an answer");
    assert_eq!((without.trailers.len(), without.field("trailer")), (0, None));
}

#[test]
fn continue_is_asked_for_and_relayed() {
    let backend = Backend::with(
        "app",
        Reply::script(|stream, head| {
            assert!(head.contains("Expect: 100-continue"));
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
            let mut body = [0; 4];
            stream.read_exact(&mut body).unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
                .unwrap();
            stream.write_all(&body).unwrap();
        }),
    );
    let gateway = start(&backend);
    let mut client = Client::connect(gateway.door(DOOR));
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.any_response(false).expect("an interim answer").status, 100);
    assert_eq!(client.send("body").response().expect("an answer").text(), "body");
    // Refused before the body: the connection cannot be used any more, and says so.
    backend.reply(Reply::Early(
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
    ));
    let mut client = Client::connect(gateway.door(DOOR));
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    let response = client.any_response(false).expect("an answer");
    assert_eq!(
        (response.status, response.field("connection")),
        (401, Some("close"))
    );
    assert!(client.is_closed());
}

#[test]
fn early_hints_pass_and_unasked_continue_does_not() {
    let raw = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let backend = Backend::with("app", Reply::Raw(raw.to_vec()));
    let gateway = start(&backend);
    let mut client = Client::connect(gateway.door(DOOR));
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let statuses = [(); 2].map(|()| client.any_response(false).expect("an answer").status);
    assert_eq!(statuses, [103, 200]);
}

/// After an answer that comes before the request is read, the rest of the body is not taken for the next request.
#[test]
fn an_early_answer_ends_the_connection() {
    let backend = Backend::with(
        "app",
        Reply::Early(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno".to_vec()),
    );
    let gateway = start(&backend);
    let mut client = Client::connect(gateway.door(DOOR));
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let response = client.response().expect("an answer");
    assert_eq!((response.status, response.text().as_str()), (413, "no"));
    assert!(client.is_closed());
    assert!(
        backend
            .seen()
            .iter()
            .all(|seen| seen.line().starts_with("POST / "))
    );
}

/// Nothing is held back: each event arrives before the next one is sent.
#[test]
fn events_are_streamed_as_they_arrive() {
    let (tell, told) = std::sync::mpsc::sync_channel::<()>(0);
    let told = std::sync::Mutex::new(told);
    let backend = Backend::with(
        "app",
        Reply::script(move |stream, _| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
            for number in 0..5 {
                stream
                    .write_all(format!("9\r\ndata: {number}\n\n\r\n").as_bytes())
                    .unwrap();
                told.lock()
                    .unwrap()
                    .recv_timeout(Duration::from_secs(10))
                    .unwrap();
            }
            stream.write_all(b"0\r\n\r\n").unwrap();
        }),
    );
    let gateway = start(&backend);
    let mut client = Client::connect(gateway.door(DOOR));
    client.send("GET /events HTTP/1.1\r\nHost: a.test\r\n\r\n");
    while !client.line().expect("a head").is_empty() {}
    for number in 0..5 {
        assert_eq!(client.line().as_deref(), Some("9"));
        assert_eq!(
            client.take(11).expect("an event"),
            format!("data: {number}\n\n\r\n").into_bytes()
        );
        tell.send(()).unwrap();
    }
    assert_eq!(client.line().as_deref(), Some("0"));
}

/// A backend or a client that does not read: memory does not grow.
#[test]
fn back_pressure_both_ways() {
    let backend = Backend::with(
        "app",
        Reply::script(|stream, _| {
            let chunk = vec![b'x'; 64 * 1024];
            stream.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
            let _stalled = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while stream.write_all(b"10000\r\n").is_ok()
                && stream.write_all(&chunk).is_ok()
                && stream.write_all(b"\r\n").is_ok()
            {}
        }),
    );
    let gateway = start(&backend);
    let before = gateway.resident();
    let clients: Vec<Client> = (0..8)
        .map(|_| {
            let mut client = Client::connect(gateway.door(DOOR));
            client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
            client
        })
        .collect();
    std::thread::sleep(Duration::from_secs(2));
    let grown = gateway.resident().saturating_sub(before);
    assert!(
        grown < 16 << 20,
        "{grown} bytes for {} clients that do not read",
        clients.len()
    );
}

/// Bodies of any size pass in constant memory.
#[test]
fn ten_gibibytes_up_and_down_in_flat_memory() {
    let size = scaled("MiB of one body", 2 * 1024, 10 * 1024) as u64 * 1024 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            giant(stream.unwrap(), size);
        }
    });
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", port))
        .start();
    let mut peak = 0;
    for (method, length) in [("PUT", size), ("GET", 0)] {
        let mut stream = TcpStream::connect(gateway.door(DOOR)).unwrap();
        write!(
            stream,
            "{method} / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let block = vec![b'b'; 1 << 20];
        let mut left = length;
        let mut looked = Instant::now();
        while left > 0 {
            let count = usize::try_from(left).unwrap().min(block.len());
            stream.write_all(&block[..count]).unwrap();
            left -= count as u64;
            if looked.elapsed() > Duration::from_millis(50) {
                looked = Instant::now();
                peak = peak.max(gateway.resident());
            }
        }
        let mut block = block;
        let mut received = 0_u64;
        loop {
            let count = stream.read(&mut block).unwrap();
            if count == 0 {
                break;
            }
            received += count as u64;
            if looked.elapsed() > Duration::from_millis(50) {
                looked = Instant::now();
                peak = peak.max(gateway.resident());
            }
        }
        if method == "GET" {
            assert!(
                received > size && received < size + 1000,
                "{received} of {size} bytes came down"
            );
        } else {
            assert!(
                block.starts_with(b"HTTP/1.1 200 OK\r\n") && received < 1000,
                "the upload was answered"
            );
        }
    }
    assert!(peak < 64 << 20, "resident memory peaked at {peak} bytes");
}

/// Reads a whole request, then answers: a PUT with the count it read, anything else with a giant.
fn giant(mut stream: TcpStream, size: u64) {
    let mut block = vec![b'g'; 1 << 20];
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    if head.starts_with(b"PUT") {
        let mut left = size;
        while left > 0 {
            let count = stream.read(&mut block).unwrap();
            assert!(count > 0, "the upload ended {left} bytes early");
            left -= count as u64;
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        return;
    }
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").unwrap();
    for _ in 0..size >> 20 {
        stream.write_all(&block).unwrap();
    }
}
