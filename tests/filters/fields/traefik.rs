//! `headers` of Traefik, its CORS too.

use gateway_tests::{Backend, Gateway, gateway};

use super::super::{DOOR, app, ask, gateway_with};
use super::{PREFLIGHT, cors_of, talkative};

/// A Middleware `headers` with this content, one field a line, and the annotation that names it.
fn middleware(content: &[&str]) -> (String, [(&'static str, &'static str); 1]) {
    let lines: String = content.iter().map(|line| format!("    {line}\n")).collect();
    let yaml = format!(
        "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata:\n  name: fields\n  namespace: test\nspec:\n  headers:\n{lines}"
    );
    let annotation = (
        "traefik.ingress.kubernetes.io/router.middlewares",
        "test-fields@kubernetescrd",
    );
    (yaml, [annotation])
}

fn gateway_of(backend: &Backend, content: &[&str]) -> Gateway {
    let (yaml, annotation) = middleware(content);
    gateway_with(backend, &annotation, &yaml)
}

#[test]
fn headers_of_traefik_edit_requests() {
    let backend = Backend::start("app");
    let gateway = gateway_of(
        &backend,
        &[
            "customRequestHeaders:",
            "  X-Team: shop",
            "  X-Secret: ''",
            "  X-Forwarded-Proto: wss",
            "  Host: inner.test:81",
        ],
    );
    let sent = [("x_team", "forged"), ("x-secret", "mine")];
    assert_eq!(ask(gateway.door(DOOR), "GET", "/", &sent).status, 200);
    for seen in backend.seen() {
        assert_eq!(seen.field("host"), Some("inner.test:81"));
        assert_eq!(seen.field("x-forwarded-host"), Some("a.test"));
        assert_eq!((seen.field("x-team"), seen.field("x_team")), (Some("shop"), None));
        assert_eq!(
            (seen.field("x-secret"), seen.field("x-forwarded-proto")),
            (None, Some("wss"))
        );
    }
}

/// Each field of the response that `headers` can set, at a door of either scheme.
#[test]
fn headers_of_traefik_edit_responses() {
    let backend = talkative();
    let sts = "strict-transport-security";
    let table: [(&[&str], &str, Option<&str>, Option<&str>); 18] = [
        (
            &["customResponseHeaders: {X-A: '1'}"],
            "x-a",
            Some("1"),
            Some("1"),
        ),
        (&["customResponseHeaders: {Server: ''}"], "server", None, None),
        (
            &["customResponseHeaders: {X-Frame-Options: A}", "frameDeny: true"],
            "x-frame-options",
            Some("A"),
            Some("A"),
        ),
        (
            &["frameDeny: true"],
            "x-frame-options",
            Some("DENY"),
            Some("DENY"),
        ),
        (
            &["customFrameOptionsValue: SAMEORIGIN", "frameDeny: true"],
            "x-frame-options",
            Some("SAMEORIGIN"),
            Some("SAMEORIGIN"),
        ),
        (
            &["contentTypeNosniff: true"],
            "x-content-type-options",
            Some("nosniff"),
            Some("nosniff"),
        ),
        (
            &["browserXssFilter: true"],
            "x-xss-protection",
            Some("1; mode=block"),
            Some("1; mode=block"),
        ),
        (
            &["customBrowserXSSValue: '0'"],
            "x-xss-protection",
            Some("0"),
            Some("0"),
        ),
        (
            &["contentSecurityPolicy: default-src 'self'"],
            "content-security-policy",
            Some("default-src 'self'"),
            Some("default-src 'self'"),
        ),
        (
            &["contentSecurityPolicyReportOnly: a"],
            "content-security-policy-report-only",
            Some("a"),
            Some("a"),
        ),
        (
            &["referrerPolicy: no-referrer"],
            "referrer-policy",
            Some("no-referrer"),
            Some("no-referrer"),
        ),
        (
            &["permissionsPolicy: camera=()"],
            "permissions-policy",
            Some("camera=()"),
            Some("camera=()"),
        ),
        (
            &["featurePolicy: camera 'none'"],
            "feature-policy",
            Some("camera 'none'"),
            Some("camera 'none'"),
        ),
        (&["stsSeconds: 60"], sts, None, Some("max-age=60")),
        (
            &["stsSeconds: 60", "stsIncludeSubdomains: true", "stsPreload: true"],
            sts,
            None,
            Some("max-age=60; includeSubDomains; preload"),
        ),
        (
            &["stsSeconds: 60", "forceSTSHeader: true"],
            sts,
            Some("max-age=60"),
            Some("max-age=60"),
        ),
        (
            &["stsSeconds: 60", "forceSTSHeader: true", "isDevelopment: true"],
            sts,
            None,
            None,
        ),
        // Without effect, and told.
        (
            &[
                "publicKey: x",
                "sslRedirect: true",
                "sslTemporaryRedirect: true",
                "sslHost: b.test",
                "sslForceHost: true",
                "sslProxyHeaders: {X-Forwarded-Proto: https}",
                "hostsProxyHeaders: [X-Forwarded-Host]",
                "frameDeny: true",
            ],
            "public-key-pins",
            None,
            None,
        ),
    ];
    for (content, name, at_http, at_https) in table {
        let (yaml, annotation) = middleware(content);
        let https = app(&backend, &annotation)
            .replace(DOOR, "external-https")
            .replace("app", "secure");
        let gateway = gateway!()
            .door(DOOR, "")
            .door("external-https", "")
            .manifest("app.yaml", &app(&backend, &annotation))
            .manifest("https.yaml", &https)
            .manifest("others.yaml", &yaml)
            .start();
        for (door, expected) in [(DOOR, at_http), ("external-https", at_https)] {
            let got = ask(gateway.door(door), "GET", "/", &[]);
            assert_eq!(
                (got.status, got.field(name).as_deref()),
                (200, expected),
                "{content:?} at {door}"
            );
        }
    }
}

