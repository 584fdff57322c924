//! A service decides about each request, in every spelling.

mod asked;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use gateway_tests::http2::{Http2, block, request_with};
use gateway_tests::{Backend, Client, Gateway, Http2Backend, Output, Reply, gateway, manifest};

use super::{DOOR, Got, app, ask, ask_http1, gateway_with};

const URL: &str = "nginx.ingress.kubernetes.io/auth-url";
const OWN: &str = "blastdoor.dev/forward-auth";
const MIDDLEWARES: &str = "traefik.ingress.kubernetes.io/router.middlewares";
const NAMED: (&str, &str) = (MIDDLEWARES, "test-auth@kubernetescrd");
const NO: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"x\"\r\nSet-Cookie: s=1\r\nX-Secret: y\r\n\
                  Content-Length: 4\r\n\r\nnope";

/// Lets those pass that say `Authorization: let-me-in`.
fn service() -> Backend {
    service_with(true)
}

/// The same; with or without cookies.
fn service_with(cookies: bool) -> Backend {
    let answer = move |seen: &gateway_tests::Seen| {
        let answer = match seen.fields("authorization").first() {
            Some(&"let-me-in") => {
                "HTTP/1.1 200 OK\r\nX-User: alice\r\nX_Team: red\r\nX-Other: no\r\nSet-Cookie: s=1; Path=/\r\nSet-Cookie: \
                 t=2\r\nContent-Length: 0\r\n\r\n"
            }
            Some(&"no-content") => "HTTP/1.1 204 No Content\r\nX-User: bob\r\n\r\n",
            Some(&"forbid") => "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!",
            Some(&"move") => {
                "HTTP/1.1 302 Found\r\nLocation: /login?a\r\nSet-Cookie: u=3\r\nContent-Length: 5\r\n\r\nmoved"
            }
            Some(&"break") => "HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\noops",
            _ => NO,
        };
        let lines = answer.split_inclusive("\r\n");
        let lines = lines.filter(|line| cookies || !line.starts_with("Set-Cookie"));
        lines.collect::<String>().into_bytes()
    };
    Backend::with("auth", Reply::computed(answer))
}

fn auth_service(service: &Backend) -> String {
    manifest::service("auth", &[service.port()])
}

fn middleware(fields: &str) -> String {
    format!(
        "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {{name: auth, namespace: test}}\nspec:\n  forwardAuth: {{{fields}}}\n---\n"
    )
}

/// As each spelling asks the same service.
fn spellings(options: &str) -> [(&'static str, Vec<(&'static str, String)>, String); 3] {
    let url = "http://auth.test.svc/verify?x=1";
    [
        ("nginx", vec![(URL, url.to_owned())], String::new()),
        ("own", vec![(OWN, url.to_owned())], String::new()),
        (
            "traefik",
            vec![(NAMED.0, NAMED.1.to_owned())],
            middleware(&format!("address: \"{url}\"{options}")),
        ),
    ]
}

fn start(backend: &Backend, service: &Backend, annotations: &[(&str, &str)], others: &str) -> Gateway {
    gateway_with(backend, annotations, &(auth_service(service) + "---\n" + others))
}

fn with(gateway: &Gateway, credentials: &str) -> Got {
    ask(
        gateway.door(DOOR),
        "GET",
        "/a?b",
        &[("authorization", credentials)],
    )
}

