//! Which backend and which endpoint a request gets: canaries, sticky sessions, hashes, turns, and the host that a backend
//! sees.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use gateway_tests::{Backend, Builder, Gateway, Reply, gateway, manifest};

use super::{DOOR, Got, ask, ask_http1, ask_http2, rule_for};

const NGINX: &str = "nginx.ingress.kubernetes.io/";

/// A main Ingress and its canary for `a.test`, with these annotations; the backends answer with `main` and `canary`.
fn split(main: &[(&str, &str)], canary: &[(&str, &str)]) -> (Gateway, Backend, Backend) {
    let (old, new) = (Backend::start("main"), Backend::start("canary"));
    let gateway = pair(main, canary, &old, &new).start();
    (gateway, old, new)
}

fn pair(main: &[(&str, &str)], canary: &[(&str, &str)], old: &Backend, new: &Backend) -> Builder {
    let place = ("a.test", "Prefix", "/");
    gateway!()
        .door(DOOR, "")
        .manifest(
            "main.yaml",
            &(rule_for("main", DOOR, place, main, "main") + &manifest::service("main", &[old.port()])),
        )
        .manifest(
            "canary.yaml",
            &(rule_for("canary", DOOR, place, canary, "canary")
                + &manifest::service("canary", &[new.port()])),
        )
}

/// `name` or `canary`: who answers over both versions.
fn who(door: SocketAddr, fields: &[(&str, &str)]) -> String {
    ask(door, "GET", "/", fields).body
}

#[test]
fn a_canary_takes_what_its_rules_say() {
    let canary = |options: &[(&str, &str)]| -> Vec<(String, String)> {
        let options = options
            .iter()
            .map(|(name, value)| (format!("{NGINX}{name}"), (*value).to_owned()));
        [(format!("{NGINX}canary"), "true".to_owned())]
            .into_iter()
            .chain(options)
            .collect()
    };
    let own = |options: &[(&str, &str)]| -> Vec<(String, String)> {
        let options = options
            .iter()
            .map(|(name, value)| (format!("blastdoor.dev/{name}"), (*value).to_owned()));
        [("blastdoor.dev/canary".to_owned(), "on".to_owned())]
            .into_iter()
            .chain(options)
            .collect()
    };
    type Requests<'r> = &'r [(&'r [(&'r str, &'r str)], &'r str)];
    let by_words: Requests<'_> = &[
        (&[], "main"),
        (&[("x-canary", "always")], "canary"),
        (&[("X-Canary", "never"), ("cookie", "c=always")], "main"),
        (&[("x-canary", "maybe")], "main"),
        (&[("cookie", "a=b; c=always")], "canary"),
        (&[("cookie", "c=never")], "main"),
        (&[("cookie", "d=always")], "main"),
    ];
    let by_value: Requests<'_> = &[
        (&[("x-canary", "eu")], "canary"),
        (&[("x-canary", "always")], "main"),
        (&[("x-canary", "euro")], "main"),
    ];
    let by_pattern: Requests<'_> = &[
        (&[("x-canary", "west-eu7-b")], "canary"),
        (&[("x-canary", "eu")], "main"),
    ];
    let everything: Requests<'_> = &[(&[], "canary"), (&[("x-canary", "never")], "canary")];
    let table: Vec<(Vec<(String, String)>, Requests<'_>)> = vec![
        (
            canary(&[("canary-by-header", "X-Canary"), ("canary-by-cookie", "c")]),
            by_words,
        ),
        (
            own(&[("canary-header", "X-Canary"), ("canary-cookie", "c")]),
            by_words,
        ),
        (
            canary(&[("canary-by-header", "X-Canary"), ("canary-by-header-value", "eu")]),
            by_value,
        ),
        (
            own(&[("canary-header", "X-Canary"), ("canary-value", "eu")]),
            by_value,
        ),
        (
            canary(&[
                ("canary-by-header", "X-Canary"),
                ("canary-by-header-pattern", "eu[0-9]"),
            ]),
            by_pattern,
        ),
        (
            own(&[("canary-header", "X-Canary"), ("canary-pattern", "eu[0-9]")]),
            by_pattern,
        ),
        (canary(&[("canary-weight", "100")]), everything),
        (
            canary(&[("canary-weight", "200"), ("canary-weight-total", "200")]),
            everything,
        ),
        (own(&[("canary-weight", "7"), ("canary-total", "7")]), everything),
        (canary(&[("canary-weight", "0")]), &[(&[], "main")]),
    ];
    for (annotations, requests) in table {
        let annotations: Vec<(&str, &str)> = annotations
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let (gateway, _old, _new) = split(&[], &annotations);
        for (fields, expected) in requests {
            assert_eq!(
                who(gateway.door(DOOR), fields),
                *expected,
                "{annotations:?} {fields:?}"
            );
        }
    }
}

