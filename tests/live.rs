//! The next real request that matches, told by `/api/v1/live` and by `blastdoor explain --live`.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use gateway_tests::{Backend, Client, Gateway, Output, Reply, free_port, gateway, get, manifest};
use serde_json::Value;

const DOOR: &str = "external-http";

fn live(gateway: &Gateway, query: &str) -> Value {
    let (status, body) = gateway.admin(&format!("/api/v1/live?{query}"));
    let answer = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}"));
    assert_eq!(status, 200, "{body}");
    answer
}

#[test]
fn the_next_request_that_matches_is_told_step_by_step() {
    let backend = Backend::with("app", Reply::text("hello"));
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    let story = thread::scope(|scope| {
        let waiting = scope.spawn(|| live(&gateway, "url=http%3A%2F%2FA.test%2Fshop&method=get&wait=20s"));
        // Others do not match, and once there is the answer no more are sent.
        while !waiting.is_finished() {
            get(address, "a.test", "/other");
            get(address, "b.test", "/shop");
            Client::connect(address).request(
                "GET /shop?token=hush HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer hush\r\nCookie: hush\r\nX-Mine: hush\r\n\r\n",
            );
            thread::sleep(Duration::from_millis(20));
        }
        waiting.join().unwrap()
    });
    assert_eq!(story["matched"], true, "{story:#}");
    assert_eq!(story["listener"], DOOR);
    assert_eq!(
        (&story["request"]["method"], &story["request"]["path"]),
        (&"GET".into(), &"/shop".into())
    );
    assert_eq!(story["rule"]["ingress"], "test/app");
    assert_eq!(
        (&story["rule"]["host"], &story["rule"]["path"]),
        (&"a.test".into(), &"/".into())
    );
    let attempts = story["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{story:#}");
    assert_eq!(
        (&attempts[0]["endpoint"], &attempts[0]["status"]),
        (&format!("127.0.0.1:{}", backend.port()).into(), &200.into())
    );
    let times = [
        &story["phases"]["head_read_ms"],
        &story["phases"]["decided_ms"],
        &attempts[0]["at_ms"],
        &attempts[0]["first_byte_ms"],
        &attempts[0]["ended_ms"],
        &story["phases"]["ended_ms"],
    ];
    let times = times.map(|time| time.as_f64().unwrap_or_else(|| panic!("{story:#}")));
    assert!(times.is_sorted(), "{story:#}");
    assert_eq!(
        (&story["answer"]["status"], &story["answer"]["bytes"]),
        (&200.into(), &5.into())
    );
    let sent = &story["sent"];
    assert_eq!((&sent["method"], &sent["path"]), (&"GET".into(), &"/shop".into()));
    let fields = sent["fields"].as_array().unwrap();
    for name in ["authorization", "cookie", "x-mine", "x-blastdoor-door"] {
        assert!(fields.contains(&name.into()), "{name} {story:#}");
    }
    assert_eq!(sent["own_fields"]["x-blastdoor-door"], DOOR);
    assert_eq!(sent["own_fields"]["x-forwarded-for"], "127.0.0.1");
    assert!(!story.to_string().contains("hush"), "{story:#}");
}

#[test]
fn a_refusal_is_told_with_its_filter() {
    let backend = Backend::start("app");
    let app = manifest::app("app", DOOR, "a.test", backend.port());
    let denied = app.replacen(
        "  name: app\n",
        "  name: app\n  annotations: { nginx.ingress.kubernetes.io/denylist-source-range: 127.0.0.0/8 }\n",
        1,
    );
    assert_ne!(app, denied);
    let gateway = gateway!().manifest("app.yaml", &denied).start();
    let address = gateway.door(DOOR);
    let story = thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            live(
                &gateway,
                "host=a.test&path=/*&door=external-http&client=127.0.0.1",
            )
        });
        while !waiting.is_finished() {
            get(address, "a.test", "/");
            thread::sleep(Duration::from_millis(20));
        }
        waiting.join().unwrap()
    });
    assert_eq!(
        (&story["answer"]["status"], &story["answer"]["refusal"]),
        (&403.into(), &"access_denied".into())
    );
    let filters = story["filters"].as_array().unwrap();
    let last = filters.last().unwrap_or_else(|| panic!("{story:#}"));
    assert_eq!(
        (&last["filter"], &last["verdict"]),
        (&"deny".into(), &"answered".into())
    );
    assert_eq!(
        (&story["attempts"], &story["sent"]),
        (&serde_json::json!([]), &Value::Null)
    );
}

