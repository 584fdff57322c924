//! Mistakes that users make, made for real on a set-up that is well, found by the doctor, and put right again.

use serde_json::{Value, json};

use super::Stage;
use crate::chart::NAME;
use crate::client::Target;
use crate::cluster::{Cluster, until};
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

/// The origin certificate, which a door answers with by default, is lost.
pub fn no_origin_certificate(stage: &Stage) {
    let cluster = &stage.cluster;
    let name = "cloudflare-origin";
    cluster.kubectl(&["delete", "secret", name, "-n", NAME]);
    doctor::finds_at(cluster, "GW503", "Secret", name, &["external-https"]);
    stage.origin_secrets();
    doctor::finds_no_longer(cluster, "GW503");
}

/// Somebody else's pod with a host port that a door of the host network uses. It takes the door's connections.
pub fn taken_port(cluster: &Cluster, node: &str, door: &Target, host: &str) {
    let (name, namespace) = ("another-proxy", "shop");
    let port = door.address.port();
    cluster.apply_objects(vec![json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "nodeName": node,
            "containers": [{
                "name": "app", "image": "localhost/backend:1", "env": [{ "name": "APP", "value": name }],
                "ports": [{ "containerPort": 8080, "hostPort": port }],
            }],
        },
    })]);
    let told = [name, &format!(":{port}"), node];
    doctor::finds_at(cluster, "GW304", "DaemonSet", NAME, &told);
    let in_clear = Target::at(door.address);
    until("the other pod takes the connections", || {
        match in_clear.get(host, "/") {
            Ok(answer) if answer.body.starts_with(name) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    cluster.kubectl(&["delete", "pod", name, "-n", namespace]);
    doctor::finds_no_longer(cluster, "GW304");
    until("the door has its port again", || match door.get(host, "/") {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// Pods on the host network that ask the node's resolver.
pub fn resolver_of_the_node(cluster: &Cluster) {
    let values = [json!("ClusterFirstWithHostNet"), json!("ClusterFirst")];
    of_pods(cluster, "GW302", "dnsPolicy", values);
}

/// Less time than the drain takes.
pub fn short_grace(cluster: &Cluster) {
    of_pods(
        cluster,
        "GW401",
        "terminationGracePeriodSeconds",
        [json!(45), json!(20)],
    );
}

/// A field of the DaemonSet's pods: what the preset has there, and the mistake. Each change begins a rollout, for whose end
/// nobody waits here.
fn of_pods(cluster: &Cluster, id: &str, field: &str, [right, wrong]: [Value; 2]) {
    let written = cluster.objects(&["get", "daemonset", NAME, "-n", NAME]);
    assert_eq!(written[0]["spec"]["template"]["spec"][field], right, "{field}");
    let pods = |value: &Value| json!({ "spec": { "template": { "spec": { field: value } } } });
    patch(cluster, "daemonset", NAME, &pods(&wrong));
    let value = wrong.as_str().map_or_else(|| wrong.to_string(), str::to_owned);
    doctor::finds_at(cluster, id, "DaemonSet", NAME, &[field, &value]);
    patch(cluster, "daemonset", NAME, &pods(&right));
    doctor::finds_no_longer(cluster, id);
}

fn patch(cluster: &Cluster, kind: &str, name: &str, patch: &Value) {
    let patch = patch.to_string();
    cluster.kubectl(&["patch", kind, name, "-n", NAME, "--type=merge", "--patch", &patch]);
}
