//! `Proxy-Status` (RFC 9209): what went wrong, at doors that say it, and nothing that tells one host from another.

use gateway_tests::tls::annotated;
use gateway_tests::{Backend, Client, Reply, free_port, gateway, manifest};

const DOOR: &str = "external-http";
const ON: &str = "proxy_status = true";

#[test]
fn the_gateways_own_errors_say_what_went_wrong() {
    let backend = Backend::with("resets", Reply::Close);
    let denied = annotated(
        &manifest::app("denied", DOOR, "denied.test", backend.port()),
        &[(
            "nginx.ingress.kubernetes.io/whitelist-source-range",
            "192.0.2.0/24",
        )],
    );
    let empty = manifest::ingress("empty", DOOR, &[("empty.test", "Prefix", "/", "empty")])
        + &manifest::service("empty", &[]);
    let blocked = manifest::ingress("blocked", DOOR, &[("blocked.test", "Prefix", "/", "nowhere")]);
    let build = || {
        gateway!()
            .manifest(
                "resets.yaml",
                &manifest::app("resets", DOOR, "resets.test", backend.port()),
            )
            .manifest(
                "refused.yaml",
                &manifest::app("refused", DOOR, "refused.test", free_port()),
            )
            .manifest("denied.yaml", &denied)
            .manifest("empty.yaml", &empty)
            .manifest("blocked.yaml", &blocked)
    };
    let table = [
        ("GET", "nowhere.test", 404, "destination_not_found"),
        ("GET", "resets.test", 502, "connection_terminated"),
        ("GET", "refused.test", 502, "connection_refused"),
        ("GET", "denied.test", 403, "http_request_denied"),
        ("GET", "empty.test", 503, "destination_unavailable"),
        ("GET", "blocked.test", 503, "proxy_configuration_error"),
        ("TRACE", "empty.test", 405, "http_request_error; status-code=405"),
    ];
    for is_on in [true, false] {
        let builder = if is_on { build().door(DOOR, ON) } else { build() };
        let gateway = builder.start();
        for (method, host, status, error) in table {
            let mut client = Client::connect(gateway.door(DOOR));
            let answer = client
                .request(format!("{method} / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                .unwrap();
            let expected = is_on.then(|| format!("blastdoor; error={error}"));
            assert_eq!(
                (answer.status, answer.field("proxy-status")),
                (status, expected.as_deref()),
                "{host}"
            );
            assert!(
                !answer.without_date().contains("127.0.0.1"),
                "{}",
                answer.without_date()
            );
        }
    }
}

/// What a backend says is the backend's.
#[test]
fn a_forwarded_answer_stays_as_it_is() {
    let says =
        "HTTP/1.1 502 Bad Gateway\r\nProxy-Status: inner; error=dns_error\r\nContent-Length: 0\r\n\r\n";
    let backend = Backend::with("app", Reply::Raw(says.as_bytes().to_vec()));
    let gateway = gateway!()
        .door(DOOR, ON)
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let answer = Client::connect(gateway.door(DOOR)).get("a.test", "/").unwrap();
    assert_eq!(answer.field("proxy-status"), Some("inner; error=dns_error"));
}

/// The same bytes, whether the host is another door's, is known here with other paths, or is nowhere.
#[test]
fn no_host_is_told_from_another() {
    let backend = Backend::start("app");
    let here = manifest::ingress("here", DOOR, &[("here.test", "Exact", "/only", "here")])
        + &manifest::service("here", &[backend.port()]);
    for lines in [ON, "proxy_status = false"] {
        let gateway = gateway!()
            .every_door(lines)
            .manifest("here.yaml", &here)
            .manifest(
                "there.yaml",
                &manifest::app("there", "internal-http", "there.test", backend.port()),
            )
            .start();
        let answers = ["nowhere.test", "there.test", "here.test"].map(|host| {
            let answer = Client::connect(gateway.door(DOOR)).get(host, "/").unwrap();
            (answer.status, answer.without_date())
        });
        assert_eq!(answers[0].0, 404);
        assert_eq!(answers[0], answers[1], "{lines}");
        assert_eq!(answers[0], answers[2], "{lines}");
    }
}
