//! GW403: gateways on nodes that their provider may take away.

use serde_json::json;

use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::gateway::{Controller, Workload};
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::traffic::NodeView;
use crate::words::list;

pub(super) const RULE: Rule = Rule {
    id: Id("GW403"),
    severity: Severity::Warning,
    condition: "Pods of the gateway are on Spot or preemptible nodes.",
    effect: "When the node is taken away, a pod has 15 s at most (GKE; 2 minutes of notice on AWS if something acts on it): the drain is cut.",
    fix: "A node affinity that keeps the gateway off these nodes.",
    needs: &[Kind::Pod, Kind::Node],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    for workload in scene.workloads {
        let pods = workload
            .pods
            .iter()
            .filter_map(|pod| Some((pod, pod.spec.as_ref()?.node_name.as_deref()?)));
        let spot = pods.filter_map(|(pod, name)| {
            let node = scene.nodes().find(|node| node.name() == name)?;
            node.spot()
                .is_some()
                .then(|| (ObjectName::of(Kind::Pod, &pod.metadata), node))
        });
        let mut spot: Vec<(ObjectName, NodeView<'_>)> = spot.collect();
        spot.sort_by_key(|(_, node)| node.name());
        if !spot.is_empty() {
            found.findings.push(finding(workload, &spot));
        }
    }
}

fn finding(workload: &Workload<'_>, spot: &[(ObjectName, NodeView<'_>)]) -> Finding {
    let name = &workload.name;
    let mut nodes: Vec<&str> = spot.iter().map(|(_, node)| node.name()).collect();
    nodes.dedup();
    let mut finding = Finding::new(
        RULE.id,
        RULE.severity,
        name.clone(),
        format!(
            "{} of {} pods are on Spot or preemptible nodes ({}): 15 s at most to drain.",
            spot.len(),
            workload.pods.len(),
            list(&nodes)
        ),
    );
    let mut labels: Vec<(&str, &str)> = Vec::new();
    for (pod, node) in spot {
        finding = finding.evidence(pod.clone(), "spec.nodeName", node.name());
        if let Some((label, value)) = node.spot() {
            finding = finding.evidence(node.object(), format!("metadata.labels[{label}]"), value);
            labels.push((label, value));
        }
    }
    labels.sort_unstable();
    labels.dedup();
    let finding = finding.effect(
        "When such a node is taken away, its connections break after 15 s at most: clients see 502, Cloudflare 520 or 502, and the drain of \
         the door has no time.",
    );
    let expressions = labels
        .iter()
        .map(|(key, value)| json!({"key": key, "operator": "NotIn", "values": [value]}));
    let terms = json!([{"matchExpressions": expressions.collect::<Vec<_>>()}]);
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
    let has_affinity = workload
        .spec
        .affinity
        .as_ref()
        .is_some_and(|affinity| affinity.node_affinity.is_some());
    let text =
        "Keep the gateway off these nodes, and out of what the load balancer registers there (GW101, GW103).";
    match workload.controller {
        Controller::Pod(_) => finding.advice(text),
        // A merge would replace the terms that are there.
        _ if has_affinity => {
            finding.advice(format!("{text} Add to each term of the node affinity: {terms}."))
        }
        Controller::DaemonSet(_) | Controller::Deployment(_) => finding.fix(
            text,
            name.patch(&json!({"spec": {"template": {"spec": {"affinity": affinity}}}})),
        ),
    }
}
