//! Pages in place of errors, and what stands in for a backend.

use std::net::SocketAddr;

use gateway_tests::http2::{Http2, block};
use gateway_tests::{Backend, Client, Gateway, Reply, gateway, manifest};

use super::{DOOR, Got, ask, ask_http1, middleware, rule_for};

/// Answers `/N…` with status N and the body `original`; anything else with 200.
fn backend() -> Backend {
    Backend::with(
        "app",
        Reply::computed(|seen| {
            let target = seen.line().split(' ').nth(1).unwrap_or_default().to_owned();
            let status = target
                .get(1..4)
                .and_then(|digits| digits.parse().ok())
                .unwrap_or(200);
            format!("HTTP/1.1 {status} Own\r\nX-From: app\r\nContent-Length: 8\r\n\r\noriginal").into_bytes()
        }),
    )
}

/// Answers with 203, and the head of the request as the body.
fn pages() -> Backend {
    Backend::with(
        "pages",
        Reply::computed(|seen| {
            let head = seen.head.trim();
            format!(
            "HTTP/1.1 203 Page\r\nX-From: pages\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{head}",
            head.len()
        )
        .into_bytes()
        }),
    )
}

fn start(annotations: &[(&str, &str)], app: &Backend, pages: &Backend, others: &str) -> Gateway {
    start_with("", annotations, app, pages, others)
}

/// The same with these lines for the door.
fn start_with(
    door: &str,
    annotations: &[(&str, &str)],
    app: &Backend,
    pages: &Backend,
    others: &str,
) -> Gateway {
    let yaml = rule_for("app", DOOR, ("a.test", "Prefix", "/"), annotations, "app")
        + &manifest::service("app", &[app.port()])
        + &manifest::service("pages", &[pages.port()]);
    gateway!()
        .door(DOOR, door)
        .manifest("app.yaml", &yaml)
        .manifest("others.yaml", others)
        .start()
}

/// What the page was asked with.
fn asked(got: &Got) -> (String, impl Fn(&str) -> Option<String> + '_) {
    let line = got.body.lines().next().unwrap_or_default().to_owned();
    let field = |name: &str| {
        let fields = got.body.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim().to_owned())
    };
    (line, field)
}

#[test]
fn custom_http_errors_are_answered_by_the_default_backend() {
    let (app, pages) = (backend(), pages());
    let gateway = start(
        &[
            ("nginx.ingress.kubernetes.io/custom-http-errors", "404,503"),
            ("nginx.ingress.kubernetes.io/default-backend", "pages"),
        ],
        &app,
        &pages,
        "",
    );
    let door = gateway.door(DOOR);
    let fields = &[
        ("accept", "text/html"),
        ("x-code", "1"),
        ("cookie", "secret"),
        ("authorization", "secret"),
        ("if-none-match", "x"),
    ];
    let got = super::ask_http1(door, "GET", "/404/x?y=z", fields);
    assert_eq!(got.status, 203, "that of the page");
    assert_eq!(got.field("x-from").as_deref(), Some("pages"));
    assert_eq!(got.field("content-type").as_deref(), Some("text/html"));
    let (line, field) = asked(&got);
    assert_eq!(line, "GET / HTTP/1.1");
    let expected = [
        ("x-code", Some("404")),
        ("x-format", Some("text/html")),
        ("x-original-uri", Some("/404/x?y=z")),
        ("x-namespace", Some("test")),
        ("x-ingress-name", Some("app")),
        ("x-service-name", Some("app")),
        ("x-service-port", Some("80")),
        ("host", Some("a.test")),
        ("cookie", None),
        ("authorization", None),
        ("if-none-match", None),
    ];
    for (name, value) in expected {
        assert_eq!(field(name).as_deref(), value, "{name}");
    }
    assert!(field("x-request-id").is_some());
    // Other methods and versions get it too, and other statuses do not.
    for method in ["GET", "DELETE"] {
        let got = without_id(ask_without_id(door, method, "/503"));
        assert!(
            got.status == 203 && got.body.starts_with("GET / HTTP/1.1"),
            "{got:?}"
        );
    }
    let got = ask(door, "GET", "/500", &[]);
    assert_eq!(
        (got.status, got.body.as_str(), got.field("x-from").as_deref()),
        (500, "original", Some("app"))
    );
    assert_eq!(ask(door, "GET", "/", &[]).status, 200);
    let head = ask(door, "HEAD", "/404", &[]);
    assert_eq!((head.status, head.body.as_str()), (203, ""));
}

