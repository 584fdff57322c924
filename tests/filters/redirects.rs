//! Redirects.

use std::net::SocketAddr;

use gateway_tests::{Backend, Gateway, gateway, manifest};

use super::{DOOR, ask, middleware, rule_for};

/// An Ingress for `HOST` that redirects, in some spelling. Its Service does not exist.
struct Redirecting {
    host: &'static str,
    annotations: &'static [(&'static str, &'static str)],
    /// The content of a Middleware of the Ingress.
    middleware: Option<&'static str>,
}

/// Starts a gateway with one door and these Ingresses.
fn start(door: &str, redirecting: &[Redirecting], others: &str) -> Gateway {
    let mut yaml = String::new();
    for (index, redirecting) in redirecting.iter().enumerate() {
        let name = format!("r{index}");
        let reference = format!("test-{name}@kubernetescrd");
        let mut annotations = redirecting.annotations.to_vec();
        if let Some(content) = redirecting.middleware {
            yaml.push_str(&middleware(&name, content));
            annotations.push(("traefik.ingress.kubernetes.io/router.middlewares", &reference));
        }
        yaml.push_str(&rule_for(
            &name,
            door,
            (redirecting.host, "Prefix", "/"),
            &annotations,
            "nowhere",
        ));
    }
    gateway!()
        .door(door, "")
        .manifest("redirects.yaml", &yaml)
        .manifest("others.yaml", others)
        .start()
}

/// Status and location.
fn location(door: SocketAddr, method: &str, host: &str, target: &str) -> String {
    let got = ask(door, method, target, &[("host", host)]);
    match got.field("location") {
        Some(location) => format!("{} {location}", got.status),
        None => got.status.to_string(),
    }
}

macro_rules! nginx {
    ($name:literal) => {
        concat!("nginx.ingress.kubernetes.io/", $name)
    };
}

