//! Middlewares by name: their order, chains, and what several spellings say together.

use gateway_tests::Backend;

use super::{DOOR, ask, ask_http1, gateway_with};

const TRAEFIK: &str = "traefik.ingress.kubernetes.io/router.middlewares";
const OWN: &str = "blastdoor.dev/middlewares";

fn middleware(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {{name: {name}, namespace: test}}\nspec: {{{spec}}}\n---\n"
    )
}

/// Middlewares that each add a prefix, so that the path shows the order.
fn prefixes() -> String {
    let one = |name: &str| middleware(name, &format!("addPrefix: {{prefix: /{name}}}"));
    ["a", "b", "c"].map(one).concat()
}

#[test]
fn they_run_as_they_are_named_and_chains_in_their_place() {
    let backend = Backend::start("app");
    let others = prefixes()
        + &middleware("inner", "chain: {middlewares: [{name: b}]}")
        + &middleware(
            "all",
            "chain: {middlewares: [{name: c}, {name: inner}, {name: a}]}",
        );
    for (names, path) in [
        ("a,b", "/b/a/x"),
        ("b,a", "/a/b/x"),
        ("all", "/a/b/c/x"),
        ("a,all", "/a/b/c/a/x"),
    ] {
        let gateway = gateway_with(&backend, &[(OWN, names)], &others);
        let got = ask(gateway.door(DOOR), "GET", "/x", &[]);
        assert_eq!(got.status, 200);
        assert_eq!(backend.last().line(), format!("GET {path} HTTP/1.1"), "{names}");
        drop(gateway);
        let named: Vec<String> = names
            .split(',')
            .map(|name| format!("test-{name}@kubernetescrd"))
            .collect();
        let gateway = gateway_with(&backend, &[(TRAEFIK, &named.join(","))], &others);
        assert_eq!(ask(gateway.door(DOOR), "GET", "/x", &[]).status, 200);
        assert_eq!(
            backend.last().line(),
            format!("GET {path} HTTP/1.1"),
            "{names} in Traefik's words"
        );
    }
}

#[test]
fn what_cannot_be_honoured_closes_and_nothing_else() {
    let backend = Backend::start("app");
    let others = prefixes()
        + &middleware("typo", "addPrefix: {prefx: /a}")
        + &middleware("later", "compress: {}")
        + &middleware("ring", "chain: {middlewares: [{name: ring}]}")
        + &middleware("foreign", "chain: {middlewares: [{name: a, namespace: other}]}")
        + "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {name: theirs, namespace: other}\nspec: {addPrefix: {prefix: /t}}\n---\n";
    for (key, names) in [
        (OWN, "gone"),
        (OWN, "typo"),
        (OWN, "later"),
        (OWN, "ring"),
        (OWN, "foreign"),
        (OWN, "theirs"),
        (OWN, "a,gone"),
        (TRAEFIK, "other-theirs@kubernetescrd"),
        (TRAEFIK, "test-a@file"),
        (TRAEFIK, "a"),
    ] {
        let gateway = gateway_with(&backend, &[(key, names)], &others);
        let got = ask(gateway.door(DOOR), "GET", "/x", &[]);
        assert_eq!(got.status, 503, "{names}");
        assert_eq!(backend.requests(), 0, "{names}");
    }
}

/// A Middleware that appears, changes and goes is followed, as files change.
#[test]
fn changes_of_a_middleware_are_followed() {
    let backend = Backend::start("app");
    let gateway = gateway_with(&backend, &[(OWN, "m")], "");
    let door = gateway.door(DOOR);
    // Over one version: between the two a change may arrive.
    let status = || ask_http1(door, "GET", "/x", &[]).status;
    assert_eq!(status(), 503);
    for prefix in ["/a", "/b"] {
        gateway.put(
            "others.yaml",
            &middleware("m", &format!("addPrefix: {{prefix: {prefix}}}")),
        );
        let line = format!("GET {prefix}/x HTTP/1.1");
        gateway.until("it counts", |_| status() == 200 && backend.last().line() == line);
    }
    gateway.put("others.yaml", "");
    gateway.until("it is gone", |_| status() == 503);
}