#[test]
fn who_passes_and_who_does_not_in_every_spelling() {
    for (spelling, annotations, others) in spellings(", authResponseHeaders: [X-User]") {
        let (backend, service) = (Backend::start("app"), service());
        let mut annotations: Vec<(&str, &str)> = annotations
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        match spelling {
            "nginx" => annotations.push(("nginx.ingress.kubernetes.io/auth-response-headers", "X-User")),
            "own" => annotations.push(("blastdoor.dev/forward-auth-headers", "X-User")),
            _ => {}
        }
        let gateway = start(&backend, &service, &annotations, &others);
        let door = gateway.door(DOOR);
        // A client's own field never passes, however it is spelt.
        let fields = [
            ("authorization", "let-me-in"),
            ("x_user", "mallory"),
            ("x-user", "mallory"),
        ];
        let got = ask(door, "POST", "/a?b", &fields);
        assert_eq!((got.status, got.body.as_str()), (200, "app"), "{spelling}");
        let seen = backend.last();
        assert_eq!(seen.field("x-user"), Some("alice"), "{spelling}: {}", seen.head);
        assert_eq!(seen.field("x_user"), None, "{spelling}");
        assert_eq!(seen.field("x-other"), None, "{spelling}");
        assert_eq!(seen.field("authorization"), Some("let-me-in"), "{spelling}");

        let question = service.last();
        assert_eq!(question.line(), "GET /verify?x=1 HTTP/1.1", "{spelling}");
        assert_eq!(question.field("host"), Some("auth.test.svc"), "{spelling}");
        assert_eq!(question.field("x-forwarded-method"), Some("POST"), "{spelling}");
        assert_eq!(question.field("x-forwarded-uri"), Some("/a?b"), "{spelling}");
        assert_eq!(question.field("x-forwarded-host"), Some("a.test"), "{spelling}");
        assert_eq!(question.field("x-forwarded-proto"), Some("http"), "{spelling}");
        assert_eq!(question.field("x-forwarded-for"), Some("127.0.0.1"), "{spelling}");

        assert_eq!(with(&gateway, "no-content").status, 200, "{spelling}");
        backend.forget();
        let got = with(&gateway, "wrong");
        assert_eq!(got.status, 401, "{spelling}");
        assert_eq!(
            got.field("www-authenticate").as_deref(),
            Some("Bearer realm=\"x\""),
            "{spelling}"
        );
        let relays = spelling == "traefik";
        assert_eq!(got.field("x-secret").is_some(), relays, "{spelling}");
        assert_eq!(got.body == "nope", relays, "{spelling}");
        let got = with(&gateway, "forbid");
        assert_eq!((got.status, got.body == "no!"), (403, relays), "{spelling}");
        let got = with(&gateway, "break");
        assert_eq!(got.status, if relays { 500 } else { 503 }, "{spelling}");
        let got = with(&gateway, "move");
        assert_eq!(got.status, if relays { 302 } else { 503 }, "{spelling}");
        if relays {
            assert_eq!(
                got.field("location").as_deref(),
                Some("http://auth.test.svc/login?a")
            );
            assert_eq!(got.field("set-cookie").as_deref(), Some("u=3"));
            assert_eq!(
                with(&gateway, "break").field("content-type").as_deref(),
                Some("text/html")
            );
        }
        service.stop();
        let got = with(&gateway, "let-me-in");
        assert_eq!(
            (got.status, got.field("retry-after").as_deref()),
            (503, Some("1")),
            "{spelling}"
        );
        assert_eq!(backend.requests(), 0, "{spelling}: nothing got through");
        let refused = |reason| gateway.metric("blastdoor_refusals_total", &[("reason", reason)]);
        assert!(refused("auth_unavailable") >= 2.0, "{spelling}");
        let denied = if relays { "auth_denied" } else { "unauthenticated" };
        assert!(refused(denied) >= 2.0, "{spelling}");
    }
}

#[test]
fn ingress_nginx_is_described_to_the_service() {
    let (backend, service) = (Backend::start("app"), service());
    let url = "http://auth/verify?u=$request_uri&h=$host";
    let gateway = start(
        &backend,
        &service,
        &[
            (URL, url),
            ("nginx.ingress.kubernetes.io/auth-method", "POST"),
            (
                "nginx.ingress.kubernetes.io/auth-request-redirect",
                "$scheme://$host/back",
            ),
            (
                "nginx.ingress.kubernetes.io/auth-proxy-set-headers",
                "test/fields",
            ),
        ],
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fields, namespace: test}\ndata: {X-Door: \"d-$http_x_in\", X-Fixed: f}\n",
    );
    let fields = [
        ("authorization", "let-me-in"),
        ("x-in", "1"),
        ("x-original-url", "http://evil/"),
        ("x_original_method", "GET"),
        ("x-forwarded-prefix", "/evil"),
        ("x-fixed", "evil"),
        ("te", "trailers"),
        ("content-type", "text/x"),
    ];
    let got = ask(gateway.door(DOOR), "DELETE", "/a%20b/?q=%26", &fields);
    assert_eq!(got.status, 200);
    let seen = service.last();
    assert_eq!(
        seen.line(),
        "POST /verify?u=/a%20b/?q=%26&h=a.test HTTP/1.1",
        "{}",
        seen.head
    );
    for (name, value) in [
        ("x-original-url", Some("http://a.test/a%20b/?q=%26")),
        ("x-original-uri", Some("/a%20b/?q=%26")),
        ("x-original-method", Some("DELETE")),
        ("x_original_method", None),
        ("x-scheme", Some("http")),
        ("x-sent-from", Some("nginx-ingress-controller")),
        ("x-auth-request-redirect", Some("http://a.test/back")),
        ("x-real-ip", Some("127.0.0.1")),
        ("x-forwarded-prefix", None),
        ("x-door", Some("d-1")),
        ("x-fixed", Some("f")),
        ("x-in", Some("1")),
        ("te", None),
        ("content-type", Some("text/x")),
        ("transfer-encoding", None),
    ] {
        assert_eq!(seen.field(name), value, "{name} in {}", seen.head);
    }
    assert!(seen.body.is_empty());
    assert_eq!(backend.last().line(), "DELETE /a%20b/?q=%26 HTTP/1.1");
}

