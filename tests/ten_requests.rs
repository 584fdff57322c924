//! Ten broken requests that people search for: the line of the access log, `explain` and the dashboard each tell for each what
//! is wrong, without the others. `docs/troubleshooting.md` has a section for each.

use std::net::SocketAddr;

use gateway_tests::tls::{Authority, H1, TlsFront, annotated, secret_of};
use gateway_tests::{Backend, Builder, Client, Gateway, Reply, exchange, gateway, get, manifest};
use serde_json::Value;

const DOOR: &str = "external-http";

/// Everything that is broken in one way each.
struct Rig {
    gateway: Gateway,
    address: SocketAddr,
    _backends: Vec<Backend>,
    _front: TlsFront,
    /// Runs commands over the same files.
    builder: Builder,
}

impl Rig {
    fn new() -> Self {
        let app = Backend::start("app");
        let resets = Backend::with("resets", Reply::Reset);
        let authority = Authority::new("good");
        let front = TlsFront::start(&authority.server(&["elsewhere.test"]), H1, None, app.port());
        let https = [
            ("nginx.ingress.kubernetes.io/backend-protocol", "HTTPS"),
            ("blastdoor.dev/backend-tls-verify", "on"),
            ("blastdoor.dev/backend-tls-ca", "secret/good"),
        ];
        let denied = [(
            "nginx.ingress.kubernetes.io/whitelist-source-range",
            "192.0.2.0/24",
        )];
        let app_at = |name, door, host| manifest::app(name, door, host, app.port());
        let empty = manifest::ingress("empty", DOOR, &[("empty.test", "Prefix", "/", "empty")])
            + &manifest::service("empty", &[]);
        let port = manifest::ingress("port", DOOR, &[("port.test", "Prefix", "/", "app")])
            .replace("number: 80", "name: http");
        let shadowed = manifest::ingress("older", DOOR, &[("shared.test", "Prefix", "/", "app")]).replace(
            "  labels:",
            "  creationTimestamp: \"2020-01-01T00:00:00Z\"\n  labels:",
        ) + &manifest::ingress("newer", DOOR, &[("shared.test", "Prefix", "/", "empty")])
            .replace(
                "  labels:",
                "  creationTimestamp: \"2024-01-01T00:00:00Z\"\n  labels:",
            );
        let builder = gateway!()
            .manifest("app.yaml", &app_at("app", DOOR, "a.test"))
            .manifest(
                "internal.yaml",
                &app_at("internal", "internal-http", "internal.test"),
            )
            .manifest(
                "unlabelled.yaml",
                &app_at("unlabelled", "nothing", "unlabelled.test"),
            )
            .manifest("empty.yaml", &empty)
            .manifest("port.yaml", &port)
            .manifest(
                "resets.yaml",
                &manifest::app("resets", DOOR, "resets.test", resets.port()),
            )
            .manifest(
                "tls.yaml",
                &annotated(&manifest::app("tls", DOOR, "tls.test", front.port()), &https),
            )
            .manifest(
                "ca.yaml",
                &secret_of("good", "Opaque", &[("ca.crt", authority.pem())]),
            )
            .manifest("shadowed.yaml", &shadowed)
            .manifest(
                "denied.yaml",
                &annotated(&app_at("denied", DOOR, "denied.test"), &denied),
            );
        let gateway = builder.twin(2).start();
        let address = gateway.door(DOOR);
        Self {
            gateway,
            address,
            _backends: vec![app, resets],
            _front: front,
            builder,
        }
    }

