//! What operators see: health, metrics, the access log.

use gateway_tests::{Backend, Client, Reply, exchange, gateway, get, manifest};

const DOOR: &str = "external-http";

#[test]
fn one_line_per_request() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(DOOR, "client_ip = \"xff\"\ntrusted_proxies = [\"127.0.0.0/8\"]")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    let mut client = Client::connect(address);
    client.request("POST /path?token=secret HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 8.8.8.8\r\nX-Request-ID: id-1\r\nContent-Length: 4\r\n\r\nbody");
    client.get("b.test", "/\u{7f}");
    exchange(address, "GET /%zz HTTP/1.1\r\nHost: a.test\r\n\r\n");
    get(address, "b.test", "/none");
    gateway.until("four lines", |gateway| gateway.access_log().len() == 4);
    let log = gateway.access_log();
    let mut first = log[0].clone();
    let fields = first.as_object_mut().unwrap();
    assert!(fields.remove("time").unwrap().as_str().unwrap().ends_with('Z'));
    for number in ["duration_ms", "connect_ms", "first_byte_ms"] {
        assert!(fields.remove(number).unwrap().is_number(), "{number}");
    }
    let expected = serde_json::json!({
        "listener": DOOR, "client": "8.8.8.8", "method": "POST", "host": "a.test", "path": "/path", "status": 200,
        "bytes_in": 4, "bytes_out": 3, "upstream": format!("127.0.0.1:{}", backend.port()), "ingress": "test/app",
        "request_id": "id-1", "refusal": null, "network.protocol.version": "1.1", "service": "test/app", "attempts": 1,
    });
    assert_eq!(first, expected);
    assert_eq!(
        (&log[1]["status"], &log[1]["refusal"]),
        (&400.into(), &"malformed".into())
    );
    assert_eq!(
        (&log[2]["status"], &log[2]["refusal"]),
        (&400.into(), &"malformed".into())
    );
    assert_eq!(
        (&log[3]["status"], &log[3]["refusal"], &log[3]["ingress"]),
        (&404.into(), &"no_route".into(), &serde_json::Value::Null)
    );
}

