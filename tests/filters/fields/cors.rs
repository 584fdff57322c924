//! CORS, in our spelling and that of ingress-nginx.

use gateway_tests::{Backend, Reply};

use super::super::{DOOR, ask, gateway_with};
use super::{PREFLIGHT, answer, cors_of, talkative};

#[test]
fn preflights_are_answered_without_the_backend() {
    let backend = talkative();
    let ours = [
        ("blastdoor.dev/cors", "https://a.test, https://*.b.test:8443"),
        ("blastdoor.dev/cors-methods", "GET, PUT"),
        ("blastdoor.dev/cors-headers", "X-A"),
        ("blastdoor.dev/cors-credentials", "on"),
        ("blastdoor.dev/cors-max-age", "10m"),
    ];
    let theirs = [
        ("nginx.ingress.kubernetes.io/enable-cors", "true"),
        (
            "nginx.ingress.kubernetes.io/cors-allow-origin",
            "https://a.test, https://*.b.test:8443",
        ),
        ("nginx.ingress.kubernetes.io/cors-allow-methods", "GET, PUT"),
        ("nginx.ingress.kubernetes.io/cors-allow-headers", "X-A"),
        ("nginx.ingress.kubernetes.io/cors-max-age", "600"),
    ];
    for annotations in [ours, theirs] {
        let gateway = gateway_with(&backend, &annotations, "");
        let door = gateway.door(DOOR);
        for (origin, listed) in [
            ("https://a.test", true),
            ("https://x.b.test:8443", true),
            ("https://x.b.test", false),
            ("https://x.y.b.test:8443", false),
            ("https://b.test:8443", false),
            ("http://a.test", false),
            ("https://a.test.evil.test", false),
            ("null", false),
        ] {
            let mut fields = PREFLIGHT;
            fields[0].1 = origin;
            let got = ask(door, "OPTIONS", "/x", &fields);
            assert_eq!(
                (got.status, got.body.as_str(), got.field("content-type")),
                (204, "", None),
                "{origin}"
            );
            let mut expected = vec!["vary: Origin".to_owned()];
            if listed {
                expected.splice(
                    0..0,
                    [
                        "allow-credentials: true".to_owned(),
                        "allow-headers: X-A".to_owned(),
                        "allow-methods: GET, PUT".to_owned(),
                        format!("allow-origin: {origin}"),
                        "max-age: 600".to_owned(),
                    ],
                );
            }
            assert_eq!(cors_of(&got), expected, "{origin}");
        }
        assert_eq!(backend.requests(), 0);
        // Neither of these is a preflight.
        for fields in [&PREFLIGHT[..1], &PREFLIGHT[1..], &[]] {
            assert_eq!(ask(door, "OPTIONS", "/x", fields).status, 200);
        }
        assert_eq!(ask(door, "PUT", "/x", &PREFLIGHT).status, 200);
        assert_eq!(backend.requests(), 8);
        backend.forget();
    }
}

#[test]
fn responses_say_who_may_read_them() {
    let backend = talkative();
    let ours = [
        ("blastdoor.dev/cors", "https://a.test"),
        ("blastdoor.dev/cors-expose", "X-B"),
        ("blastdoor.dev/cors-credentials", "on"),
    ];
    let theirs = [
        ("nginx.ingress.kubernetes.io/enable-cors", "true"),
        ("nginx.ingress.kubernetes.io/cors-allow-origin", "https://a.test"),
        ("nginx.ingress.kubernetes.io/cors-expose-headers", "X-B"),
    ];
    for annotations in [ours, theirs] {
        read_by_one_origin(&backend, &annotations);
    }
}

/// What these annotations say: `https://a.test` may read responses, their `X-B` too.
fn read_by_one_origin(backend: &Backend, annotations: &[(&str, &str)]) {
    let gateway = gateway_with(backend, annotations, "");
    let door = gateway.door(DOOR);
    for status in ["200 OK", "304 Not Modified", "401 No", "500 Oh"] {
        backend.reply(answer(status));
        let got = ask(door, "GET", "/", &PREFLIGHT[..1]);
        let expected = [
            "allow-credentials: true",
            "allow-origin: https://a.test",
            "expose-headers: X-B",
            "vary: Accept",
            "vary: Origin",
        ];
        assert_eq!(cors_of(&got), expected, "{annotations:?} {status}");
    }
    for fields in [
        &[("origin", "https://c.test")][..],
        &[],
        &[("origin", "https://a.test"), ("origin", "https://a.test")],
    ] {
        assert_eq!(
            cors_of(&ask(door, "GET", "/", fields)),
            ["vary: Accept", "vary: Origin"],
            "{fields:?}"
        );
    }
    backend.reply(Reply::Raw(
        b"HTTP/1.1 200 OK\r\nVary: accept, ORIGIN\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ));
    assert_eq!(cors_of(&ask(door, "GET", "/", &[])), ["vary: accept, ORIGIN"]);
    backend.reply(Reply::Close);
    let got = ask(door, "POST", "/", &PREFLIGHT[..1]);
    assert_eq!(
        (got.status, got.field("access-control-allow-origin").as_deref()),
        (502, Some("https://a.test"))
    );
}

#[test]
fn everybody_is_never_somebody() {
    let backend = talkative();
    let gateway = gateway_with(
        &backend,
        &[("nginx.ingress.kubernetes.io/enable-cors", "true")],
        "",
    );
    let door = gateway.door(DOOR);
    let got = ask(door, "OPTIONS", "/", &PREFLIGHT);
    let expected = [
        "allow-credentials: true",
        "allow-headers: DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
        "allow-methods: GET, PUT, POST, DELETE, PATCH, OPTIONS",
        "allow-origin: *",
        "max-age: 1728000",
    ];
    assert_eq!(
        (got.status, cors_of(&got)),
        (204, expected.map(str::to_owned).to_vec())
    );
    for fields in [&PREFLIGHT[..1], &[]] {
        let got = ask(door, "GET", "/", fields);
        assert_eq!(
            cors_of(&got),
            ["allow-credentials: true", "allow-origin: *", "vary: Accept"]
        );
    }
    let gateway = gateway_with(&backend, &[("blastdoor.dev/cors", "*")], "");
    let got = ask(gateway.door(DOOR), "GET", "/", &PREFLIGHT[..1]);
    assert_eq!(cors_of(&got), ["allow-origin: *", "vary: Accept"]);
}

#[test]
fn a_preflight_carries_the_fields_of_responses() {
    let backend = talkative();
    let annotations = [
        ("blastdoor.dev/cors", "https://a.test"),
        ("blastdoor.dev/security-headers", "on"),
    ];
    let gateway = gateway_with(&backend, &annotations, "");
    let got = ask(gateway.door(DOOR), "OPTIONS", "/", &PREFLIGHT);
    assert_eq!(
        (got.status, got.field("x-frame-options").as_deref()),
        (204, Some("DENY"))
    );
}