fn ask_without_id(door: SocketAddr, method: &str, target: &str) -> Got {
    let [first, second] =
        [super::ask_http1, super::ask_http2].map(|ask| without_id(ask(door, method, target, &[])));
    assert_eq!(first, second, "{method} {target}");
    first
}

/// Each request has an id of its own.
fn without_id(mut got: Got) -> Got {
    let lines = got
        .body
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("x-request-id"));
    got.body = lines.collect::<Vec<_>>().join("\n");
    got
}

#[test]
fn disabled_interception_leaves_errors_as_they_are() {
    let (app, pages) = (backend(), pages());
    let gateway = start(
        &[
            ("nginx.ingress.kubernetes.io/custom-http-errors", "404"),
            ("nginx.ingress.kubernetes.io/default-backend", "pages"),
            (
                "nginx.ingress.kubernetes.io/disable-proxy-intercept-errors",
                "true",
            ),
        ],
        &app,
        &pages,
        "",
    );
    let got = ask(gateway.door(DOOR), "GET", "/404", &[]);
    assert_eq!((got.status, got.body.as_str()), (404, "original"));
}

#[test]
fn the_errors_middleware_keeps_or_rewrites_the_status() {
    let (app, pages) = (backend(), pages());
    let content = "errors: {status: ['404', '418', 500-599], statusRewrites: {'418': 404}, service: {name: pages, port: 80}, query: '/{status}-{originalStatus}.html?u={url}'}";
    let gateway = start(
        &[(
            "traefik.ingress.kubernetes.io/router.middlewares",
            "test-pages@kubernetescrd",
        )],
        &app,
        &pages,
        &middleware("pages", content),
    );
    let door = gateway.door(DOOR);
    for (target, status, line) in [
        (
            "/404?a=b",
            404,
            "GET /404-404.html?u=http%3A%2F%2Fa.test%2F404%3Fa%3Db HTTP/1.1",
        ),
        (
            "/418",
            404,
            "GET /404-418.html?u=http%3A%2F%2Fa.test%2F418 HTTP/1.1",
        ),
        (
            "/599",
            599,
            "GET /599-599.html?u=http%3A%2F%2Fa.test%2F599 HTTP/1.1",
        ),
    ] {
        let got = ask_without_id(door, "POST", target);
        assert_eq!((got.status, got.body.lines().next()), (status, Some(line)));
    }
    assert_eq!(ask(door, "GET", "/403", &[]).status, 403);
    let fields = &[
        ("cookie", "c"),
        ("authorization", "a"),
        ("x-mine", "m"),
        ("if-modified-since", "x"),
    ];
    let got = ask_http1(door, "GET", "/404", fields);
    let (_, field) = asked(&got);
    assert_eq!(
        [field("cookie"), field("authorization"), field("x-mine")],
        [None, None, Some("m".to_owned())]
    );
}

#[test]
fn listed_fields_alone_go_to_the_page() {
    let (app, pages) = (backend(), pages());
    let content =
        "errors: {status: ['404'], service: {name: pages, port: 80}, errorRequestHeaders: [Cookie]}";
    let gateway = start(
        &[(
            "traefik.ingress.kubernetes.io/router.middlewares",
            "test-pages@kubernetescrd",
        )],
        &app,
        &pages,
        &middleware("pages", content),
    );
    let got = ask_http1(
        gateway.door(DOOR),
        "GET",
        "/404",
        &[("cookie", "c"), ("x-mine", "m")],
    );
    let (line, field) = asked(&got);
    assert_eq!(line, "GET / HTTP/1.1");
    assert_eq!([field("cookie"), field("x-mine")], [Some("c".to_owned()), None]);
}

#[test]
fn own_errors_have_a_service_and_a_path() {
    let (app, pages) = (backend(), pages());
    let table: &[(&[(&str, &str)], &str)] = &[
        (
            &[
                ("blastdoor.dev/errors", "404"),
                ("blastdoor.dev/errors-service", "pages"),
            ],
            "GET /404.html HTTP/1.1",
        ),
        (
            &[
                ("blastdoor.dev/errors", "400-499"),
                ("blastdoor.dev/errors-service", "pages:80"),
                ("blastdoor.dev/errors-path", "/e?c={status}"),
            ],
            "GET /e?c=404 HTTP/1.1",
        ),
        (
            &[
                ("blastdoor.dev/errors", "404"),
                ("blastdoor.dev/fallback", "pages"),
            ],
            "GET /404.html HTTP/1.1",
        ),
    ];
    for (annotations, line) in table {
        let gateway = start(annotations, &app, &pages, "");
        let got = ask_without_id(gateway.door(DOOR), "GET", "/404");
        assert_eq!((got.status, got.body.lines().next()), (404, Some(*line)));
    }
}

