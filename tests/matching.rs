//! Ingress v1 semantics, end to end.

use gateway_tests::{Backend, Gateway, exchange, gateway, get, manifest};

const DOOR: &str = "external-http";

fn ask(gateway: &Gateway, host: &str, path: &str) -> String {
    let response = get(gateway.door(DOOR), host, path);
    if response.status == 200 {
        response.text()
    } else {
        response.status.to_string()
    }
}

/// The examples of the Kubernetes documentation ("Ingress", Path types), and what it leaves open.
#[test]
fn paths_and_hosts() {
    let names = [
        "exact", "prefix", "slash", "deep", "root", "wild", "any", "precise", "impl",
    ];
    let backends: Vec<Backend> = names.iter().map(|name| Backend::start(name)).collect();
    let mut yaml: String = names
        .iter()
        .zip(&backends)
        .map(|(name, backend)| manifest::service(name, &[backend.port()]))
        .collect();
    yaml += &manifest::ingress(
        "rules",
        DOOR,
        &[
            ("a.test", "Exact", "/foo", "exact"),
            ("a.test", "Prefix", "/foo", "prefix"),
            ("b.test", "Prefix", "/aaa/bbb", "deep"),
            ("b.test", "Prefix", "/", "root"),
            ("c.test", "Prefix", "/foo", "prefix"),
            ("c.test", "Prefix", "/foo/", "slash"),
            ("d.test", "Exact", "/foo/", "exact"),
            ("*.w.test", "Prefix", "/", "wild"),
            ("x.w.test", "Prefix", "/only", "precise"),
            ("i.test", "ImplementationSpecific", "/api", "impl"),
            ("e.test", "Prefix", "/a%2Fb", "deep"),
            ("e.test", "Prefix", "/%7Euser", "prefix"),
            ("", "Prefix", "/everywhere", "any"),
        ],
    );
    let gateway = gateway!().manifest("rules.yaml", &yaml).start();
    let table = [
        ("a.test", "/foo", "exact"),
        ("a.test", "/foo/", "prefix"),
        ("a.test", "/foo/bar", "prefix"),
        ("a.test", "/foobar", "404"),
        ("a.test", "/FOO", "404"),
        ("A.TEST", "/foo", "exact"),
        ("a.test:8080", "/foo", "exact"),
        ("a.test.", "/foo", "exact"),
        ("a.test", "/foo?x=/bar", "exact"),
        ("b.test", "/aaa/bbb", "deep"),
        ("b.test", "/aaa/bbb/ccc", "deep"),
        ("b.test", "/aaa/bbbxyz", "root"),
        ("b.test", "/", "root"),
        ("b.test", "//aaa/bbb", "root"),
        ("c.test", "/foo", "slash"),
        ("c.test", "/foo/x", "slash"),
        ("d.test", "/foo", "404"),
        ("d.test", "/foo/", "exact"),
        ("one.w.test", "/", "wild"),
        ("one.two.w.test", "/", "404"),
        ("w.test", "/", "404"),
        ("x.w.test", "/only", "precise"),
        ("x.w.test", "/other", "404"),
        ("i.test", "/api/v1", "impl"),
        ("i.test", "/apis", "404"),
        ("e.test", "/a%2fb/c", "deep"),
        ("e.test", "/a/b", "404"),
        ("e.test", "/~user", "prefix"),
        ("e.test", "/%7euser/x", "prefix"),
        ("unknown.test", "/everywhere", "any"),
        ("unknown.test", "/nowhere", "404"),
        ("a.test", "/everywhere", "404"),
        ("127.0.0.1", "/everywhere/x", "any"),
        ("[::1]:80", "/everywhere", "any"),
        ("a.test", "/foo/../foo", "400"),
        ("a.test", "/foo/%2e%2e/x", "400"),
        ("a.test", "/foo/..;x/y", "400"),
        ("a.test", "/foo/%00", "400"),
        ("a.test", "/foo%5c..%5cx", "400"),
        ("a.test", "/foo/..%2fx", "400"),
    ];
    for (host, path, expected) in table {
        assert_eq!(ask(&gateway, host, path), expected, "{host}{path}");
    }
    // The bytes that the client sent are what the backend sees.
    assert_eq!(ask(&gateway, "e.test", "/%7euser/%41?q=%7e"), "prefix");
    assert_eq!(backends[1].last().line(), "GET /%7euser/%41?q=%7e HTTP/1.1");
    let without_host = exchange(gateway.door(DOOR), "GET /everywhere HTTP/1.0\r\n\r\n").expect("an answer");
    assert_eq!(
        (without_host.status, without_host.text()),
        (200, "any".to_owned())
    );
}

