//! Mistakes that users make, made for real on a set-up that is well, found by the doctor, and put right again.

use serde_json::{Value, json};

use crate::chart::NAME;
use crate::cluster::Cluster;
use crate::doctor;

/// A DaemonSet with host ports that is to start a second pod on a node.
pub fn surge_on_host_ports(cluster: &Cluster) {
    let strategy = |surge: u8| {
        let update = json!({ "maxSurge": surge, "maxUnavailable": 1 - surge });
        json!({ "spec": { "updateStrategy": { "rollingUpdate": update } } })
    };
    patch(cluster, "daemonset", NAME, &strategy(1));
    doctor::finds(cluster, "GW301", &["maxSurge"]);
    patch(cluster, "daemonset", NAME, &strategy(0));
    doctor::finds_no_longer(cluster, "GW301");
}

/// Every Secret of the cluster, for a gateway that ends no TLS.
pub fn all_secrets(cluster: &Cluster) {
    let name = "too-much";
    let api = "rbac.authorization.k8s.io";
    let rules = json!([{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"] }]);
    cluster.apply_objects(vec![
        json!({
            "apiVersion": format!("{api}/v1"), "kind": "ClusterRole",
            "metadata": { "name": name }, "rules": rules,
        }),
        json!({
            "apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding", "metadata": { "name": name },
            "roleRef": { "apiGroup": api, "kind": "ClusterRole", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": NAME }],
        }),
    ]);
    doctor::finds(cluster, "GW501", &[name]);
    cluster.kubectl(&["delete", "clusterrole,clusterrolebinding", name]);
    doctor::finds_no_longer(cluster, "GW501");
}

/// The target group of the external ALB, bound to the internal door.
pub fn wrong_port(cluster: &Cluster) {
    let to = |door: &str| {
        let service = json!({ "name": format!("{NAME}-{door}"), "port": door });
        json!({ "spec": { "serviceRef": service } })
    };
    let binding = format!("{NAME}-external-https");
    patch(cluster, "targetgroupbinding", &binding, &to("internal-https"));
    doctor::finds(cluster, "GW202", &["external-https", "internal-https"]);
    patch(cluster, "targetgroupbinding", &binding, &to("external-https"));
    doctor::finds_no_longer(cluster, "GW202");
}

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
