//! Ingresses that change, and those from before the policies.

use serde_json::{Value, json};

use super::chart::dry_run;
use super::{ALIAS, DOOR, INGRESSES, TO_WWW, annotated, changed, hosts, labelled, proper};
use crate::apiserver::{ApiServer, collection, until};
use crate::objects::backend;

/// `old` and `status` in namespace `other` are from before, and against the rules.
pub fn old_ones_can_be_worked_with(server: &ApiServer) {
    let to = |name: &str| format!("{INGRESSES}/other/ingresses/{name}");
    let patch = |path: &str, patch: &Value| {
        let (status, answer) = server.request("PATCH", path, Some(patch));
        (status, answer["message"].as_str().unwrap_or_default().to_owned())
    };
    let cases = [
        (
            "an annotation about something else",
            to("old"),
            annotated("example.com/a", "b"),
            200,
        ),
        (
            "a finalizer",
            to("old"),
            json!({ "metadata": { "finalizers": ["example.com/wait"] } }),
            200,
        ),
        (
            "no finalizer",
            to("old"),
            json!({ "metadata": { "finalizers": null } }),
            200,
        ),
        (
            "a status",
            to("old") + "/status",
            json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } } }),
            200,
        ),
        (
            "a further label",
            to("old"),
            json!({ "metadata": { "labels": { "team": "a" } } }),
            403,
        ),
        (
            "a further host",
            to("old"),
            hosts(&["app.shop.example.com", "b.test"]),
            403,
        ),
        (
            "another class",
            to("old"),
            annotated("kubernetes.io/ingress.class", "nginx"),
            403,
        ),
        ("another door", to("old"), labelled("internal-http"), 403),
        ("an alias", to("old"), annotated(ALIAS, "a.test"), 403),
        (
            "an alias with the status",
            to("old") + "/status",
            annotated(ALIAS, "a.test"),
            403,
        ),
        (
            "the twin with the status",
            to("old") + "/status",
            annotated(TO_WWW, "true"),
            403,
        ),
        (
            "no door",
            to("status"),
            json!({ "metadata": { "labels": null } }),
            200,
        ),
    ];
    for (what, path, change, expected) in cases {
        let (status, message) = patch(&path, &change);
        assert_eq!(status, expected, "{what}: {message}");
    }
    // What is deleted must be able to go, finalizers included.
    assert_eq!(server.request("DELETE", &to("status"), None).0, 200);
    assert_eq!(
        patch(&to("status"), &json!({ "metadata": { "finalizers": null } })).0,
        200
    );
    until("it is gone", || {
        server.request("GET", &to("status"), None).0 == 404
    });
}

