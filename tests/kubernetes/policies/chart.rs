//! What the chart renders for the values beside it.

use serde_json::{Value, json};

use crate::apiserver::{ApiServer, until};

pub const STANDARD: &str = include_str!("standard.yaml");
pub const CLASSES: &str = include_str!("classes.yaml");

const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

/// Everything but the ConfigMap, whose namespace need not exist.
fn policies(rendered: &str) -> String {
    let documents = rendered.split("---\n");
    let kept: Vec<&str> = documents
        .filter(|text| !text.contains("kind: ConfigMap"))
        .collect();
    kept.join("---\n")
}

/// Applies the policies, and waits until they refuse.
pub fn deny(server: &ApiServer, rendered: &str, refused: &Value) {
    server.apply(&policies(rendered));
    until("the policies are in force", || dry_run(server, refused).0 == 403);
}

/// The policies as they are first: they warn.
pub fn warn(server: &ApiServer, rendered: &str, refused: &Value) {
    let warning = rendered.replace(r#"["Deny","Audit"]"#, r#"["Warn","Audit"]"#);
    assert_ne!(warning, rendered);
    server.apply(&policies(&warning));
    until("the policies are in force", || {
        let (_, said) = server.kubectl_with(
            &["create", "--validate=false", "--dry-run=server", "-f", "-"],
            &refused.to_string(),
        );
        said.contains("Warning: ")
    });
}

/// Without bindings, policies do nothing.
pub fn unbind(server: &ApiServer, now_admitted: &Value) {
    for binding in ["blastdoor-exposure", "blastdoor-grants"] {
        assert_eq!(
            server.request("DELETE", &format!("{BINDINGS}/{binding}"), None).0,
            200
        );
    }
    until("the policies are no longer in force", || {
        dry_run(server, now_admitted).0 == 201
    });
}

/// What would happen if it were created.
pub fn dry_run(server: &ApiServer, object: &Value) -> (u16, String) {
    let path = crate::apiserver::collection(object);
    let (status, answer) = server.request("POST", &format!("{path}?dryRun=All"), Some(object));
    (status, answer["message"].as_str().unwrap_or_default().to_owned())
}

pub fn namespace(name: &str, doors: &[&str], hosts: &str) -> Value {
    let labels = doors
        .iter()
        .map(|door| (format!("blastdoor.dev/allow-{door}"), Value::from("true")));
    let mut object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    object["metadata"]["labels"] = Value::Object(labels.collect());
    if !hosts.is_empty() {
        object["metadata"]["annotations"] = json!({ "blastdoor.dev/hosts": hosts });
    }
    object
}