#[test]
fn headers_of_traefik_serve_the_allowed_hosts() {
    let backend = Backend::start("app");
    for (hosts, extra, status) in [
        ("[A.test]", "frameDeny: true", 200),
        ("['a.test:81', b.test]", "frameDeny: true", 403),
        ("[b.test]", "isDevelopment: true", 200),
    ] {
        let gateway = gateway_of(&backend, &[&format!("allowedHosts: {hosts}"), extra]);
        backend.forget();
        let got = ask(gateway.door(DOOR), "GET", "/", &[]);
        assert_eq!(
            (got.status, backend.requests() > 0),
            (status, status == 200),
            "{hosts}"
        );
        let frame = (extra == "frameDeny: true").then_some("DENY");
        assert_eq!(got.field("x-frame-options").as_deref(), frame, "{hosts}");
        gateway.until("both are logged", |gateway| gateway.access_log().len() == 2);
        let log = gateway.access_log();
        let refusal = if status == 403 {
            "access_denied".into()
        } else {
            serde_json::Value::Null
        };
        assert_eq!(log.last().unwrap()["refusal"], refusal);
    }
}

#[test]
fn cors_of_traefik_is_answered_field_by_field() {
    let backend = talkative();
    let own = ["allow-origin: https://backend.test", "max-age: 5", "vary: Accept"];
    // Content, what a preflight gets, and what the response to a GET from the same origin gets.
    let table: [(&[&str], &[&str], &[&str]); 9] = [
        (
            &[
                "accessControlAllowOriginList: ['https://a.test']",
                "accessControlAllowMethods: [GET, PUT]",
                "accessControlMaxAge: 60",
            ],
            &[
                "allow-methods: GET,PUT",
                "allow-origin: https://a.test",
                "max-age: 60",
                "vary: Origin",
            ],
            &[
                "allow-origin: https://a.test",
                "max-age: 5",
                "vary: Accept",
                "vary: Origin",
            ],
        ),
        (
            &[
                "accessControlAllowOriginList: ['https://b.test']",
                "accessControlAllowHeaders: [X-A, X-B]",
            ],
            &["allow-headers: X-A,X-B", "vary: Origin"],
            &[
                "allow-origin: https://backend.test",
                "max-age: 5",
                "vary: Accept",
                "vary: Origin",
            ],
        ),
        (
            &[
                "accessControlAllowOriginListRegex: ['https://[a-c]\\.test']",
                "accessControlExposeHeaders: [X-A]",
            ],
            &[
                "allow-origin: https://a.test",
                "expose-headers: X-A",
                "vary: Origin",
            ],
            &[
                "allow-origin: https://a.test",
                "expose-headers: X-A",
                "max-age: 5",
                "vary: Accept",
                "vary: Origin",
            ],
        ),
        (
            // A part of the origin is not the origin.
            &["accessControlAllowOriginListRegex: ['a\\.tes']"],
            &["vary: Origin"],
            &[
                "allow-origin: https://backend.test",
                "max-age: 5",
                "vary: Accept",
                "vary: Origin",
            ],
        ),
        (
            &["accessControlAllowOriginList: ['*']"],
            &["allow-origin: *"],
            &["allow-origin: *", "max-age: 5", "vary: Accept"],
        ),
        (
            &[
                "accessControlAllowOriginList: ['*']",
                "accessControlAllowCredentials: true",
                "accessControlAllowMethods: ['*']",
                "accessControlAllowHeaders: ['*']",
            ],
            &[
                "allow-credentials: true",
                "allow-headers: x-a",
                "allow-methods: PUT",
                "allow-origin: *",
                "vary: access-control-request-headers",
                "vary: access-control-request-method",
            ],
            &[
                "allow-credentials: true",
                "allow-origin: *",
                "max-age: 5",
                "vary: Accept",
            ],
        ),
        (
            &[
                "accessControlAllowMethods: ['*']",
                "accessControlAllowHeaders: ['*']",
            ],
            &["allow-headers: *", "allow-methods: *"],
            &own,
        ),
        (
            &["addVaryHeader: true"],
            &["vary: Origin"],
            &[
                "allow-origin: https://backend.test",
                "max-age: 5",
                "vary: Accept",
                "vary: Origin",
            ],
        ),
        (&["frameDeny: true"], &own, &own),
    ];
    for (content, preflight, response) in table {
        let gateway = gateway_of(&backend, content);
        let got = ask(gateway.door(DOOR), "OPTIONS", "/", &PREFLIGHT);
        assert_eq!(
            (got.status, cors_of(&got)),
            (200, preflight.iter().map(|line| (*line).to_owned()).collect()),
            "{content:?}"
        );
        let is_preflight = preflight != own;
        assert_eq!(got.field("x-powered-by").is_none(), is_preflight, "{content:?}");
        let got = ask(gateway.door(DOOR), "GET", "/", &PREFLIGHT[..1]);
        assert_eq!(cors_of(&got), response, "{content:?}");
    }
}