pub fn are_judged(server: &ApiServer) {
    let app = proper();
    server.create(&app);
    let one = format!("{}/app", collection(&app));
    let mut unlabelled =
        changed(&json!({ "metadata": { "name": "quiet", "namespace": "other", "labels": null } }));
    server.create(&unlabelled);
    let quiet = format!("{}/quiet", collection(&unlabelled));
    let cases = [
        ("a label", &quiet, labelled(DOOR)),
        (
            "a label with the status",
            &(quiet.clone() + "/status"),
            labelled(DOOR),
        ),
        ("between doors", &one, labelled("external-http")),
        (
            "between doors with the status",
            &(one.clone() + "/status"),
            labelled("external-http"),
        ),
        ("a foreign host", &one, hosts(&["blog.example.com"])),
        ("no host", &one, hosts(&[""])),
        (
            "a default instead of rules",
            &one,
            json!({ "spec": { "rules": null, "defaultBackend": backend("app") } }),
        ),
        (
            "a certificate",
            &one,
            json!({ "spec": { "tls": [{ "hosts": ["blog.example.com"], "secretName": "a" }] } }),
        ),
        ("an alias", &one, annotated(ALIAS, "blog.example.com")),
        (
            "an alias with the status",
            &(one.clone() + "/status"),
            annotated(ALIAS, "blog.example.com"),
        ),
    ];
    for (what, path, patch) in cases {
        let (status, answer) = server.request("PATCH", path, Some(&patch));
        assert_eq!(
            (status, &answer["reason"]),
            (403, &Value::from("Forbidden")),
            "{what}: {answer}"
        );
        let (status, answer) = server.request("PATCH", &format!("{path}?dryRun=All"), Some(&patch));
        assert_eq!(status, 403, "{what}, dry run: {answer}");
    }
    for (what, patch) in [
        ("another own host", hosts(&["b.shop.example.com"])),
        ("another own door", labelled("internal-http")),
        ("and back", labelled(DOOR)),
        ("its first host", hosts(&["app.shop.example.com"])),
    ] {
        let (status, answer) = server.request("PATCH", &one, Some(&patch));
        assert_eq!(status, 200, "{what}: {answer}");
    }
    // All other ways to write.
    unlabelled["metadata"]["labels"] = json!({ "expose": DOOR });
    assert_eq!(server.request("PUT", &quiet, Some(&unlabelled)).0, 403);
    assert_eq!(
        server
            .request("PUT", &(quiet.clone() + "/status"), Some(&unlabelled))
            .0,
        403
    );
    for arguments in [
        &["apply", "--validate=false", "-f", "-"] as &[&str],
        &[
            "apply",
            "--validate=false",
            "--server-side",
            "--force-conflicts",
            "-f",
            "-",
        ],
        &["replace", "--validate=false", "-f", "-"],
    ] {
        let (written, said) = server.kubectl_with(arguments, &unlabelled.to_string());
        assert!(
            !written && said.contains("may not expose"),
            "{arguments:?}: {said}"
        );
    }
    assert_eq!(
        server.request("GET", &quiet, None).1["metadata"]["labels"],
        Value::Null
    );

    // A namespace that may no longer: what is there stays until it is changed.
    let shop = "/api/v1/namespaces/shop";
    let allow = |value: Value| {
        let patch = json!({ "metadata": { "labels": { "blastdoor.dev/allow-external-https": value } } });
        assert_eq!(server.request("PATCH", shop, Some(&patch)).0, 200);
    };
    allow(Value::Null);
    until("the namespace is known to have changed", || {
        dry_run(server, &next(json!({}))).0 == 403
    });
    assert_eq!(
        server
            .request("PATCH", &one, Some(&annotated("example.com/a", "b")))
            .0,
        200
    );
    assert_eq!(
        server
            .request("PATCH", &one, Some(&hosts(&["c.shop.example.com"])))
            .0,
        403
    );
    allow("true".into());
    until("the namespace may again", || {
        dry_run(server, &next(json!({}))).0 == 201
    });
}

/// An expression may cost so much and no more. What costs more is refused.
pub fn of_any_size(server: &ApiServer) {
    let many = |count: usize| -> Vec<String> {
        (0..count)
            .map(|number| format!("h{number}.shop.example.com"))
            .collect()
    };
    let object = |count: usize| {
        let names = many(count);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        next(hosts(&names))
    };
    let (status, message) = dry_run(server, &object(2000));
    assert_eq!(status, 201, "{message}");
    let owned = |suffixes: usize| {
        let suffixes: Vec<String> = (0..suffixes)
            .map(|number| format!("*.s{number}.example.com"))
            .collect();
        let patch = annotated(
            "blastdoor.dev/hosts",
            &format!("{} *.shop.example.com", suffixes.join(" ")),
        );
        assert_eq!(
            server.request("PATCH", "/api/v1/namespaces/shop", Some(&patch)).0,
            200
        );
    };
    owned(50);
    until("the namespace is known to have changed", || {
        dry_run(server, &next(hosts(&["shop.example.com"]))).0 == 403
    });
    let (status, message) = dry_run(server, &object(1000));
    assert_eq!(status, 201, "{message}");
    owned(500);
    until("the namespace is known to have changed", || {
        dry_run(server, &next(hosts(&["a.s499.example.com"]))).0 == 201
    });
    let (status, message) = dry_run(server, &object(1000));
    assert!(
        status == 422 && message.contains("actual cost limit exceeded"),
        "{status} {message}"
    );
}

/// Another one than those that are there.
fn next(mut patch: Value) -> Value {
    patch["metadata"]["name"] = "next".into();
    changed(&patch)
}
