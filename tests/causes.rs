//! What goes wrong with requests, and what the line of the access log says about it: whom to ask, which limit, how long was
//! waited, and after how many bytes.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use gateway_tests::tls::{Authority, H1, Offer, TlsClient, TlsFront, annotated, secret_of};
use gateway_tests::{Backend, Client, Gateway, Reply, exchange, free_port, gateway, get, manifest};
use serde_json::Value;
use socket2::SockRef;

const DOOR: &str = "external-http";
const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn line(gateway: &Gateway, number: usize) -> Value {
    gateway.until("the line", |gateway| gateway.access_log().len() > number);
    gateway.access_log().remove(number)
}

/// Asserts what the line says: refusal, and parts of the detail.
fn says(line: &Value, refusal: &str, parts: &[&str]) {
    assert_eq!(line["refusal"], refusal, "{line}");
    let detail = line["detail"].as_str().unwrap_or_default();
    for part in parts {
        assert!(detail.contains(part), "{part}: {line}");
    }
}

/// Answers so much and resets the connection.
fn then_reset(bytes: &'static str) -> Reply {
    Reply::script(move |stream: &mut TcpStream, _| {
        stream.write_all(bytes.as_bytes()).unwrap();
        // A reset overtakes what has not been read yet.
        std::thread::sleep(Duration::from_millis(200));
        SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
    })
}

#[test]
fn how_a_backend_broke_off_and_after_how_much() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(
            DOOR,
            "timeouts = { response_head = \"300ms\", response_idle = \"400ms\" }",
        )
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let close = |bytes: &str| Reply::RawThenClose(bytes.as_bytes().to_vec());
    let table: [(Reply, &str, &str); 8] = [
        (
            Reply::Close,
            "upstream_reset",
            "the backend closed the connection before the first byte of its response",
        ),
        (
            Reply::Reset,
            "upstream_reset",
            "the backend reset the connection before the first byte of its response",
        ),
        (
            then_reset("HTTP/1.1 200 OK\r\nServer: x"),
            "upstream_reset",
            "the backend reset the connection within the head of its response, after 26 bytes of it",
        ),
        (
            close("HTTP/1.1 200 OK\r\nServer: x"),
            "upstream_malformed",
            "the connection ended within the response head, after 26 bytes of it",
        ),
        (
            close("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
            "upstream_truncated",
            "the backend closed the connection within the response's body, after 3 bytes of 10",
        ),
        (
            then_reset("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcd"),
            "upstream_truncated",
            "the backend reset the connection within the response's body, after 4 bytes of 10",
        ),
        (
            Reply::Silence,
            "upstream_timeout",
            "no response head within 300ms (`timeouts.response_head`)",
        ),
        (
            Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab".to_vec()),
            "upstream_stalled",
            "nothing of the response's body came for 400ms, after 2 bytes (`timeouts.response_idle`)",
        ),
    ];
    for (number, (reply, refusal, detail)) in table.into_iter().enumerate() {
        backend.reply(reply);
        let _whatever = exchange(gateway.door(DOOR), GET);
        says(&line(&gateway, number), refusal, &[detail]);
    }
    let said = gateway.says("request failed: upstream_reset");
    for part in ["test/app", &format!("127.0.0.1:{}", backend.port())] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn why_there_is_no_connection() {
    let backend = Backend::start("plain");
    let good = Authority::new("good");
    let front = |names: &[&str]| TlsFront::start(&good.server(names), H1, None, backend.port());
    let (right, wrong) = (front(&["unknown.test.svc"]), front(&["elsewhere.test"]));
    let old = good.expired_server(&["old.test.svc"]);
    let expired = TlsFront::start(&old, H1, None, backend.port());
    let tls = |name: &str, host: &str, port: u16, ca: &str| {
        let annotations = [
            ("nginx.ingress.kubernetes.io/backend-protocol", "HTTPS"),
            ("blastdoor.dev/backend-tls-verify", "on"),
            ("blastdoor.dev/backend-tls-ca", ca),
        ];
        annotated(&manifest::app(name, DOOR, host, port), &annotations)
    };
    let other = Authority::new("other");
    // Speaks first, and no TLS.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain_port = plain.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in plain.incoming() {
            let _gone = stream.unwrap().write_all(b"220 mail.test ESMTP\r\n");
        }
    });
    let gateway = gateway!()
        .manifest(
            "refused.yaml",
            &manifest::app("refused", DOOR, "refused.test", free_port()),
        )
        .manifest(
            "unknown.yaml",
            &tls("unknown", "unknown.test", right.port(), "secret/other"),
        )
        .manifest(
            "named.yaml",
            &tls("named", "named.test", wrong.port(), "secret/good"),
        )
        .manifest(
            "plain.yaml",
            &tls("plain", "plain.test", plain_port, "secret/good"),
        )
        .manifest("old.yaml", &tls("old", "old.test", expired.port(), "secret/good"))
        .manifest(
            "ca.yaml",
            &(secret_of("good", "Opaque", &[("ca.crt", good.pem())])
                + &secret_of("other", "Opaque", &[("ca.crt", other.pem())])),
        )
        .start();
    let table: [(&str, &str, &[&str]); 5] = [
        (
            "refused.test",
            "connect_failed",
            &["the endpoint refuses connections: nothing listens at its port"],
        ),
        (
            "unknown.test",
            "upstream_tls",
            &[
                "certificate is refused",
                "none of the authorities that the gateway trusts",
            ],
        ),
        (
            "named.test",
            "upstream_tls",
            &[
                "it is not for `named.test.svc`, which was asked for, but for",
                "elsewhere.test",
            ],
        ),
        (
            "old.test",
            "upstream_tls",
            &["it expired at 2020-12-31T00:00:00Z (now: 20"],
        ),
        (
            "plain.test",
            "upstream_tls",
            &["is not TLS; does it speak clear text"],
        ),
    ];
    for (number, (host, refusal, parts)) in table.into_iter().enumerate() {
        assert_eq!(get(gateway.door(DOOR), host, "/").status, 502, "{host}");
        let line = line(&gateway, number);
        says(&line, refusal, parts);
        assert!(line["attempts"].as_u64().unwrap() >= 1, "{line}");
        assert!(line["connect_ms"].is_number(), "{line}");
        assert!(line["first_byte_ms"].is_null(), "{line}");
    }
}