/// At another attempt the body that has been read stands behind the head in the same buffer.
#[test]
fn a_body_is_not_told_as_a_field() {
    const BODY: &str = "pin: hush\r\nx-real-ip: hush\r\n";
    let backend = Backend::start("app");
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    let story = thread::scope(|scope| {
        let waiting = scope.spawn(|| live(&gateway, "host=a.test&path=/put&wait=20s"));
        while !waiting.is_finished() {
            backend.reply(Reply::Name);
            assert_eq!(get(address, "a.test", "/").status, 200);
            // The kept connection breaks, and the next one answers.
            let breaks = AtomicBool::new(true);
            backend.reply(Reply::script(move |stream, _| {
                if !breaks.swap(false, Ordering::SeqCst) {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                        .unwrap();
                }
            }));
            let request = format!(
                "PUT /put HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{BODY}",
                BODY.len()
            );
            assert_eq!(Client::connect(address).request(request).unwrap().status, 200);
        }
        waiting.join().unwrap()
    });
    assert_eq!(story["attempts"].as_array().unwrap().len(), 2, "{story:#}");
    let fields = story["sent"]["fields"].as_array().unwrap();
    assert!(fields.contains(&"content-length".into()), "{story:#}");
    assert!(!fields.contains(&"pin".into()), "{story:#}");
    assert!(!story.to_string().contains("hush"), "{story:#}");
}

/// At a door without traces a `traceparent` is the client's.
#[test]
fn a_clients_trace_is_not_told_as_the_gateways() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let story = thread::scope(|scope| {
        let waiting = scope.spawn(|| live(&gateway, "host=a.test&wait=20s"));
        while !waiting.is_finished() {
            let request = "GET / HTTP/1.1\r\nHost: a.test\r\ntraceparent: hush\r\n\r\n";
            assert_eq!(
                Client::connect(gateway.door(DOOR))
                    .request(request)
                    .unwrap()
                    .status,
                200
            );
            thread::sleep(Duration::from_millis(20));
        }
        waiting.join().unwrap()
    });
    let fields = story["sent"]["fields"].as_array().unwrap();
    assert!(fields.contains(&"traceparent".into()), "{story:#}");
    assert!(!story.to_string().contains("hush"), "{story:#}");
}

#[test]
fn nobody_waits_for_ever() {
    let gateway = gateway!().start();
    assert_eq!(
        live(&gateway, "host=a.test&wait=1s"),
        serde_json::json!({ "matched": false, "waited_s": 1 })
    );
    for (query, said) in [
        ("wait=1h", "not a wait"),
        ("hosts=a", "`host`"),
        ("client=x", "not an address"),
        ("door=nowhere", "there is no door `nowhere`"),
    ] {
        let (status, body) = gateway.admin(&format!("/api/v1/live?{query}"));
        assert!(status == 400 && body.contains(said), "{query} {body}");
    }
}

/// Waits with the command, and has requests sent meanwhile.
fn watched(gateway: &Gateway, arguments: &[&str], request: impl Fn()) -> Output {
    let admin = format!("unix:{}", gateway.admin_socket().display());
    let builder = gateway!();
    let mut all = vec!["explain"];
    all.extend(arguments);
    all.extend(["--live", "--admin", &admin]);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| builder.run(&all));
        while !waiting.is_finished() {
            request();
            thread::sleep(Duration::from_millis(20));
        }
        waiting.join().unwrap()
    })
}

