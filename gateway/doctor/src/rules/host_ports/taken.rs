//! GW304: somebody else has the node's port.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use super::ports::{HostPort, declared};
use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::gateway::{Controller, Workload};
use crate::kind::Kind;
use crate::placement::obstacle;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::words::list;

/// The Service for which k3s' ServiceLB has made a pod (`pkg/cloudprovider/servicelb.go` of k3s).
const SERVICE_LB: &str = "svccontroller.k3s.cattle.io/svcname";
const SERVICE_LB_NAMESPACE: &str = "svccontroller.k3s.cattle.io/svcnamespace";

pub(super) const RULE: Rule = Rule {
    id: Id("GW304"),
    severity: Severity::Error,
    condition: "On a node of the gateway, another pod has a `hostPort` that a door uses: k3s' ServiceLB, another proxy.",
    effect: "The gateway's pod stays Pending there; or, where it declares no ports, the other's redirection takes the connections.",
    fix: "k3s: `disable: [servicelb, traefik]`; or labels that keep the other off these nodes.",
    needs: &[Kind::Pod, Kind::Node],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    for workload in scene.workloads {
        let ours = own_ports(workload);
        if ours.is_empty() {
            continue;
        }
        // By whoever has made the pods: a DaemonSet is one mistake, not one for each node.
        let mut others: BTreeMap<String, Vec<&Pod>> = BTreeMap::new();
        for pod in scene
            .inventory
            .pods
            .iter()
            .filter(|pod| takes(scene, workload, pod, &ours))
        {
            let owner = pod.metadata.owner_references.iter().flatten().next();
            let key = owner.map_or_else(
                || pod.metadata.name.clone().unwrap_or_default(),
                |owner| owner.name.clone(),
            );
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            others.entry(format!("{namespace}/{key}")).or_default().push(pod);
        }
        found.findings.extend(
            others
                .iter()
                .filter_map(|(owner, pods)| finding(workload, owner, pods, &ours)),
        );
    }
}

/// The ports of the node that the gateway uses, declared or not.
fn own_ports(workload: &Workload<'_>) -> Vec<HostPort> {
    let mut ports = declared(workload.spec);
    if workload.spec.host_network == Some(true) {
        for door in &workload.configuration.doors {
            let number = i32::from(door.port());
            if ports.iter().all(|port| port.number != number) {
                let protocol = "TCP".to_owned();
                ports.push(HostPort {
                    number,
                    protocol,
                    address: String::new(),
                });
            }
        }
    }
    ports
}

fn takes(scene: &Scene<'_>, workload: &Workload<'_>, pod: &Pod, ours: &[HostPort]) -> bool {
    let is_own = workload.pods.iter().any(|own| std::ptr::eq(*own, pod));
    let is_over = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let Some(spec) = &pod.spec else { return false };
    let Some(node) = spec.node_name.as_deref() else {
        return false;
    };
    !is_own
        && !matches!(is_over, Some("Succeeded" | "Failed"))
        && declared(spec)
            .iter()
            .any(|theirs| ours.iter().any(|port| port.conflicts(theirs)))
        && is_for(scene, workload, node)
}

/// Whether the gateway is on this node, or is meant to be.
fn is_for(scene: &Scene<'_>, workload: &Workload<'_>, name: &str) -> bool {
    let mut pods = workload
        .pods
        .iter()
        .filter_map(|pod| pod.spec.as_ref()?.node_name.as_deref());
    let is_there = pods.any(|node| node == name);
    let is_daemon_set = matches!(workload.controller, Controller::DaemonSet(_));
    is_there
        || is_daemon_set
            && scene
                .nodes()
                .any(|node| node.name() == name && obstacle(workload.spec, node).is_none())
}