#[test]
fn clients_are_sent_to_sign_in() {
    let param = "nginx.ingress.kubernetes.io/auth-signin-redirect-param";
    let signin = "nginx.ingress.kubernetes.io/auth-signin";
    let own = "blastdoor.dev/forward-auth-signin";
    let back = "http%3A%2F%2Fa.test%2Fa%3Fb";
    let table: [(&[(&str, &str)], String); 6] = [
        (
            &[(URL, "http://auth"), (signin, "https://login.test/start")],
            format!("https://login.test/start?rd={back}"),
        ),
        (
            &[(URL, "http://auth"), (signin, "https://login.test/start?x=y")],
            format!("https://login.test/start?x=y&rd={back}"),
        ),
        (
            &[
                (URL, "http://auth"),
                (signin, "https://$host/start?rd=$escaped_request_uri"),
            ],
            "https://a.test/start?rd=%2Fa%3Fb".to_owned(),
        ),
        (
            &[(URL, "http://auth"), (signin, "/start"), (param, "next")],
            format!("/start?next={back}"),
        ),
        (
            &[(OWN, "http://auth"), (own, "https://login.test/")],
            format!("https://login.test/?rd={back}"),
        ),
        (&[NAMED], "https://login.test/in".to_owned()),
    ];
    for (annotations, expected) in table {
        let (backend, service) = (Backend::start("app"), service());
        let others = middleware("address: http://auth.test, authSigninURL: \"https://login.test/in\"");
        let gateway = start(&backend, &service, annotations, &others);
        let got = with(&gateway, "wrong");
        assert_eq!(
            (got.status, got.field("location")),
            (302, Some(expected)),
            "{annotations:?}"
        );
        let keeps_cookie = annotations.iter().any(|(key, _)| *key == URL);
        assert_eq!(got.field("set-cookie").is_some(), keeps_cookie, "{annotations:?}");
        assert_eq!(with(&gateway, "let-me-in").status, 200, "{annotations:?}");
    }
}

#[test]
fn cookies_of_the_answer_reach_the_client() {
    let always = ("nginx.ingress.kubernetes.io/auth-always-set-cookie", "true");
    let own = ("blastdoor.dev/forward-auth-cookies", "s");
    // (annotations, status of the backend, cookies that the client gets)
    let table: [(&[(&str, &str)], u16, Option<&str>); 6] = [
        (&[(URL, "http://auth")], 200, Some("b=0, s=9, s=1; Path=/, t=2")),
        (&[(URL, "http://auth")], 404, Some("b=0, s=9")),
        (
            &[(URL, "http://auth"), always],
            404,
            Some("b=0, s=9, s=1; Path=/, t=2"),
        ),
        (&[(OWN, "http://auth")], 200, Some("b=0, s=9")),
        (&[(OWN, "http://auth"), own], 404, Some("b=0, s=1; Path=/")),
        (&[NAMED], 200, Some("b=0, s=1; Path=/, t=2")),
    ];
    for (annotations, status, expected) in table {
        let answer =
            format!("HTTP/1.1 {status} X\r\nSet-Cookie: b=0\r\nSet-Cookie: s=9\r\nContent-Length: 0\r\n\r\n");
        let (backend, service) = (Backend::with("app", Reply::Raw(answer.into_bytes())), service());
        let others = middleware("address: http://auth, addAuthCookiesToResponse: [s, t]");
        let gateway = start(&backend, &service, annotations, &others);
        let got = with(&gateway, "let-me-in");
        assert_eq!(
            (got.status, got.field("set-cookie").as_deref()),
            (status, expected),
            "{annotations:?}"
        );
    }
}

#[test]
fn fields_of_traefik() {
    // (fields of the Middleware, fields of the request, those of the question, those that the backend gets)
    type Fields = &'static [(&'static str, Option<&'static str>)];
    let table: [(&str, &[(&str, &str)], Fields, Fields); 5] = [
        (
            ", authResponseHeadersRegex: \"^X-(User|Team)$\"",
            &[("x_user", "mallory"), ("x-team", "blue"), ("x-teams", "kept")],
            &[],
            &[
                ("x-user", Some("alice")),
                ("x_user", None),
                ("x-team", None),
                ("x-teams", Some("kept")),
            ],
        ),
        (
            ", authRequestHeaders: [Authorization, X-Sent]",
            &[("x-sent", "1"), ("x-kept", "2"), ("cookie", "c=1")],
            &[
                ("x-sent", Some("1")),
                ("x-kept", None),
                ("cookie", None),
                ("x-forwarded-uri", Some("/a?b")),
            ],
            &[("x-kept", Some("2")), ("cookie", Some("c=1"))],
        ),
        (
            ", preserveRequestMethod: true",
            &[],
            &[("x-forwarded-method", Some("GET"))],
            &[],
        ),
        (
            ", trustForwardHeader: true",
            &[("x-forwarded-uri", "/evil"), ("x-forwarded-method", "PUT")],
            &[
                ("x-forwarded-uri", Some("/a?b")),
                ("x-forwarded-method", Some("GET")),
            ],
            &[],
        ),
        (", headerField: X-User", &[], &[], &[("x-user", None)]),
    ];
    for (fields, sent, asked, got) in table {
        let (backend, service) = (Backend::start("app"), service());
        let others = middleware(&format!("address: \"http://auth/\"{fields}"));
        let gateway = start(&backend, &service, &[NAMED], &others);
        let mut sent = sent.to_vec();
        sent.push(("authorization", "let-me-in"));
        assert_eq!(
            ask(gateway.door(DOOR), "GET", "/a?b", &sent).status,
            200,
            "{fields}"
        );
        for (name, value) in asked {
            assert_eq!(service.last().field(name), *value, "{fields}: {name}");
        }
        for (name, value) in got {
            assert_eq!(backend.last().field(name), *value, "{fields}: {name}");
        }
    }
    // What a trusted peer says is passed on where that is asked for.
    for (trusts, expected) in [("true", "/theirs"), ("false", "/a?b")] {
        let (backend, service) = (Backend::start("app"), service());
        let others = middleware(&format!(
            "address: \"http://auth/\", trustForwardHeader: {trusts}"
        ));
        let gateway = gateway!()
            .door(DOOR, "trusted_proxies = [\"127.0.0.0/8\"]")
            .manifest("app.yaml", &app(&backend, &[NAMED]))
            .manifest("others.yaml", &(auth_service(&service) + "---\n" + &others))
            .start();
        let fields = [("authorization", "let-me-in"), ("x-forwarded-uri", "/theirs")];
        assert_eq!(ask(gateway.door(DOOR), "GET", "/a?b", &fields).status, 200);
        assert_eq!(service.last().field("x-forwarded-uri"), Some(expected));
    }
    // Middlewares run as they are listed: the service sees what those before have done.
    let (backend, service) = (Backend::start("app"), service());
    let strip = "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {name: strip, namespace: test}\nspec: {stripPrefix: {prefixes: [/a]}}\n---\n";
    let others = middleware("address: \"http://auth/\", preserveLocationHeader: true") + strip;
    let both = (MIDDLEWARES, "test-strip@kubernetescrd,test-auth@kubernetescrd");
    let gateway = start(&backend, &service, &[both], &others);
    let fields = [("authorization", "let-me-in")];
    assert_eq!(ask(gateway.door(DOOR), "GET", "/a/c?b", &fields).status, 200);
    assert_eq!(service.last().field("x-forwarded-uri"), Some("/c?b"));
    assert_eq!(
        with(&gateway, "move").field("location").as_deref(),
        Some("/login?a")
    );
}

