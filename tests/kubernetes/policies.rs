//! Who may expose where: the chart's admission policies, and every way around them.

mod agreement;
mod cases;
mod changes;
mod chart;
mod classes;
mod grants;

use gateway_tests::get;
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::{ApiServer, until};
use crate::objects::rule;
use crate::rendered::gateway_of;
use cases::{created, namespaces};
use chart::{STANDARD, deny, dry_run, warn};

const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces";
const DOOR: &str = "external-https";

/// An Ingress of namespace `shop`, which may expose it.
fn proper() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": "app", "namespace": "shop", "labels": { "expose": DOOR } },
        "spec": { "rules": [rule("app.shop.example.com", &[("/", "Prefix", "app")])] }
    })
}

/// The proper Ingress with changes (RFC 7396).
fn changed(patch: &Value) -> Value {
    fn merge(target: &mut Value, patch: &Value) {
        let Some(fields) = patch.as_object() else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        for (key, value) in fields {
            if value.is_null() {
                target.as_object_mut().unwrap().remove(key);
            } else {
                merge(&mut target[key], value);
            }
        }
    }
    let mut object = proper();
    merge(&mut object, patch);
    object
}

fn hosts(hosts: &[&str]) -> Value {
    let rules: Vec<Value> = hosts
        .iter()
        .map(|host| rule(host, &[("/", "Prefix", "app")]))
        .collect();
    json!({ "spec": { "rules": rules } })
}

fn annotated(key: &str, value: &str) -> Value {
    json!({ "metadata": { "annotations": { key: value } } })
}

fn at(namespace: &str, mut patch: Value) -> Value {
    patch["metadata"]["namespace"] = namespace.into();
    patch
}

fn labelled(value: &str) -> Value {
    json!({ "metadata": { "labels": { "expose": value } } })
}

const ALIAS: &str = "nginx.ingress.kubernetes.io/server-alias";
const TO_WWW: &str = "nginx.ingress.kubernetes.io/from-to-www-redirect";

fn judge(server: &ApiServer, cases: &[(&str, Value, &str)]) {
    for (what, patch, refused) in cases {
        let object = changed(patch);
        let (status, message) = dry_run(server, &object);
        match *refused {
            "" => assert_eq!(status, 201, "{what}: {message}"),
            "Invalid value" => assert!(
                status == 422 && message.contains(refused),
                "{what}: {status} {message}"
            ),
            _ => assert!(
                status == 403 && message.contains(refused),
                "{what}: {status} {message}"
            ),
        }
    }
}

#[test]
fn no_way_leads_around_the_policies() {
    let server = api_server!();
    namespaces(&server);
    let elsewhere = changed(&at("other", json!({ "metadata": { "name": "old" } })));
    // First they warn. What is written by then stays.
    warn(&server, STANDARD, &elsewhere);
    let (created_it, said) =
        server.kubectl_with(&["create", "--validate=false", "-f", "-"], &elsewhere.to_string());
    assert!(
        created_it
            && said.contains("Warning: Validation failed for ValidatingAdmissionPolicy 'blastdoor-exposure'"),
        "{said}"
    );
    assert!(
        said.contains("namespace other may not expose at door external-https")
            && said.contains("does not own the host"),
        "{said}"
    );
    let log = std::fs::read_to_string(server.path("audit.log")).unwrap();
    assert!(log.contains("validation.policy.admission.k8s.io/validation_failure"));
    // Labels can be written with the status: without a policy about it, this would be the way.
    let mut harmless = changed(&at(
        "other",
        json!({ "metadata": { "name": "status", "labels": null } }),
    ));
    harmless["metadata"]["finalizers"] = json!(["example.com/wait"]);
    server.create(&harmless);
    let to = |name: &str| format!("{INGRESSES}/other/ingresses/{name}");
    let label = json!({ "metadata": { "labels": { "expose": DOOR } } });
    let (status, answer) = server.request("PATCH", &(to("status") + "/status"), Some(&label));
    assert_eq!(
        (status, &answer["metadata"]["labels"]["expose"]),
        (200, &Value::from(DOOR))
    );

    deny(
        &server,
        STANDARD,
        &changed(&at("other", json!({ "metadata": { "name": "next" } }))),
    );
    judge(&server, &created());
    changes::old_ones_can_be_worked_with(&server);
    changes::are_judged(&server);
    changes::of_any_size(&server);
    grants::are_needed(&server);

    // The gateway publishes addresses, also of what is from before: its writes change nothing that matters.
    let publish = "publish = { hostname = \"lb.example.com\" }";
    let gateway = gateway_of(STANDARD, &server.user_with_all_rights("gateway"))
        .door(DOOR, publish)
        .start();
    assert_eq!(get(gateway.door(DOOR), "app.shop.example.com", "/").status, 503);
    for (namespace, name) in [("shop", "app"), ("other", "old")] {
        until("it is published", || {
            let path = format!("{INGRESSES}/{namespace}/ingresses/{name}");
            let status = server.request("GET", &path, None).1["status"].take();
            status.to_string().contains("lb.example.com")
        });
    }
}
