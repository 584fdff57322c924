//! Mistakes that users make, made for real on a set-up that is well, found by the doctor, and put right again.

use serde_json::{Value, json};

use crate::chart::NAME;
use crate::cluster::Cluster;
use crate::doctor;

/// `externalTrafficPolicy: Cluster`, with a node that runs no gateway.
pub fn blind_node(cluster: &Cluster, node: &str) {
    let service = format!("{NAME}-external");
    let policy = |policy: &str| json!({ "spec": { "externalTrafficPolicy": policy } });
    patch(cluster, "service", &service, &policy("Cluster"));
    doctor::finds(cluster, "GW101", &[node]);
    patch(cluster, "service", &service, &policy("Local"));
    doctor::finds_no_longer(cluster, "GW101");
}

fn patch(cluster: &Cluster, kind: &str, name: &str, patch: &Value) {
    let patch = patch.to_string();
    cluster.kubectl(&["patch", kind, name, "-n", NAME, "--type=merge", "--patch", &patch]);
}
