//! The outcome of requests, whatever their HTTP version.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what cannot be had fails the test"
)]

mod rig;

use std::net::TcpListener;
use std::sync::Arc;

use super::reply::Reply;
use super::requester::Next::{self, Close, Keep};
use crate::settings::{ClientIp, Settings, TrustedProxies};
use crate::worker::Phase;
use crate::worker::memory::BACKEND;
use rig::{Backend, Outcome, Rig};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// A request, and what its client gets over either version: the status, the reason in the log, parts of the answer, and
/// what happens to an HTTP/1 connection.
type Row = (
    &'static str,
    u16,
    Option<&'static str>,
    &'static [&'static str],
    Next,
);

fn settings() -> Settings {
    Settings {
        health_path: Some("/up".into()),
        trusted: Arc::new(TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()])),
        ..Settings::of_tests()
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    tokio::task::LocalSet::new().block_on(&runtime.unwrap(), test);
}

/// An Ingress for one place, and its Service with one endpoint if there is a port for it.
fn place(name: &str, host: &str, path: &str, port: Option<u16>, annotation: &str) -> String {
    let endpoints = port.map_or(String::new(), |port| {
        format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}-1, namespace: shop, labels: {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\nports: [{{port: {port}}}]\nendpoints: [{{addresses: [\"127.0.0.1\"]}}]\n"
        )
    });
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: shop, labels: {{expose: one}}, annotations: {{{annotation}}}}}\nspec: {{rules: [{{host: {host}, http: {{paths: [{{path: {path}, pathType: Prefix, backend: {{service: {{name: {name}, port: {{number: 80}}}}}}}}]}}}}]}}\n\
         ---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{ports: [{{port: 80}}]}}\n{endpoints}"
    )
}

/// A door with one place for each thing that a request may run into.
async fn rig() -> Rig {
    rig_with(settings()).await
}

async fn rig_with(settings: Settings) -> Rig {
    let mut rig = Rig::new(settings);
    let hello = rig.backend(Backend::Answers(HELLO)).await;
    let empty = rig
        .backend(Backend::Answers("HTTP/1.1 204 No Content\r\n\r\n"))
        .await;
    let nonsense = rig.backend(Backend::Answers("nonsense\r\n\r\n")).await;
    let breaks = rig.backend(Backend::Breaks).await;
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let limit = "nginx.ingress.kubernetes.io/proxy-body-size: \"4\"";
    let redirect = "nginx.ingress.kubernetes.io/force-ssl-redirect: \"true\"";
    let manifests = [
        place("hello", "app.test", "/", Some(hello), ""),
        place("empty", "app.test", "/empty", Some(empty), ""),
        place("nonsense", "app.test", "/nonsense", Some(nonsense), ""),
        place("breaks", "app.test", "/breaks", Some(breaks), ""),
        place("nobody", "app.test", "/nobody", Some(nobody), ""),
        place("none", "app.test", "/none", None, ""),
        place("small", "app.test", "/small", Some(hello), limit),
        place("moved", "moved.test", "/", None, redirect),
        // Without its Service.
        place("closed", "app.test", "/closed", None, "").replace(
            "kind: Service\nmetadata: {name: closed",
            "kind: Service\nmetadata: {name: other",
        ),
    ];
    rig.publish(&manifests.concat());
    rig
}

const TEXT: &str = "text/plain; charset=utf-8";