#[test]
fn a_weight_is_a_share() {
    let weight = format!("{NGINX}canary-weight");
    let (gateway, old, new) = split(&[], &[(&format!("{NGINX}canary"), "true"), (&weight, "30")]);
    let mut client = gateway_tests::Client::connect(gateway.door(DOOR));
    for _ in 0..1000 {
        assert_eq!(client.get("a.test", "/").unwrap().status, 200);
    }
    // The standard deviation is 14.5.
    assert!(
        (220..=380).contains(&new.requests()),
        "{} of 1000",
        new.requests()
    );
    assert_eq!(old.requests() + new.requests(), 1000);
}

#[test]
fn a_canary_has_no_place_of_its_own_and_needs_a_usable_endpoint() {
    let on: &[(&str, &str)] = &[
        ("nginx.ingress.kubernetes.io/canary", "true"),
        ("nginx.ingress.kubernetes.io/canary-weight", "100"),
    ];
    let (old, new) = (Backend::start("main"), Backend::start("canary"));
    let gateway = pair(&[], on, &old, &new).start();
    assert_eq!(who(gateway.door(DOOR), &[]), "canary");
    gateway.until("the log names the canary", |gateway| {
        let log = gateway.access_log();
        log.iter().any(|line| line["ingress"] == "test/canary")
    });
    // Its backend is away: the main one serves.
    gateway.put(
        "canary.yaml",
        &(rule_for("canary", DOOR, ("a.test", "Prefix", "/"), on, "canary")
            + &manifest::service("canary", &[])),
    );
    gateway.until("the main backend serves", |gateway| {
        super::ask_http1(gateway.door(DOOR), "GET", "/", &[]).body == "main"
    });
    assert_eq!(who(gateway.door(DOOR), &[]), "main");
    // Without the Ingress that it belongs to it is not served.
    gateway.put(
        "canary.yaml",
        &(rule_for("canary", DOOR, ("a.test", "Prefix", "/"), on, "canary")
            + &manifest::service("canary", &[new.port()])),
    );
    gateway.put("main.yaml", "");
    gateway.until_status(DOOR, "a.test", "/", 404);
    // Another path type is another place.
    let exact = rule_for("main", DOOR, ("a.test", "Exact", "/"), &[], "main")
        + &manifest::service("main", &[old.port()]);
    gateway.put("main.yaml", &exact);
    gateway.until_status(DOOR, "a.test", "/", 200);
    assert_eq!(who(gateway.door(DOOR), &[]), "main");
}

/// A gateway with one Ingress and one Service of three backends, and their names.
fn three(annotations: &[(&str, &str)], of_service: &str) -> (Gateway, Vec<Backend>) {
    let backends: Vec<Backend> = ["one", "two", "three"].into_iter().map(Backend::start).collect();
    let ports: Vec<u16> = backends.iter().map(Backend::port).collect();
    let service = manifest::service("app", &ports).replacen(
        "  namespace: test\n",
        &format!("  namespace: test\n{of_service}"),
        1,
    );
    let gateway = gateway!()
        .door(DOOR, "")
        .manifest(
            "app.yaml",
            &(rule_for("app", DOOR, ("a.test", "Prefix", "/shop"), annotations, "app") + &service),
        )
        .start();
    (gateway, backends)
}

/// The name and value of the cookie in an answer, and its attributes.
fn cookie(got: &Got) -> Option<(String, String)> {
    let set = got.field("set-cookie")?;
    let (pair, attributes) = set.split_once("; ").unwrap_or((&set, ""));
    Some((pair.to_owned(), attributes.to_owned()))
}