    fn page(&self, path: &str) -> Value {
        let (status, body) = self.gateway.admin(&format!("/api/v1/{path}"));
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// What `explain` says at the door: to a person, and to the dashboard, whose form asks the same.
    fn explained(&self, host: &str, options: &[&str]) -> String {
        let url = format!("http://{host}/");
        let all = [&["explain", &url, "--door", DOOR], options].concat();
        let output = self.builder.run(&all);
        assert_eq!(output.status, 0, "{output:?}");
        output.stdout
    }

    /// The line of the request that was just sent.
    fn line(&self, number: usize) -> Value {
        self.gateway
            .until("the line", |gateway| gateway.access_log().len() > number);
        self.gateway.access_log().remove(number)
    }
}

#[test]
fn the_line_of_each_tells_its_cause() {
    let rig = Rig::new();
    let service = "test/empty";
    let cookie = "c".repeat(40_000);
    let large = format!("GET / HTTP/1.1\r\nHost: a.test\r\nCookie: {cookie}\r\n\r\n");
    // Host and path, or the whole request; status; refusal; Ingress; what the detail says.
    let table: [(&str, u16, Value, Value, &[&str]); 10] = [
        (
            "wrong.test",
            404,
            "no_route".into(),
            Value::Null,
            &["no rule of any door has the host"],
        ),
        (
            "internal.test",
            404,
            "no_route".into(),
            Value::Null,
            &["no rule of this door has the host; door `internal-http` has it"],
        ),
        (
            "unlabelled.test",
            404,
            "no_route".into(),
            Value::Null,
            &[
                "no rule of any door has the host",
                "Ingress `test/unlabelled` has it, and no door admits that Ingress",
                "label",
            ],
        ),
        (
            "empty.test",
            503,
            "no_endpoint".into(),
            "test/empty".into(),
            &["Service `test/empty` has no endpoint: no EndpointSlice lists an address for its port 80"],
        ),
        (
            "port.test",
            503,
            "blocked".into(),
            "test/port".into(),
            &[
                "spec.rules[0].http.paths[0].backend",
                "Service `test/app` has no port `http`; it has: 80",
            ],
        ),
        (
            "resets.test",
            502,
            "upstream_reset".into(),
            "test/resets".into(),
            &["the backend reset the connection before the first byte of its response"],
        ),
        (
            "tls.test",
            502,
            "upstream_tls".into(),
            "test/tls".into(),
            &[
                "certificate is refused",
                "it is not for `tls.test.svc`, which was asked for",
                "but for elsewhere.test",
            ],
        ),
        (
            &large,
            431,
            "head_too_large".into(),
            Value::Null,
            &[
                "`limits.header_bytes`: 32768 bytes",
                "its largest field is `Cookie`",
            ],
        ),
        ("shared.test", 200, Value::Null, "test/older".into(), &[]),
        (
            "denied.test",
            403,
            "access_denied".into(),
            "test/denied".into(),
            &["the client's address is not in the allow list"],
        ),
    ];
    for (number, (request, status, refusal, ingress, parts)) in table.into_iter().enumerate() {
        let answer = match request.contains(' ') {
            true => exchange(rig.address, request).expect("an answer"),
            false => get(rig.address, request, "/"),
        };
        let line = rig.line(number);
        assert_eq!(answer.status, status, "{line}");
        assert_eq!(
            (&line["refusal"], &line["ingress"]),
            (&refusal, &ingress),
            "{line}"
        );
        let detail = line["detail"].as_str().unwrap_or_default();
        for part in parts {
            assert!(detail.contains(part), "{part}: {line}");
        }
        assert!(parts.is_empty() == detail.is_empty(), "{line}");
        assert!(!line.to_string().contains("cccc"), "{line}");
    }
    assert_eq!(rig.line(3)["service"], service);
    // Whoever runs an application finds the same on standard error, with its Ingress.
    for part in ["test/empty", "test/port", "test/resets", "test/tls"] {
        let told = rig.gateway.stderr();
        let mut lines = told.lines().filter(|line| line.contains("request failed"));
        assert!(lines.any(|line| line.contains(part)), "{part}: {told}");
    }
}

/// A reader of `explain` alone finds it too: from files, and what only a running gateway knows from there.
#[test]
fn explain_tells_the_cause_of_each() {
    let rig = Rig::new();
    let cookie = format!("Cookie: {}", "c".repeat(40_000));
    // Host, options, and what is said from files.
    let table: [(&str, &[&str], &[&str]); 8] = [
        (
            "wrong.test",
            &[],
            &["404: no rule of this door names host `wrong.test`, nor does any other door"],
        ),
        (
            "internal.test",
            &[],
            &["404: no rule of this door names host `internal.test`, but door `internal-http` does"],
        ),
        (
            "unlabelled.test",
            &[],
            &[
                "test/unlabelled  unlabelled.test/",
                "its label is `expose=nothing`; no door admits it",
            ],
        ),
        (
            "empty.test",
            &[],
            &[
                "503: Ingress `test/empty` has nobody to send it to",
                "no EndpointSlice lists an address for its port 80",
            ],
        ),
        (
            "port.test",
            &[],
            &[
                "503: the rule of Ingress `test/port` is closed",
                "Service `test/app` has no port `http`; it has: 80",
            ],
        ),
        (
            "a.test",
            &["--header", &cookie],
            &["431: the request is refused before any rule", "head_too_large"],
        ),
        (
            "shared.test",
            &[],
            &[
                "Ingress `test/older` sends it",
                "test/newer  shared.test/",
                "belongs to the older Ingress `test/older`",
            ],
        ),
        (
            "denied.test",
            &["--client", "127.0.0.1"],
            &[
                "403: answered by a filter of Ingress `test/denied`: `allow`",
                "access_denied",
            ],
        ),
    ];
    for (host, options, parts) in table {
        let told = rig.explained(host, options);
        for part in parts {
            assert!(told.contains(part), "{host}: {part}: {told}");
        }
    }
    // What the backend did, the running gateway knows; from files the backend decides.
    let admin = format!("unix:{}", rig.gateway.admin_socket().display());
    for (host, parts) in [
        (
            "resets.test",
            &[
                "lately    502 upstream_reset",
                "the backend reset the connection before the first byte of its response",
            ][..],
        ),
        (
            "tls.test",
            &[
                "the certificate must be for `tls.test.svc`",
                "lately    502 upstream_tls",
                "it is not for `tls.test.svc`, which was asked for, but for elsewhere.test",
            ],
        ),
    ] {
        let told = rig.explained(host, &[]);
        assert!(
            told.contains("the backend decides") && !told.contains("lately"),
            "{told}"
        );
        assert_eq!(get(rig.address, host, "/").status, 502);
        rig.gateway.until("it is told", |_| {
            let told = rig.explained(host, &["--admin", &admin]);
            parts.iter().all(|part| told.contains(part))
        });
    }
    // Of a host without a rule, what was asked for it; of an Ingress, what it answered.
    let told = rig.explained("wrong.test", &["--admin", &admin]);
    assert!(!told.contains("lately"), "{told}");
    assert_eq!(get(rig.address, "wrong.test", "/").status, 404);
    rig.gateway.until("it is told", |_| {
        let told = rig.explained("WRONG.test:80", &["--admin", &admin]);
        told.contains("lately    404 no_route")
    });
}

/// A reader of the dashboard alone finds it too: in its lists, which are the pages asked for here.
#[test]
fn the_dashboard_tells_the_cause_of_each() {
    let rig = Rig::new();
    let cookie = "c".repeat(40_000);
    let large = format!("GET / HTTP/1.1\r\nHost: a.test\r\nCookie: {cookie}\r\n\r\n");
    // What is sent; the list, its search, and what its first row says.
    let table: [(&str, &str, &str, &[&str]); 12] = [
        (
            "wrong.test",
            "failures",
            "wrong.test",
            &[
                "no_route",
                "no rule of any door has the host (is it spelled right",
            ],
        ),
        (
            "internal.test",
            "failures",
            "internal.test",
            &["no rule of this door has the host; door `internal-http` has it"],
        ),
        (
            "unlabelled.test",
            "failures",
            "unlabelled.test",
            &["Ingress `test/unlabelled` has it, and no door admits that Ingress"],
        ),
        (
            "unlabelled.test",
            "problems",
            "unlabelled",
            &["served nowhere: no door's selector matches `expose=nothing`"],
        ),
        (
            "empty.test",
            "failures",
            "test/empty",
            &["no_endpoint", "no EndpointSlice lists an address for its port 80"],
        ),
        (
            "empty.test",
            "endpoints",
            "test/empty",
            &[
                "\"state\":\"none\"",
                "no EndpointSlice lists an address for its port 80",
            ],
        ),
        (
            "port.test",
            "problems",
            "test/port",
            &["Service `test/app` has no port `http`; it has: 80"],
        ),
        (
            "resets.test",
            "failures",
            "test/resets",
            &[
                "upstream_reset",
                "the backend reset the connection before the first byte",
            ],
        ),
        (
            "tls.test",
            "failures",
            "test/tls",
            &[
                "upstream_tls",
                "it is not for `tls.test.svc`, which was asked for, but for elsewhere.test",
            ],
        ),
        (
            &large,
            "failures",
            "head_too_large",
            &[
                "`limits.header_bytes`: 32768 bytes",
                "its largest field is `Cookie`",
            ],
        ),
        (
            "shared.test",
            "problems",
            "test/newer",
            &["belongs to the older Ingress `test/older`"],
        ),
        (
            "denied.test",
            "failures",
            "test/denied",
            &["access_denied", "the client's address is not in the allow list"],
        ),
    ];
    for (request, list, search, parts) in table {
        match request.contains(' ') {
            true => drop(exchange(rig.address, request).expect("an answer")),
            false => drop(get(rig.address, request, "/")),
        }
        let path = format!("{list}?q={search}");
        let rows = |page: &Value| page[if list == "endpoints" { "services" } else { list }][0].to_string();
        rig.gateway.until(&path, |_| rows(&rig.page(&path)) != "null");
        let row = rows(&rig.page(&path));
        for part in parts {
            let part = if part.starts_with('"') {
                (*part).to_owned()
            } else {
                json_text(part)
            };
            assert!(row.contains(&part), "{path}: {part}: {row}");
        }
    }
    // An application's trouble has its Ingress, and its endpoint.
    let failures = rig.page(&format!("failures?q=test/resets&door={DOOR}"));
    let row = &failures["failures"][0];
    assert_eq!(
        (&row["ingress"], &row["status"]),
        (&"test/resets".into(), &502.into()),
        "{row}"
    );
    assert!(
        row["endpoint"]
            .as_str()
            .is_some_and(|endpoint| endpoint.starts_with("127.0.0.1:")),
        "{row}"
    );
    assert!(!rig.page("failures").to_string().contains("cccc"));
    assert_eq!(rig.page("failures?door=internal-http")["total"], 0);
    // The states of the routes are those of the audit.
    let routes = rig.page("audit");
    let routes = routes["routes"].as_array().unwrap();
    for (host, state) in [
        ("empty.test", "no-endpoints"),
        ("port.test", "blocked"),
        ("a.test", "ready"),
    ] {
        let row = routes
            .iter()
            .find(|row| row["host"] == host && row["listener"] == DOOR)
            .unwrap();
        assert_eq!(row["state"], state, "{row}");
    }
}

/// A text as JSON has it, without its quotes.
fn json_text(text: &str) -> String {
    Value::from(text).to_string().trim_matches('"').to_owned()
}

/// What happens again and again is told once, and then how often it was.
#[test]
fn warnings_about_an_application_come_at_a_limited_rate() {
    let rig = Rig::new();
    let mut client = Client::connect(rig.address);
    for _ in 0..50 {
        assert_eq!(client.get("empty.test", "/").unwrap().status, 503);
        assert_eq!(client.get("port.test", "/").unwrap().status, 503);
    }
    rig.line(99);
    let told = rig.gateway.stderr();
    for ingress in ["test/empty", "test/port"] {
        let lines = told
            .lines()
            .filter(|line| line.contains("request failed") && line.contains(ingress));
        // The test may take longer than the pause between two lines.
        assert!((1..=5).contains(&lines.count()), "{told}");
    }
}
