//! Fields of requests and responses, and CORS.

mod cors;
mod traefik;

use gateway_tests::http2::{Http2, block, fields, request};
use gateway_tests::{Backend, Client, Gateway, Reply, gateway};

use super::{DOOR, Got, app, ask, ask_http1, ask_http2, gateway_with};

/// A backend whose answers have fields of its own.
fn talkative() -> Backend {
    Backend::with("app", answer("200 OK"))
}

fn answer(status: &str) -> Reply {
    let text = format!(
        "HTTP/1.1 {status}\r\nServer: s\r\nX-Powered-By: p\r\nX-Frame-Options: ALLOWALL\r\nVary: Accept\r\n\
         Access-Control-Allow-Origin: https://backend.test\r\nAccess-Control-Max-Age: 5\r\nContent-Length: 0\r\n\r\n"
    );
    Reply::Raw(text.into_bytes())
}

/// The same Ingress at a door to which clients speak https.
fn at_https(backend: &Backend, annotations: &[(&str, &str)]) -> Gateway {
    let app = app(backend, annotations).replace(DOOR, "external-https");
    gateway!()
        .door("external-https", "")
        .manifest("app.yaml", &app)
        .start()
}

const PREFLIGHT: [(&str, &str); 3] = [
    ("origin", "https://a.test"),
    ("access-control-request-method", "PUT"),
    ("access-control-request-headers", "x-a"),
];