#[test]
fn a_sticky_cookie_has_the_attributes_that_are_written() {
    let affinity = ("nginx.ingress.kubernetes.io/affinity", "cookie");
    let traefik = "traefik.ingress.kubernetes.io/service.sticky.cookie";
    let of_traefik = |name: &str| format!("traefik.ingress.kubernetes.io/{name}");
    let of_service = |lines: &[(&str, &str)]| {
        let lines: String = lines
            .iter()
            .map(|(key, value)| format!("    {key}: \"{value}\"\n"))
            .collect();
        format!("  annotations:\n{lines}")
    };
    type Annotations<'a> = Vec<(&'a str, &'a str)>;
    let table: Vec<(Annotations<'_>, String, &str, &str)> = vec![
        (
            vec![affinity],
            String::new(),
            "INGRESSCOOKIE",
            "Path=/shop; HttpOnly",
        ),
        // Done as `persistent`.
        (
            vec![
                affinity,
                ("nginx.ingress.kubernetes.io/affinity-mode", "balanced"),
            ],
            String::new(),
            "INGRESSCOOKIE",
            "Path=/shop; HttpOnly",
        ),
        (
            vec![
                affinity,
                ("nginx.ingress.kubernetes.io/session-cookie-name", "route"),
                ("nginx.ingress.kubernetes.io/session-cookie-path", "/"),
                ("nginx.ingress.kubernetes.io/session-cookie-domain", "a.test"),
                ("nginx.ingress.kubernetes.io/session-cookie-max-age", "60"),
                ("nginx.ingress.kubernetes.io/session-cookie-samesite", "None"),
                ("nginx.ingress.kubernetes.io/session-cookie-secure", "true"),
            ],
            String::new(),
            "route",
            "Path=/; Domain=a.test; Max-Age=60; HttpOnly; Secure; SameSite=None",
        ),
        (
            vec![
                ("blastdoor.dev/sticky", "mine"),
                ("blastdoor.dev/sticky-max-age", "1h"),
                ("blastdoor.dev/sticky-path", "/x"),
                ("blastdoor.dev/sticky-domain", "a.test"),
                ("blastdoor.dev/sticky-same-site", "strict"),
                ("blastdoor.dev/sticky-secure", "on"),
            ],
            String::new(),
            "mine",
            "Path=/x; Domain=a.test; Max-Age=3600; HttpOnly; Secure; SameSite=Strict",
        ),
        (
            vec![],
            of_service(&[("blastdoor.dev/sticky", "ours")]),
            "ours",
            "Path=/; HttpOnly",
        ),
        (vec![], of_service(&[(traefik, "true")]), "_", "Path=/"),
        (
            vec![],
            of_service(&[
                (&of_traefik("service.sticky.cookie.name"), "t"),
                (&of_traefik("service.sticky.cookie.secure"), "true"),
                (&of_traefik("service.sticky.cookie.httponly"), "true"),
                (&of_traefik("service.sticky.cookie.samesite"), "lax"),
                (&of_traefik("service.sticky.cookie.maxage"), "7"),
                (&of_traefik("service.sticky.cookie.path"), "/p"),
                (&of_traefik("service.sticky.cookie.domain"), "a.test"),
            ]),
            "t",
            "Path=/p; Domain=a.test; Max-Age=7; HttpOnly; Secure; SameSite=Lax",
        ),
        // An Ingress takes precedence over the Service.
        (
            vec![affinity],
            of_service(&[(traefik, "true")]),
            "INGRESSCOOKIE",
            "Path=/shop; HttpOnly",
        ),
    ];
    for (annotations, of_service, name, attributes) in table {
        let (gateway, _backends) = three(&annotations, &of_service);
        for ask in [ask_http1, ask_http2] {
            let got = ask(gateway.door(DOOR), "GET", "/shop", &[]);
            let (pair, written) =
                cookie(&got).unwrap_or_else(|| panic!("{annotations:?} {of_service}: {got:?}"));
            let (named, value) = pair.split_once('=').unwrap();
            assert!(
                named.starts_with(name) && (name == "_" || named == name),
                "{named}"
            );
            assert_eq!(
                (value.len(), written.as_str()),
                (16, attributes),
                "{annotations:?} {of_service}"
            );
        }
    }
}

#[test]
fn expires_is_a_date_and_old_browsers_get_no_same_site() {
    let (gateway, _backends) = three(
        &[
            ("nginx.ingress.kubernetes.io/affinity", "cookie"),
            ("nginx.ingress.kubernetes.io/session-cookie-expires", "60"),
            ("nginx.ingress.kubernetes.io/session-cookie-samesite", "None"),
            (
                "nginx.ingress.kubernetes.io/session-cookie-conditional-samesite-none",
                "true",
            ),
        ],
        "",
    );
    let attributes = |agent: &str| {
        cookie(&ask_http1(
            gateway.door(DOOR),
            "GET",
            "/shop",
            &[("user-agent", agent)],
        ))
        .unwrap()
        .1
    };
    let modern = attributes("Mozilla/5.0 Chrome/120.0 Safari/537.36");
    assert!(
        modern.contains("Expires=") && modern.contains(" GMT; ") && modern.ends_with("SameSite=None"),
        "{modern}"
    );
    let old = attributes("Mozilla/5.0 Chrome/60.0 Safari/537.36");
    assert!(!old.contains("SameSite"), "{old}");
}

