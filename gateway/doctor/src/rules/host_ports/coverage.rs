//! GW305: nodes that are sent traffic and do not serve.

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::gateway::{Controller, Front, Workload};
use crate::kind::Kind;
use crate::placement::{Obstacle, obstacle};
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::traffic::NodeView;
use crate::words::list;

pub(super) const RULE: Rule = Rule {
    id: Id("GW305"),
    severity: Severity::Error,
    condition: "Not every pod of the gateway's DaemonSet is ready; or a node of `--expect-nodes` has no ready gateway.",
    effect: "Who sends traffic by DNS does not know: Cloudflare goes on sending to that node (521, 522), as do clients.",
    fix: "What keeps the pod from being ready; tolerations; or the node's address out of DNS.",
    needs: &[Kind::Pod, Kind::Node],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    for workload in scene.workloads {
        found.findings.extend(unready(scene, workload));
    }
    for name in &scene.request.expected_nodes {
        found.findings.extend(expected(scene, name));
    }
}

/// `status.conditions[Ready]`
pub(super) fn is_ready(pod: &Pod) -> bool {
    let mut conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Why a pod is not ready, as far as it says.
pub(super) fn state(pod: &Pod) -> String {
    let Some(status) = &pod.status else {
        return "unknown".to_owned();
    };
    for container in status.container_statuses.iter().flatten() {
        let state = container.state.as_ref();
        let waiting = state
            .and_then(|state| state.waiting.as_ref())
            .and_then(|it| it.reason.as_deref());
        let ended = state.and_then(|state| state.terminated.as_ref());
        let last = container
            .last_state
            .as_ref()
            .and_then(|state| state.terminated.as_ref());
        let code = ended
            .or(last)
            .map(|it| format!(", exit code {}", it.exit_code))
            .unwrap_or_default();
        if waiting.is_some() || ended.is_some() {
            return format!(
                "{}{code}, {} restarts",
                waiting.unwrap_or("Terminated"),
                container.restart_count
            );
        }
    }
    let mut conditions = status.conditions.iter().flatten();
    let unscheduled =
        conditions.find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    let message = unscheduled.and_then(|condition| condition.message.as_deref());
    let phase = status.phase.as_deref().unwrap_or("Unknown");
    message.map_or_else(
        || format!("{phase}, not ready"),
        |message| format!("{phase}: {message}"),
    )
}

fn who(workload: &Workload<'_>) -> &'static str {
    let mut doors = workload.configuration.doors.iter();
    if doors.any(|door| door.front == Front::Cloudflare) {
        "Cloudflare"
    } else {
        "Whoever has its address"
    }
}

/// What is seen of nodes that do not serve. On ports of the node, nothing but their addresses leads to them.
fn consequence(scene: &Scene<'_>, workload: &Workload<'_>, dark: &str) -> (String, &'static str) {
    let has_front = scene
        .paths
        .iter()
        .any(|path| path.workload.name == workload.name && !path.fronts.is_empty());
    if has_front {
        return (
            format!("No gateway serves on {dark}."),
            "What is in front of them must find these targets red; until it does, connections to them fail.",
        );
    }
    (
        format!("{} still sends to {dark}.", who(workload)),
        "Connections to these nodes are refused or time out (through Cloudflare: 521 or 522), unless another target takes them.",
    )
}

fn unready(scene: &Scene<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let Controller::DaemonSet(set) = workload.controller else {
        return None;
    };
    let status = set.status.as_ref()?;
    let (desired, ready) = (status.desired_number_scheduled, status.number_ready);
    if desired == ready {
        return None;
    }
    let node = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let served: Vec<String> = workload
        .pods
        .iter()
        .filter(|pod| is_ready(pod))
        .filter_map(|pod| node(pod))
        .collect();
    let wanted = scene.nodes().filter(|it| obstacle(workload.spec, *it).is_none());
    let dark = wanted.filter(|it| !served.iter().any(|served| served == it.name()));
    let dark: Vec<&str> = dark.map(NodeView::name).collect();
    let (sentence, effect) = consequence(scene, workload, &list(&dark));
    let name = &workload.name;
    let mut finding = Finding::new(
        RULE.id,
        RULE.severity,
        name.clone(),
        format!("{ready} of {desired} pods are ready. {sentence}"),
    )
    .evidence(name.clone(), "status.desiredNumberScheduled", desired)
    .evidence(name.clone(), "status.numberReady", ready);
    for pod in workload.pods.iter().filter(|pod| !is_ready(pod)) {
        finding = finding.evidence(ObjectName::of(Kind::Pod, &pod.metadata), "status", state(pod));
    }
    Some(
        finding
            .effect(effect)
            .fix(
                "See what keeps the pods from being ready.",
                format!(
                    "kubectl describe {}\nkubectl logs {} --all-pods --previous",
                    name.kubectl(),
                    name.kubectl()
                ),
            )
            .advice("Until then, take the addresses of these nodes out of DNS, or out of the load balancer."),
    )
}

fn expected(scene: &Scene<'_>, name: &str) -> Option<Finding> {
    let node = scene.nodes().find(|node| node.is_called(name));
    let workload = scene.workloads.first()?;
    let who = who(workload);
    let Some(node) = node else {
        let object = ObjectName {
            kind: Kind::Node,
            namespace: None,
            name: name.into(),
        };
        return Some(
            Finding::new(RULE.id, RULE.severity, object.clone(), format!("{who} still sends to {name}, and the cluster has no such node."))
                .evidence(object, "--expect-nodes", name)
                .effect("Connections to it are refused or time out (through Cloudflare: 521 or 522).")
                .advice("Take it out of DNS, or name it by its name or one of its addresses (`kubectl get nodes -o wide`)."),
        );
    };
    let on_node =
        |pod: &&&Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node.name());
    let mut pods = scene.workloads.iter().flat_map(|workload| &workload.pods);
    if pods.any(|pod| on_node(&pod) && is_ready(pod)) {
        return None;
    }
    let mut finding = Finding::new(
        RULE.id,
        RULE.severity,
        node.object(),
        format!(
            "{who} still sends to {}, which has no ready gateway.",
            node.name()
        ),
    )
    .evidence(node.object(), "--expect-nodes", name)
    .effect("Connections to it are refused or time out (through Cloudflare: 521 or 522).");
    for pod in scene
        .workloads
        .iter()
        .flat_map(|workload| &workload.pods)
        .filter(on_node)
    {
        finding = finding.evidence(ObjectName::of(Kind::Pod, &pod.metadata), "status", state(pod));
    }
    Some(match obstacle(workload.spec, node) {
        Some(Obstacle::Taint(taint)) => {
            let value = taint.value.as_deref().unwrap_or_default();
            let text = format!("{}={value}:{}", taint.key, taint.effect);
            let tolerations = workload.spec.tolerations.clone().unwrap_or_default();
            let mut tolerations: Vec<_> = tolerations.iter().map(|toleration| json!(toleration)).collect();
            tolerations.push(json!({"key": taint.key, "operator": "Exists", "effect": taint.effect}));
            finding
                .evidence(node.object(), format!("spec.taints[{}]", taint.key), text)
                .fix(
                    "Let the gateway onto it.",
                    workload
                        .name
                        .patch(&json!({"spec": {"template": {"spec": {"tolerations": tolerations}}}})),
                )
                .advice("Or take its address out of DNS.")
        }
        Some(Obstacle::Label(field)) => finding
            .evidence(workload.name.clone(), field, "does not admit the node")
            .advice(
                "Give the node the labels that the gateway's pods require, or take its address out of DNS.",
            ),
        None => finding.advice("See what keeps its pod from being ready, or take its address out of DNS."),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::fixture::Fixture;

    #[test]
    fn nodes_that_are_sent_traffic_serve() {
        let cluster = |taints: serde_json::Value| {
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "c"}, "spec": {"taints": taints}});
            Fixture::new()
                .nodes(&["a", "b"])
                .daemon_set(&["a", "b"], json!({}))
                .with(node)
        };
        let expecting = |names: &[&str], taints: serde_json::Value| {
            let mut fixture = cluster(taints);
            fixture.request.expected_nodes = names.iter().map(|&name| name.to_owned()).collect();
            let found = fixture.findings("GW305").into_iter();
            found
                .map(|finding| (finding.object.name.to_string(), finding.fix.len()))
                .collect::<Vec<_>>()
        };
        let tainted = || json!([{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]);
        let row = |name: &str, ways: usize| vec![(name.to_owned(), ways)];
        assert_eq!(expecting(&[], json!([])), []);
        assert_eq!(expecting(&["a", "b"], json!([])), []);
        assert_eq!(expecting(&["a", "c"], json!([])), row("c", 1));
        assert_eq!(expecting(&["a", "c"], tainted()), row("c", 2));
        assert_eq!(
            expecting(&["gone.example.com"], json!([])),
            row("gone.example.com", 1)
        );
    }

    #[test]
    fn a_daemon_set_is_ready_everywhere() {
        let mut fixture = Fixture::new().nodes(&["a", "b"]).daemon_set(&["a"], json!({}));
        assert_eq!(fixture.findings("GW305"), []);
        for set in &mut fixture.inventory.daemon_sets {
            set.status.as_mut().unwrap().desired_number_scheduled = 2;
        }
        let found = fixture.findings("GW305");
        let texts: Vec<&str> = found.iter().map(|finding| finding.finding.as_str()).collect();
        assert_eq!(
            texts,
            ["1 of 2 pods are ready. Whoever has its address still sends to b."]
        );
    }
}