#[test]
fn answers_are_kept_for_the_same_credentials_alone() {
    let nginx: &[(&str, &str)] = &[
        (URL, "http://auth"),
        ("nginx.ingress.kubernetes.io/auth-cache-key", "$host"),
        ("nginx.ingress.kubernetes.io/auth-response-headers", "X-User"),
    ];
    let own: &[(&str, &str)] = &[
        (OWN, "http://auth"),
        ("blastdoor.dev/forward-auth-cache", "5m"),
        ("blastdoor.dev/forward-auth-headers", "X-User"),
    ];
    for (annotations, by_path) in [(nginx, false), (own, true)] {
        let (backend, service) = (Backend::start("app"), service_with(false));
        let gateway = start(&backend, &service, annotations, "");
        let door = gateway.door(DOOR);
        let status = |path: &str, fields: &[(&str, &str)]| {
            let status = ask_http1(door, "GET", path, fields).status;
            (status, service.requests())
        };
        let alice = ("authorization", "let-me-in");
        assert_eq!(status("/", &[alice]), (200, 1), "{annotations:?}");
        assert_eq!(status("/", &[alice]), (200, 1), "{annotations:?}");
        assert_eq!(backend.last().field("x-user"), Some("alice"), "{annotations:?}");
        // Another cookie, or other credentials, are another client.
        assert_eq!(status("/", &[alice, ("cookie", "a=b")]), (200, 2));
        assert_eq!(status("/", &[("authorization", "wrong")]), (401, 3));
        assert_eq!(status("/", &[("authorization", "wrong")]), (401, 3));
        assert_eq!(status("/", &[]), (401, 4));
        let asked = if by_path { 5 } else { 4 };
        assert_eq!(status("/other", &[alice]), (200, asked), "{annotations:?}");
        // What is no answer is asked again.
        assert_eq!(status("/", &[("authorization", "break")]), (503, asked + 1));
        assert_eq!(status("/", &[("authorization", "break")]), (503, asked + 2));
    }
}

/// The cookie in an answer is its client's alone, even if clients without cookies or credentials look the same.
#[test]
fn an_answer_with_a_cookie_is_not_kept() {
    let nginx: &[(&str, &str)] = &[
        (URL, "http://auth"),
        ("nginx.ingress.kubernetes.io/auth-cache-key", "$host"),
        ("nginx.ingress.kubernetes.io/auth-cache-duration", "200 401 5m"),
    ];
    let own: &[(&str, &str)] = &[
        (OWN, "http://auth"),
        ("blastdoor.dev/forward-auth-cache", "5m"),
        ("blastdoor.dev/forward-auth-cookies", "s"),
        ("blastdoor.dev/forward-auth-signin", "https://login.test"),
    ];
    for annotations in [nginx, own] {
        for line in ["200 OK", "401 Unauthorized"] {
            let count = AtomicUsize::new(0);
            let answer = move |_: &gateway_tests::Seen| {
                let number = count.fetch_add(1, Ordering::Relaxed);
                format!("HTTP/1.1 {line}\r\nSet-Cookie: s={number}\r\nContent-Length: 0\r\n\r\n").into_bytes()
            };
            let service = Backend::with("auth", Reply::computed(answer));
            let backend = Backend::start("app");
            let gateway = start(&backend, &service, annotations, "");
            for number in 0..3 {
                let got = ask_http1(gateway.door(DOOR), "GET", "/", &[]);
                if let Some(cookie) = got.field("set-cookie") {
                    assert_eq!(cookie, format!("s={number}"), "{annotations:?} {line}");
                }
                assert_eq!(service.requests(), number + 1, "{annotations:?} {line}");
            }
        }
    }
}