#[test]
fn a_client_stays_with_its_endpoint() {
    let (gateway, backends) = three(&[("nginx.ingress.kubernetes.io/affinity", "cookie")], "");
    let door = gateway.door(DOOR);
    let first = ask_http1(door, "GET", "/shop", &[]);
    let (pair, _) = cookie(&first).unwrap();
    for _ in 0..20 {
        for ask in [ask_http1, ask_http2] {
            let got = ask(door, "GET", "/shop", &[("cookie", &format!("a=b; {pair}; z=y"))]);
            assert_eq!((&got.body, cookie(&got)), (&first.body, None));
        }
    }
    // Noise gets a cookie again.
    for noise in [
        "INGRESSCOOKIE=AAAAAAAAAAAAAAAA",
        "INGRESSCOOKIE=x",
        "INGRESSCOOKIE=",
    ] {
        assert!(
            cookie(&ask_http1(door, "GET", "/shop", &[("cookie", noise)])).is_some(),
            "{noise}"
        );
    }
    // Its endpoint is away: another serves, and the cookie stays.
    let own = backends
        .iter()
        .position(|backend| backend.requests() > 20)
        .unwrap();
    backends[own].stop();
    let got = ask_http1(door, "GET", "/shop", &[("cookie", &pair)]);
    assert_eq!((got.status, cookie(&got)), (200, None));
    assert_ne!(got.body, first.body);
}

#[test]
fn a_client_changes_its_endpoint_on_failure_where_that_is_written() {
    let (gateway, backends) = three(
        &[
            ("nginx.ingress.kubernetes.io/affinity", "cookie"),
            (
                "nginx.ingress.kubernetes.io/session-cookie-change-on-failure",
                "true",
            ),
        ],
        "",
    );
    let door = gateway.door(DOOR);
    let first = ask_http1(door, "GET", "/shop", &[]);
    let (pair, _) = cookie(&first).unwrap();
    backends
        .iter()
        .find(|backend| backend.requests() == 1)
        .unwrap()
        .stop();
    let got = ask_http1(door, "GET", "/shop", &[("cookie", &pair)]);
    let (other, _) = cookie(&got).expect("the cookie of another endpoint");
    assert!(got.status == 200 && other != pair);
    let again = ask_http1(door, "GET", "/shop", &[("cookie", &other)]);
    assert_eq!((&again.body, again.field("set-cookie")), (&got.body, None));
}

/// A session cookie of one door is noise at another.
#[test]
fn a_cookie_of_another_door_is_noise() {
    let backend = Backend::start("app");
    let annotations: &[(&str, &str)] = &[("nginx.ingress.kubernetes.io/affinity", "cookie")];
    let rule = |door: &str, host| rule_for(door, door, (host, "Prefix", "/"), annotations, "app");
    let yaml = rule(DOOR, "a.test")
        + &rule("internal-http", "b.test")
        + &manifest::service("app", &[backend.port()]);
    let gateway = gateway!()
        .door(DOOR, "")
        .door("internal-http", "")
        .manifest("app.yaml", &yaml)
        .start();
    let first = ask_http1(gateway.door(DOOR), "GET", "/", &[]);
    let (pair, _) = cookie(&first).unwrap();
    assert!(cookie(&ask_http1(gateway.door(DOOR), "GET", "/", &[("cookie", &pair)])).is_none());
    let other = ask_http1(
        gateway.door("internal-http"),
        "GET",
        "/",
        &[("host", "b.test"), ("cookie", &pair)],
    );
    let (theirs, _) = cookie(&other).expect("the cookie means nothing here");
    assert_ne!(theirs, pair);
}