#[test]
fn how_long_was_waited_for_a_connection() {
    // A listener whose queue is full and that never accepts swallows further handshakes.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let _queued: Vec<_> = (0..4)
        .map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(200)))
        .collect();
    let app = manifest::app("app", DOOR, "a.test", address.port());
    let gateway = gateway!()
        .door(DOOR, "timeouts = { connect = \"300ms\" }")
        .manifest("app.yaml", &app)
        .start();
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 504);
    let line = line(&gateway, 0);
    says(
        &line,
        "connect_timeout",
        &["no connection to the endpoint within 300ms (`timeouts.connect`)"],
    );
    assert!(line["connect_ms"].as_f64().unwrap() >= 300.0, "{line}");
}

#[test]
fn which_limit_a_request_exceeds() {
    let backend = Backend::start("app");
    let own = annotated(
        &manifest::app("own", DOOR, "own.test", backend.port()),
        &[("nginx.ingress.kubernetes.io/proxy-body-size", "2k")],
    );
    let gateway = gateway!()
        .door(
            DOOR,
            "limits = { header_bytes = \"4KiB\", headers = 20, uri_bytes = \"1KiB\", body = \"10KiB\" }\n\
             timeouts = { head = \"300ms\", body_idle = \"300ms\" }",
        )
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .manifest("own.yaml", &own)
        .start();
    let table = [
        (
            format!(
                "GET / HTTP/1.1\r\nHost: a.test\r\nX-Long: {}\r\n\r\n",
                "x".repeat(5000)
            ),
            431,
            "head_too_large",
            "(`limits.header_bytes`: 4096 bytes; its largest field is `X-Long`",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n", "X: y\r\n".repeat(30)),
            431,
            "head_too_large",
            "(`limits.headers`: 20)",
        ),
        (
            format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(2000)),
            414,
            "uri_too_long",
            "(`limits.uri_bytes`: 1024 bytes)",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 20000\r\n\r\n".to_owned(),
            413,
            "body_too_large",
            "the request's body is larger than 10240 bytes (`limits.body`)",
        ),
        (
            "POST / HTTP/1.1\r\nHost: own.test\r\nContent-Length: 20000\r\n\r\n".to_owned(),
            413,
            "body_too_large",
            "the request's body is larger than 2048 bytes (the Ingress's `proxy-body-size`)",
        ),
        (
            format!(
                "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5000\r\n{}\r\n0\r\n\r\n",
                "x".repeat(0x5000)
            ),
            413,
            "body_too_large",
            "the request's body is larger than 10240 bytes (`limits.body`)",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a.test\r\n".to_owned(),
            408,
            "head_timeout",
            "the head was not complete after 300ms (`timeouts.head`); 30 bytes of it had come",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nabc".to_owned(),
            408,
            "body_timeout",
            "too little of the request's body came for 300ms, after 3 bytes (`timeouts.body_idle`)",
        ),
    ];
    for (number, (request, status, refusal, detail)) in table.into_iter().enumerate() {
        let mut client = Client::connect(gateway.door(DOOR));
        client.send(&request);
        assert_eq!(
            client.response().map(|answer| answer.status),
            Some(status),
            "{refusal}"
        );
        says(&line(&gateway, number), refusal, &[detail]);
    }
}