#[test]
fn each_redirect_leads_where_it_says() {
    const REDIRECTING: &[Redirecting] = &[
        Redirecting {
            host: "own.test",
            annotations: &[("blastdoor.dev/https-redirect", "on")],
            middleware: None,
        },
        Redirecting {
            host: "ssl.test",
            annotations: &[(nginx!("ssl-redirect"), "true")],
            middleware: None,
        },
        Redirecting {
            host: "force.test",
            annotations: &[
                (nginx!("force-ssl-redirect"), "true"),
                (nginx!("ssl-redirect"), "true"),
            ],
            middleware: None,
        },
        Redirecting {
            host: "permanent.test",
            annotations: &[(nginx!("permanent-redirect"), "https://new.test/x?y#z")],
            middleware: None,
        },
        Redirecting {
            host: "code.test",
            annotations: &[
                (nginx!("permanent-redirect"), "https://new.test$request_uri"),
                (nginx!("permanent-redirect-code"), "308"),
            ],
            middleware: None,
        },
        Redirecting {
            host: "temporal.test",
            annotations: &[
                (nginx!("temporal-redirect"), "/maintenance"),
                (nginx!("permanent-redirect"), "/never"),
            ],
            middleware: None,
        },
        Redirecting {
            host: "temporal-code.test",
            annotations: &[
                (
                    nginx!("temporal-redirect"),
                    "$scheme://$host:8080$uri$is_args$args",
                ),
                (nginx!("temporal-redirect-code"), "307"),
            ],
            middleware: None,
        },
        Redirecting {
            host: "redirect.test",
            annotations: &[
                (
                    "blastdoor.dev/redirect",
                    "https://new.test/?next=$arg_next&m=$request_method&c=$cookie_c&h=$http_x_h",
                ),
                ("blastdoor.dev/redirect-status", "303"),
            ],
            middleware: None,
        },
        Redirecting {
            host: "scheme.test",
            annotations: &[],
            middleware: Some("redirectScheme: {scheme: https}"),
        },
        Redirecting {
            host: "scheme-port.test",
            annotations: &[],
            middleware: Some("redirectScheme: {scheme: https, port: '8443', permanent: true}"),
        },
        Redirecting {
            host: "scheme-same.test",
            annotations: &[],
            middleware: Some("redirectScheme: {scheme: http, port: '8080'}"),
        },
        Redirecting {
            host: "regex.test",
            annotations: &[],
            middleware: Some(
                "redirectRegex: {regex: '^http://regex.test(:\\d+)?/(.*)', replacement: 'https://new.test/${2}'}",
            ),
        },
        Redirecting {
            host: "regex-permanent.test",
            annotations: &[],
            middleware: Some("redirectRegex: {regex: /old, replacement: /new, permanent: true}"),
        },
        Redirecting {
            host: "astray.test",
            annotations: &[],
            middleware: Some("redirectRegex: {regex: '^.*$', replacement: '//evil.test'}"),
        },
        Redirecting {
            host: "rewrite.test",
            annotations: &[(nginx!("rewrite-target"), "https://new.test/x")],
            middleware: None,
        },
    ];
    let gateway = start(DOOR, REDIRECTING, "");
    let door = gateway.door(DOOR);
    let table = [
        ("GET", "own.test", "/shop/?q=1", "308 https://own.test/shop/?q=1"),
        ("POST", "own.test:8080", "/%61/", "308 https://own.test/%61/"),
        ("GET", "own.test", "/.well-known/acme-challenge/x", "503"),
        (
            "GET",
            "own.test",
            "/.well-known/acme-challenges",
            "308 https://own.test/.well-known/acme-challenges",
        ),
        ("GET", "ssl.test", "/dir/", "308 https://ssl.test/dir/"),
        ("GET", "force.test", "/", "308 https://force.test/"),
        ("GET", "permanent.test", "/a?b", "301 https://new.test/x?y#z"),
        ("POST", "permanent.test", "/a", "301 https://new.test/x?y#z"),
        ("GET", "code.test", "/a?b=%20", "308 https://new.test/a?b=%20"),
        ("GET", "temporal.test", "/a", "302 /maintenance"),
        (
            "GET",
            "temporal-code.test",
            "/a?b",
            "307 http://temporal-code.test:8080/a?b",
        ),
        (
            "GET",
            "temporal-code.test",
            "/a",
            "307 http://temporal-code.test:8080/a",
        ),
        ("GET", "scheme.test", "/a/?b", "302 https://scheme.test/a/?b"),
        ("POST", "scheme.test", "/a", "307 https://scheme.test/a"),
        (
            "GET",
            "scheme-port.test",
            "/",
            "301 https://scheme-port.test:8443/",
        ),
        (
            "PUT",
            "scheme-port.test",
            "/",
            "308 https://scheme-port.test:8443/",
        ),
        ("GET", "scheme-same.test", "/", "503"),
        ("GET", "regex.test", "/a?b=c", "302 https://new.test/a?b=c"),
        ("DELETE", "regex.test", "/a", "307 https://new.test/a"),
        ("GET", "regex.test:8080", "/a", "302 https://new.test/a"),
        (
            "GET",
            "regex-permanent.test",
            "/old/old",
            "301 http://regex-permanent.test/new/new",
        ),
        (
            "GET",
            "regex-permanent.test:81",
            "/old",
            "301 http://regex-permanent.test:81/new",
        ),
        ("GET", "regex-permanent.test", "/other", "503"),
        ("GET", "astray.test", "/", "503"),
        ("GET", "rewrite.test", "/a?b", "302 https://new.test/x?b"),
    ];
    for (method, host, target, expected) in table {
        assert_eq!(
            location(door, method, host, target),
            expected,
            "{method} {host}{target}"
        );
    }
    let fields = [("host", "redirect.test"), ("cookie", "a=b; c=d"), ("x-h", "e f")];
    let got = ask(door, "GET", "/?next=/n", &fields);
    assert_eq!(
        (got.status, got.field("location").unwrap()),
        (303, "https://new.test/?next=/n&m=GET&c=d&h=e%20f".to_owned())
    );
}

#[test]
fn a_redirect_to_https_has_no_effect_at_a_door_of_https() {
    const DOOR: &str = "external-https";
    let backend = Backend::start("app");
    let rule = |name: &str, host: &str, annotations: &[(&str, &str)]| {
        rule_for(name, DOOR, (host, "Prefix", "/"), annotations, "app")
    };
    let reference = [(
        "traefik.ingress.kubernetes.io/router.middlewares",
        "test-https@kubernetescrd",
    )];
    let yaml = [
        rule("own", "own.test", &[("blastdoor.dev/https-redirect", "on")]),
        rule("ssl", "ssl.test", &[(nginx!("ssl-redirect"), "true")]),
        rule("scheme", "scheme.test", &reference),
        middleware("https", "redirectScheme: {scheme: https, permanent: true}"),
        manifest::service("app", &[backend.port()]),
    ]
    .concat();
    let gateway = gateway!().door(DOOR, "").manifest("app.yaml", &yaml).start();
    for host in ["own.test", "ssl.test", "scheme.test"] {
        assert_eq!(location(gateway.door(DOOR), "GET", host, "/"), "200", "{host}");
    }
}

