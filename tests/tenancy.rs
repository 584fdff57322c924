//! What one namespace can do to another at the same door.

use std::net::SocketAddr;

use gateway_tests::tls::{Authority, H1, Offer, TlsClient, TlsFront, annotated, secret, with_tls};
use gateway_tests::{Backend, Client, Gateway, gateway, manifest};

const DOOR: &str = "external-https";
const PASS: &[(&str, &str)] = &[("nginx.ingress.kubernetes.io/ssl-passthrough", "true")];

/// The objects of a namespace; the lower the age, the older.
fn of(namespace: &str, age: u8, yaml: &str) -> String {
    yaml.replace("namespace: test\n", &format!("namespace: {namespace}\n"))
        .replace(
            "kind: Ingress\nmetadata:\n",
            &format!("kind: Ingress\nmetadata:\n  creationTimestamp: \"2020-01-{age:02}T00:00:00Z\"\n"),
        )
}

fn client() -> TlsClient {
    TlsClient::new(&Offer::default())
}

/// Status and text of a GET over TLS, by server name.
fn get(address: SocketAddr, host: &str) -> Option<(u16, String)> {
    let answer = client()
        .connect(address, Some(host))
        .ok()?
        .http1()
        .get(host, "/")?;
    Some((answer.status, answer.text()))
}

/// Passthrough at a door that asks for client certificates would bypass them.
#[test]
fn client_certificates_cannot_be_bypassed() {
    let clients = Authority::new("clients");
    let theirs = Authority::new("theirs").server(&["passed.test", "wide.test"]);
    let inner = Backend::start("passed");
    let front = TlsFront::start(&theirs, H1, None, inner.port());
    let wide = Backend::start("wide");
    let through = annotated(&manifest::app("passed", DOOR, "passed.test", front.port()), PASS);
    // A broader rule, and one for whatever nobody has.
    let broader = manifest::app("wide", DOOR, "*.test", wide.port())
        + &manifest::ingress("all", DOOR, &[("", "Prefix", "/", "wide")]);
    let strict = |more: &str| {
        format!(
            "tls = {{ default_certificate = \"self-signed\", client_auth = {{ mode = \"require\", ca = {{ file = \"ca.pem\" }} }} }}{more}"
        )
    };
    let gateway = gateway!()
        .file("ca.pem", clients.pem())
        .door(DOOR, &strict(""))
        .manifest("passed.yaml", &of("pass", 2, &through))
        .manifest("wide.yaml", &of("wide", 1, &broader))
        .start();
    let address = gateway.door(DOOR);
    let known = clients.client("alice");
    let known = TlsClient::new(&Offer {
        identity: Some(&known),
        ..Offer::default()
    });
    let closed = || {
        assert_eq!(get(address, "passed.test"), None, "no client certificate");
        for path in ["/", "/elsewhere"] {
            let shaken = known.connect(address, Some("passed.test")).unwrap();
            assert!(shaken.shown() != theirs.der(), "the door's own certificate");
            assert_eq!(
                shaken.http1().get("passed.test", path).unwrap().status,
                503,
                "{path}"
            );
        }
        assert_eq!((inner.requests(), wide.requests()), (0, 0));
    };
    closed();
    gateway.says("passes no TLS through");
    // The platform may allow it, and change its mind.
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let with =
        |key: &str| std::fs::write(gateway.config(), config.replace(&strict(""), &strict(key))).unwrap();
    with("\npassthrough = true");
    gateway.until("it is passed through", |_| {
        get(address, "passed.test") == Some((200, "passed".to_owned()))
    });
    with("\npassthrough = false");
    gateway.until("it is closed again", |_| get(address, "passed.test").is_none());
    let before = inner.requests();
    assert_eq!(
        known
            .connect(address, Some("passed.test"))
            .unwrap()
            .http1()
            .get("passed.test", "/")
            .unwrap()
            .status,
        503
    );
    assert_eq!(inner.requests(), before);
}

/// A door for two namespaces, and the certificates that its names are shown.
fn shared(victims: &str, strangers: &str, default: bool) -> Gateway {
    let builder = gateway!().manifest("victims.yaml", victims);
    let builder = builder.manifest("strangers.yaml", strangers);
    let default_certificate = Authority::new("default").server(&["default.test"]);
    builder
        .file("default.crt", &default_certificate.chain)
        .file("default.key", &default_certificate.key)
        .door(
            DOOR,
            if default {
                "tls = { default_certificate = { cert = \"default.crt\", key = \"default.key\" } }"
            } else {
                "tls = {}"
            },
        )
        .start()
}

