//! What the chart renders for the values beside it, and a gateway with the doors of the same rendering.

use gateway_tests::{Builder, gateway};
use serde_json::{Value, json};

use crate::apiserver::{ApiServer, until};

pub const STANDARD: &str = include_str!("standard.yaml");
pub const CLASSES: &str = include_str!("classes.yaml");

const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
const DOORS: [&str; 4] = [
    "internal-http",
    "internal-https",
    "external-http",
    "external-https",
];

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

/// A gateway with the doors of the rendered listeners.toml, each on a free port.
pub fn gateway_of(rendered: &str, server: &ApiServer) -> Builder {
    let (_, text) = rendered.split_once("  listeners.toml: |\n").unwrap();
    let lines: Vec<&str> = text
        .lines()
        .map_while(|line| line.strip_prefix("    ").or(line.is_empty().then_some("")))
        .collect();
    let mut builder = gateway!().cluster(&server.user_with_all_rights("gateway"));
    for door in DOORS {
        builder = builder.without(door);
    }
    let (mut section, mut found) = ("", 0);
    for line in lines {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if section == "source" && line.starts_with("ingress_class = ") {
            builder = builder.source(line);
        } else if let Some(door) = section.strip_prefix("listeners.") {
            let is_address = line.starts_with("bind = ");
            found += usize::from(is_address);
            builder = builder.door(
                door,
                if is_address {
                    "bind = \"127.0.0.1:0\"\nworkers = 1"
                } else {
                    line
                },
            );
        }
    }
    assert!(found > 2, "{rendered}");
    builder
}