/// Questions use the connections of the worker again, as requests do.
#[test]
fn questions_share_connections() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let denied = "HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno";
    let post: &[(&str, &str)] = &[
        (URL, "http://auth"),
        ("nginx.ingress.kubernetes.io/auth-method", "POST"),
    ];
    let body: &[(&str, &str)] = &[(OWN, "http://auth"), ("blastdoor.dev/forward-auth-body", "1k")];
    for (annotations, answer, status) in [
        (&[(URL, "http://auth")][..], chunked, 200),
        (&[(URL, "http://auth")], denied, 401),
        (post, "HTTP/1.1 204 No Content\r\n\r\n", 200),
        (body, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
    ] {
        let backend = Backend::start("app");
        let service = Backend::with("auth", Reply::Raw(answer.as_bytes().to_vec()));
        let gateway = start(&backend, &service, annotations, "");
        let mut client = Client::connect(gateway.door(DOOR));
        let request = if annotations == body {
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello"
        } else {
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n"
        };
        for _ in 0..100 {
            client.send(request);
            assert_eq!(
                client.response().expect("an answer").status,
                status,
                "{annotations:?}"
            );
        }
        assert_eq!(service.requests(), 100, "{annotations:?}");
        let connections = service.connections();
        assert!(connections <= 2, "{annotations:?}: {connections} connections");
    }
}

/// A connection that the service closes between two questions costs nothing but another connection.
#[test]
fn a_question_is_repeated_on_a_connection_that_was_closing() {
    let backend = Backend::start("app");
    // It closes without saying so, and the second question on each connection gets no answer.
    let service = Backend::with(
        "auth",
        Reply::script(|stream, _| {
            let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            let mut next = [0; 1024];
            let _read = stream.read(&mut next);
        }),
    );
    let gateway = start(&backend, &service, &[(URL, "http://auth")], "");
    let mut client = Client::connect(gateway.door(DOOR));
    for number in 0..20 {
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.response().expect("an answer").status, 200, "{number}");
    }
    assert_eq!(service.connections(), 20);
    let none = gateway.metric("blastdoor_upstream_ejections_total", &[]);
    assert!(none <= 0.0, "{none}");
}

#[test]
fn questions_share_connections_over_http2() {
    let body: &[(&str, &str)] = &[(OWN, "http://auth"), ("blastdoor.dev/forward-auth-body", "1k")];
    for annotations in [&[(URL, "http://auth")][..], body] {
        let service = Http2Backend::start(|request, mut respond| async move {
            let (head, mut body) = request.into_parts();
            let mut length = 0;
            while let Some(Ok(piece)) = body.data().await {
                length += piece.len();
            }
            let user = format!("{}-{length}", head.method);
            let answer = http::Response::builder().header("x-user", user);
            let mut stream = respond.send_response(answer.body(()).unwrap(), false).unwrap();
            stream.send_data("ignored".into(), true).unwrap();
        });
        let backend = Backend::start("app");
        let services = manifest::service_speaking("auth", &[service.port()], "kubernetes.io/h2c");
        let mut annotations = annotations.to_vec();
        let asks_with_body = annotations.len() > 1;
        annotations.push(match asks_with_body {
            true => ("blastdoor.dev/forward-auth-headers", "X-User"),
            false => ("nginx.ingress.kubernetes.io/auth-response-headers", "X-User"),
        });
        let gateway = gateway_with(&backend, &annotations, &services);
        let mut client = Client::connect(gateway.door(DOOR));
        for _ in 0..20 {
            client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello");
            assert_eq!(client.response().expect("an answer").status, 200);
            let user = backend.last().field("x-user").map(str::to_owned);
            let expected = if asks_with_body { "GET-5" } else { "GET-0" };
            assert_eq!(user.as_deref(), Some(expected));
        }
        assert_eq!((service.requests(), service.connections()), (20, 1));
    }
}

/// Answers with the tenant that it has been asked about, and with no cookie.
fn tenants(cache_control: &'static str) -> Backend {
    let answer = move |seen: &gateway_tests::Seen| {
        let tenant = seen.fields("x-tenant").first().copied().unwrap_or("none");
        format!("HTTP/1.1 200 OK\r\nX-User: {tenant}\r\n{cache_control}Content-Length: 0\r\n\r\n")
            .into_bytes()
    };
    Backend::with("auth", Reply::computed(answer))
}

const BY_TENANT: [(&str, &str); 3] = [
    (URL, "http://auth"),
    ("nginx.ingress.kubernetes.io/auth-cache-key", "$http_x_tenant"),
    ("nginx.ingress.kubernetes.io/auth-response-headers", "X-User"),
];

