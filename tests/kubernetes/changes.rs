//! What changed, with who wrote it: the field manager and the resource version of the objects behind a publication.

use gateway_tests::{Gateway, gateway};
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::until;
use crate::backend::Backend;
use crate::objects::{app, ingress};

const DOOR: &str = "external-http";
const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";

fn last(gateway: &Gateway) -> Value {
    let (status, body) = gateway.admin("/api/v1/changes");
    assert_eq!(status, 200, "{body}");
    let page: Value = serde_json::from_str(&body).unwrap();
    page["entries"].as_array().unwrap().last().cloned().unwrap()
}

/// The last entry, once its first cause is this change.
fn caused_by(gateway: &Gateway, change: &str) -> Value {
    until(change, || last(gateway)["causes"][0]["change"] == change);
    last(gateway)
}

#[test]
fn each_change_names_its_writer() {
    let server = api_server!();
    let backend = Backend::start("app");
    for object in app("app", &backend) {
        server.create(&object);
    }
    let gateway = gateway!()
        .cluster(&server.admin())
        .door(DOOR, "publish = { hostname = \"lb.example.com\" }")
        .start();

    let created = ingress("web", DOOR, "web.test", "app");
    let (status, _) = server.request("POST", &format!("{INGRESSES}?fieldManager=helm"), Some(&created));
    assert_eq!(status, 201);
    let entry = caused_by(&gateway, "created");
    let cause = &entry["causes"][0];
    assert_eq!(
        (&cause["kind"], &cause["namespace"], &cause["name"]),
        (&json!("Ingress"), &json!("default"), &json!("web"))
    );
    assert_eq!(cause["field_manager"], "helm");
    assert!(cause["written"].as_str().unwrap().ends_with('Z'), "{cause}");
    let version = cause["resource_version"].as_str().unwrap().to_owned();
    assert!(version.parse::<u64>().is_ok(), "{cause}");
    assert_eq!(entry["doors"][0]["changes"][0]["new_host"], true);

    // The gateway itself writes the status later. That is no change of what doors answer, and does not make it the writer.
    until("the status is written", || {
        server.published("web") == json!([{ "hostname": "lb.example.com" }])
    });
    let guarded = json!({ "metadata": { "annotations": { "blastdoor.dev/allow": "10.0.0.0/8" } } });
    let (status, _) = server.request(
        "PATCH",
        &format!("{INGRESSES}/web?fieldManager=kubectl-edit"),
        Some(&guarded),
    );
    assert_eq!(status, 200);
    let entry = caused_by(&gateway, "changed");
    let cause = &entry["causes"][0];
    assert_eq!(cause["field_manager"], "kubectl-edit");
    assert_ne!(cause["resource_version"], version.as_str());
    assert_eq!(entry["doors"][0]["changes"][0]["aspects"], json!(["filters"]));

    assert_eq!(server.request("DELETE", &format!("{INGRESSES}/web"), None).0, 200);
    let entry = caused_by(&gateway, "deleted");
    assert_eq!(
        entry["causes"][0]["field_manager"],
        Value::Null,
        "nothing says who has deleted it"
    );
    assert_eq!(entry["doors"][0]["hosts"]["gone"], 1);
}
