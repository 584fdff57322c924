//! GW404: how many gateways may go away at once.

use std::collections::BTreeSet;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::gateway::{Controller, Workload};
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::selector::{Labels, matches};

pub(super) const RULE: Rule = Rule {
    id: Id("GW404"),
    severity: Severity::Warning,
    condition: "A Deployment of the gateway has no PodDisruptionBudget, or one replica; a budget allows no eviction at all; or all pods are in \
                one zone while nodes are in several.",
    effect: "A drain of nodes, or a zone that fails, can take all gateways away at once; or a drain of nodes never ends.",
    fix: "A budget with `maxUnavailable: 1`, two replicas or more, and a spread over zones.",
    needs: &[Kind::PodDisruptionBudget, Kind::Pod, Kind::Node],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    for workload in scene.workloads {
        found.findings.extend(budget(scene, workload));
        found.findings.extend(replicas(workload));
        found.findings.extend(zones(scene, workload));
    }
}

fn start(workload: &Workload<'_>, text: String) -> Finding {
    Finding::new(RULE.id, RULE.severity, workload.name.clone(), text)
}

fn budget(scene: &Scene<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let namespace = workload.name.namespace();
    let selects = |budget: &&PodDisruptionBudget| {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        budget.metadata.namespace.as_deref().unwrap_or("default") == namespace
            && selector.is_some_and(|selector| matches(selector, &workload.labels))
    };
    let budget = scene.inventory.budgets.iter().find(selects);
    let Some(budget) = budget else {
        // Evictions pass over the pods of a DaemonSet.
        if !matches!(workload.controller, Controller::Deployment(_)) {
            return None;
        }
        let labels: &Labels = &workload.labels;
        let object = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": &*workload.name.name, "namespace": namespace},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}},
        });
        return Some(
            start(workload, "No PodDisruptionBudget selects the pods: a drain of nodes may evict all of them at once.".to_owned())
                .evidence(workload.name.clone(), "spec.template.metadata.labels", list_labels(labels))
                .effect("During an upgrade of nodes there may be no gateway at all: 502 or 503 from the load balancer.")
                .fix("Let one go at a time.", format!("kubectl apply -f - <<'END'\n{object}\nEND")),
        );
    };
    let spec = budget.spec.as_ref()?;
    let pods = workload.pods.len();
    let text = |value: &IntOrString| match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    };
    let blocks_all = |field: &str, value: &IntOrString| {
        let text = text(value);
        let number = text.parse::<usize>().ok();
        match field {
            "spec.maxUnavailable" => matches!(text.as_str(), "0" | "0%"),
            _ => text == "100%" || number.is_some_and(|number| number > 0 && number >= pods),
        }
    };
    let written = [
        ("spec.maxUnavailable", &spec.max_unavailable),
        ("spec.minAvailable", &spec.min_available),
    ];
    let (field, value) = written
        .into_iter()
        .find_map(|(field, value)| Some((field, value.as_ref()?)))?;
    if !blocks_all(field, value) {
        return None;
    }
    let name = ObjectName::of(Kind::PodDisruptionBudget, &budget.metadata);
    let finding = start(workload, format!("{name} allows no eviction of any of {pods} pods."))
        .evidence(name.clone(), field, text(value))
        .evidence(workload.name.clone(), "pods", pods)
        .effect("A drain of a node never ends (`Cannot evict pod as it would violate the pod's disruption budget`), and upgrades of nodes hang.");
    Some(finding.fix(
        "Let one go at a time.",
        name.patch(&json!({"spec": {"maxUnavailable": 1, "minAvailable": null}})),
    ))
}

fn list_labels(labels: &Labels) -> String {
    let pairs = labels.iter().map(|(key, value)| format!("{key}={value}"));
    crate::words::list(pairs)
}

fn replicas(workload: &Workload<'_>) -> Option<Finding> {
    let Controller::Deployment(deployment) = workload.controller else {
        return None;
    };
    let replicas = deployment.spec.replicas.unwrap_or(1);
    if replicas != 1 {
        return None;
    }
    let name = &workload.name;
    Some(
        start(
            workload,
            "There is one replica: whatever ends it, ends all doors.".to_owned(),
        )
        .evidence(name.clone(), "spec.replicas", replicas)
        .effect("When its node goes away, nothing answers until a new pod is ready elsewhere.")
        .fix(
            "Two, on two nodes.",
            name.patch(&json!({"spec": {"replicas": 2}})),
        ),
    )
}