fn finding(workload: &Workload<'_>, owner: &str, pods: &[&Pod], ours: &[HostPort]) -> Option<Finding> {
    let first = pods.first()?;
    let nodes = pods
        .iter()
        .filter_map(|pod| pod.spec.as_ref()?.node_name.as_deref());
    let mut nodes: Vec<&str> = nodes.collect();
    nodes.sort_unstable();
    nodes.dedup();
    let theirs = declared(first.spec.as_ref()?);
    let both = theirs
        .iter()
        .filter(|port| ours.iter().any(|own| own.conflicts(port)));
    let both: Vec<String> = both.map(|port| format!(":{}", port.number)).collect();
    let label = |key: &str| first.metadata.labels.as_ref().and_then(|labels| labels.get(key));
    let service = label(SERVICE_LB);
    let who = if service.is_some() { "k3s ServiceLB" } else { owner };
    let mut finding = Finding::new(
        RULE.id,
        RULE.severity,
        workload.name.clone(),
        format!("{who} already takes {} on {}.", both.join(" and "), list(&nodes)),
    );
    for pod in pods {
        let name = ObjectName::of(Kind::Pod, &pod.metadata);
        finding = finding.evidence(name, "spec.containers[].ports[].hostPort", both.join(", "));
    }
    let numbers = ours
        .iter()
        .filter(|port| both.contains(&format!(":{}", port.number)));
    finding = finding
        .evidence(
            workload.name.clone(),
            "spec.template.spec.hostNetwork",
            workload.spec.host_network == Some(true),
        )
        .evidence(
            workload.name.clone(),
            "ports of the node",
            list(numbers.map(|port| port.number.to_string())),
        );
    let finding = finding.effect(
        "Where the gateway declares these ports, its pods stay Pending there (`didn't have free ports`). Where it does not, connections go \
         to the other pod: its redirection wins over a socket of the host.",
    );
    let Some(service) = service else {
        return Some(finding.advice(format!(
            "Remove {owner}, or keep it off these nodes (a `nodeSelector` on either), or give it other ports."
        )));
    };
    let namespace = label(SERVICE_LB_NAMESPACE).map_or("kube-system", String::as_str);
    let object = ObjectName::namespaced(Kind::Service, namespace, service);
    Some(
        finding
            .evidence(object, "spec.type", "LoadBalancer")
            .fix(
                "Switch off what k3s brings along, on each server.",
                "printf 'disable: [servicelb, traefik]\\n' | sudo tee /etc/rancher/k3s/config.yaml.d/60-blastdoor.yaml\nsudo systemctl restart k3s",
            )
            .fix(
                "Or keep ServiceLB on other nodes: as soon as one node has this label, only those that have it are used.",
                "kubectl label node OTHER-NODE svccontroller.k3s.cattle.io/enablelb=true",
            ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::fixture::Fixture;

    #[test]
    fn a_port_of_a_node_has_one_owner() {
        let on_host = || json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"});
        let mapped = || json!({"containers": [{"name": "blastdoor", "image": "blastdoor:0.1.0", "ports": [{"containerPort": 10002, "hostPort": 10002}]}]});
        let port = |number: i32, address: &str| json!({"containerPort": 8080, "hostPort": number, "hostIP": address});
        let table = [
            (on_host(), "a", port(10002, ""), true),
            (mapped(), "a", port(10002, ""), true),
            (mapped(), "a", port(10003, ""), false),
            (on_host(), "a", port(10003, "127.0.0.1"), true),
            (on_host(), "a", port(80, ""), false),
            (on_host(), "a", json!({"containerPort": 10002}), false),
            (
                on_host(),
                "a",
                json!({"containerPort": 10002, "hostPort": 10002, "protocol": "UDP"}),
                false,
            ),
            // Meant for the gateway, which has no pod there.
            (on_host(), "b", port(10002, ""), true),
            // Not meant for the gateway.
            (
                json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet", "nodeSelector": {"edge": "true"}}),
                "b",
                port(10002, ""),
                false,
            ),
            (json!({}), "a", port(10002, ""), false),
        ];
        for (spec, node, port, expected) in table {
            let other: Value = json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other", "namespace": "other"},
                "spec": {"nodeName": node, "containers": [{"name": "other", "image": "other", "ports": [port]}]},
                "status": {"phase": "Running"},
            });
            let cluster = Fixture::new()
                .nodes(&["a", "b"])
                .daemon_set(&["a"], spec.clone())
                .with(other);
            let found = cluster.findings("GW304");
            assert_eq!(!found.is_empty(), expected, "{spec} {node} {port}: {found:?}");
        }
    }
}