const ROWS: &[Row] = &[
    // Of a backend.
    (
        "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n",
        200,
        None,
        &["\r\n\r\nhello"],
        Keep,
    ),
    (
        "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n\r\nbody",
        200,
        None,
        &["\r\n\r\nhello"],
        Keep,
    ),
    (
        "GET /empty HTTP/1.1\r\nHost: app.test\r\n\r\n",
        204,
        None,
        &[],
        Keep,
    ),
    (
        "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n",
        200,
        None,
        &["\r\n\r\nhello"],
        Close,
    ),
    // Redirect, health, OPTIONS.
    (
        "GET /a%20b?c HTTP/1.1\r\nHost: moved.test\r\n\r\n",
        308,
        Some("redirect"),
        &["https://moved.test/a%20b?c\r\n", "\r\n\r\nPermanent Redirect\n"],
        Keep,
    ),
    (
        "GET /up HTTP/1.1\r\nHost: any.test\r\n\r\n",
        200,
        None,
        &[TEXT, "\r\n\r\nOK\n"],
        Keep,
    ),
    (
        "OPTIONS / HTTP/1.1\r\nHost: app.test\r\nMax-Forwards: 0\r\n\r\n",
        200,
        None,
        &["GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n", "\r\n\r\nOK\n"],
        Keep,
    ),
    // Refusals of the client's requests.
    (
        "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n",
        404,
        Some("no_route"),
        &[TEXT, "\r\n\r\nNot Found\n"],
        Keep,
    ),
    (
        "HEAD / HTTP/1.1\r\nHost: other.test\r\n\r\n",
        404,
        Some("no_route"),
        &["10\r\n", "\r\n\r\n"],
        Keep,
    ),
    (
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        400,
        Some("host_invalid"),
        &["\r\n\r\nBad Request\n"],
        Close,
    ),
    (
        "GET /a%00 HTTP/1.1\r\nHost: app.test\r\n\r\n",
        400,
        Some("path_invalid"),
        &["\r\n\r\nBad Request\n"],
        Close,
    ),
    (
        "TRACE / HTTP/1.1\r\nHost: app.test\r\n\r\n",
        405,
        Some("method_refused"),
        &["DELETE, OPTIONS\r\n"],
        Close,
    ),
    (
        "GET / HTTP/1.1\r\nHost: app.test\r\nBad Name: x\r\n\r\n",
        400,
        Some("malformed"),
        &["\r\n\r\nBad Request\n"],
        Close,
    ),
    (
        "POST /small HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nlarge",
        413,
        Some("body_too_large"),
        &["\r\n\r\nContent Too Large\n"],
        Close,
    ),
    // A reply before the end of the request leaves a connection that cannot be reused.
    (
        "POST / HTTP/1.1\r\nHost: other.test\r\nContent-Length: 4\r\n\r\nbody",
        404,
        Some("no_route"),
        &[],
        Close,
    ),
    // Refusals for want of a backend.
    (
        "GET /closed HTTP/1.1\r\nHost: app.test\r\n\r\n",
        503,
        Some("blocked"),
        &["1\r\n", "Unavailable\n"],
        Keep,
    ),
    (
        "GET /none HTTP/1.1\r\nHost: app.test\r\n\r\n",
        503,
        Some("no_endpoint"),
        &["Unavailable\n"],
        Keep,
    ),
    (
        "GET /nobody HTTP/1.1\r\nHost: app.test\r\n\r\n",
        502,
        Some("connect_failed"),
        &["Bad Gateway\n"],
        Keep,
    ),
    (
        "GET /breaks HTTP/1.1\r\nHost: app.test\r\n\r\n",
        502,
        Some("upstream_reset"),
        &["Bad Gateway\n"],
        Keep,
    ),
    (
        "GET /nonsense HTTP/1.1\r\nHost: app.test\r\n\r\n",
        502,
        Some("upstream_malformed"),
        &["Bad Gateway\n"],
        Keep,
    ),
];

#[test]
fn a_request_gets_its_answer_over_either_version() {
    run(async {
        let rig = rig().await;
        for (request, status, reason, parts, next) in ROWS {
            let one = rig.ask(request).await;
            let seen = (one.status, one.reason, one.next);
            assert_eq!(seen, (*status, *reason, *next), "{request:?}: {one:?}");
            let two = rig.ask_http2(request).await;
            assert_eq!(
                (two.status, two.reason),
                (*status, *reason),
                "{request:?}: {two:?}"
            );
            for part in *parts {
                assert!(one.text.contains(part), "{request:?}, {part:?}: {one:?}");
                assert!(two.text.contains(part), "{request:?}, {part:?}: {two:?}");
            }
        }
    });
}

#[test]
fn a_reply_is_the_same_bytes_but_for_its_date() {
    run(async {
        let rig = rig().await;
        let Outcome { text, .. } = rig.ask("GET / HTTP/1.1\r\nHost: other.test\r\n\r\n").await;
        let (before, after) = text.split_once("Date: ").unwrap();
        assert_eq!(
            before,
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\n"
        );
        assert_eq!(after.split_once("\r\n").unwrap().1, "\r\nNot Found\n");
    });
}

