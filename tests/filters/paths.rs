//! Paths: how they match, and what the backend sees; and hosts.

use gateway_tests::{Backend, Gateway, Seen, gateway, manifest};

use super::{DOOR, ask, middleware, rule_for};

const USE_REGEX: (&str, &str) = ("nginx.ingress.kubernetes.io/use-regex", "true");
const MIDDLEWARES: &str = "traefik.ingress.kubernetes.io/router.middlewares";

/// Starts a gateway with these objects and the Service `app`.
fn start(backend: &Backend, objects: &[String]) -> Gateway {
    let yaml = objects.concat() + &manifest::service("app", &[backend.port()]);
    gateway!().door(DOOR, "").manifest("app.yaml", &yaml).start()
}

/// The target that the backend gets over both versions, or the status of another answer.
fn target(gateway: &Gateway, backend: &Backend, host: &str, asked: &str) -> String {
    let before = backend.requests();
    let got = ask(gateway.door(DOOR), "GET", asked, &[("host", host)]);
    let seen = backend.seen();
    let Some(new) = seen.get(before..).filter(|new| !new.is_empty()) else {
        return got.status.to_string();
    };
    let targets: Vec<&str> = new
        .iter()
        .filter_map(|seen| seen.line().split(' ').nth(1))
        .collect();
    assert!(targets.windows(2).all(|pair| pair[0] == pair[1]), "{targets:?}");
    targets[0].to_owned()
}

fn last(backend: &Backend) -> Seen {
    backend.seen().pop().expect("a request")
}

/// An Ingress whose requests pass through one Middleware.
fn edited(name: &str, content: &str) -> String {
    let reference = format!("test-{name}@kubernetescrd");
    let host = format!("{name}.test");
    rule_for(
        name,
        DOOR,
        (&host, "Prefix", "/"),
        &[(MIDDLEWARES, &reference)],
        "app",
    ) + &middleware(name, content)
}

#[test]
fn middlewares_change_the_path() {
    let backend = Backend::start("app");
    let gateway = start(
        &backend,
        &[
            edited("strip", "stripPrefix: {prefixes: [/api, /v1/]}"),
            edited("force", "stripPrefix: {prefixes: [/api], forceSlash: false}"),
            edited(
                "strip-regex",
                "stripPrefixRegex: {regex: ['/v[0-9]+', '/c/[a-z]+/']}",
            ),
            edited("add", "addPrefix: {prefix: /base}"),
            edited("add-bare", "addPrefix: {prefix: base}"),
            edited("replace", "replacePath: {path: /index.html}"),
            edited(
                "replace-regex",
                "replacePathRegex: {regex: '^/(old)/(.*)', replacement: '/new-${1}/$2'}",
            ),
            edited(
                "replace-bad",
                "replacePathRegex: {regex: '^/(.*)', replacement: '$1'}",
            ),
        ],
    );
    let table = [
        (
            "strip.test",
            "/api/x?q=1",
            "/x?q=1",
            Some(("x-forwarded-prefix", "/api")),
        ),
        ("strip.test", "/api", "/", Some(("x-forwarded-prefix", "/api"))),
        (
            "strip.test",
            "/%61pi/x",
            "/x",
            Some(("x-forwarded-prefix", "/api")),
        ),
        ("strip.test", "/apix", "/apix", Some(("x-forwarded-prefix", ""))),
        ("strip.test", "/v1/x", "/x", Some(("x-forwarded-prefix", "/v1/"))),
        (
            "strip.test",
            "/api//x",
            "//x",
            Some(("x-forwarded-prefix", "/api")),
        ),
        ("force.test", "/api", "/", Some(("x-forwarded-prefix", "/api"))),
        (
            "strip-regex.test",
            "/v12/x",
            "/x",
            Some(("x-forwarded-prefix", "/v12")),
        ),
        (
            "strip-regex.test",
            "/v1x",
            "/v1x",
            Some(("x-forwarded-prefix", "")),
        ),
        ("strip-regex.test", "/a/v1", "/a/v1", None),
        (
            "strip-regex.test",
            "/c/abc/d",
            "/d",
            Some(("x-forwarded-prefix", "/c/abc/")),
        ),
        ("add.test", "/x?q", "/base/x?q", None),
        ("add-bare.test", "/x", "/base/x", None),
        (
            "replace.test",
            "/x?q",
            "/index.html?q",
            Some(("x-replaced-path", "/x")),
        ),
        (
            "replace.test",
            "/index.html",
            "/index.html",
            Some(("x-replaced-path", "")),
        ),
        (
            "replace-regex.test",
            "/old/a/b?q",
            "/new-old/a/b?q",
            Some(("x-replaced-path", "/old/a/b")),
        ),
        ("replace-regex.test", "/other", "/other", None),
        ("replace-bad.test", "/x", "400", None),
    ];
    for (host, asked, expected, field) in table {
        assert_eq!(target(&gateway, &backend, host, asked), expected, "{host}{asked}");
        if let Some((name, value)) = field {
            let seen = last(&backend);
            assert_eq!(seen.field(name).unwrap_or_default(), value, "{host}{asked}");
        }
    }
}

