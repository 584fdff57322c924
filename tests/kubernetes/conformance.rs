//! What the conformance suite of Kubernetes for Ingress controllers asks for (kubernetes-sigs/
//! ingress-controller-conformance: path rules, host rules, default backend; ingress class and load balancing are in
//! `classes.rs` and `balancing.rs`), and what it leaves open.

use std::net::SocketAddr;

use gateway_tests::{Gateway, exchange, gateway, get};
use serde_json::json;

use crate::api_server;
use crate::backend::Backend;
use crate::objects::{apps, backend, ingress_with, rule, service, slice};

const DOOR: &str = "external-http";

/// The name of the Service that answers, or the status.
fn answer(door: SocketAddr, host: &str, path: &str) -> String {
    let response = get(door, host, path);
    match response.status {
        200 => response.text(),
        status => status.to_string(),
    }
}

fn check(gateway: &Gateway, table: &[(&str, &str, &str)]) {
    let door = gateway.door(DOOR);
    for (host, path, expected) in table {
        assert_eq!(answer(door, host, path), *expected, "{host} {path}");
    }
}

#[test]
fn path_rules() {
    let server = api_server!();
    let _apps = apps(
        &server,
        &[
            "foo",
            "foo-exact",
            "aaa",
            "aaa-bbb",
            "root",
            "slash",
            "slash-exact",
            "other",
        ],
    );
    let spec = json!({ "rules": [
        rule("exact.test", &[("/foo", "Exact", "foo-exact")]),
        rule("prefix.test", &[
            ("/foo", "Prefix", "foo"),
            ("/aaa/bbb", "Prefix", "aaa-bbb"),
            ("/aaa", "Prefix", "aaa"),
        ]),
        rule("mixed.test", &[("/foo", "Prefix", "foo"), ("/foo", "Exact", "foo-exact")]),
        rule("slash.test", &[("/aaa/bbb/", "Prefix", "slash"), ("/foo/", "Exact", "slash-exact")]),
        rule("root.test", &[("/", "Prefix", "root"), ("/aaa", "Prefix", "aaa"), ("/aaa/bbb", "Exact", "foo-exact")]),
        rule("both.test", &[("/foo", "Prefix", "foo"), ("/foo/", "Prefix", "slash")]),
        rule("own.test", &[("/foo", "ImplementationSpecific", "foo"), ("/foo", "Exact", "foo-exact")]),
    ] });
    server.create(&ingress_with("paths", DOOR, &spec));
    // Another Ingress has paths of the same host, one of which exists already: the older Ingress wins it, and within the
    // same second the one whose name comes first.
    let more = json!({ "rules": [
        rule("prefix.test", &[("/aaa/bbb/ccc", "Prefix", "other"), ("/foo", "Prefix", "other")]),
    ] });
    server.create(&ingress_with("z-more", DOOR, &more));
    let gateway = gateway!()
        .cluster(&server.user_with_all_rights("gateway"))
        .start();
    check(
        &gateway,
        &[
            // Exact.
            ("exact.test", "/foo", "foo-exact"),
            ("exact.test", "/foo/", "404"),
            ("exact.test", "/FOO", "404"),
            ("exact.test", "/bar", "404"),
            ("exact.test", "/foo/bar", "404"),
            ("exact.test", "/", "404"),
            // A query is no part of the path.
            ("exact.test", "/foo?a=/foo/", "foo-exact"),
            // Prefix, by element.
            ("prefix.test", "/foo", "foo"),
            ("prefix.test", "/foo/", "foo"),
            ("prefix.test", "/foo/bar", "foo"),
            ("prefix.test", "/FOO", "404"),
            ("prefix.test", "/foobar", "404"),
            ("prefix.test", "/aaa", "aaa"),
            ("prefix.test", "/aaa/", "aaa"),
            ("prefix.test", "/aaa/bb", "aaa"),
            ("prefix.test", "/aaa/bbb", "aaa-bbb"),
            ("prefix.test", "/aaa/bbb/", "aaa-bbb"),
            ("prefix.test", "/aaa/bbbb", "aaa"),
            ("prefix.test", "/aaa/ccc", "aaa"),
            ("prefix.test", "/aaaccc", "404"),
            ("prefix.test", "/", "404"),
            // Two Ingresses make one table; the longest path wins wherever it stands.
            ("prefix.test", "/aaa/bbb/ccc", "other"),
            ("prefix.test", "/aaa/bbb/ccd", "aaa-bbb"),
            // Exact before Prefix.
            ("mixed.test", "/foo", "foo-exact"),
            ("mixed.test", "/foo/", "foo"),
            ("mixed.test", "/foo/bar", "foo"),
            // A slash at the end of a prefix does not count, at the end of an exact path it does.
            ("slash.test", "/aaa/bbb", "slash"),
            ("slash.test", "/aaa/bbb/", "slash"),
            ("slash.test", "/aaa/bbb/ccc", "slash"),
            ("slash.test", "/aaa/bb", "404"),
            ("slash.test", "/foo", "404"),
            ("slash.test", "/foo/", "slash-exact"),
            ("slash.test", "/foo/bar", "404"),
            // The root takes what nothing longer takes.
            ("root.test", "/", "root"),
            ("root.test", "/aaaccc", "root"),
            ("root.test", "/aaa/ccc", "aaa"),
            ("root.test", "/aaa/bbb", "foo-exact"),
            ("root.test", "/aaa/bbb/", "aaa"),
            // With a slash it is the longer one.
            ("both.test", "/foo", "slash"),
            ("both.test", "/foo/", "slash"),
            ("both.test", "/foo/bar", "slash"),
            // What is left to the implementation is Prefix here.
            ("own.test", "/foo", "foo-exact"),
            ("own.test", "/foo/bar", "foo"),
            ("own.test", "/foobar", "404"),
        ],
    );
}