/// An answer about one request is never that about another, whatever a client makes of its fields.
#[test]
fn answers_are_kept_by_what_the_service_was_asked() {
    let (backend, service) = (Backend::start("app"), tenants(""));
    let gateway = start(&backend, &service, &BY_TENANT, "");
    let user = |fields: &[(&str, &str)]| {
        assert_eq!(ask_http1(gateway.door(DOOR), "GET", "/", fields).status, 200);
        backend.last().field("x-user").map(str::to_owned)
    };
    let is = |name: &str| Some(name.to_owned());
    assert_eq!(user(&[("X.Tenant", "victim"), ("X-Tenant", "mine")]), is("mine"));
    assert_eq!(user(&[("X-Tenant", "victim")]), is("victim"));
    user(&[("X_Tenant", "victim2"), ("X-Tenant", "mine")]);
    assert_eq!(user(&[("X-Tenant", "victim2")]), is("victim2"));
    assert_eq!(
        user(&[("X-Tenant", "victim3"), ("Connection", "X-Tenant")]),
        is("none")
    );
    assert_eq!(user(&[("X-Tenant", "victim3")]), is("victim3"));
    user(&[("X-Tenant", "mine"), ("X-Tenant", "victim4")]);
    assert_eq!(user(&[("X-Tenant", "victim4")]), is("victim4"));
    // The same is asked once.
    let asked = service.requests();
    assert_eq!(user(&[("x-tenant", "victim3")]), is("victim3"));
    assert_eq!(service.requests(), asked);
}

/// What opens one rule opens no other.
#[test]
fn answers_are_kept_for_one_host_method_and_rule() {
    let (backend, service) = (Backend::start("app"), tenants(""));
    let rules = [
        ("a.test", "Prefix", "/user", "app"),
        ("a.test", "Prefix", "/admin", "app"),
        ("b.test", "Prefix", "/user", "app"),
    ];
    let lines: String = BY_TENANT
        .iter()
        .map(|(key, value)| format!("    {key}: \"{value}\"\n"))
        .collect();
    let ingress = manifest::ingress("app", DOOR, &rules).replacen(
        "  namespace: test\n",
        &format!("  namespace: test\n  annotations:\n{lines}"),
        1,
    );
    let services = manifest::service("app", &[backend.port()]) + "---\n" + &auth_service(&service);
    let gateway = gateway!()
        .door(DOOR, "")
        .manifest("app.yaml", &(ingress + "---\n" + &services))
        .start();
    let asked = |method: &str, host: &str, path: &str| {
        let fields = [("host", host), ("x-tenant", "a")];
        assert_eq!(ask_http1(gateway.door(DOOR), method, path, &fields).status, 200);
        service.requests()
    };
    assert_eq!(asked("GET", "a.test", "/user"), 1);
    assert_eq!(asked("GET", "a.test", "/user/more"), 1);
    assert_eq!(asked("GET", "a.test", "/admin"), 2);
    assert_eq!(asked("GET", "b.test", "/user"), 3);
    assert_eq!(asked("DELETE", "a.test", "/user"), 4);
}

#[test]
fn an_answer_that_is_for_one_client_is_not_kept() {
    for (line, count) in [
        ("Cache-Control: max-age=5\r\n", 1),
        ("Cache-Control: no-store\r\n", 2),
        ("Cache-Control: max-age=5, No-Cache\r\n", 2),
        ("Cache-Control: private=\"x-user\"\r\n", 2),
    ] {
        let (backend, service) = (Backend::start("app"), tenants(line));
        let gateway = start(&backend, &service, &BY_TENANT, "");
        for _ in 0..2 {
            assert_eq!(ask_http1(gateway.door(DOOR), "GET", "/", &[]).status, 200);
        }
        assert_eq!(service.requests(), count, "{line}");
    }
}

/// A client's field in a spelling that the service may read as the gateway's own is gone.
#[test]
fn fields_that_are_set_come_once() {
    let (backend, service) = (Backend::start("app"), service());
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fields, namespace: test}\ndata: {X-Api-Key: ours}\n";
    let annotations = [
        (URL, "http://auth"),
        (
            "nginx.ingress.kubernetes.io/auth-proxy-set-headers",
            "test/fields",
        ),
    ];
    let gateway = start(&backend, &service, &annotations, map);
    let fields = [
        ("authorization", "let-me-in"),
        ("X_Api_Key", "theirs"),
        ("X.Api-Key", "theirs"),
    ];
    assert_eq!(ask(gateway.door(DOOR), "GET", "/", &fields).status, 200);
    let seen = service.last();
    assert_eq!(seen.field("x-api-key"), Some("ours"), "{}", seen.head);
    assert!(!seen.head.contains("theirs"), "{}", seen.head);
}