#[test]
fn what_a_client_says_of_prefixes_is_dropped() {
    let backend = Backend::start("app");
    let objects = [
        edited("strip", "stripPrefix: {prefixes: [/api]}"),
        edited("replace", "replacePath: {path: /y}"),
    ];
    let gateway = start(&backend, &objects);
    let forged = [
        ("x-forwarded-prefix", "/forged"),
        ("x_forwarded_prefix", "/forged"),
        ("X-Replaced-Path", "/forged"),
        ("x.replaced.path", "/forged"),
    ];
    for host in ["strip.test", "replace.test"] {
        let fields: Vec<(&str, &str)> = forged.into_iter().chain([("host", host)]).collect();
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .filter(|(name, _)| !name.contains('.'))
            .copied()
            .collect();
        for asked in ["/other", "/api/x"] {
            assert_eq!(ask(gateway.door(DOOR), "GET", asked, &fields).status, 200);
            let head = last(&backend).head;
            let dropped = if host == "strip.test" {
                "prefix: /forged"
            } else {
                "path: /forged"
            };
            assert!(!head.to_ascii_lowercase().contains(dropped), "{head}");
        }
    }
}

#[test]
fn a_target_replaces_the_path() {
    let backend = Backend::start("app");
    let rewrite = |target| ("nginx.ingress.kubernetes.io/rewrite-target", target);
    let prefix = |prefix| ("nginx.ingress.kubernetes.io/x-forwarded-prefix", prefix);
    let gateway = start(
        &backend,
        &[
            rule_for(
                "groups",
                DOOR,
                ("groups.test", "ImplementationSpecific", "/shop(/|$)(.*)"),
                &[rewrite("/$2"), USE_REGEX, prefix("/shop")],
                "app",
            ),
            rule_for(
                "implied",
                DOOR,
                ("implied.test", "Prefix", "/(a|b)/(.*)"),
                &[rewrite("/$1-$2?from=$1"), prefix("/$1")],
                "app",
            ),
            rule_for(
                "literal",
                DOOR,
                ("literal.test", "Prefix", "/x"),
                &[rewrite("/new/$1")],
                "app",
            ),
            rule_for(
                "exact",
                DOOR,
                ("exact.test", "Exact", "/x(.*)"),
                &[rewrite("/new")],
                "app",
            ),
            rule_for(
                "own",
                DOOR,
                ("own.test", "ImplementationSpecific", "/o/(.*)"),
                &[
                    ("blastdoor.dev/rewrite", "/p/$1"),
                    ("blastdoor.dev/path-regex", "on"),
                ],
                "app",
            ),
            rule_for(
                "parts",
                DOOR,
                ("parts.test", "Prefix", "/"),
                &[
                    ("blastdoor.dev/strip-prefix", "/a, /b"),
                    ("blastdoor.dev/add-prefix", "/z"),
                ],
                "app",
            ),
        ],
    );
    let table = [
        ("groups.test", "/shop/a/b?q=1", "/a/b?q=1"),
        ("groups.test", "/SHOP/a", "/a"),
        ("groups.test", "/shop", "/"),
        ("groups.test", "/shopx", "404"),
        ("groups.test", "/shop/%61%2fb", "/a%2Fb"),
        ("groups.test", "/shop//x", "//x"),
        ("implied.test", "/a/x", "/a-x?from=a"),
        ("implied.test", "/b/x/y?q", "/b-x/y?from=b&q"),
        ("literal.test", "/x/y?q", "/new/?q"),
        ("literal.test", "/xy", "404"),
        ("exact.test", "/x(.*)", "/new"),
        ("exact.test", "/xa", "404"),
        ("own.test", "/o/x", "/p/x"),
        ("parts.test", "/b/x?q", "/z/x?q"),
        ("parts.test", "/c", "/z/c"),
    ];
    for (host, asked, expected) in table {
        assert_eq!(target(&gateway, &backend, host, asked), expected, "{host}{asked}");
    }
    assert_eq!(target(&gateway, &backend, "groups.test", "/shop/x"), "/x");
    assert_eq!(last(&backend).field("x-forwarded-prefix"), Some("/shop"));
    assert_eq!(target(&gateway, &backend, "implied.test", "/b/x"), "/b-x?from=b");
    assert_eq!(last(&backend).field("x-forwarded-prefix"), Some("/b"));
}