/// The fields of CORS, without their common beginning, and `vary`.
fn cors_of(got: &Got) -> Vec<String> {
    let short = |name: &str| match name {
        "vary" => Some("vary".to_owned()),
        name => name.strip_prefix("access-control-").map(str::to_owned),
    };
    let lines = got
        .fields
        .iter()
        .filter_map(|(name, value)| Some(format!("{}: {}", short(name.as_str())?, value.to_str().unwrap())));
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

#[test]
fn fields_of_the_request_are_replaced_and_removed() {
    let backend = Backend::start("app");
    let lines = "X-Team: shop\nX-Team: store\nX-Secret:\nX-Forwarded-Proto: wss\nX-Real-IP:\nAuthorization: Basic abc";
    let gateway = gateway_with(&backend, &[("blastdoor.dev/request-headers", lines)], "");
    let sent = [
        ("x-team", "forged"),
        ("x_team", "forged"),
        ("x.secret", "mine"),
        ("x-forwarded-proto", "ftp"),
        ("authorization", "Bearer mine"),
        ("x-other", "stays"),
    ];
    assert_eq!(ask(gateway.door(DOOR), "GET", "/", &sent).status, 200);
    for seen in backend.seen() {
        assert_eq!(seen.fields("x-team"), ["shop", "store"], "{}", seen.head);
        assert_eq!(seen.field("x-forwarded-proto"), Some("wss"));
        assert_eq!(seen.field("authorization"), Some("Basic abc"));
        assert_eq!(seen.field("x-other"), Some("stays"));
        assert_eq!(seen.field("x-blastdoor-door"), Some(DOOR));
        for gone in ["x_team", "x.secret", "x-real-ip"] {
            assert_eq!(seen.field(gone), None, "{gone}");
        }
        assert!(seen.head.contains("\r\nX-Forwarded-For: 127.0.0.1\r\n"));
    }
}

/// What is removed from the head must not come back behind the body.
#[test]
fn trailers_bring_back_no_field() {
    let backend = Backend::start("app");
    let gateway = gateway_with(
        &backend,
        &[("blastdoor.dev/request-headers", "X-User:\nX-Team: shop")],
        "",
    );
    let door = gateway.door(DOOR);
    let mut client = Client::connect(door);
    let text = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\
                x_user: mine\r\nX-TEAM: mine\r\nx-fine: 1\r\n\r\n";
    assert_eq!(client.request(text).unwrap().status, 200);
    let trailers = fields(&[("x_user", "mine"), ("x-team", "mine"), ("x-fine", "1")]);
    block(async {
        let http2 = Http2::connect(door).await;
        let answer = http2
            .try_exchange(request("POST", "a.test", "/"), b"a", Some(trailers))
            .await;
        assert_eq!(answer.unwrap().status, 200);
    });
    let seen = backend.seen();
    assert_eq!(seen.len(), 2);
    for seen in seen {
        assert_eq!(seen.trailers, ["x-fine: 1"]);
    }
}

#[test]
fn what_the_gateway_asserts_and_frames_cannot_be_set() {
    for name in [
        "X-Blastdoor-Door",
        "x_forwarded_client_cert",
        "Content-Length",
        "Connection",
        "Host",
    ] {
        let backend = Backend::start("app");
        let gateway = gateway_with(
            &backend,
            &[("blastdoor.dev/request-headers", &format!("{name}: 1"))],
            "",
        );
        let got = ask(gateway.door(DOOR), "GET", "/", &[]);
        assert_eq!((got.status, backend.requests()), (503, 0), "{name}");
    }
}

#[test]
fn fields_of_the_response_are_replaced_and_removed() {
    let backend = talkative();
    let lines = "X-Frame-Options: DENY\nServer:\nx_powered-by:\nLink: </a>\nLink: </b>";
    let gateway = gateway_with(&backend, &[("blastdoor.dev/response-headers", lines)], "");
    for status in ["200 OK", "304 Not Modified", "500 Oh", "404 No"] {
        backend.reply(answer(status));
        let got = ask(gateway.door(DOOR), "GET", "/", &[]);
        assert!(status.starts_with(&got.status.to_string()));
        assert_eq!(got.field("x-frame-options").as_deref(), Some("DENY"), "{status}");
        assert_eq!(got.field("link").as_deref(), Some("</a>, </b>"));
        assert_eq!((got.field("server"), got.field("x-powered-by")), (None, None));
        assert_eq!(got.field("vary").as_deref(), Some("Accept"));
    }
    // A backend that does not answer is the gateway's own answer, on the same route.
    backend.reply(Reply::Close);
    let got = ask(gateway.door(DOOR), "POST", "/", &[]);
    assert_eq!(
        (got.status, got.field("x-frame-options").as_deref()),
        (502, Some("DENY"))
    );
    // What no route answers is as it always is.
    let got = ask(gateway.door(DOOR), "GET", "/", &[("host", "b.test")]);
    assert_eq!((got.status, got.field("x-frame-options")), (404, None));
    let mut client = Client::connect(gateway.door(DOOR));
    backend.reply(answer("200 OK"));
    let response = client.get("a.test", "/").unwrap();
    assert!(
        response.head.contains("\r\nX-Frame-Options: DENY\r\n"),
        "{}",
        response.head
    );
}

#[test]
fn a_closed_route_says_nothing_of_filters() {
    let backend = talkative();
    let annotations = [
        ("blastdoor.dev/response-headers", "X-A: 1"),
        ("nginx.ingress.kubernetes.io/configuration-snippet", "deny all;"),
    ];
    let gateway = gateway_with(&backend, &annotations, "");
    let got = ask(gateway.door(DOOR), "GET", "/", &[]);
    assert_eq!((got.status, got.field("x-a"), backend.requests()), (503, None, 0));
}

#[test]
fn the_media_type_and_the_date_of_own_answers_are_edited_too() {
    let backend = talkative();
    let annotations = [(
        "blastdoor.dev/response-headers",
        "Content-Type: text/html\nDate: tomorrow",
    )];
    let gateway = gateway_with(&backend, &annotations, "");
    let mut client = Client::connect(gateway.door(DOOR));
    let date = |head: &str| {
        head.lines()
            .filter(|line| line.starts_with("Date: "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let response = client.get("a.test", "/").unwrap();
    assert_eq!(date(&response.head), ["Date: tomorrow"]);
    backend.reply(Reply::Close);
    let got = ask(gateway.door(DOOR), "POST", "/", &[]);
    assert_eq!(
        (got.status, got.field("content-type").as_deref()),
        (502, Some("text/html"))
    );
}

#[test]
fn a_101_has_the_fields_alone() {
    let backend = Backend::with(
        "app",
        Reply::Raw(
            b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\nServer: s\r\n\r\nhello".to_vec(),
        ),
    );
    let gateway = gateway_with(
        &backend,
        &[("blastdoor.dev/response-headers", "X-A: 1\nServer:")],
        "",
    );
    let mut client = Client::connect(gateway.door(DOOR));
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    let mut head = Vec::new();
    while let Some(line) = client.line().filter(|line| !line.is_empty()) {
        head.push(line);
    }
    assert_eq!(head.first().map(String::as_str), Some("HTTP/1.1 101 Go"));
    assert!(
        head.contains(&"X-A: 1".to_owned()) && !head.iter().any(|line| line.starts_with("Server")),
        "{head:?}"
    );
    assert_eq!(client.take(5).unwrap(), b"hello");
}

#[test]
fn security_headers_say_https_only_where_it_is_spoken() {
    let backend = talkative();
    let on = [("blastdoor.dev/security-headers", "on")];
    let gateway = gateway_with(&backend, &on, "");
    let got = ask(gateway.door(DOOR), "GET", "/", &[]);
    for (name, value) in [
        ("x-content-type-options", Some("nosniff")),
        ("x-frame-options", Some("DENY")),
        ("referrer-policy", Some("strict-origin-when-cross-origin")),
        ("strict-transport-security", None),
    ] {
        assert_eq!(got.field(name).as_deref(), value, "{name}");
    }
    let gateway = at_https(&backend, &on);
    let got = ask(gateway.door("external-https"), "GET", "/", &[]);
    assert_eq!(
        got.field("strict-transport-security").as_deref(),
        Some("max-age=31536000")
    );
    // Words win over a switch.
    let both = [
        on[0],
        (
            "blastdoor.dev/response-headers",
            "X-Frame-Options: SAMEORIGIN\nStrict-Transport-Security:",
        ),
    ];
    let gateway = at_https(&backend, &both);
    let got = ask(gateway.door("external-https"), "GET", "/", &[]);
    assert_eq!(got.field("x-frame-options").as_deref(), Some("SAMEORIGIN"));
    assert_eq!(got.field("strict-transport-security"), None);
}

#[test]
fn redirects_carry_the_fields_of_responses() {
    let backend = Backend::start("app");
    let annotations = [
        ("blastdoor.dev/https-redirect", "on"),
        ("blastdoor.dev/response-headers", "X-A: 1"),
        ("blastdoor.dev/cors", "https://a.test"),
    ];
    let gateway = gateway_with(&backend, &annotations, "");
    let got = ask(gateway.door(DOOR), "GET", "/", &PREFLIGHT);
    assert_eq!((got.status, got.field("x-a").as_deref()), (308, Some("1")));
    // CORS stands further in than the redirect.
    assert_eq!(cors_of(&got), Vec::<String>::new());
}

fn config_map(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: fields\n  namespace: test\ndata:\n{data}")
}

#[test]
fn custom_headers_are_the_entries_of_a_config_map() {
    let backend = talkative();
    let annotations = [("nginx.ingress.kubernetes.io/custom-headers", "test/fields")];
    let gateway = gateway_with(&backend, &annotations, &config_map("  X-A: '1'\n  Server: ''\n"));
    let got = ask(gateway.door(DOOR), "GET", "/", &[]);
    assert_eq!(
        (got.status, got.field("x-a").as_deref(), got.field("server")),
        (200, Some("1"), None)
    );
    // A change of the ConfigMap is a change of the route.
    gateway.put("others.yaml", &config_map("  X-A: '2'\n"));
    gateway.until("the new value is sent", |gateway| {
        ask_http1(gateway.door(DOOR), "GET", "/", &[])
            .field("x-a")
            .as_deref()
            == Some("2")
    });
    // What cannot be honoured closes, and what is missing too.
    gateway.put("others.yaml", &config_map("  Content-Length: '2'\n"));
    gateway.until_status(DOOR, "a.test", "/", 503);
    gateway.put("others.yaml", &config_map("  X-A: '3'\n"));
    gateway.until_status(DOOR, "a.test", "/", 200);
    gateway.put("others.yaml", "");
    gateway.until_status(DOOR, "a.test", "/", 503);
}

const USERS: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: users, namespace: test}\n\
                     stringData: {auth: 'admin:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ='}\n";

/// A 401 carries what stands before the password, and a preflight needs none.
#[test]
fn refusals_of_other_filters_carry_the_fields_before_them() {
    let backend = talkative();
    let annotations = [
        ("blastdoor.dev/basic-auth", "users"),
        ("blastdoor.dev/cors", "https://a.test"),
        ("blastdoor.dev/response-headers", "X-A: 1"),
        ("blastdoor.dev/security-headers", "on"),
        ("blastdoor.dev/request-headers", "X-B: 1"),
    ];
    let app = app(&backend, &annotations).replace(DOOR, "external-https");
    let gateway = gateway!()
        .door("external-https", "")
        .manifest("app.yaml", &app)
        .manifest("others.yaml", USERS)
        .start();
    let door = gateway.door("external-https");
    let got = ask(door, "GET", "/", &PREFLIGHT[..1]);
    assert_eq!((got.status, got.field("www-authenticate").is_some()), (401, true));
    assert_eq!(got.field("x-a").as_deref(), Some("1"));
    assert_eq!(
        got.field("strict-transport-security").as_deref(),
        Some("max-age=31536000")
    );
    assert_eq!(cors_of(&got), ["allow-origin: https://a.test", "vary: Origin"]);
    assert_eq!(ask(door, "OPTIONS", "/", &PREFLIGHT).status, 204);
    assert_eq!(backend.requests(), 0);
    let call = [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        PREFLIGHT[0],
    ];
    let got = ask_http2(door, "POST", "/s/m", &call);
    assert_eq!(
        (
            got.status,
            got.field("grpc-status").as_deref(),
            got.field("x-a").as_deref()
        ),
        (200, Some("16"), Some("1"))
    );
    assert_eq!(cors_of(&got), ["allow-origin: https://a.test", "vary: Origin"]);
    let with = [PREFLIGHT[0], ("authorization", "Basic YWRtaW46c2VjcmV0")];
    let got = ask(door, "GET", "/", &with);
    assert_eq!((got.status, got.field("x-a").as_deref()), (200, Some("1")));
}

/// Responses pass Middlewares in reverse: what stands behind the one that refuses says nothing.
#[test]
fn refusals_carry_nothing_of_what_stands_behind() {
    let backend = talkative();
    let middlewares = "\
apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {name: out, namespace: test}\nspec: {headers: {customResponseHeaders: {X-Out: '1'}}}\n---\n\
apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {name: in, namespace: test}\nspec: {headers: {customResponseHeaders: {X-In: '1'}}}\n---\n\
apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {name: auth, namespace: test}\nspec: {basicAuth: {secret: users}}\n---\n";
    let names = "test-out@kubernetescrd, test-auth@kubernetescrd, test-in@kubernetescrd";
    let annotations = [("traefik.ingress.kubernetes.io/router.middlewares", names)];
    let gateway = gateway_with(&backend, &annotations, &format!("{middlewares}{USERS}"));
    let got = ask(gateway.door(DOOR), "GET", "/", &[]);
    assert_eq!(
        (
            got.status,
            got.field("x-out").is_some(),
            got.field("x-in").is_some()
        ),
        (401, true, false)
    );
    let got = ask(
        gateway.door(DOOR),
        "GET",
        "/",
        &[("authorization", "Basic YWRtaW46c2VjcmV0")],
    );
    assert_eq!(
        (
            got.status,
            got.field("x-out").is_some(),
            got.field("x-in").is_some()
        ),
        (200, true, true)
    );
}