/// A younger Ingress of another namespace names hosts in `spec.tls`, and no rule: with a Secret of its own, or none.
#[test]
fn no_entry_takes_a_name_of_another_namespace() {
    let authority = Authority::new("test");
    let (own, stranger) = (
        authority.server(&["own.test"]),
        authority.server(&["*.test", "own.test", "plain.test"]),
    );
    let backend = Backend::start("victim");
    let hosts = [
        ("own.test", "Prefix", "/", "app"),
        ("plain.test", "Prefix", "/", "app"),
    ];
    let victims = of(
        "victim",
        1,
        &(with_tls(&manifest::ingress("app", DOOR, &hosts), &[(&["own.test"], "own")])
            + &manifest::service("app", &[backend.port()])
            + &secret("own", &own)),
    );
    let names: &[&str] = &["own.test", "plain.test", "*.test", "nobody.test"];
    for (what, secrets) in [("gone", String::new()), ("theirs", secret("theirs", &stranger))] {
        let strangers = manifest::ingress("thief", DOOR, &[]).replace("spec:\n  rules:\n", "spec:\n");
        let strangers = of(
            "stranger",
            2,
            &(with_tls(&strangers, &[(names, what)]) + &secrets),
        );
        let gateway = shared(&victims, &strangers, true);
        let address = gateway.door(DOOR);
        for host in ["own.test", "plain.test"] {
            assert_eq!(
                get(address, host),
                Some((200, "victim".to_owned())),
                "{host}, {what}"
            );
            let shown = client().connect(address, Some(host)).unwrap().shown();
            assert!(shown != stranger.der(), "{host}, {what}");
            assert_eq!(shown == own.der(), host == "own.test", "{host}, {what}");
        }
        // What nobody serves may be had.
        let shaken = client().connect(address, Some("nobody.test")).unwrap();
        assert_eq!(shaken.shown() == stranger.der(), what == "theirs", "{what}");
        for host in ["own.test", "plain.test"] {
            let line = format!("`{host}` at door `{DOOR}` is served by Ingress `victim/app`");
            gateway.says(&line);
        }
    }
    // A rule that lost a conflict gives no claim.
    let loser = manifest::ingress("thief", DOOR, &[("own.test", "Prefix", "/", "app")]);
    let strangers = of(
        "stranger",
        2,
        &(with_tls(&loser, &[(&["own.test"], "theirs")]) + &secret("theirs", &stranger)),
    );
    let gateway = shared(&victims, &strangers, false);
    let shown = client()
        .connect(gateway.door(DOOR), Some("own.test"))
        .unwrap()
        .shown();
    assert!(shown == own.der());
}

/// Hosts that belong to namespaces: forgotten paths, challenges, and an older Ingress that comes to a host by an edit.
#[test]
fn hosts_belong_to_namespaces() {
    const HTTP: &str = "external-http";
    let (shop, blog) = (Backend::start("shop"), Backend::start("blog"));
    let rules =
        |name: &str, host: &str, path: &str| manifest::ingress(name, HTTP, &[(host, "Prefix", path, name)]);
    let objects = |name: &str, backend: &Backend, age: u8, rules: &str| {
        of(
            name,
            age,
            &(rules.to_owned() + &manifest::service(name, &[backend.port()])),
        )
    };
    let mut all = manifest::ingress("all", HTTP, &[]);
    all = all.replace(
        "spec:\n  rules:\n",
        "spec:\n  defaultBackend: {service: {name: blog, port: {number: 80}}}\n",
    );
    let gateway = gateway!()
        .door(HTTP, "host_owner = \"namespace\"")
        .manifest(
            "shop.yaml",
            &objects("shop", &shop, 3, &rules("shop", "shop.test", "/app")),
        )
        .manifest(
            "blog.yaml",
            &objects("blog", &blog, 1, &rules("blog", "blog.test", "/")),
        )
        .manifest(
            "acme.yaml",
            &of(
                "blog",
                5,
                &rules("acme", "shop.test", "/.well-known/acme-challenge"),
            ),
        )
        .manifest("all.yaml", &of("blog", 2, &all))
        .start();
    let status = |host: &str, path: &str| {
        Client::connect(gateway.door(HTTP))
            .get(host, path)
            .unwrap()
            .status
    };
    let running = || {
        assert_eq!(status("shop.test", "/app"), 200);
        assert_eq!(status("shop.test", "/.well-known/acme-challenge/token"), 404);
        assert_eq!(status("shop.test", "/"), 404);
    };
    running();
    assert_eq!(status("blog.test", "/"), 200);
    assert_eq!(status("nobody.test", "/"), 200, "the default backend");
    let told = |parts: &[&str]| {
        let lines = gateway.stderr();
        lines
            .lines()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    };
    gateway.until("the refused rule is told", |_| {
        told(&["Ingress blog/acme", "belongs to namespace `shop`"])
    });
    // The older Ingress is edited; its own host is gone as soon as that counts.
    gateway.put(
        "blog.yaml",
        &objects("blog", &blog, 1, &rules("blog", "shop.test", "/")),
    );
    gateway.until("the edit is told", |_| {
        told(&[
            "Ingress shop/shop",
            "the older Ingress `blog/blog` names host shop.test too",
        ])
    });
    running();
    assert_eq!(shop.requests(), 2);
    // The platform's own default backend, and nobody else's.
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let key = "host_owner = \"namespace\"";
    let with = format!("{key}\ndefault_backend = [\"platform\"]");
    std::fs::write(gateway.config(), config.replace(key, &with)).unwrap();
    gateway.until_status(HTTP, "nobody.test", "/", 404);
    // The tables go live before the problems that they brought are logged.
    gateway.until("the refused default backend is told", |_| {
        told(&["Ingress blog/all", "may not answer what nothing else matches"])
    });
    running();
}