fn with_created(yaml: &str, created: &str) -> String {
    yaml.replacen(
        "  namespace: test\n",
        &format!("  namespace: test\n  creationTimestamp: \"{created}\"\n"),
        1,
    )
}

#[test]
fn the_oldest_ingress_wins_and_the_loser_is_reported() {
    let [old, new, unknown] = ["old", "new", "unknown"].map(Backend::start);
    let rule = |service| manifest::ingress(service, DOOR, &[("same.test", "Prefix", "/", service)]);
    let builder = gateway!()
        .manifest(
            "1-new.yaml",
            &(with_created(&rule("new"), "2024-01-01T00:00:00Z") + &manifest::service("new", &[new.port()])),
        )
        .manifest(
            "2-old.yaml",
            &(with_created(&rule("old"), "2020-01-01T00:00:00Z") + &manifest::service("old", &[old.port()])),
        )
        .manifest(
            "0-unknown.yaml",
            &(rule("unknown") + &manifest::service("unknown", &[unknown.port()])),
        );
    let check = builder.run(&["check"]);
    assert_eq!(check.status, 1, "{check:?}");
    assert!(
        check.stdout.contains("Ingress test/new spec.rules[0].http.paths[0].path: same.test/ at door `external-http` belongs to the older Ingress `test/old`"),
        "{}",
        check.stdout
    );
    let gateway = builder.start();
    assert_eq!(ask(&gateway, "same.test", "/"), "old");
}

#[test]
fn default_backends() {
    let [rules, fallback, own] = ["rules", "fallback", "own"].map(Backend::start);
    let service = |name: &str, backend: &Backend| manifest::service(name, &[backend.port()]);
    let default = |name: &str, service: &str, with_rules: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: test, labels: {{expose: {DOOR}}}}}\nspec:\n  defaultBackend: {{service: {{name: {service}, port: {{number: 80}}}}}}\n{with_rules}---\n"
        )
    };
    let own_rules = "  rules: [{host: own.test, http: {paths: [{path: /rules, pathType: Prefix, backend: {service: {name: rules, port: {number: 80}}}}]}}, {host: bare.test}]\n";
    let gateway = gateway!()
        .manifest(
            "services.yaml",
            &(service("rules", &rules) + &service("fallback", &fallback) + &service("own", &own)),
        )
        .manifest("own.yaml", &default("own", "own", own_rules))
        .manifest("fallback.yaml", &default("fallback", "fallback", ""))
        .manifest(
            "plain.yaml",
            &manifest::ingress("plain", DOOR, &[("plain.test", "Prefix", "/x", "rules")]),
        )
        .start();
    let table = [
        ("own.test", "/rules", "rules"),
        ("own.test", "/elsewhere", "own"),
        ("bare.test", "/", "own"),
        ("plain.test", "/x", "rules"),
        ("plain.test", "/y", "fallback"),
        ("nowhere.test", "/", "fallback"),
    ];
    for (host, path, expected) in table {
        assert_eq!(ask(&gateway, host, path), expected, "{host}{path}");
    }
    assert_eq!(
        get(gateway.door("internal-http"), "nowhere.test", "/").status,
        404,
        "another door's default backend"
    );
}