#[test]
fn the_command_tells_the_next_real_request() {
    let backend = Backend::with("app", Reply::text("hello"));
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let request = || {
        let head = "POST /c%61rt/1?token=hush HTTP/1.1\r\nHost: A.test.:80\r\nContent-Length: 2\r\nCookie: hush\r\n\r\nhi";
        let answer = Client::connect(gateway.door(DOOR)).request(head).unwrap();
        assert_eq!(answer.status, 200);
    };
    let told = watched(&gateway, &["http://a.test/cart/*", "--wait", "20s"], request);
    assert_eq!((told.status, &*told.stderr), (0, ""), "{told:?}");
    let endpoint = format!("127.0.0.1:{}", backend.port());
    for words in [
        "POST http://A.test.:80/c%61rt/1\n",
        "\nexternal-http: 200\n",
        "\n  client    127.0.0.1, HTTP/1.1\n",
        "\n  rule      test/app a.test/ -> test/app:80\n",
        " ms  the head has been read\n",
        &format!(" ms  attempt 1 at {endpoint}\n"),
        " ms  attempt 1: the response's head 200\n",
        " ms  attempt 1: complete\n",
        " ms  the end, after bodies of 2 bytes to and 5 bytes from the backend or the gateway\n",
        "\n            x-blastdoor-door: external-http\n",
        "\n            the client's fields, without values: cookie",
    ] {
        assert!(told.stdout.contains(words), "{words:?}\n{}", told.stdout);
    }
    assert!(!told.stdout.contains("hush"), "{}", told.stdout);

    let arguments = [
        "a.test/c*",
        "--method",
        "post",
        "--client",
        "127.0.0.1",
        "--door",
        DOOR,
        "-o",
        "json",
    ];
    let told = watched(&gateway, &arguments, request);
    assert_eq!(told.status, 0, "{told:?}");
    let story: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(
        (&story["matched"], &story["request"]["method"]),
        (&true.into(), &"POST".into())
    );
    assert!(!told.stdout.contains("hush"), "{}", told.stdout);
}

#[test]
fn a_failed_attempt_is_told_with_its_cause() {
    let gone = free_port();
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", gone))
        .start();
    let request = || assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 502);
    let told = watched(&gateway, &["a.test", "-o", "json"], request);
    assert_eq!(told.status, 0, "{told:?}");
    let story: Value = serde_json::from_str(&told.stdout).unwrap();
    let attempts = story["attempts"].as_array().unwrap();
    let first = attempts.first().unwrap_or_else(|| panic!("{story:#}"));
    assert_eq!(first["endpoint"], format!("127.0.0.1:{gone}"));
    assert_eq!(
        (&first["fault"], &first["connected_ms"]),
        (&"connect_failed".into(), &Value::Null)
    );
    assert_eq!(story["sent"], Value::Null, "nobody has got anything");
    let detail = first["detail"].as_str().unwrap();
    assert!(detail.contains("nothing listens"), "{story:#}");
    assert_eq!(
        (&story["answer"]["status"], &story["answer"]["refusal"]),
        (&502.into(), &"connect_failed".into())
    );
}

#[test]
fn the_command_ends_with_1_when_nothing_has_come() {
    let gateway = gateway!().start();
    // Requests of another scheme do not count.
    let told = watched(&gateway, &["https://a.test/", "--wait", "1s"], || {
        get(gateway.door(DOOR), "a.test", "/");
    });
    assert_eq!(
        (told.status, &*told.stdout),
        (1, "no request has matched within 1 s\n"),
        "{told:?}"
    );
    assert!(
        told.stderr
            .contains("only doors whose `scheme` is `https` were looked at"),
        "{told:?}"
    );
    let told = watched(&gateway, &["a.test/nobody", "--wait", "1s"], || ());
    assert_eq!((told.status, &*told.stderr), (1, ""), "{told:?}");
    for (arguments, why) in [
        (&["http://a.test/", "--wait", "1h"][..], "`1h` is not a wait"),
        (&["http://a.test/", "--header", "A: b"], "cannot be used with"),
        (&["ftp://a.test/"], "`ftp` is not `http` or `https`"),
        (&["http://a.test/../b"], "no path that a door takes"),
        (
            &["http://a.test/", "--door", "nowhere"],
            "there is no door `nowhere`",
        ),
    ] {
        let told = watched(&gateway, arguments, || ());
        assert!(
            told.status == 2 && told.stderr.contains(why),
            "{arguments:?} {told:?}"
        );
    }
    let without = gateway!().run(&["explain", "http://a.test/", "--wait", "5s"]);
    assert!(
        without.status == 2 && without.stderr.contains("--live"),
        "{without:?}"
    );
}