#[test]
fn a_cookie_decides_between_an_ingress_and_its_canary_unless_it_is_legacy() {
    let on: &[(&str, &str)] = &[
        ("nginx.ingress.kubernetes.io/canary", "true"),
        ("nginx.ingress.kubernetes.io/canary-by-header", "x-canary"),
    ];
    for (behaviour, expected) in [("sticky", ["main", "canary"]), ("legacy", ["canary", "main"])] {
        let main: &[(&str, &str)] = &[
            ("nginx.ingress.kubernetes.io/affinity", "cookie"),
            ("nginx.ingress.kubernetes.io/affinity-canary-behavior", behaviour),
        ];
        let (gateway, _old, _new) = split(main, on);
        let door = gateway.door(DOOR);
        let of_main = cookie(&ask_http1(door, "GET", "/", &[])).unwrap().0;
        let of_canary = cookie(&ask_http1(door, "GET", "/", &[("x-canary", "always")]))
            .unwrap()
            .0;
        let asked = |pair: &str, word: &str| {
            ask_http1(door, "GET", "/", &[("cookie", pair), ("x-canary", word)]).body
        };
        assert_eq!(
            [asked(&of_main, "always"), asked(&of_canary, "never")],
            expected,
            "{behaviour}"
        );
    }
}

#[test]
fn a_hash_decides_the_endpoint() {
    let tables: &[(&[(&str, &str)], &str)] = &[
        (
            &[("nginx.ingress.kubernetes.io/upstream-hash-by", "$arg_user")],
            "",
        ),
        (&[("blastdoor.dev/balance", "hash:$arg_user")], ""),
        (
            &[],
            "  annotations:\n    blastdoor.dev/balance: \"hash:${arg_user}\"\n",
        ),
    ];
    for (annotations, of_service) in tables {
        let (gateway, backends) = three(annotations, of_service);
        let door = gateway.door(DOOR);
        let mut used = BTreeSet::new();
        for user in 0..20 {
            let target = format!("/shop?user={user}");
            let first = ask(door, "GET", &target, &[]).body;
            assert_eq!(
                ask(door, "GET", &format!("/shop/other?x&user={user}"), &[]).body,
                first
            );
            used.insert(first);
        }
        assert_eq!(used.len(), backends.len(), "{used:?}");
    }
}

#[test]
fn endpoints_take_turns() {
    for (annotations, of_service) in [
        (
            vec![("nginx.ingress.kubernetes.io/load-balance", "round_robin")],
            "",
        ),
        (vec![("blastdoor.dev/balance", "round-robin")], ""),
        (vec![], "  annotations:\n    blastdoor.dev/balance: round-robin\n"),
    ] {
        let backends: Vec<Backend> = ["one", "two", "three"].into_iter().map(Backend::start).collect();
        let ports: Vec<u16> = backends.iter().map(Backend::port).collect();
        let service = manifest::service("app", &ports).replacen(
            "  namespace: test\n",
            &format!("  namespace: test\n{of_service}"),
            1,
        );
        let gateway = gateway!()
            .door(DOOR, "workers = 1\n")
            .manifest(
                "app.yaml",
                &(rule_for("app", DOOR, ("a.test", "Prefix", "/"), &annotations, "app") + &service),
            )
            .start();
        let mut client = gateway_tests::Client::connect(gateway.door(DOOR));
        for _ in 0..30 {
            assert_eq!(client.get("a.test", "/").unwrap().status, 200);
        }
        let counts: Vec<usize> = backends.iter().map(Backend::requests).collect();
        assert_eq!(counts, [10, 10, 10], "{annotations:?} {of_service}");
    }
}

#[test]
fn the_host_of_an_endpoint_is_its_address_where_the_service_says_so() {
    let backend = Backend::with(
        "app",
        Reply::computed(|seen| {
            let host = seen.field("host").unwrap_or_default().to_owned();
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{host}", host.len()).into_bytes()
        }),
    );
    for (passes, expected) in [
        ("true", "a.test".to_owned()),
        ("false", format!("127.0.0.1:{}", backend.port())),
    ] {
        let service = manifest::service("app", &[backend.port()]).replacen(
            "  namespace: test\n",
            &format!("  namespace: test\n  annotations:\n    traefik.ingress.kubernetes.io/service.passhostheader: \"{passes}\"\n"),
            1,
        );
        let gateway = gateway!()
            .door(DOOR, "")
            .manifest(
                "app.yaml",
                &(rule_for("app", DOOR, ("a.test", "Prefix", "/"), &[], "app") + &service),
            )
            .start();
        assert_eq!(ask(gateway.door(DOOR), "GET", "/", &[]).body, expected);
        let seen = backend.last();
        assert_eq!(seen.field("x-forwarded-host"), Some("a.test"));
    }
}
