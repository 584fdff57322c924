//! Ten broken requests that people search for: the line of the access log tells for each what is wrong, without anything
//! else. `docs/troubleshooting.md` has a section for each.

use std::net::SocketAddr;

use gateway_tests::tls::{Authority, H1, TlsFront, annotated, secret_of};
use gateway_tests::{Backend, Client, Gateway, Reply, exchange, gateway, get, manifest};
use serde_json::Value;

const DOOR: &str = "external-http";

/// Everything that is broken in one way each.
struct Rig {
    gateway: Gateway,
    address: SocketAddr,
    _backends: Vec<Backend>,
    _front: TlsFront,
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
        let gateway = gateway!()
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
            )
            .start();
        let address = gateway.door(DOOR);
        Self {
            gateway,
            address,
            _backends: vec![app, resets],
            _front: front,
        }
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
            &["no rule of any door has the host", "label"],
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