#[test]
fn ports_by_name_and_number() {
    let [http, admin] = ["http", "admin"].map(Backend::start);
    let yaml = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: two, namespace: test}}\nspec: {{ports: [{{name: http, port: 80}}, {{name: admin, port: 8080}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: two-1, namespace: test, labels: {{kubernetes.io/service-name: two}}}}\naddressType: IPv4\n\
         ports: [{{name: http, port: {}}}, {{name: admin, port: {}}}]\nendpoints: [{{addresses: [\"127.0.0.1\"]}}]\n---\n\
         apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: two, namespace: test, labels: {{expose: {DOOR}}}}}\nspec:\n  rules:\n  - host: two.test\n    http:\n      paths:\n\
         \x20     - {{path: /name, pathType: Prefix, backend: {{service: {{name: two, port: {{name: admin}}}}}}}}\n\
         \x20     - {{path: /number, pathType: Prefix, backend: {{service: {{name: two, port: {{number: 80}}}}}}}}\n\
         \x20     - {{path: /target, pathType: Prefix, backend: {{service: {{name: two, port: {{number: {}}}}}}}}}\n\
         \x20     - {{path: /missing, pathType: Prefix, backend: {{service: {{name: two, port: {{name: nope}}}}}}}}\n\
         \x20     - {{path: /noservice, pathType: Prefix, backend: {{service: {{name: nope, port: {{number: 80}}}}}}}}\n",
        http.port(),
        admin.port(),
        http.port()
    );
    let gateway = gateway!().manifest("two.yaml", &yaml).start();
    for (path, expected) in [
        ("/name", "admin"),
        ("/number", "http"),
        ("/target", "503"),
        ("/missing", "503"),
        ("/noservice", "503"),
    ] {
        assert_eq!(ask(&gateway, "two.test", path), expected, "{path}");
    }
}

#[test]
fn endpoints_by_their_conditions() {
    let [ready, leaving, broken] = ["ready", "leaving", "broken"].map(Backend::start);
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: app, namespace: test}\nspec: {ports: [{port: 80}]}\n---\n";
    let leaving_slice = manifest::slices(
        "app",
        &[leaving.port()],
        "{ready: false, serving: true, terminating: true}",
    );
    let broken_slice = manifest::slices("app", &[broken.port()], "{ready: false, serving: false}");
    let gateway = gateway!()
        .manifest(
            "app.yaml",
            &(manifest::ingress("app", DOOR, &[("app.test", "Prefix", "/", "app")]) + service),
        )
        .manifest(
            "ready.yaml",
            &manifest::slices("app", &[ready.port()], "{ready: true}"),
        )
        .manifest("leaving.yaml", &leaving_slice)
        .manifest("broken.yaml", &broken_slice)
        .start();
    for _ in 0..20 {
        assert_eq!(ask(&gateway, "app.test", "/"), "ready");
    }
    gateway.put(
        "ready.yaml",
        &manifest::slices("app", &[ready.port()], "{ready: false, serving: false}"),
    );
    gateway.until("the terminating endpoint serves", |gateway| {
        ask(gateway, "app.test", "/") == "leaving"
    });
    gateway.put(
        "leaving.yaml",
        &manifest::slices(
            "app",
            &[leaving.port()],
            "{ready: false, serving: false, terminating: true}",
        ),
    );
    gateway.until_status(DOOR, "app.test", "/", 503);
    let none = get(gateway.door(DOOR), "app.test", "/");
    assert_eq!(none.field("retry-after"), Some("1"));
    assert_eq!(broken.requests(), 0);
}

#[test]
fn a_redirect_door_redirects_exactly_what_its_sibling_serves() {
    let [secure, own] = ["secure", "own"].map(Backend::start);
    let gateway = gateway!()
        .door("external-http", "redirect = \"external-https\"")
        .manifest(
            "secure.yaml",
            &manifest::ingress(
                "secure",
                "external-https",
                &[
                    ("shop.test", "Prefix", "/shop", "secure"),
                    ("down.test", "Prefix", "/", "nothing"),
                ],
            ),
        )
        .manifest(
            "own.yaml",
            &manifest::app("own", "external-http", "own.test", own.port()),
        )
        .manifest("service.yaml", &manifest::service("secure", &[secure.port()]))
        .start();
    let ask = |host: &str, path: &str| {
        let response = get(gateway.door("external-http"), host, path);
        (response.status, response.field("location").map(str::to_owned))
    };
    assert_eq!(
        ask("shop.test:8080", "/shop/a?b=c"),
        (308, Some("https://shop.test/shop/a?b=c".to_owned()))
    );
    assert_eq!(
        ask("down.test", "/"),
        (308, Some("https://down.test/".to_owned())),
        "endpoints or not"
    );
    assert_eq!(ask("shop.test", "/other"), (404, None));
    assert_eq!(ask("nowhere.test", "/"), (404, None));
    assert_eq!(ask("own.test", "/"), (200, None), "an own route wins");
    assert_eq!(ask("shop.test", "//evil.test/shop"), (404, None));
}

#[test]
fn restrictions_of_a_door() {
    let backend = Backend::start("app");
    let service = manifest::service("app", &[backend.port()]);
    let rule = |host: &str| {
        manifest::ingress(
            &format!("i-{}", host.replace(['*', '.'], "-").trim_matches('-')),
            DOOR,
            &[(host, "Prefix", "/", "app")],
        )
    };
    let elsewhere = rule("stranger.corp.test").replace("namespace: test", "namespace: strangers");
    let gateway = gateway!()
        .door(
            DOOR,
            "hosts = [\"*.corp.test\", \"exact.test\"]\nnamespaces = [\"te*\"]",
        )
        .manifest(
            "rules.yaml",
            &(rule("a.corp.test")
                + &rule("a.b.corp.test")
                + &rule("exact.test")
                + &rule("corp.test")
                + &rule("*.test")
                + &rule("other.test")
                + &rule("")
                + &elsewhere),
        )
        .manifest("service.yaml", &service)
        .start();
    for (host, expected) in [
        ("a.corp.test", "app"),
        ("a.b.corp.test", "app"),
        ("exact.test", "app"),
        ("corp.test", "404"),
        ("other.test", "404"),
        ("nohost.test", "404"),
        ("stranger.corp.test", "404"),
    ] {
        assert_eq!(ask(&gateway, host, "/"), expected, "{host}");
    }
}

#[test]
fn ingress_classes() {
    let backend = Backend::start("app");
    let class = |name: &str, default: bool| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata:\n  name: {name}\n  annotations: {{ingressclass.kubernetes.io/is-default-class: \"{default}\"}}\nspec: {{controller: blastdoor.dev/gateway}}\n---\n"
        )
    };
    let rule = |host: &str, class: &str| {
        manifest::app(host.split('.').next().unwrap(), DOOR, host, backend.port()).replacen(
            "spec:\n",
            &format!("spec:\n{class}"),
            1,
        )
    };
    let yaml = rule("ours.test", "  ingressClassName: blastdoor\n")
        + &rule("theirs.test", "  ingressClassName: nginx\n")
        + &rule("none.test", "");
    let annotated = rule("annotated.test", "").replacen(
        "  labels:",
        "  annotations: {kubernetes.io/ingress.class: blastdoor}\n  labels:",
        1,
    );
    let builder = gateway!()
        .source("allow_loopback_backends = true\ningress_class = [\"blastdoor\"]")
        .manifest("rules.yaml", &(yaml + &annotated));
    let gateway = builder.manifest("class.yaml", &class("blastdoor", false)).start();
    let hosts = ["ours.test", "annotated.test", "theirs.test", "none.test"];
    assert_eq!(
        hosts.map(|host| ask(&gateway, host, "/")),
        ["app", "app", "404", "404"]
    );
    gateway.put("class.yaml", &class("blastdoor", true));
    gateway.until_status(DOOR, "none.test", "/", 200);
    assert_eq!(
        hosts.map(|host| ask(&gateway, host, "/")),
        ["app", "app", "404", "app"]
    );
}

/// Class names decide, so that during a migration both the old controller and the gateway can serve an Ingress.
#[test]
fn a_class_of_another_controller_is_admitted_with_a_warning() {
    let backend = Backend::start("app");
    let class = |controller: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: nginx}}\nspec: {{controller: {controller}}}\n"
        )
    };
    let rules = manifest::app("app", DOOR, "a.test", backend.port()).replacen(
        "spec:\n",
        "spec:\n  ingressClassName: nginx\n",
        1,
    );
    let builder = gateway!()
        .source("allow_loopback_backends = true\ningress_class = [\"nginx\"]")
        .manifest("rules.yaml", &rules)
        .manifest("class.yaml", &class("k8s.io/ingress-nginx"));
    let checked = builder.run(&["check"]);
    assert_eq!(checked.status, 1, "{checked:?}");
    let told = "class.yaml:4: warning: IngressClass nginx spec.controller: the class belongs to the controller \
                `k8s.io/ingress-nginx`; ";
    assert_eq!(checked.stdout.matches(told).count(), 1, "{checked:?}");
    assert_eq!(
        checked.stdout.matches("warning: ").count(),
        1,
        "once, though four doors name it: {checked:?}"
    );

    let gateway = builder.start();
    assert_eq!(ask(&gateway, "a.test", "/"), "app");
    let warnings =
        |gateway: &Gateway| gateway.metric("blastdoor_config_problems", &[("severity", "warning")]);
    assert_eq!(warnings(&gateway), 1.0);
    gateway.put("class.yaml", &class("blastdoor.dev/gateway"));
    gateway.until("the warning is gone", |gateway| warnings(gateway) == 0.0);
    assert_eq!(ask(&gateway, "a.test", "/"), "app");
}