#[test]
fn paths_match_as_annotations_say() {
    let backend = Backend::start("app");
    let other = Backend::start("other");
    let matcher = |matcher| [("traefik.ingress.kubernetes.io/router.pathmatcher", matcher)];
    let gateway = start(
        &backend,
        &[
            rule_for(
                "regex",
                DOOR,
                ("regex.test", "ImplementationSpecific", "/v[0-9]+/x"),
                &[USE_REGEX],
                "app",
            ),
            rule_for("plain", DOOR, ("regex.test", "Prefix", "/v1"), &[], "other"),
            rule_for(
                "long",
                DOOR,
                ("regex.test", "Prefix", "/v1/x/very/long"),
                &[],
                "other",
            ),
            rule_for(
                "start",
                DOOR,
                ("start.test", "ImplementationSpecific", "/api"),
                &[USE_REGEX],
                "app",
            ),
            rule_for(
                "exact",
                DOOR,
                ("t-exact.test", "ImplementationSpecific", "/x"),
                &matcher("Path"),
                "app",
            ),
            rule_for(
                "prefix",
                DOOR,
                ("t-prefix.test", "ImplementationSpecific", "/x"),
                &matcher("PathPrefix"),
                "app",
            ),
            rule_for(
                "anywhere",
                DOOR,
                ("t-regex.test", "ImplementationSpecific", "/[a-c]+$"),
                &matcher("PathRegexp"),
                "app",
            ),
            rule_for("literal", DOOR, ("literal.test", "Prefix", "/a*"), &[], "app"),
            manifest::service("other", &[other.port()]),
        ],
    );
    for (host, asked, status) in [
        ("regex.test", "/v12/x", 200),
        ("regex.test", "/V12/X/y", 200),
        ("regex.test", "/x/v1/x", 404),
        ("start.test", "/api", 200),
        ("start.test", "/apix", 200),
        ("start.test", "/API", 200),
        ("start.test", "/x/api", 404),
        ("t-exact.test", "/x", 200),
        ("t-exact.test", "/x/y", 404),
        ("t-prefix.test", "/x/y", 200),
        ("t-prefix.test", "/xy", 404),
        ("t-regex.test", "/x/abc", 200),
        ("t-regex.test", "/x/ABC", 404),
        ("literal.test", "/a*/b", 200),
        ("literal.test", "/ab", 404),
    ] {
        let got = ask(gateway.door(DOOR), "GET", asked, &[("host", host)]);
        assert_eq!(got.status, status, "{host}{asked}");
    }
    for (asked, expected) in [("/v1/x", "app"), ("/v1/y", "other"), ("/v1/x/very/long", "other")] {
        let got = ask(gateway.door(DOOR), "GET", asked, &[("host", "regex.test")]);
        assert_eq!(got.body, expected, "{asked}");
    }
}

#[test]
fn a_path_that_would_cost_too_much_is_refused() {
    let backend = Backend::start("app");
    let many = format!(
        "replacePathRegex: {{regex: '(.*)', replacement: '/{}'}}",
        "$1".repeat(2000)
    );
    let long = format!(
        "replacePathRegex: {{regex: 'x', replacement: '{}'}}",
        "y".repeat(5000)
    );
    let gateway = start(
        &backend,
        &[
            edited("square", "replacePathRegex: {regex: '.*[^a/]|a', replacement: b}"),
            edited("many", &many),
            edited("long", &long),
        ],
    );
    let path = format!("/{}", "a".repeat(6000));
    assert_eq!(target(&gateway, &backend, "square.test", "/aaa"), "/bbb");
    assert_eq!(target(&gateway, &backend, "square.test", &path), "400");
    assert_eq!(target(&gateway, &backend, "many.test", &path), "400");
    assert_eq!(
        target(&gateway, &backend, "long.test", "/x"),
        "503",
        "the Middleware is refused"
    );
}

#[test]
fn a_result_that_is_no_path_is_refused() {
    let backend = Backend::start("app");
    let rewrite = |target| [("nginx.ingress.kubernetes.io/rewrite-target", target)];
    let gateway = start(
        &backend,
        &[
            rule_for(
                "dots",
                DOOR,
                ("dots.test", "Prefix", "/x/(.*)"),
                &rewrite("/.$1"),
                "app",
            ),
            edited("strip", "stripPrefix: {prefixes: [/a]}"),
        ],
    );
    assert_eq!(target(&gateway, &backend, "dots.test", "/x/y"), "/.y");
    for (host, asked) in [
        ("dots.test", "/x/./y"),
        ("dots.test", "/x/.%2fy"),
        ("dots.test", "/x/.;/y"),
        ("dots.test", "/x/."),
        ("strip.test", "/a/../b"),
        ("strip.test", "/a/%2e%2e/b"),
    ] {
        let got = ask(gateway.door(DOOR), "GET", asked, &[("host", host)]);
        assert_eq!(got.status, 400, "{host}{asked}");
    }
    assert!(gateway.metric("blastdoor_refusals_total", &[("reason", "path_invalid")]) > 0.0);
}