#[test]
fn host_rules() {
    let server = api_server!();
    let _apps = apps(&server, &["wildcard", "exact", "deep", "any"]);
    let mut named = service("named");
    named["spec"]["ports"] = json!([{ "name": "http", "port": 80 }, { "name": "other", "port": 81 }]);
    server.create(&named);
    let of_port = Backend::start("named");
    let mut endpoints = slice("named", &[of_port.address.to_string()], of_port.port);
    endpoints["ports"] = json!([{ "name": "http", "port": of_port.port }]);
    server.create(&endpoints);
    let mut by_name = rule("named.bar.com", &[("/", "Prefix", "named")]);
    by_name["http"]["paths"][0]["backend"]["service"]["port"] = json!({ "name": "http" });
    let spec = json!({ "rules": [
        rule("*.foo.com", &[("/", "Prefix", "wildcard")]),
        rule("foo.bar.com", &[("/", "Prefix", "exact")]),
        rule("deep.foo.com", &[("/only", "Prefix", "deep")]),
        by_name,
    ] });
    server.create(&ingress_with("hosts", DOOR, &spec));
    let gateway = gateway!()
        .cluster(&server.user_with_all_rights("gateway"))
        .start();
    let table = [
        ("foo.bar.com", "/", "exact"),
        ("FOO.Bar.com", "/", "exact"),
        ("foo.bar.com:8080", "/", "exact"),
        ("foo.bar.com.", "/", "exact"),
        ("named.bar.com", "/", "named"),
        ("subdomain.bar.com", "/", "404"),
        ("bar.com", "/", "404"),
        ("x.foo.bar.com", "/", "404"),
        // A wildcard is one label: not two, and not none.
        ("bar.foo.com", "/", "wildcard"),
        ("bar.foo.com:80", "/", "wildcard"),
        ("baz.bar.foo.com", "/", "404"),
        ("foo.com", "/", "404"),
        ("barfoo.com", "/", "404"),
        // A host of its own does not fall through to the wildcard.
        ("deep.foo.com", "/only", "deep"),
        ("deep.foo.com", "/", "404"),
    ];
    check(&gateway, &table);
    // A rule without a host takes every host that no other names, and no path of those that one does.
    server.create(&ingress_with(
        "any",
        DOOR,
        &json!({ "rules": [rule("", &[("/", "Prefix", "any")])] }),
    ));
    gateway.until_status(DOOR, "subdomain.bar.com", "/", 200);
    let still_404 = ["deep.foo.com"];
    let table = table.map(|(host, path, expected)| {
        let falls = expected == "404" && !still_404.contains(&host);
        (host, path, if falls { "any" } else { expected })
    });
    check(&gateway, &table);
}

#[test]
fn default_backends() {
    let server = api_server!();
    let _apps = apps(&server, &["echo", "own", "ruled"]);
    let gateway = gateway!()
        .cluster(&server.user_with_all_rights("gateway"))
        .start();
    let door = gateway.door(DOOR);
    // With rules: for the hosts of those alone.
    let with_rules = json!({
        "defaultBackend": backend("own"),
        "rules": [rule("ruled.test", &[("/foo", "Prefix", "ruled")])]
    });
    server.create(&ingress_with("with-rules", DOOR, &with_rules));
    gateway.until_status(DOOR, "ruled.test", "/foo", 200);
    check(
        &gateway,
        &[
            ("ruled.test", "/foo", "ruled"),
            ("ruled.test", "/bar", "own"),
            ("ruled.test", "/", "own"),
            ("elsewhere.test", "/", "404"),
        ],
    );
    // Without rules: for everything that nothing else takes.
    server.create(&ingress_with(
        "default",
        DOOR,
        &json!({ "defaultBackend": backend("echo") }),
    ));
    server.create(&ingress_with(
        "plain",
        DOOR,
        &json!({ "rules": [rule("plain.test", &[("/foo", "Prefix", "ruled")])] }),
    ));
    gateway.until_status(DOOR, "my-host", "/", 200);
    // The default answers for it before its own rules do.
    gateway.until("the rules of plain.test are live", |_| {
        answer(door, "plain.test", "/foo") == "ruled"
    });
    check(
        &gateway,
        &[
            ("ruled.test", "/bar", "own"),
            ("plain.test", "/foo", "ruled"),
            ("plain.test", "/bar", "echo"),
            (&door.to_string(), "/resource", "echo"),
        ],
    );
    for (method, host, path) in [
        ("GET", "my-host", "/"),
        ("GET", "my-host", "/sub-path"),
        ("POST", "some-host", "/"),
        ("PUT", "127.0.0.1", "/resource"),
        ("DELETE", "some-host", "/resource"),
        ("PATCH", "my-host", "/resource"),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
        let response = exchange(door, request).unwrap();
        assert_eq!(
            (response.status, response.text()),
            (200, "echo".to_owned()),
            "{method} {host}{path}"
        );
    }
}