/// A setting that cannot be honoured closes its route and nothing else.
#[test]
fn broken_rules_are_closed_and_their_neighbours_stand() {
    let [good, broad] = ["good", "broad"].map(Backend::start);
    let yaml = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: mixed, namespace: test, labels: {{expose: {DOOR}}}}}\nspec:\n  rules:\n  - host: mixed.test\n    http:\n      paths:\n\
         \x20     - {{path: /, pathType: Prefix, backend: {{service: {{name: broad, port: {{number: 80}}}}}}}}\n\
         \x20     - {{path: /good, pathType: Prefix, backend: {{service: {{name: good, port: {{number: 80}}}}}}}}\n\
         \x20     - {{path: /type, pathType: Regex, backend: {{service: {{name: good, port: {{number: 80}}}}}}}}\n\
         \x20     - {{path: /wrong, pathType: 7, backend: {{service: {{name: good, port: {{number: 80}}}}}}}}\n\
         \x20     - {{path: /port, pathType: Prefix, backend: {{service: {{name: good, port: {{number: 99999}}}}}}}}\n\
         \x20     - {{path: /resource, pathType: Prefix, backend: {{resource: {{kind: Bucket, name: b}}}}}}\n\
         \x20     - {{path: relative, pathType: Prefix, backend: {{service: {{name: good, port: {{number: 80}}}}}}}}\n\
         \x20     - {{path: \"/line\\nbreak\", pathType: Prefix, backend: {{service: {{name: good, port: {{number: 80}}}}}}}}\n"
    ) + "---\n"
        + &manifest::service("good", &[good.port()])
        + &manifest::service("broad", &[broad.port()]);
    let gateway = gateway!()
        .manifest("mixed.yaml", &yaml)
        .manifest("broken.yaml", "kind: [\n")
        .start();
    for (path, expected) in [
        ("/good", "good"),
        ("/", "broad"),
        ("/other", "broad"),
        ("/type", "503"),
        ("/wrong/x", "503"),
        ("/port", "503"),
        ("/resource", "503"),
        ("/relative", "503"),
        ("/line", "503"),
    ] {
        assert_eq!(ask(&gateway, "mixed.test", path), expected, "{path}");
    }
}