#[test]
fn trailers_do_not_get_past_a_pattern() {
    let (backend, service) = (Backend::start("app"), service());
    let others = middleware("address: \"http://auth/\", authResponseHeadersRegex: \"^X-\"");
    let gateway = start(&backend, &service, &[NAMED], &others);
    let mut client = Client::connect(gateway.door(DOOR));
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nAuthorization: let-me-in\r\nTransfer-Encoding: chunked\r\nTrailer: X-User\r\n\r\n\
         2\r\nhi\r\n0\r\nX-User: mallory\r\n\r\n",
    );
    assert_eq!(client.response().expect("an answer").status, 200);
    let seen = backend.last();
    assert_eq!(seen.field("x-user"), Some("alice"), "{}", seen.head);
    assert!(seen.trailers.is_empty(), "{:?}", seen.trailers);
}

/// A call that is over time ends, whatever its service does.
#[test]
fn a_call_ends_in_time_while_its_service_is_silent() {
    let (backend, service) = (Backend::start("app"), Backend::with("auth", Reply::Silence));
    let gateway = start(&backend, &service, &[(URL, "http://auth")], "");
    block(async {
        let http2 = Http2::connect(gateway.door(DOOR)).await;
        let fields = [
            ("content-type", "application/grpc"),
            ("grpc-timeout", "200m"),
            ("te", "trailers"),
        ];
        let answer = http2
            .exchange(request_with("POST", "a.test", "/a.B/C", &fields), b"")
            .await;
        assert_eq!(answer.headers.get("grpc-status").unwrap(), "4");
    });
}

/// What `check` says of an Ingress with this annotation and Services of two namespaces.
fn checked(lines: &str, url: &str, annotations: &str) -> Output {
    let backend = Backend::start("app");
    let service = manifest::service("auth", &[backend.port()])
        .replace("namespace: test", "namespace: idp")
        .replacen(
            "  namespace: idp\n",
            &format!("  namespace: idp\n  annotations: {{{annotations}}}\n"),
            1,
        );
    gateway!()
        .door(DOOR, lines)
        .manifest("app.yaml", &app(&backend, &[(URL, url)]))
        .manifest("auth.yaml", &service)
        .run(&["check"])
}

#[test]
fn what_may_be_called_is_for_its_owner_or_the_platform_to_say() {
    let filters = |call: &str| format!("filters = {{ call = [\"{call}\"] }}");
    let of_owner = "blastdoor.dev/allow-calls-from: \"other, te*\"";
    // (lines of the door, URL, annotations of the Service, what is said)
    let table = [
        ("", "http://auth.idp", of_owner, None),
        (
            "",
            "http://auth.idp.svc.cluster.local",
            "blastdoor.dev/allow-calls-from: \"*\"",
            None,
        ),
        (&filters("idp/auth"), "http://auth.idp.svc", "", None),
        (
            "",
            "http://auth.idp",
            "blastdoor.dev/allow-calls-from: other",
            Some(
                "its owner writes `blastdoor.dev/allow-calls-from: \"test\"` among its annotations, or the platform `call = [\"idp/auth\"]` under `[listeners.external-http.filters]`",
            ),
        ),
        ("", "http://auth", "", Some("Service `test/auth` does not exist")),
        (
            "",
            "http://auth.none.svc",
            "",
            Some("Service `none/auth` does not exist"),
        ),
        (
            "",
            "http://auth.idp:81",
            of_owner,
            Some("Service `idp/auth` has no port 81"),
        ),
        (
            "",
            "http://login.example.com",
            "",
            Some(
                "the platform writes `call = [\"login.example.com\"]` under `[listeners.external-http.filters]`",
            ),
        ),
        (
            &filters("login.example.com"),
            "http://login.example.com",
            "",
            None,
        ),
        (
            "",
            "http://10.9.8.7",
            "",
            Some("the platform writes `call = [\"10.9.8.7\"]`"),
        ),
        (&filters("10.9.0.0/16"), "http://10.9.8.7", "", None),
        (
            &filters("169.254.0.0/16"),
            "http://169.254.169.254",
            "",
            Some("169.254.169.254:80 is a link-local address"),
        ),
        ("", "http://127.0.0.1:9", "", None),
    ];
    for (lines, url, annotations, expected) in table {
        let output = checked(lines, url, annotations);
        assert_eq!(
            output.status,
            i32::from(expected.is_some()),
            "{lines} {url}: {output:?}"
        );
        if let Some(expected) = expected {
            assert!(
                output.stdout.contains(expected),
                "{url}: {expected} is not in {}",
                output.stdout
            );
            assert!(output.stdout.contains("closed (503)"), "{url}");
        }
    }
    let output = checked(&filters("a/b/c"), "http://auth.idp", of_owner);
    assert_eq!(output.status, 2);
    assert!(
        output
            .stderr
            .contains("listeners.external-http.filters.call[0]: `a/b/c` is nothing that can be called"),
        "{output:?}"
    );
}