#[test]
fn a_challenge_of_acme_reaches_the_backend() {
    let backend = Backend::start("app");
    let gateway = super::gateway_with(&backend, &[(nginx!("ssl-redirect"), "true")], "");
    let door = gateway.door(DOOR);
    assert_eq!(
        location(door, "GET", "a.test", "/.well-known/acme-challenge/token"),
        "200"
    );
    assert_eq!(location(door, "GET", "a.test", "/"), "308 https://a.test/");
    assert_eq!(backend.requests(), 2);
}

#[test]
fn roots_are_redirected_and_yield_to_rules() {
    let backend = Backend::start("app");
    let root = [(nginx!("app-root"), "/app?x=1")];
    let own = [("blastdoor.dev/app-root", "/own")];
    let yaml = [
        rule_for("prefix", DOOR, ("a.test", "Prefix", "/"), &root, "app"),
        rule_for("deep", DOOR, ("b.test", "Prefix", "/app"), &own, "app"),
        rule_for("exact", DOOR, ("c.test", "Exact", "/"), &root, "app"),
        manifest::service("app", &[backend.port()]),
    ]
    .concat();
    let gateway = gateway!().door(DOOR, "").manifest("app.yaml", &yaml).start();
    let door = gateway.door(DOOR);
    for (host, target, expected) in [
        ("a.test", "/", "302 /app?x=1"),
        ("a.test", "/?q", "302 /app?x=1"),
        ("a.test", "/app", "200"),
        ("b.test", "/", "302 /own"),
        ("b.test", "/app/x", "200"),
        ("b.test", "/other", "404"),
        ("c.test", "/", "200"),
    ] {
        assert_eq!(location(door, "GET", host, target), expected, "{host}{target}");
    }
}

#[test]
fn the_twin_of_a_host_is_redirected_unless_it_has_rules() {
    let backend = Backend::start("app");
    let www = [(nginx!("from-to-www-redirect"), "true")];
    let own = [("blastdoor.dev/www-redirect", "on")];
    let yaml = [
        rule_for("bare", DOOR, ("a.test", "Prefix", "/"), &www, "app"),
        rule_for("www", DOOR, ("www.b.test", "Prefix", "/"), &own, "app"),
        rule_for("both", DOOR, ("c.test", "Prefix", "/"), &www, "app"),
        rule_for("twin", DOOR, ("www.c.test", "Prefix", "/only"), &[], "app"),
        manifest::service("app", &[backend.port()]),
    ]
    .concat();
    let gateway = gateway!().door(DOOR, "").manifest("app.yaml", &yaml).start();
    let door = gateway.door(DOOR);
    for (host, target, expected) in [
        ("a.test", "/", "200"),
        ("www.a.test", "/x/?y=1", "308 http://a.test/x/?y=1"),
        ("www.b.test", "/", "200"),
        ("b.test", "/", "308 http://www.b.test/"),
        ("www.c.test", "/", "404"),
        ("www.c.test", "/only", "200"),
        ("www.www.a.test", "/", "404"),
    ] {
        assert_eq!(location(door, "GET", host, target), expected, "{host}{target}");
    }
}

#[test]
fn what_cannot_be_honoured_closes() {
    let backend = Backend::start("app");
    let table: [&[(&str, &str)]; 4] = [
        &[(nginx!("permanent-redirect"), "javascript:alert(1)")],
        &[(nginx!("permanent-redirect"), "https://$arg_to/")],
        &[(nginx!("app-root"), "//evil.test")],
        &[
            (nginx!("permanent-redirect"), "/x"),
            (nginx!("permanent-redirect-code"), "200"),
        ],
    ];
    let mut yaml = manifest::service("app", &[backend.port()]);
    for (index, annotations) in table.iter().enumerate() {
        let (name, host) = (format!("c{index}"), format!("c{index}.test"));
        yaml.push_str(&rule_for(&name, DOOR, (&host, "Prefix", "/"), annotations, "app"));
    }
    let gateway = gateway!().door(DOOR, "").manifest("app.yaml", &yaml).start();
    for index in 0..table.len() {
        let host = format!("c{index}.test");
        assert_eq!(location(gateway.door(DOOR), "GET", &host, "/"), "503", "{host}");
    }
}