#[test]
fn a_page_that_cannot_be_had_leaves_the_original() {
    let (app, pages) = (backend(), pages());
    let own: &[(&str, &str)] = &[
        ("blastdoor.dev/errors", "404"),
        ("blastdoor.dev/errors-service", "pages"),
    ];
    let gateway = start(own, &app, &pages, "");
    let door = gateway.door(DOOR);
    for reply in [
        Reply::Close,
        Reply::RawThenClose(b"nonsense\r\n\r\n".to_vec()),
        Reply::Raw(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n".to_vec()),
        Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n".to_vec()),
    ] {
        pages.reply(reply);
        let got = ask(door, "GET", "/404", &[]);
        assert_eq!(
            (got.status, got.body.as_str(), got.field("x-from").as_deref()),
            (404, "original", Some("app"))
        );
    }
    pages.stop();
    assert_eq!(ask(door, "GET", "/404", &[]).body, "original");
}

#[test]
fn a_backend_that_fails_is_replaced_too_and_filters_never_are() {
    let (app, pages) = (backend(), pages());
    let own: &[(&str, &str)] = &[
        ("blastdoor.dev/errors", "400-599"),
        ("blastdoor.dev/errors-service", "pages"),
        ("blastdoor.dev/deny", "127.0.0.1"),
    ];
    let gateway = start(own, &app, &pages, "");
    let got = ask(gateway.door(DOOR), "GET", "/", &[]);
    assert_eq!((got.status, pages.requests()), (403, 0), "{got:?}");
    let gateway = start(&own[..2], &app, &pages, "");
    let door = gateway.door(DOOR);
    for (reply, line) in [
        (Reply::Close, "GET /502.html HTTP/1.1"),
        (
            Reply::RawThenClose(b"nonsense\r\n\r\n".to_vec()),
            "GET /502.html HTTP/1.1",
        ),
    ] {
        app.reply(reply);
        let got = ask_without_id(door, "GET", "/");
        assert_eq!((got.status, got.body.lines().next()), (502, Some(line)));
    }
    gateway.until("the log has the reason", |gateway| {
        let log = gateway.access_log();
        log.iter().any(|line| line["refusal"] == "upstream_reset")
    });
    app.stop();
    let got = ask_without_id(door, "GET", "/");
    assert_eq!(
        got.body.lines().next(),
        Some(if got.status == 502 {
            "GET /502.html HTTP/1.1"
        } else {
            "GET /503.html HTTP/1.1"
        })
    );
}

#[test]
fn the_backends_connection_is_used_again() {
    let (app, pages) = (backend(), pages());
    let own = [
        ("blastdoor.dev/errors", "404"),
        ("blastdoor.dev/errors-service", "pages"),
    ];
    let gateway = start_with("workers = 1\n", &own, &app, &pages, "");
    let mut client = Client::connect(gateway.door(DOOR));
    for _ in 0..10 {
        assert_eq!(client.get("a.test", "/404").unwrap().status, 404);
        assert_eq!(client.get("a.test", "/200").unwrap().status, 200);
    }
    assert_eq!((app.requests(), app.connections(), pages.requests()), (20, 1, 10));
}

#[test]
fn a_default_backend_gets_the_requests_of_a_backend_without_endpoints() {
    let spare = Backend::start("spare");
    for (annotation, service) in [
        (
            "nginx.ingress.kubernetes.io/default-backend",
            manifest::service("app", &[]),
        ),
        ("blastdoor.dev/fallback", manifest::service("app", &[])),
        // Without its Service a backend has no endpoint either.
        ("blastdoor.dev/fallback", String::new()),
    ] {
        let yaml = rule_for(
            "app",
            DOOR,
            ("a.test", "Prefix", "/"),
            &[(annotation, "spare")],
            "app",
        ) + &service
            + &manifest::service("spare", &[spare.port()]);
        let gateway = gateway!().door(DOOR, "").manifest("app.yaml", &yaml).start();
        let got = ask(gateway.door(DOOR), "GET", "/path?query", &[]);
        assert_eq!((got.status, got.body.as_str()), (200, "spare"), "{annotation}");
        assert_eq!(spare.last().line(), "GET /path?query HTTP/1.1");
    }
}

#[test]
fn a_service_that_does_not_exist_closes() {
    let app = backend();
    for annotations in [
        vec![
            ("blastdoor.dev/errors", "404"),
            ("blastdoor.dev/errors-service", "nowhere"),
        ],
        vec![("blastdoor.dev/fallback", "nowhere")],
        vec![("nginx.ingress.kubernetes.io/default-backend", "nowhere")],
    ] {
        let gateway = start(&annotations, &app, &app, "");
        assert_eq!(
            ask(gateway.door(DOOR), "GET", "/", &[]).status,
            503,
            "{annotations:?}"
        );
    }
}

/// How a Service is called is for its own annotations to say.
#[test]
fn a_middleware_that_says_how_its_service_is_called_closes() {
    let app = backend();
    let named = ("blastdoor.dev/middlewares", "pages");
    for (field, status) in [
        ("kind: Service", 200),
        ("namespace: test", 200),
        ("namespace: other", 503),
        ("kind: TraefikService", 503),
        ("scheme: https", 503),
        ("strategy: wrr", 503),
        ("sticky: {cookie: {}}", 503),
        ("passHostHeader: true", 503),
        ("responseForwarding: {flushInterval: 1ms}", 503),
        ("serversTransport: mine", 503),
        ("weight: 1", 503),
        ("nativeLB: true", 503),
        ("nodePortLB: true", 503),
        ("healthCheck: {path: /}", 503),
        ("passiveHealthCheck: {failureWindow: 10s}", 503),
        ("middlewares: [{name: a}]", 503),
    ] {
        let content = format!("errors: {{status: [\"404\"], service: {{name: pages, port: 80, {field}}}}}");
        let gateway = start(&[named], &app, &app, &middleware("pages", &content));
        let got = ask(gateway.door(DOOR), "GET", "/", &[]);
        assert_eq!(got.status, status, "{field}");
    }
}

/// The errors of gRPC are in trailers, and its clients read no pages.
#[test]
fn grpc_calls_keep_their_errors() {
    let (app, pages) = (backend(), pages());
    let gateway = start(
        &[
            ("blastdoor.dev/errors", "404"),
            ("blastdoor.dev/errors-service", "pages"),
        ],
        &app,
        &pages,
        "",
    );
    let got = ask(
        gateway.door(DOOR),
        "POST",
        "/404",
        &[("content-type", "application/grpc")],
    );
    assert_eq!(
        (got.status, got.body.as_str(), pages.requests()),
        (404, "original", 0)
    );
}

/// An answer with such a status ends with its head: whatever followed would be the beginning of the next answer.
#[test]
fn a_page_never_makes_an_answer_longer_than_its_status_allows() {
    let (app, pages) = (backend(), pages());
    let own: &[(&str, &str)] = &[
        ("nginx.ingress.kubernetes.io/custom-http-errors", "404"),
        ("nginx.ingress.kubernetes.io/default-backend", "pages"),
    ];
    let gateway = start(own, &app, &pages, "");
    let door = gateway.door(DOOR);
    for (status, length) in [(204, None), (205, Some("0")), (304, None)] {
        let head = if status == 205 {
            "Content-Length: 4\r\n"
        } else {
            ""
        };
        let body = if status == 205 { "page" } else { "" };
        pages.reply(Reply::Raw(
            format!("HTTP/1.1 {status} Odd\r\n{head}\r\n{body}").into_bytes(),
        ));
        let mut client = Client::connect(door);
        client.send("GET /404 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /200 HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let first = client.response().unwrap();
        assert_eq!((first.status, first.text().as_str()), (status, ""));
        let stated = first
            .head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        assert_eq!(stated, length, "{}", first.head);
        let second = client.response().unwrap();
        assert_eq!((second.status, second.text().as_str()), (200, "original"));
        let got = super::ask_http2(door, "GET", "/404", &[]);
        assert_eq!((got.status, got.body.as_str()), (status, ""));
    }
    for status in [204, 205, 304] {
        let content = format!(
            "errors: {{status: ['404'], statusRewrites: {{'404': {status}}}, service: {{name: pages, port: 80}}}}"
        );
        let gateway = start(
            &[(
                "traefik.ingress.kubernetes.io/router.middlewares",
                "test-pages@kubernetescrd",
            )],
            &app,
            &pages,
            &middleware("pages", &content),
        );
        assert_eq!(
            ask(gateway.door(DOOR), "GET", "/404", &[]).status,
            503,
            "{status}"
        );
    }
}

/// What a page reads about the client is what the filters have made of it, as for the backend.
#[test]
fn a_page_learns_nothing_that_only_the_client_says() {
    let (app, pages) = (backend(), pages());
    let own: &[(&str, &str)] = &[
        ("nginx.ingress.kubernetes.io/custom-http-errors", "404"),
        ("nginx.ingress.kubernetes.io/default-backend", "pages"),
        ("blastdoor.dev/request-headers", "X-User: alice\nX-Gone:"),
    ];
    let gateway = start(own, &app, &pages, "");
    let forged = &[
        ("x-user", "root"),
        ("x_user", "root"),
        ("x-gone", "1"),
        ("x_code", "200"),
        ("x.service.name", "other"),
        ("x-namespace", "other"),
        ("x-mine", "m"),
    ];
    for ask in [super::ask_http1, super::ask_http2] {
        let got = ask(gateway.door(DOOR), "GET", "/404", forged);
        let (_, field) = asked(&got);
        let expected = [
            ("x-user", Some("alice")),
            ("x_user", None),
            ("x-gone", None),
            ("x-code", Some("404")),
            ("x_code", None),
            ("x.service.name", None),
            ("x-service-name", Some("app")),
            ("x-namespace", Some("test")),
            ("x-mine", Some("m")),
        ];
        for (name, value) in expected {
            assert_eq!(field(name).as_deref(), value, "{name}");
        }
    }
}

/// The rest of a response in whose place a page is sent never arrives: the client does not wait for it, and its connection
/// is not used again. Nor is one on which more has arrived than the response.
#[test]
fn a_page_does_not_wait_for_what_it_replaces() {
    let (app, pages) = (backend(), pages());
    let own = [
        ("blastdoor.dev/errors", "404"),
        ("blastdoor.dev/errors-service", "pages"),
    ];
    let gateway = start_with("workers = 1\n", &own, &app, &pages, "");
    let mut client = Client::connect(gateway.door(DOOR));
    for (index, text) in [
        "HTTP/1.1 404 Own\r\nContent-Length: 8\r\n\r\nori",
        "HTTP/1.1 404 Own\r\nContent-Length: 3\r\n\r\noriHTTP/1.1 200 Forged\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 404 Own\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 Forged\r\nContent-Length: 0\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        app.reply(Reply::Raw(text.as_bytes().to_vec()));
        let got = client.get("a.test", "/404").unwrap();
        assert_eq!(got.status, 404);
        assert!(got.text().starts_with("GET /404.html"), "{}", got.text());
        assert_eq!(app.connections(), index + 1, "{text}");
    }
}

/// Over HTTP/2 a 2xx says that the WebSocket is open (RFC 8441 5): no page may say so in place of an error.
#[test]
fn no_page_opens_a_websocket() {
    let (app, pages) = (backend(), pages());
    let own: &[(&str, &str)] = &[
        ("nginx.ingress.kubernetes.io/custom-http-errors", "404,502"),
        ("nginx.ingress.kubernetes.io/default-backend", "pages"),
    ];
    let gateway = start(own, &app, &pages, "");
    block(async {
        let client = Http2::connect(gateway.door(DOOR)).await;
        let _settings = client.get("a.test", "/200").await;
        for (target, status) in [("/404", 404), ("/200", 502)] {
            let mut asked = http::Request::builder()
                .method("CONNECT")
                .uri(format!("http://a.test{target}"))
                .header("sec-websocket-version", "13")
                .body(())
                .unwrap();
            asked
                .extensions_mut()
                .insert(h2::ext::Protocol::from_static("websocket"));
            assert_eq!(client.exchange(asked, &[]).await.status, status);
        }
        assert_eq!(pages.requests(), 0);
        assert_eq!(client.get("a.test", "/404").await.status, 203);
    });
}

/// A closed route answers 503 and nothing else: no filter has a say, and no field of theirs is on the answer.
#[test]
fn a_closed_route_has_no_filters() {
    let app = backend();
    for annotations in [
        vec![("blastdoor.dev/response-headers", "X-Edited: 1")],
        vec![
            ("blastdoor.dev/response-headers", "X-Edited: 1"),
            ("blastdoor.dev/deny", "127.0.0.1"),
        ],
        vec![("nginx.ingress.kubernetes.io/enable-cors", "true")],
    ] {
        // Its Service does not exist.
        let yaml = rule_for("app", DOOR, ("a.test", "Prefix", "/"), &annotations, "nowhere")
            + &manifest::service("app", &[app.port()]);
        let gateway = gateway!().door(DOOR, "").manifest("app.yaml", &yaml).start();
        let got = ask(gateway.door(DOOR), "GET", "/", &[("origin", "http://b.test")]);
        assert_eq!(
            (got.status, got.field("x-edited")),
            (503, None),
            "{annotations:?}"
        );
        assert_eq!(got.field("access-control-allow-origin"), None);
    }
}