/// Responses pass through Middlewares in reverse, so that the first one has the last word; those of annotations come after.
#[test]
fn the_outermost_has_the_last_word() {
    let backend = talkative();
    let one = |name: &str, fields: &str| {
        format!(
            "---\napiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {{name: {name}, namespace: test}}\nspec:\n  headers:\n    \
             customRequestHeaders: {{X-Way: {name}}}\n    customResponseHeaders: {{{fields}}}\n"
        )
    };
    let others = one("first", "X-A: first, X-B: first, X-D: ''")
        + &one("second", "X-A: second, X-C: second, X-D: second");
    let annotations = [
        (
            "traefik.ingress.kubernetes.io/router.middlewares",
            "test-first@kubernetescrd,test-second@kubernetescrd",
        ),
        ("blastdoor.dev/response-headers", "X-B: own"),
    ];
    let gateway = gateway_with(&backend, &annotations, &others);
    let got = ask(gateway.door(DOOR), "GET", "/", &[]);
    let fields = ["x-a", "x-b", "x-c", "x-d"].map(|name| got.field(name));
    assert_eq!(
        fields,
        [Some("first"), Some("own"), Some("second"), None].map(|value| value.map(str::to_owned))
    );
    assert_eq!(backend.last().field("x-way"), Some("second"));
}

#[test]
fn cors_of_both_origins_counts_once_if_it_is_the_same() {
    let backend = talkative();
    let (yaml, [named]) = middleware(&[
        "accessControlAllowOriginList: ['https://a.test']",
        "accessControlAllowMethods: [GET]",
        "accessControlAllowHeaders: [X-A, X-B]",
        "accessControlMaxAge: 60",
    ]);
    let nginx = |origin| {
        [
            named,
            ("nginx.ingress.kubernetes.io/enable-cors", "true"),
            ("nginx.ingress.kubernetes.io/cors-allow-origin", origin),
            ("nginx.ingress.kubernetes.io/cors-allow-methods", "GET"),
            ("nginx.ingress.kubernetes.io/cors-allow-headers", "X-A,  X-B"),
            ("nginx.ingress.kubernetes.io/cors-allow-credentials", "false"),
            ("nginx.ingress.kubernetes.io/cors-max-age", "60"),
        ]
    };
    let gateway = gateway_with(&backend, &nginx("https://a.test"), &yaml);
    assert_eq!(ask(gateway.door(DOOR), "OPTIONS", "/", &PREFLIGHT).status, 200);
    let gateway = gateway_with(&backend, &nginx("https://b.test"), &yaml);
    assert_eq!(ask(gateway.door(DOOR), "OPTIONS", "/", &PREFLIGHT).status, 503);
}