#[test]
fn annotations_that_cannot_be_honoured_close_the_ingress() {
    let backend = Backend::start("app");
    let with = |annotation: &str| {
        manifest::app("app", DOOR, "app.test", backend.port()).replacen(
            "  labels:",
            &format!("  annotations: {{{annotation}}}\n  labels:"),
            1,
        )
    };
    let gateway = gateway!().manifest("app.yaml", &with("unrelated: x")).start();
    let table = [
        ("unrelated/key: x", "app"),
        (
            "nginx.ingress.kubernetes.io/whitelist-source-range: nonsense",
            "503",
        ),
        ("nginx.ingress.kubernetes.io/auth-type: basic", "503"),
        (
            "traefik.ingress.kubernetes.io/router.middlewares: default-auth@kubernetescrd",
            "503",
        ),
        (
            "nginx.ingress.kubernetes.io/configuration-snippet: \"return 200;\"",
            "503",
        ),
        (
            "nginx.ingress.kubernetes.io/configuration-snippet: x, blastdoor.dev/ignore-snippets: \"true\"",
            "app",
        ),
        ("nginx.ingress.kubernetes.io/ssl-redirect: perhaps", "503"),
        ("nginx.ingress.kubernetes.io/proxy-body-size: 1m", "app"),
        ("nginx.ingress.kubernetes.io/force-ssl-redirect: \"true\"", "308"),
        ("nginx.ingress.kubernetes.io/no-such-thing: x", "app"),
        (
            "traefik.ingress.kubernetes.io/router.entrypoints: external-http",
            "app",
        ),
        (
            "traefik.ingress.kubernetes.io/router.entrypoints: internal-http",
            "503",
        ),
    ];
    for (annotation, expected) in table {
        gateway.put("app.yaml", &with(annotation));
        gateway.until(&format!("{annotation}: {expected}"), |gateway| {
            ask(gateway, "app.test", "/") == expected
        });
    }
}
