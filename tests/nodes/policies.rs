//! The chart's admission policies: who may expose what at which door, judged by the API server itself.

use serde_json::{Value, json};

use crate::cluster::{Cluster, until};

/// What the chart is told to enforce them.
pub fn enforced() -> Value {
    json!({ "enabled": true, "validationActions": ["Deny"] })
}

/// What the platform allows a namespace: one door, and its own hosts.
pub fn grant(cluster: &Cluster, namespace: &str, doors: &[&str], hosts: &str) {
    let labels: Vec<String> = doors
        .iter()
        .map(|door| format!("blastdoor.dev/allow-{door}=true"))
        .collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    cluster.kubectl(&[&["label", "--overwrite", "namespace", namespace][..], &labels].concat());
    let hosts = format!("blastdoor.dev/hosts={hosts}");
    cluster.kubectl(&["annotate", "--overwrite", "namespace", namespace, &hosts]);
}

/// The namespace `office` has the internal doors and `corp.example.com`. The platform has said so.
pub fn hold(cluster: &Cluster) {
    // A policy begins to count a moment after it is there.
    until("a door that is not the namespace's is refused", || {
        refused(
            cluster,
            "external-https",
            "wiki2.corp.example.com",
            "external-https",
        )
    });
    for (door, host, because) in [
        ("external-http", "wiki2.corp.example.com", "external-http"),
        ("internal-http", "wiki2.example.org", "wiki2.example.org"),
        ("internal-https", "*.example.com", "*.example.com"),
    ] {
        refused(cluster, door, host, because).unwrap();
    }
    for door in ["internal-http", "internal-https"] {
        let told = cluster.tried(
            &["apply", "--dry-run=server", "-f", "-"],
            &ingress(door, "wiki2.corp.example.com"),
        );
        told.unwrap_or_else(|told| panic!("{door}: {told}"));
    }
    // A label that changes counts as well.
    let relabel = [
        "label",
        "--overwrite",
        "--dry-run=server",
        "-n",
        "office",
        "ingress",
        "wiki",
    ];
    let told = cluster.tried(&[&relabel[..], &["expose=external-http"]].concat(), "");
    assert!(
        told.as_ref().is_err_and(|told| told.contains("external-http")),
        "{told:?}"
    );
    println!("  the API server refuses other doors and other hosts");
}

fn refused(cluster: &Cluster, door: &str, host: &str, because: &str) -> Result<(), String> {
    match cluster.tried(&["apply", "--dry-run=server", "-f", "-"], &ingress(door, host)) {
        Err(told) if told.contains("ValidatingAdmissionPolicy") && told.contains(because) => Ok(()),
        other => Err(format!("{door} {host}: {other:?}")),
    }
}

fn ingress(door: &str, host: &str) -> String {
    let backend = json!({ "service": { "name": "wiki", "port": { "number": 80 } } });
    let paths = json!([{ "path": "/", "pathType": "Prefix", "backend": backend }]);
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": "wiki2", "namespace": "office", "labels": { "expose": door } },
        "spec": { "rules": [{ "host": host, "http": { "paths": paths } }] },
    });
    ingress.to_string()
}
