//! How the service is asked, and which of its answers count: in our words, those of ingress-nginx, and `forwardAuth` of Traefik.

use gateway_tests::tls::{Authority, H1, TlsFront, secret, secret_of};
use gateway_tests::{Backend, Reply, manifest};

use super::super::{DOOR, ask, gateway_with};
use super::{NAMED, OWN, URL, middleware, service, service_with, start, with};

/// What the service is told, in our spelling.
#[test]
fn own_questions_have_a_method_and_chosen_fields() {
    let send = ("blastdoor.dev/forward-auth-send", "Authorization, X-Sent");
    let method = |value| ("blastdoor.dev/forward-auth-method", value);
    // (annotations, method of the question, whether it has all fields)
    let table: [(&[(&str, &str)], &str, bool); 4] = [
        (&[], "GET", true),
        (&[send], "GET", false),
        (&[method("POST")], "POST", true),
        (&[method("request"), send], "DELETE", false),
    ];
    for (annotations, method, all) in table {
        let (backend, service) = (Backend::start("app"), service());
        let mut annotations = annotations.to_vec();
        annotations.push((OWN, "http://auth/verify"));
        let gateway = start(&backend, &service, &annotations, "");
        let fields = [
            ("authorization", "let-me-in"),
            ("x-sent", "1"),
            ("x-kept", "2"),
            ("cookie", "c=1"),
        ];
        assert_eq!(ask(gateway.door(DOOR), "DELETE", "/a?b", &fields).status, 200);
        let question = service.last();
        assert_eq!(
            question.line(),
            format!("{method} /verify HTTP/1.1"),
            "{annotations:?}"
        );
        for (name, value) in [
            ("x-sent", Some("1")),
            ("x-kept", all.then_some("2")),
            ("cookie", all.then_some("c=1")),
            ("x-forwarded-method", Some("DELETE")),
        ] {
            assert_eq!(question.field(name), value, "{annotations:?}: {name}");
        }
        assert_eq!(backend.last().field("x-kept"), Some("2"), "{annotations:?}");
    }
}

/// The service is believed only with a valid certificate, and is shown that of `certSecret`.
#[test]
fn questions_go_over_tls() {
    let (good, other, clients) = (
        Authority::new("good"),
        Authority::new("other"),
        Authority::new("clients"),
    );
    let own = clients.client("gateway");
    let objects = secret_of("good", "Opaque", &[("tls.ca", good.pem())])
        + &secret_of("plain", "Opaque", &[("ca.crt", good.pem())])
        + &secret_of("other", "Opaque", &[("tls.ca", other.pem())])
        + &secret("own", &own);
    let (backend, service) = (Backend::start("app"), service());
    let front = TlsFront::start(
        &good.server(&["auth.test.svc"]),
        H1,
        Some(&clients),
        service.port(),
    );
    let traefik = |tls: &str| {
        (
            vec![NAMED],
            format!("address: \"https://auth.test.svc/\", tls: {{{tls}}}"),
        )
    };
    let questions = [
        (traefik("caSecret: good, certSecret: own"), 200),
        (traefik("caSecret: plain, certSecret: own, caOptional: true"), 200),
        (traefik("caSecret: good"), 503),
        (traefik("caSecret: other, certSecret: own"), 503),
        (traefik("certSecret: own"), 503),
        (traefik("caSecret: good, certSecret: missing"), 503),
        // Whoever answers in its place could let everybody in.
        (traefik("insecureSkipVerify: true, certSecret: own"), 503),
    ];
    for ((annotations, fields), status) in questions {
        backend.forget();
        let others = middleware(&fields) + &objects + &secure("auth", front.port());
        let gateway = gateway_with(&backend, &annotations, &others);
        assert_eq!(with(&gateway, "let-me-in").status, status, "{fields}");
        assert_eq!(backend.requests() > 0, status == 200, "{fields}");
    }
    let shown: Vec<_> = front.met().into_iter().filter_map(|met| met.client).collect();
    assert!(shown.contains(&own.der()));
}

/// A Service whose port is that of https.
fn secure(name: &str, port: u16) -> String {
    manifest::service(name, &[port]).replace("port: 80\n", "port: 443\n")
}

#[test]
fn own_questions_name_their_authorities() {
    let (good, other) = (Authority::new("good"), Authority::new("other"));
    let objects = secret_of("good", "Opaque", &[("ca.crt", good.pem())])
        + &secret_of("other", "Opaque", &[("ca.crt", other.pem())]);
    let (backend, service) = (Backend::start("app"), service());
    let front = TlsFront::start(&good.server(&["auth.test.svc"]), H1, None, service.port());
    for (from, status) in [
        ("secret/good", 200),
        ("secret/other", 503),
        ("secret/missing", 503),
    ] {
        backend.forget();
        let annotations = [
            (OWN, "https://auth.test.svc/"),
            ("blastdoor.dev/forward-auth-ca", from),
        ];
        let gateway = gateway_with(&backend, &annotations, &(secure("auth", front.port()) + &objects));
        assert_eq!(with(&gateway, "let-me-in").status, status, "{from}");
        assert_eq!(backend.requests() > 0, status == 200, "{from}");
    }
}

/// An answer that is larger than it may be is none.
#[test]
fn answers_have_a_largest_size() {
    let long = |status: &str| {
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: 100\r\n\r\n{}",
            "x".repeat(100)
        );
        Backend::with("auth", Reply::Raw(answer.into_bytes()))
    };
    for (most, status) in [(100, 403), (99, 503)] {
        let (backend, service) = (Backend::start("app"), long("403 Forbidden"));
        let others = middleware(&format!("address: \"http://auth/\", maxResponseBodySize: {most}"));
        let gateway = start(&backend, &service, &[NAMED], &others);
        assert_eq!(with(&gateway, "x").status, status, "{most}");
        assert_eq!(backend.requests(), 0);
    }
}

/// ingress-nginx says for each status how long its answers are kept; others are asked for again.
#[test]
fn answers_are_kept_by_their_status() {
    // (durations, how often the service is asked by two requests that pass and two that do not)
    for (durations, asked) in [
        ("200 202 401 5m", [1, 1]),
        ("200 10m", [1, 2]),
        ("401 5m", [2, 1]),
        ("200 10m, 401 5m", [1, 1]),
    ] {
        let (backend, service) = (Backend::start("app"), service_with(false));
        let annotations = [
            (URL, "http://auth"),
            ("nginx.ingress.kubernetes.io/auth-cache-key", "$host"),
            ("nginx.ingress.kubernetes.io/auth-cache-duration", durations),
        ];
        let gateway = start(&backend, &service, &annotations, "");
        for ((credentials, status), asked) in [("let-me-in", 200), ("wrong", 401)].into_iter().zip(asked) {
            service.forget();
            assert_eq!(with(&gateway, credentials).status, status, "{durations}");
            assert_eq!(service.requests(), asked, "{durations}: {status}");
        }
    }
}
