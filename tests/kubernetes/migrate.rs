//! `migrate` against an API server: it reads what it needs, and writes nothing.

use std::collections::BTreeSet;

use gateway_tests::gateway;
use serde_json::{Value, json};

use crate::api_server;
use crate::backend::Backend;
use crate::middlewares::define;
use crate::objects::{app, ingress};

#[test]
fn a_cluster_is_read_and_nothing_is_written() {
    let server = api_server!();
    define(&server);
    let backend = Backend::start("web");
    for object in app("web", &backend) {
        server.create(&object);
    }
    let mut old = ingress("old", "none", "old.test", "web");
    old["metadata"]["labels"] = json!({});
    old["metadata"]["annotations"] = json!({
        "traefik.ingress.kubernetes.io/router.middlewares": "default-strip@kubernetescrd,default-users@kubernetescrd",
    });
    old["spec"]["ingressClassName"] = json!("traefik");
    server.create(&old);
    let middleware = |name: &str, spec: Value| {
        json!({
            "apiVersion": "traefik.io/v1alpha1", "kind": "Middleware",
            "metadata": {"name": name, "namespace": "default"}, "spec": spec,
        })
    };
    server.create(&middleware(
        "strip",
        json!({"stripPrefix": {"prefixes": ["/api"]}}),
    ));
    server.create(&middleware("users", json!({"basicAuth": {"secret": "users"}})));
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "users", "namespace": "default"},
        "stringData": {"users": "a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="},
    });
    server.create(&secret);

    let builder = gateway!().cluster(&server.user_with_all_rights("mover"));
    let copies = builder.folder().join("copies");
    let output = builder.run(&[
        "migrate",
        "--door",
        "traefik=external-http",
        "--write",
        copies.to_str().unwrap(),
        "-o",
        "json",
    ]);
    assert_eq!(output.status, 1, "{output:#?}");
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let found = &report["ingresses"][0];
    assert_eq!(
        (&found["ingress"], &found["file"]),
        (&"default/old".into(), &Value::Null)
    );
    assert_eq!(found["add_labels"], json!({"expose": "external-http"}));
    // The Secret of the Middleware has been read, by its name, and the Service has its endpoint.
    assert_eq!(found["routes"][0]["state"], "ready", "{report:#}");
    let kinds: Vec<&str> = found["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect();
    assert!(
        kinds.iter().all(|kind| *kind == "middleware-differs"),
        "{report:#}"
    );
    assert_eq!(report["unreadable"], json!([]));
    assert!(!output.stdout.contains("5en6G6"), "no secret is printed");

    let written = std::fs::read_to_string(copies.join("default.old.yaml")).unwrap();
    for gone in ["managedFields", "resourceVersion", "status:", "uid:"] {
        assert!(!written.contains(gone), "{written}");
    }
    // An API server takes the copy.
    server.apply(&written);
    let (_, object) = server.request(
        "GET",
        "/apis/networking.k8s.io/v1/namespaces/default/ingresses/old",
        None,
    );
    assert_eq!(object["metadata"]["labels"], json!({"expose": "external-http"}));

    let verbs: BTreeSet<String> = server
        .asked_by("mover")
        .into_iter()
        .map(|asked| asked.verb)
        .collect();
    assert_eq!(verbs, BTreeSet::from(["get".to_owned(), "list".to_owned()]));
}