#[test]
fn a_connection_without_room_is_told_so_without_a_body() {
    let mut out = Vec::new();
    Reply::NoRoom.write_unasked(&mut out);
    let expected = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn before_the_first_table_and_during_the_drain() {
    run(async {
        let unpublished = Rig::new(settings());
        let answer = unpublished.ask("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        assert_eq!((answer.status, answer.reason), (503, Some("not_synced")));
        let rig = rig().await;
        rig.enter(Phase::Draining);
        let health = rig.ask("GET /up HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        assert_eq!(
            (health.status, health.reason, health.next),
            (503, Some("drained"), Close)
        );
        let served = rig.ask("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        assert_eq!((served.status, served.next), (200, Close));
        assert!(served.text.contains("Connection: close\r\n"), "{served:?}");
        rig.enter(Phase::Ended);
        let cut = rig.ask("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        assert_eq!((cut.status, cut.reason, cut.next), (503, Some("drained"), Close));
    });
}

#[test]
fn a_client_of_http_1_0_is_told_that_its_connection_stays() {
    run(async {
        let rig = rig().await;
        for path in ["/up", "/"] {
            let kept = rig
                .ask(&format!(
                    "GET {path} HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n"
                ))
                .await;
            assert_eq!((kept.status, kept.next), (200, Keep), "{kept:?}");
            assert!(kept.text.contains("Connection: keep-alive\r\n"), "{kept:?}");
        }
        let closed = rig.ask("GET / HTTP/1.0\r\nHost: app.test\r\n\r\n").await;
        assert_eq!((closed.status, closed.next), (200, Close));
    });
}

#[test]
fn a_backend_hears_of_the_client_from_the_gateway_alone() {
    run(async {
        let rig = rig().await;
        let answer = rig
            .ask("GET /x HTTP/1.1\r\nHost: app.test\r\nX-Real-IP: 1.2.3.4\r\nConnection: X-Odd\r\nX-Odd: 1\r\n\r\n")
            .await;
        assert_eq!(answer.status, 200);
        let received = rig.received.take();
        let [head] = received.as_slice() else {
            panic!("{received:?}");
        };
        assert!(
            head.starts_with("GET /x HTTP/1.1\r\nHost: app.test\r\n"),
            "{head}"
        );
        assert!(head.contains("X-Real-IP: 127.0.0.1\r\n"), "{head}");
        assert!(!head.contains("1.2.3.4") && !head.contains("X-Odd"), "{head}");
    });
}

#[test]
fn a_kept_connection_to_a_backend_counts_until_it_closes() {
    run(async {
        let rig = rig().await;
        assert_eq!(
            rig.ask("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await.status,
            200
        );
        assert_eq!(rig.close_kept(), BACKEND);
    });
}

#[test]
fn requests_are_refused_while_memory_is_short_and_health_checks_are_not() {
    run(async {
        let rig = rig().await;
        let (request, check) = (
            "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n",
            "GET /up HTTP/1.1\r\nHost: app.test\r\n\r\n",
        );
        assert_eq!(rig.ask(request).await.status, 200);
        rig.allow_memory(0);
        assert_eq!(
            rig.ask(request).await.status,
            200,
            "others may have something to give up"
        );
        rig.look_at_memory();
        for outcome in [rig.ask(request).await, rig.ask_http2(request).await] {
            assert_eq!(
                (outcome.status, outcome.reason),
                (503, Some("overload")),
                "{outcome:?}"
            );
            assert!(
                outcome.text.to_ascii_lowercase().contains("retry-after: 1"),
                "{outcome:?}"
            );
        }
        assert_eq!(rig.ask(check).await.status, 200);
        rig.allow_memory(1 << 30);
        assert_eq!(rig.ask(request).await.status, 200);
    });
}

#[test]
fn a_client_that_has_its_share_of_backends_gets_no_more_over_http2() {
    run(async {
        let rig = rig_with(Settings {
            client_ip: ClientIp::ForwardedFor,
            ..settings()
        })
        .await;
        let of = |client| format!("GET / HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: {client}\r\n\r\n");
        let (greedy, other) = (of("203.0.113.9"), of("203.0.113.8"));
        let taken = rig.use_up_backends([203, 0, 113, 9].into(), 32);
        let refused = rig.ask_http2(&greedy).await;
        assert_eq!((refused.status, refused.reason), (503, Some("overload")));
        assert_eq!(rig.ask_http2(&other).await.status, 200);
        // A connection over HTTP/1 has one at a time.
        assert_eq!(rig.ask(&greedy).await.status, 200);
        drop(taken);
        assert_eq!(rig.ask_http2(&greedy).await.status, 200);
    });
}