/// The rule that is closed, and why; an Ingress that asks for protection in vain says so itself.
#[test]
fn why_a_rule_is_closed() {
    let backend = Backend::start("app");
    let app = |name: &str, host: &str, annotation: (&str, &str)| {
        annotated(&manifest::app(name, DOOR, host, backend.port()), &[annotation])
    };
    let missing = manifest::ingress("missing", DOOR, &[("missing.test", "Prefix", "/", "nowhere")]);
    let unready = manifest::ingress("unready", DOOR, &[("unready.test", "Prefix", "/", "unready")])
        + &manifest::service("unready", &[])
        + &manifest::slices("unready", &[backend.port()], "{ready: false}");
    let gateway = gateway!()
        .manifest("missing.yaml", &missing)
        .manifest("unready.yaml", &unready)
        .manifest(
            "snippet.yaml",
            &app(
                "snippet",
                "snippet.test",
                ("nginx.ingress.kubernetes.io/configuration-snippet", "deny all;"),
            ),
        )
        .manifest(
            "middleware.yaml",
            &app(
                "middleware",
                "middleware.test",
                (
                    "traefik.ingress.kubernetes.io/router.middlewares",
                    "test-absent@kubernetescrd",
                ),
            ),
        )
        .start();
    let table: [(&str, &str, &[&str]); 4] = [
        (
            "missing.test",
            "blocked",
            &[
                "spec.rules[0].http.paths[0].backend",
                "Service `test/nowhere` does not exist",
            ],
        ),
        ("snippet.test", "blocked", &["configuration-snippet"]),
        ("middleware.test", "blocked", &["absent"]),
        (
            "unready.test",
            "no_endpoint",
            &["the one endpoint of Service `test/unready`, port 80, is not ready"],
        ),
    ];
    for (number, (host, refusal, parts)) in table.into_iter().enumerate() {
        assert_eq!(get(gateway.door(DOOR), host, "/").status, 503, "{host}");
        let line = line(&gateway, number);
        says(&line, refusal, parts);
        let ingress = format!("test/{}", host.trim_end_matches(".test"));
        assert_eq!(line["ingress"], ingress, "{line}");
        let said = gateway.says(&ingress);
        assert!(said.contains(&ingress), "{said}");
    }
}

/// Once all endpoints have been ejected, the line says that, and what happened when one was tried again.
#[test]
fn all_endpoints_have_been_ejected() {
    let gateway = gateway!()
        .manifest(
            "dead.yaml",
            &manifest::app("dead", DOOR, "dead.test", free_port()),
        )
        .start();
    let address = gateway.door(DOOR);
    gateway.until("503", |_| get(address, "dead.test", "/").status == 503);
    gateway.until("its line", |gateway| {
        gateway
            .access_log()
            .iter()
            .any(|line| line["refusal"] == "no_endpoint")
    });
    let log = gateway.access_log();
    let line = log.iter().find(|line| line["refusal"] == "no_endpoint").unwrap();
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains("ejected"), "{line}");
}