fn zones(scene: &Scene<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let all: BTreeSet<&str> = scene.nodes().filter_map(|node| node.zone()).collect();
    let pods = workload
        .pods
        .iter()
        .filter_map(|pod| pod.spec.as_ref()?.node_name.as_deref());
    let nodes: Vec<&str> = pods.collect();
    let of_pods = nodes
        .iter()
        .filter_map(|name| scene.nodes().find(|node| node.name() == *name)?.zone());
    let of_pods: Vec<&str> = of_pods.collect();
    let zone = of_pods.first()?;
    let is_one =
        of_pods.len() > 1 && of_pods.len() == nodes.len() && of_pods.iter().all(|other| other == zone);
    if all.len() < 2 || !is_one {
        return None;
    }
    let name = &workload.name;
    let spread = json!([{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": workload.labels}}]);
    let finding = start(
        workload,
        format!(
            "All {} pods are in zone {zone}, and nodes are in {} zones.",
            of_pods.len(),
            all.len()
        ),
    )
    .evidence(name.clone(), "zones of the pods", zone)
    .evidence(name.clone(), "zones of the nodes", crate::words::list(&all))
    .effect("When the zone fails, all doors fail.");
    Some(match workload.controller {
        Controller::Deployment(_) => finding.fix(
            "Spread them.",
            name.patch(&json!({"spec": {"template": {"spec": {"topologySpreadConstraints": spread}}}})),
        ),
        Controller::DaemonSet(_) | Controller::Pod(_) => finding.advice("Let its nodes be in several zones."),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::fixture::Fixture;

    fn budget(spec: Value) -> Value {
        let mut spec = spec;
        spec["selector"] = json!({"matchLabels": {"app.kubernetes.io/name": "blastdoor"}});
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "blastdoor", "namespace": "blastdoor"}, "spec": spec})
    }

    #[test]
    fn one_may_go_at_a_time_and_not_all() {
        let two = || {
            Fixture::new()
                .nodes(&["a", "b"])
                .deployment(&["a", "b"], json!({}))
        };
        let table = [
            (two(), None, "No PodDisruptionBudget"),
            (two(), Some(json!({"maxUnavailable": 1})), ""),
            (two(), Some(json!({"maxUnavailable": 0})), "allows no eviction"),
            (two(), Some(json!({"minAvailable": 1})), ""),
            (two(), Some(json!({"minAvailable": 2})), "allows no eviction"),
            (two(), Some(json!({"minAvailable": "100%"})), "allows no eviction"),
            (
                Fixture::new().nodes(&["a"]).deployment(&["a"], json!({})),
                Some(json!({"maxUnavailable": 1})),
                "one replica",
            ),
            (
                Fixture::new().nodes(&["a"]).daemon_set(&["a"], json!({})),
                None,
                "",
            ),
        ];
        for (fixture, written, expected) in table {
            let fixture = match &written {
                Some(spec) => fixture.with(budget(spec.clone())),
                None => fixture,
            };
            let found = fixture.findings("GW404");
            let texts: Vec<&str> = found.iter().map(|finding| finding.finding.as_str()).collect();
            if expected.is_empty() {
                assert_eq!(texts, [""; 0], "{written:?}");
            } else {
                assert!(
                    texts.len() == 1 && texts[0].contains(expected),
                    "{written:?}: {texts:?}"
                );
            }
        }
    }

    #[test]
    fn pods_are_in_more_than_one_zone_where_nodes_are() {
        let zone = |zone: &str| json!({"topology.kubernetes.io/zone": zone});
        let cluster = |second: &str| {
            let nodes = Fixture::new()
                .node("a", zone("x"))
                .node("b", zone(second))
                .node("c", zone("y"));
            nodes
                .deployment(&["a", "b"], json!({}))
                .with(budget(json!({"maxUnavailable": 1})))
        };
        assert_eq!(cluster("y").findings("GW404"), []);
        let found = cluster("x").findings("GW404");
        assert!(
            found.len() == 1 && found[0].finding.contains("All 2 pods are in zone x"),
            "{found:?}"
        );
    }
}
