//! Ingresses that are new.

use serde_json::{Value, json};

use super::chart::namespace;
use super::{ALIAS, DOOR, TO_WWW, annotated, at, hosts, labelled};
use crate::apiserver::ApiServer;
use crate::objects::backend;

/// Who may expose what.
pub fn namespaces(server: &ApiServer) {
    for (name, doors, hosts) in [
        (
            "shop",
            &[DOOR, "internal-http"] as &[&str],
            "shop.example.com,\n *.Shop.example.com",
        ),
        (
            "free",
            &["internal-http", "internal-https", "external-http", DOOR],
            "*",
        ),
        ("www", &[DOOR], "www.site.example.com www.com"),
        ("bare", &[DOOR], ""),
        (
            "garbage",
            &[DOOR],
            "*. *shop.example.com .example.com https://app.shop.example.com app.shop.example.com/ com.",
        ),
        ("other", &[], ""),
    ] {
        server.create(&namespace(name, doors, hosts));
    }
    let mut almost = namespace("almost", &[], "*");
    almost["metadata"]["labels"] = json!({
        "blastdoor.dev/allow-external-https": "True", "blastdoor.dev/allow-external": "true", "allow-external-https": "true"
    });
    server.create(&almost);
}

/// What is, and why it is refused: nothing, a word of the message of a policy, or of the API server itself.
pub fn created() -> Vec<(&'static str, Value, &'static str)> {
    const DOORS: &str = "may not expose at door";
    const HOSTS: &str = "does not own";
    vec![
        ("its own host", json!({}), ""),
        ("the old spelling", labelled("external-httpsecure"), ""),
        ("its other door", labelled("internal-http"), ""),
        ("the host itself", hosts(&["shop.example.com"]), ""),
        (
            "its wildcard",
            hosts(&[
                "*.shop.example.com",
                "*.a.shop.example.com",
                "a.b.c.shop.example.com",
            ]),
            "",
        ),
        (
            "its own certificate",
            json!({ "spec": { "tls": [{ "hosts": ["*.shop.example.com"], "secretName": "a" }, { "secretName": "b" }] } }),
            "",
        ),
        (
            "a default for its own hosts",
            json!({ "spec": { "defaultBackend": backend("app") } }),
            "",
        ),
        (
            "a rule without paths",
            json!({ "spec": { "rules": [{ "host": "app.shop.example.com" }] } }),
            "",
        ),
        (
            "an alias, oddly spelled",
            annotated(ALIAS, " B.SHOP.example.com. ,*.c.shop.example.com,"),
            "",
        ),
        ("the twin of its own host", annotated(TO_WWW, "true"), ""),
        (
            "no twin",
            at(
                "www",
                json!({ "metadata": { "annotations": { TO_WWW: "false", "blastdoor.dev/www-redirect": "off" } }, "spec": hosts(&["www.site.example.com"])["spec"] }),
            ),
            "",
        ),
        (
            "a host without a twin",
            at(
                "www",
                json!({ "metadata": { "annotations": { TO_WWW: "true" } }, "spec": hosts(&["www.com"])["spec"] }),
            ),
            "",
        ),
        (
            "everything",
            at("free", hosts(&["", "*.com", "app.shop.example.com"])),
            "",
        ),
        (
            "everything else",
            at(
                "free",
                json!({ "spec": { "rules": null, "defaultBackend": backend("app") } }),
            ),
            "",
        ),
        (
            "no label",
            json!({ "metadata": { "namespace": "other", "labels": null } }),
            "",
        ),
        ("another value", at("other", labelled("nowhere")), ""),
        ("another case", at("other", labelled("External-https")), ""),
        (
            "another key",
            at(
                "other",
                json!({ "metadata": { "labels": { "expose": null, "Expose": DOOR } } }),
            ),
            "",
        ),
        (
            "a class, which these doors do not look at",
            at(
                "other",
                json!({ "metadata": { "labels": null }, "spec": { "ingressClassName": "blastdoor" } }),
            ),
            "",
        ),
        // Doors.
        (
            "another namespace",
            at("other", json!({})),
            "namespace other may not expose at door external-https",
        ),
        (
            "the old spelling elsewhere",
            at("other", labelled("external-httpsecure")),
            DOORS,
        ),
        (
            "another door",
            labelled("external-http"),
            "may not expose at door external-http;",
        ),
        (
            "the old spelling of another door",
            labelled("internal-httpsecure"),
            "may not expose at door internal-https;",
        ),
        ("labels that only resemble", at("almost", json!({})), DOORS),
        (
            "of another class",
            at("other", json!({ "spec": { "ingressClassName": "nginx" } })),
            DOORS,
        ),
        (
            "with a generated name",
            at(
                "other",
                json!({ "metadata": { "name": null, "generateName": "app-" } }),
            ),
            DOORS,
        ),
        (
            "naming another door",
            at(
                "other",
                annotated(
                    "traefik.ingress.kubernetes.io/router.entrypoints",
                    "internal-http",
                ),
            ),
            DOORS,
        ),
        // Hosts.
        ("no host of its own", at("bare", json!({})), "nothing yet"),
        ("nothing that is a host", at("garbage", json!({})), "nothing yet"),
        ("nothing above", at("garbage", hosts(&["example.com"])), HOSTS),
        (
            "a foreign host",
            hosts(&["blog.example.com"]),
            "does not own the host blog.example.com, for door external-https",
        ),
        (
            "a name with the same end",
            hosts(&["evilshop.example.com"]),
            HOSTS,
        ),
        ("the host above", hosts(&["example.com"]), HOSTS),
        ("the wildcard above", hosts(&["*.example.com"]), HOSTS),
        ("the wildcard far above", hosts(&["*.com"]), HOSTS),
        (
            "a second host",
            hosts(&["app.shop.example.com", "a.test", "b.test"]),
            "the host a.test, and 1 more",
        ),
        ("no host", hosts(&[""]), "does not own all hosts"),
        (
            "no host beside its own",
            hosts(&["app.shop.example.com", ""]),
            HOSTS,
        ),
        (
            "a rule with nothing",
            json!({ "spec": { "rules": [{}], "defaultBackend": backend("app") } }),
            HOSTS,
        ),
        (
            "a default alone",
            json!({ "spec": { "rules": null, "defaultBackend": backend("app") } }),
            HOSTS,
        ),
        (
            "an empty list and a default",
            json!({ "spec": { "rules": [], "defaultBackend": backend("app") } }),
            HOSTS,
        ),
        (
            "a resource as the default",
            json!({ "spec": { "rules": null, "defaultBackend": { "resource": { "apiGroup": "a.test", "kind": "A", "name": "a" } } } }),
            HOSTS,
        ),
        (
            "a foreign certificate",
            json!({ "spec": { "tls": [{ "hosts": ["app.shop.example.com", "blog.example.com"] }] } }),
            HOSTS,
        ),
        (
            "a foreign certificate behind",
            json!({ "spec": { "tls": [{ "secretName": "a" }, { "hosts": ["*.example.com"] }] } }),
            HOSTS,
        ),
        ("a foreign alias", annotated(ALIAS, "blog.example.com"), HOSTS),
        (
            "an alias among others",
            annotated(ALIAS, "a.shop.example.com, blog.example.com"),
            HOSTS,
        ),
        (
            "an alias in capitals",
            annotated(ALIAS, "BLOG.example.com."),
            HOSTS,
        ),
        (
            "the wildcard above as an alias",
            annotated(ALIAS, "*.example.com"),
            HOSTS,
        ),
        (
            "an alias without rules",
            json!({ "metadata": { "annotations": { ALIAS: "a.test" } }, "spec": { "rules": null, "defaultBackend": backend("app") } }),
            HOSTS,
        ),
        (
            "a pattern",
            annotated(ALIAS, "~^(.+)\\.shop\\.example\\.com$"),
            HOSTS,
        ),
        ("another alphabet", annotated(ALIAS, "shop.exämple.com"), HOSTS),
        (
            "the foreign twin",
            at(
                "www",
                json!({ "metadata": { "annotations": { TO_WWW: "true" } }, "spec": hosts(&["www.site.example.com"])["spec"] }),
            ),
            "the host site.example.com",
        ),
        (
            "the foreign twin in our spelling",
            at(
                "www",
                json!({ "metadata": { "annotations": { "blastdoor.dev/www-redirect": "on" } }, "spec": hosts(&["www.site.example.com"])["spec"] }),
            ),
            HOSTS,
        ),
        (
            "the foreign twin, oddly said",
            at(
                "www",
                json!({ "metadata": { "annotations": { TO_WWW: "True" } }, "spec": hosts(&["www.site.example.com"])["spec"] }),
            ),
            HOSTS,
        ),
        // What the API server refuses by itself.
        ("capitals", hosts(&["App.shop.example.com"]), "Invalid value"),
        (
            "a dot at the end",
            hosts(&["app.shop.example.com."]),
            "Invalid value",
        ),
        ("a port", hosts(&["app.shop.example.com:443"]), "Invalid value"),
        ("an address", hosts(&["192.0.2.1"]), "Invalid value"),
        (
            "a list",
            hosts(&["blog.example.com,app.shop.example.com"]),
            "Invalid value",
        ),
        (
            "capitals of a certificate",
            json!({ "spec": { "tls": [{ "hosts": ["App.shop.example.com"] }] } }),
            "Invalid value",
        ),
        (
            "a list of a certificate",
            json!({ "spec": { "tls": [{ "hosts": ["blog.example.com,a.shop.example.com"] }] } }),
            "Invalid value",
        ),
        ("two wildcards", hosts(&["*.*.shop.example.com"]), "Invalid value"),
    ]
}