/// A client that does not trust the door, and one that speaks no TLS, are told on standard error.
#[test]
fn clients_that_do_not_get_through_the_handshake() {
    let authority = Authority::new("somebody");
    let gateway = gateway!()
        .door(
            DOOR,
            "scheme = \"https\"\ntls = { default_certificate = \"self-signed\" }",
        )
        .start();
    let address = gateway.door(DOOR);
    let wary = TlsClient::new(&Offer {
        authority: Some(&authority),
        ..Offer::default()
    });
    assert!(wary.connect(address, Some("a.test")).is_err());
    let _refused = exchange(address, GET);
    gateway.until("both are told", |gateway| {
        let told = gateway.stderr();
        told.contains("TLS handshake refused by the client")
            && told.contains("what the client sends is not TLS")
    });
}

/// Whoever reads the log, the list of problems or the dashboard may not be who owns the Ingress.
#[test]
fn a_password_in_a_url_that_is_refused_is_shown_nowhere() {
    let url = [(
        "nginx.ingress.kubernetes.io/auth-url",
        "http://svc:S3cret@auth.default/",
    )];
    let gateway = gateway!()
        .manifest(
            "closed.yaml",
            &annotated(&manifest::app("closed", DOOR, "closed.test", free_port()), &url),
        )
        .start();
    assert_eq!(get(gateway.door(DOOR), "closed.test", "/").status, 503);
    gateway.until("its line", |gateway| !gateway.access_log().is_empty());
    let line = gateway.access_log().remove(0);
    let detail = line["detail"].as_str().unwrap();
    assert!(
        detail.contains("auth-url") && detail.contains("a user or a password"),
        "{line}"
    );
    let told = gateway.says("request failed: blocked");
    let (_, problems) = gateway.admin("/api/v1/problems");
    assert!(problems.contains("a user or a password"), "{problems}");
    for text in [line.to_string(), told, problems] {
        assert!(!text.contains("S3cret"), "{text}");
    }
}

/// Text is for people: nobody may write lines of their own into it.
#[test]
fn what_a_tenant_writes_stays_in_the_line() {
    let method = [
        ("nginx.ingress.kubernetes.io/auth-url", "http://auth.test/"),
        (
            "nginx.ingress.kubernetes.io/auth-method",
            "PRY\\n2026-01-01T00:00:00Z ERROR forged",
        ),
    ];
    let gateway = gateway!()
        .log("format = \"text\"")
        .manifest(
            "forged.yaml",
            &annotated(
                &manifest::app("forged", DOOR, "forged.test", free_port()),
                &method,
            ),
        )
        .start();
    assert_eq!(get(gateway.door(DOOR), "forged.test", "/").status, 503);
    let told = gateway.says("request failed: blocked");
    assert!(told.contains("PRY\\n2026-01-01T00:00:00Z ERROR forged"), "{told}");
    assert!(told.lines().all(|line| !line.starts_with("2026-01-01")), "{told}");
}

/// A door that redirects to its sibling, and an Ingress that redirects by itself at the same door.
#[test]
fn who_has_redirected() {
    let own = annotated(
        &manifest::ingress("own", "internal-http", &[("own.test", "Prefix", "/", "app")]),
        &[(
            "nginx.ingress.kubernetes.io/permanent-redirect",
            "https://elsewhere.test/",
        )],
    );
    let siblings = manifest::ingress(
        "siblings",
        "external-https",
        &[("siblings.test", "Prefix", "/", "app")],
    );
    let gateway = gateway!()
        .door("internal-http", "redirect = \"external-https\"")
        .manifest("own.yaml", &own)
        .manifest("siblings.yaml", &siblings)
        .manifest("app.yaml", &manifest::service("app", &[80]))
        .start();
    let expected = [
        ("own.test", 301, "a filter of its Ingress redirects it"),
        (
            "siblings.test",
            308,
            "the door redirects what its sibling serves (`redirect`)",
        ),
    ];
    for (number, (host, status, detail)) in expected.into_iter().enumerate() {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = exchange(gateway.door("internal-http"), request).unwrap();
        assert_eq!(answer.status, status, "{host}");
        says(&line(&gateway, number), "redirect", &[detail]);
    }
}