/// A backend that hangs is what people look for: the request outlasts the wait for it, and is told all the same.
#[test]
fn a_request_that_hangs_is_told_when_it_ends() {
    let (begun, late) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (begins, held) = (Arc::clone(&begun), Arc::clone(&late));
    let backend = Backend::with(
        "app",
        Reply::computed(move |_| {
            begins.wait();
            held.wait();
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()
        }),
    );
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let story = thread::scope(|scope| {
        let waiting = scope.spawn(|| live(&gateway, "host=a.test&wait=2s"));
        // It counts when somebody waits for it, and the gateway does not say since when.
        thread::sleep(Duration::from_millis(500));
        let request = scope.spawn(|| get(gateway.door(DOOR), "a.test", "/"));
        begun.wait();
        // Longer than the wait.
        thread::sleep(Duration::from_millis(2500));
        assert!(!waiting.is_finished(), "the request has not ended");
        late.wait();
        assert_eq!(request.join().unwrap().status, 200);
        waiting.join().unwrap()
    });
    assert_eq!(
        (&story["matched"], &story["answer"]["status"]),
        (&true.into(), &200.into()),
        "{story:#}"
    );
    let ended = story["phases"]["ended_ms"].as_f64().unwrap();
    assert!(ended > 2000.0, "{story:#}");
}

/// Some clients say that they send no more, and wait for the answer.
#[test]
fn a_client_that_sends_no_more_is_told() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut stream = UnixStream::connect(gateway.admin_socket()).unwrap();
    write!(stream, "GET /api/v1/live?wait=20s HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    // It waits, and says so.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    get(gateway.door(DOOR), "a.test", "/");
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    let told = told.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
    assert!(
        told.starts_with("HTTP/1.1 200 ") && told.contains("\"matched\":true"),
        "{told}"
    );
}

/// Probes of a load balancer are no traffic: they are not what somebody waits for.
#[test]
fn health_checks_are_not_waited_for() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(
            DOOR,
            "trusted_proxies = [\"127.0.0.0/8\"]\nhealth_path = \"/healthz\"",
        )
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let story = thread::scope(|scope| {
        let waiting = scope.spawn(|| live(&gateway, "door=external-http&wait=20s"));
        let mut asked = 0;
        while !waiting.is_finished() {
            assert_eq!(get(gateway.door(DOOR), "10.0.0.1", "/healthz").status, 200);
            asked += 1;
            if asked > 20 {
                get(gateway.door(DOOR), "a.test", "/real");
            }
            thread::sleep(Duration::from_millis(20));
        }
        waiting.join().unwrap()
    });
    assert_eq!(story["request"]["path"], "/real", "{story:#}");
}

#[test]
fn few_may_wait_and_whoever_leaves_makes_room() {
    const MOST: usize = 8;
    let gateway = gateway!().start();
    let wait = |query: &str| {
        let mut stream = UnixStream::connect(gateway.admin_socket()).unwrap();
        write!(stream, "GET /api/v1/live?{query} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        stream
    };
    let mut waiting: Vec<UnixStream> = (0..MOST).map(|_| wait("host=a.test&wait=600s")).collect();
    let refused = |gateway: &Gateway| gateway.admin("/api/v1/live?host=a.test&wait=1s").0 == 503;
    gateway.until("eight wait", refused);
    assert_eq!(
        gateway.admin("/api/v1/doors").0,
        200,
        "pages are made all the same"
    );
    waiting.pop();
    gateway.until("a place is free", |gateway| !refused(gateway));
    // The others are told.
    get(gateway.door(DOOR), "a.test", "/");
    let mut told = String::new();
    waiting[0].read_to_string(&mut told).unwrap();
    assert!(told.contains("\"matched\":true"), "{told}");
}

/// A page of another site cannot have the gateway wait, nor read what it tells.
#[test]
fn it_is_guarded_as_the_other_pages_are() {
    let gateway = gateway!().start();
    for (fields, status) in [
        ("Host: attacker.test\r\n", "421"),
        (
            "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: image\r\n",
            "403",
        ),
        ("Host: localhost\r\nAccept-Language: de\r\n", "403"),
        (
            "Host: localhost\r\nAccept-Language: de\r\nReferer: http://localhost/\r\n",
            "200",
        ),
        ("Host: localhost\r\nSec-Fetch-Site: same-origin\r\n", "200"),
    ] {
        let mut stream = UnixStream::connect(gateway.admin_socket()).unwrap();
        write!(stream, "GET /api/v1/live?wait=1s HTTP/1.1\r\n{fields}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{fields} {answer}"
        );
    }
}