#[test]
fn aliases_serve_the_rules_and_yield_to_real_hosts() {
    let backend = Backend::start("app");
    let other = Backend::start("other");
    let alias = |hosts| [("nginx.ingress.kubernetes.io/server-alias", hosts)];
    let gateway = start(
        &backend,
        &[
            rule_for(
                "a",
                DOOR,
                ("a.test", "Prefix", "/x"),
                &alias("b.test, *.c.test, d.test, ~^e"),
                "app",
            ),
            rule_for(
                "d",
                DOOR,
                ("d.test", "Prefix", "/only"),
                &alias("b.test"),
                "other",
            ),
            rule_for("w", DOOR, ("*.f.test", "Prefix", "/"), &[], "other"),
            manifest::service("other", &[other.port()]),
        ],
    );
    for (host, asked, expected) in [
        ("a.test", "/x", "app"),
        ("b.test", "/x/y", "app"),
        ("b.test", "/only", ""),
        ("b.test", "/", ""),
        ("z.c.test", "/x", "app"),
        ("d.test", "/only", "other"),
        ("d.test", "/x", ""),
        ("e.test", "/x", ""),
    ] {
        let got = ask(gateway.door(DOOR), "GET", asked, &[("host", host)]);
        let body = if got.status == 200 {
            got.body
        } else {
            String::new()
        };
        assert_eq!(body, expected, "{host}{asked}");
    }
}

#[test]
fn derived_hosts_stay_within_the_hosts_of_the_door() {
    let backend = Backend::start("app");
    let annotations = [
        ("nginx.ingress.kubernetes.io/server-alias", "b.test, b.other"),
        ("nginx.ingress.kubernetes.io/from-to-www-redirect", "true"),
    ];
    let yaml = rule_for("a", DOOR, ("a.test", "Prefix", "/"), &annotations, "app")
        + &manifest::service("app", &[backend.port()]);
    let gateway = gateway!()
        .door(DOOR, "hosts = [\"a.test\", \"b.test\"]")
        .manifest("app.yaml", &yaml)
        .start();
    for (host, status) in [
        ("a.test", 200),
        ("b.test", 200),
        ("b.other", 404),
        ("www.a.test", 404),
    ] {
        let got = ask(gateway.door(DOOR), "GET", "/", &[("host", host)]);
        assert_eq!(got.status, status, "{host}");
    }
}

#[test]
fn the_backend_sees_another_host() {
    let backend = Backend::start("app");
    let gateway = start(
        &backend,
        &[
            rule_for(
                "nginx",
                DOOR,
                ("nginx.test", "Prefix", "/"),
                &[("nginx.ingress.kubernetes.io/upstream-vhost", "internal.test:8080")],
                "app",
            ),
            rule_for(
                "own",
                DOOR,
                ("own.test", "Prefix", "/"),
                &[("blastdoor.dev/host", "$service_name.$namespace.svc:$service_port")],
                "app",
            ),
            rule_for(
                "field",
                DOOR,
                ("field.test", "Prefix", "/"),
                &[("blastdoor.dev/host", "$http_x_host")],
                "app",
            ),
        ],
    );
    let door = gateway.door(DOOR);
    for (host, expected) in [
        ("nginx.test", "internal.test:8080"),
        ("own.test", "app.test.svc:80"),
    ] {
        assert_eq!(ask(door, "GET", "/", &[("host", host)]).status, 200);
        let seen = last(&backend);
        assert_eq!(seen.field("host"), Some(expected));
        assert_eq!(seen.field("x-forwarded-host"), Some(host));
    }
    let given = [("host", "field.test"), ("x-host", "x.test")];
    assert_eq!(ask(door, "GET", "/", &given).status, 200);
    assert_eq!(last(&backend).field("host"), Some("x.test"));
    let before = backend.requests();
    for value in ["a b", "u@x.test", "x/y"] {
        let forged = [("host", "field.test"), ("x-host", value)];
        assert_eq!(ask(door, "GET", "/", &forged).status, 400, "{value}");
    }
    assert_eq!(backend.requests(), before);
}