/// A door that has rules without a host, while another process has the other doors.
#[test]
fn no_rule_has_the_path() {
    let gateway = gateway!()
        .option("--doors", DOOR)
        .manifest(
            "any.yaml",
            &manifest::ingress("any", DOOR, &[("", "Prefix", "/any", "any")]),
        )
        .manifest("any-service.yaml", &manifest::service("any", &[80]))
        .start();
    let address = gateway.door(DOOR);
    let details = [
        (
            "GET / HTTP/1.0\r\n\r\n",
            "the request names no host, and none of this door's rules without one has the path",
        ),
        (
            "GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n",
            "no rule of any door of this process has the host",
        ),
        (
            "GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n",
            "; none of this door's rules without a host has the path",
        ),
    ];
    for (number, (request, expected)) in details.into_iter().enumerate() {
        assert_eq!(exchange(address, request).unwrap().status, 404);
        gateway.until("its line", |gateway| gateway.access_log().len() > number);
        let line = gateway.access_log().remove(number);
        assert!(line["detail"].as_str().unwrap().contains(expected), "{line}");
    }
}

/// Its owner has written the host, and forgotten the door: the line names the Ingress, and the client learns nothing.
#[test]
fn an_ingress_has_the_host_and_stands_at_no_door() {
    let unlabelled = manifest::app("unlabelled", "nothing", "unlabelled.test", free_port());
    let gateway = gateway!()
        .manifest("unlabelled.yaml", &unlabelled)
        .manifest(
            "wild.yaml",
            &manifest::ingress("wild", "nothing", &[("*.wild.test", "Prefix", "/", "app")]),
        )
        .start();
    let address = gateway.door(DOOR);
    let body = get(address, "nowhere.test", "/").body;
    let last_line = |host: &str| -> Option<Value> {
        let mut lines = gateway.access_log().into_iter();
        lines.rfind(|line| line["host"] == host)
    };
    let line_of = |host: &str| {
        let answer = get(address, host, "/");
        assert_eq!((answer.status, answer.body), (404, body.clone()), "{host}");
        gateway.until("its line", |_| {
            last_line(host).is_some_and(|line| line["status"] == 404)
        });
        let line = last_line(host).unwrap();
        assert_eq!(line["ingress"], Value::Null, "it has not answered: {line}");
        line["detail"].as_str().unwrap().to_owned()
    };
    for (host, ingress) in [("unlabelled.test", "unlabelled"), ("a.wild.test", "wild")] {
        let detail = line_of(host);
        let expected = format!(
            "no rule of any door has the host; Ingress `test/{ingress}` has it, and no door admits that Ingress; \
             `blastdoor check` says why"
        );
        assert!(detail.starts_with(&expected), "{detail}");
    }
    assert!(line_of("b.a.wild.test").starts_with("no rule of any door has the host (is it spelled right"));

    // Labelled, it is served; without a label again, it is named again.
    gateway.put(
        "unlabelled.yaml",
        &unlabelled.replace("expose: nothing", &format!("expose: {DOOR}")),
    );
    gateway.until_status(DOOR, "unlabelled.test", "/", 502);
    gateway.put("unlabelled.yaml", &unlabelled);
    gateway.until_status(DOOR, "unlabelled.test", "/", 404);
    gateway.until("it is named again", |_| {
        let detail = line_of("unlabelled.test");
        detail.contains("Ingress `test/unlabelled` has it")
    });
}

/// The doors of an installation may be opened by several processes, each of which knows all Ingresses.
#[test]
fn an_ingress_has_the_host_and_stands_at_a_door_of_another_process() {
    let gateway = gateway!()
        .option("--doors", DOOR)
        .manifest(
            "internal.yaml",
            &manifest::app("internal", "internal-http", "internal.test", free_port()),
        )
        .start();
    assert_eq!(get(gateway.door(DOOR), "internal.test", "/").status, 404);
    gateway.until("its line", |gateway| !gateway.access_log().is_empty());
    assert_eq!(
        gateway.access_log().remove(0)["detail"],
        "no rule of any door of this process has the host; Ingress `test/internal` has it, and is for door `internal-http`, \
         which another process opens"
    );
}