/// Which field, and what is wrong with it; never its value.
#[test]
fn the_log_says_what_is_wrong_with_a_request() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(DOOR, "client_ip = \"xff\"\ntrusted_proxies = [\"127.0.0.0/8\"]")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    const WHO: &str = "Host: a.test\r\nX-Forwarded-For: 8.8.8.8\r\nX-Request-ID: id-1\r\n";
    let known = ("8.8.8.8", "GET", "a.test", "/p", Some("id-1"));
    let table = [
        (
            format!("GET /p?q=secret HTTP/1.1\r\n{WHO}X Y: secret\r\n\r\n"),
            known,
            "a field line does not start with a field name and a colon (line 5, `X`)",
        ),
        (
            format!("GET /p HTTP/1.1\r\n{WHO}Cookie: a=\0secret\r\n\r\n"),
            known,
            "a field value holds a control character (line 5, `Cookie`)",
        ),
        (
            format!("GET /p HTTP/1.1\r\n{WHO}Authorization: Basic\r\n secret\r\n\r\n"),
            known,
            "a field line does not start with a field name and a colon (line 6)",
        ),
        (
            format!("GET /p HTTP/1.1\r\n{WHO}Content-Length: secret\r\n\r\n"),
            known,
            "Content-Length is not one decimal number",
        ),
        (
            format!("GET /p HTTP/1.1\r\n{WHO}Transfer-Encoding: chunked\r\n\r\nsecret\r\n"),
            known,
            "a chunk size is not a hexadecimal number within bounds",
        ),
        (
            "GET http://me:secret@a.test/p HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned(),
            ("127.0.0.1", "GET", "a.test", "/p", None),
            "the port is not a number",
        ),
        (
            "GET /p HTTP/1.1\r\n\r\n".to_owned(),
            ("127.0.0.1", "GET", "", "/p", None),
            "Host is missing",
        ),
        (
            "\x16\x03\x01\x02\0\x01\r\n\r\n".to_owned(),
            ("127.0.0.1", "", "", "", None),
            "the method is not a token",
        ),
    ];
    for (number, (bytes, expected, detail)) in table.into_iter().enumerate() {
        let answer = exchange(address, &bytes).unwrap();
        assert_eq!(answer.status, 400, "{bytes:?}");
        gateway.until("the line", |gateway| gateway.access_log().len() > number);
        let line = gateway.access_log().remove(number);
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        let (client, method, host, path, id) = expected;
        assert_eq!(
            (text("client"), text("method"), text("host"), text("path")),
            (
                client.to_owned(),
                method.to_owned(),
                host.to_owned(),
                path.to_owned()
            ),
            "{bytes:?}: {line}"
        );
        match id {
            Some(id) => assert_eq!(text("request_id"), id, "{bytes:?}"),
            None => assert_eq!(text("request_id").len(), 32, "{bytes:?}: {line}"),
        }
        assert!(text("detail").starts_with(detail), "{bytes:?}: {line}");
        assert!(!line.to_string().contains("secret"), "{line}");
    }
    let told = gateway.stderr();
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn the_log_says_what_is_wrong_with_a_response() {
    let table = [
        (
            "HTTP/1.1 200 OK\r\nX-Correlation-Id : 1\r\nContent-Length: 0\r\n\r\n",
            "upstream_malformed",
            "a field line does not start with a field name and a colon (line 2, `X-Correlation-Id`)",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "upstream_malformed",
            "Transfer-Encoding is not exactly one `chunked`",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
            "upstream_malformed",
            "a chunk size is not a hexadecimal number within bounds",
        ),
        (
            "HTTP/1.1 200 OK\r\nServer: x",
            "upstream_malformed",
            "the connection ended within the response head, after 26 bytes of it",
        ),
    ];
    for (answer, refusal, detail) in table {
        let backend = Backend::with("app", Reply::RawThenClose(answer.as_bytes().to_vec()));
        let gateway = gateway!()
            .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
            .start();
        let _whatever = exchange(gateway.door(DOOR), "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        gateway.until("the line", |gateway| gateway.access_log().len() == 1);
        let line = gateway.access_log().remove(0);
        assert_eq!(
            (&line["refusal"], &line["detail"]),
            (&refusal.into(), &detail.into()),
            "{answer:?}"
        );
    }
}

#[test]
fn only_errors_or_nothing() {
    let backend = Backend::start("app");
    for (policy, lines) in [("errors", 1), ("off", 0)] {
        let gateway = gateway!()
            .log(&format!("access = \"{policy}\""))
            .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
            .start();
        get(gateway.door(DOOR), "a.test", "/");
        get(gateway.door(DOOR), "b.test", "/");
        gateway.until("what must be there", |gateway| {
            gateway.access_log().len() >= lines
        });
        std::thread::sleep(std::time::Duration::from_millis(400));
        assert_eq!(gateway.access_log().len(), lines, "{policy}");
    }
}

#[test]
fn metrics_of_the_contract() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut client = Client::connect(gateway.door(DOOR));
    for _ in 0..3 {
        client.get("a.test", "/");
    }
    client.get("internal.test", "/");
    exchange(gateway.door(DOOR), "BREW / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let listener = ("listener", DOOR);
    gateway.counts(
        "blastdoor_requests_total",
        &[listener, ("method", "GET"), ("status_class", "2xx")],
        3.0,
    );
    gateway.counts(
        "blastdoor_requests_total",
        &[listener, ("method", "GET"), ("status_class", "4xx")],
        1.0,
    );
    gateway.counts("blastdoor_requests_total", &[listener, ("method", "other")], 1.0);
    gateway.counts("blastdoor_request_duration_seconds_count", &[listener], 5.0);
    gateway.counts(
        "blastdoor_refusals_total",
        &[listener, ("reason", "no_route")],
        1.0,
    );
    gateway.counts("blastdoor_connections", &[listener, ("state", "idle")], 1.0);
    gateway.counts("blastdoor_upstream_connects_total", &[listener], 1.0);
    assert_eq!(gateway.metric("blastdoor_config_problems", &[]), 0.0);
    assert_eq!(gateway.metric("blastdoor_config_age_seconds", &[]), 0.0);
}

#[test]
fn the_health_command() {
    let builder = gateway!();
    let status = |arguments: &[&str]| {
        let mut all = vec!["health"];
        all.extend(arguments);
        builder.run(&all).status
    };
    assert_eq!(status(&[]), 1, "nobody is there");
    let gateway = builder.twin(1).start();
    let config = gateway.config();
    let ask = |arguments: &[&str]| {
        let mut all = vec!["health", "--config", config.to_str().unwrap()];
        all.extend(arguments);
        gateway_tests::command(
            std::path::Path::new(env!("CARGO_BIN_EXE_blastdoor-under-test")),
            &all,
            &[],
            builder.folder(),
        )
        .status
    };
    assert_eq!(
        (
            ask(&[]),
            ask(&["--ready"]),
            ask(&["--lb", DOOR]),
            ask(&["--lb", "none"])
        ),
        (0, 0, 0, 2)
    );
    for other in ["", "?x", "/", "#x", " x", "%20", "\u{e4}", " HTTP/1.0\r\n"] {
        assert_eq!(ask(&["--lb", &format!("{DOOR}{other}x")]), 2, "{other:?}");
        let name = if other.is_empty() {
            ""
        } else {
            &format!("{DOOR}{other}")
        };
        assert_eq!(ask(&["--lb", name]), 2, "{other:?}");
    }

    // When its file breaks, a gateway continues with what it has, and so must the probe. With `--admin` it reads no file.
    let text = std::fs::read_to_string(&config).unwrap();
    let start = text.find("unix:").unwrap();
    let address = text[start..].split('"').next().unwrap().to_owned();
    for broken in [
        "[admin]\nbind = \"ADDRESS\"\n[listeners.x]\nscheme = \"htp\"\n",
        "not = [toml",
    ] {
        std::fs::write(&config, broken.replace("ADDRESS", &address)).unwrap();
        assert_eq!(ask(&["--admin", &address, "--ready"]), 0);
        assert_eq!(ask(&["--admin", "unix:/nowhere"]), 1);
        assert_eq!(ask(&["--admin", "nowhere"]), 2);
        if broken.contains("ADDRESS") {
            assert_eq!(ask(&[]), 0);
        }
    }
}

/// When clients and backends leave at any moment, descriptors are released and nothing panics.
#[test]
fn nothing_leaks() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .log("access = \"off\"")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    get(address, "a.test", "/");
    let before = gateway.descriptors();
    let whole = "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for cut in 0..whole.len() {
        let mut client = Client::connect(address);
        client.send(&whole[..cut]);
    }
    gateway.until("all connections are gone", |gateway| {
        gateway.metric("blastdoor_connections", &[]) == 0.0
    });
    assert_eq!(gateway.metric("blastdoor_panics_total", &[]), 0.0);
    gateway.until("descriptors are back", |gateway| {
        gateway.descriptors() <= before + 2
    });
    assert_eq!(get(address, "a.test", "/").text(), "app");
}