/// Without the consent of its owner the route is closed, and it opens when that comes.
#[test]
fn consent_is_noticed() {
    let (backend, service) = (Backend::start("app"), service());
    let foreign = |annotation: &str| {
        auth_service(&service)
            .replace("namespace: test", "namespace: idp")
            .replacen(
                "  namespace: idp\n",
                &format!("  namespace: idp\n{annotation}"),
                1,
            )
    };
    let gateway = gateway_with(&backend, &[(URL, "http://auth.idp")], &foreign(""));
    assert_eq!(with(&gateway, "let-me-in").status, 503);
    assert_eq!(service.requests(), 0);
    gateway.put(
        "others.yaml",
        &foreign("  annotations: {blastdoor.dev/allow-calls-from: test}\n"),
    );
    gateway.until_status(DOOR, "a.test", "/", 401);
    assert_eq!(with(&gateway, "let-me-in").status, 200);
    gateway.put("others.yaml", &foreign(""));
    gateway.until_status(DOOR, "a.test", "/", 503);
}

#[test]
fn the_service_gets_the_body_where_it_is_asked_for() {
    let own: &[(&str, &str)] = &[(OWN, "http://auth"), ("blastdoor.dev/forward-auth-body", "1k")];
    for annotations in [own, &[NAMED]] {
        let (backend, service) = (Backend::with("app", Reply::echo()), service());
        let others = middleware(
            "address: \"http://auth/\", forwardBody: true, maxBodySize: 1024, preserveRequestMethod: true",
        );
        let gateway = start(&backend, &service, annotations, &others);
        let door = gateway.door(DOOR);
        let passes = "Authorization: let-me-in\r\n";
        let post = |framing: &str, body: &str| {
            let mut client = Client::connect(door);
            client.send(format!(
                "POST / HTTP/1.1\r\nHost: a.test\r\n{passes}{framing}\r\n{body}"
            ));
            client.response().expect("an answer")
        };
        let answer = post("Content-Length: 5\r\n", "hello");
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "hello"),
            "{annotations:?}"
        );
        assert_eq!(service.last().body, b"hello");
        let answer = post(
            "Transfer-Encoding: chunked\r\n",
            "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        );
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "hello"),
            "{annotations:?}"
        );
        assert_eq!(service.last().body, b"hello");
        assert_eq!(post("", "").status, 200);
        assert!(service.last().body.is_empty());
        let long = "x".repeat(1024);
        assert_eq!(post("Content-Length: 1024\r\n", &long).text(), long);
        assert_eq!(service.last().body.len(), 1024);
        // Longer: refused, whether its length is known or not.
        let asked = service.requests();
        assert_eq!(post("Content-Length: 1025\r\n", "").status, 413);
        let chunk = format!("401\r\n{}\r\n0\r\n\r\n", "x".repeat(1025));
        assert_eq!(post("Transfer-Encoding: chunked\r\n", &chunk).status, 413);
        assert_eq!(service.requests(), asked);
        block(async {
            let http2 = Http2::connect(door).await;
            let mut request = request_with("POST", "a.test", "/", &[("authorization", "let-me-in")]);
            let answer = http2.exchange(request, b"over http2").await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "over http2"));
            request = request_with("POST", "a.test", "/", &[("authorization", "let-me-in")]);
            let answer = http2.exchange(request, "x".repeat(1025).as_bytes()).await;
            assert_eq!(answer.status, 413);
        });
        assert_eq!(service.last().body, b"over http2");
        // A client that waits is told to go on.
        let mut client = Client::connect(door);
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\n{passes}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        ));
        assert_eq!(client.any_response(false).expect("an interim answer").status, 100);
        client.send("ok");
        assert_eq!(client.response().expect("an answer").status, 200);
    }
}

/// Bodies that wait at all workers of a door have the buffer together, each as much of it as its length.
#[test]
fn bodies_that_wait_share_the_buffer_of_the_door() {
    let (backend, service) = (Backend::with("app", Reply::echo()), service());
    let annotations = [(OWN, "http://auth"), ("blastdoor.dev/forward-auth-body", "1m")];
    let gateway = gateway!()
        .door(DOOR, "workers = 2\nfilters = { buffer = \"1MiB\" }")
        .manifest("app.yaml", &app(&backend, &annotations))
        .manifest("others.yaml", &auth_service(&service))
        .start();
    let door = gateway.door(DOOR);
    const LENGTH: usize = 100 * 1024;
    let head = "POST / HTTP/1.1\r\nHost: a.test\r\nAuthorization: let-me-in\r\n";
    let waits = || {
        let mut client = Client::connect(door);
        client.send(format!(
            "{head}Content-Length: {LENGTH}\r\nExpect: 100-continue\r\n\r\n"
        ));
        let status = client.any_response(false).expect("an answer").status;
        (client, status)
    };
    let chunked = |chunks: &str| {
        let mut client = Client::connect(door);
        client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}"));
        client.response().expect("an answer").status
    };
    for round in 0..2 {
        let clients: Vec<_> = (0..10).map(|_| waits()).collect();
        assert!(clients.iter().all(|(_, status)| *status == 100), "{round}");
        assert_eq!(waits().1, 503, "{round}: the buffer is full");
        assert_eq!(chunked(""), 503, "{round}");
        for (mut client, _) in clients {
            client.send("x".repeat(LENGTH));
            let answer = client.response().expect("an answer");
            assert_eq!((answer.status, answer.text().len()), (200, LENGTH), "{round}");
        }
        assert_eq!(chunked("1\r\nx\r\n0\r\n\r\n"), 200, "{round}");
    }
}
