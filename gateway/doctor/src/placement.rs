//! Whether pods may be on a node: its labels, what a pod requires of them, and taints.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration};

use crate::traffic::NodeView;

/// Taints that every pod of a DaemonSet tolerates (Kubernetes, `DaemonSet`, "Taints and tolerations").
const TOLERATED_BY_DAEMON_SETS: [&str; 6] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unschedulable",
];

/// Why a node takes no pod of a DaemonSet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Obstacle {
    /// It lacks a label that the pods require: the field that requires it.
    Label(&'static str),
    /// A taint that the pods do not tolerate.
    Taint(Taint),
}

/// What keeps pods of a DaemonSet off a node; `None` if nothing does.
pub(crate) fn obstacle(spec: &PodSpec, node: NodeView<'_>) -> Option<Obstacle> {
    let selector = spec.node_selector.iter().flatten();
    if selector
        .into_iter()
        .any(|(key, value)| node.label(key) != Some(value))
    {
        return Some(Obstacle::Label("spec.template.spec.nodeSelector"));
    }
    let affinity = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| {
        affinity
            .required_during_scheduling_ignored_during_execution
            .as_ref()
    });
    if required.is_some_and(|required| !required.node_selector_terms.iter().any(|term| fits(term, node))) {
        return Some(Obstacle::Label("spec.template.spec.affinity.nodeAffinity"));
    }
    let taints = node.0.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let mut hard = taints.filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"));
    let taint = hard.find(|taint| {
        let tolerations = spec.tolerations.iter().flatten();
        let is_usual = TOLERATED_BY_DAEMON_SETS.contains(&taint.key.as_str());
        !is_usual
            && !tolerations
                .into_iter()
                .any(|toleration| tolerates(toleration, taint))
    });
    taint.map(|taint| Obstacle::Taint(taint.clone()))
}

/// `Toleration.ToleratesTaint` (Kubernetes API).
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().filter(|effect| !effect.is_empty());
    let key = toleration.key.as_deref().filter(|key| !key.is_empty());
    let exists = toleration.operator.as_deref() == Some("Exists");
    let is_value =
        || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
    effect.is_none_or(|effect| effect == taint.effect)
        && key.map_or(exists, |key| key == taint.key)
        && (exists || is_value())
}

fn fits(term: &NodeSelectorTerm, node: NodeView<'_>) -> bool {
    let labels = term.match_expressions.iter().flatten();
    let fields = term.match_fields.iter().flatten();
    let is_empty =
        term.match_expressions.iter().flatten().count() + term.match_fields.iter().flatten().count() == 0;
    // A term without requirements means no node (Kubernetes API, NodeSelectorTerm).
    !is_empty
        && labels
            .into_iter()
            .all(|requirement| meets(requirement, node.label(&requirement.key)))
        && fields
            .into_iter()
            .all(|requirement| meets(requirement, Some(node.name())))
}

fn meets(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = || requirement.values.iter().flatten();
    let is_listed = value.is_some_and(|value| values().any(|known| known == value));
    let compared = |smaller: bool| {
        let value: Option<i64> = value.and_then(|value| value.parse().ok());
        let bound: Option<i64> = values().next().and_then(|bound| bound.parse().ok());
        matches!((value, bound), (Some(value), Some(bound)) if if smaller { value < bound } else { value > bound })
    };
    match requirement.operator.as_str() {
        "In" => is_listed,
        "NotIn" => !is_listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared(false),
        "Lt" => compared(true),
        // The API server admits no other one.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_node_takes_what_its_labels_and_taints_allow() {
        let table = [
            (json!({}), json!({}), None),
            (json!({"nodeSelector": {"pool": "edge"}}), json!({}), None),
            (
                json!({"nodeSelector": {"pool": "other"}}),
                json!({}),
                Some("nodeSelector"),
            ),
            (required("NotIn", &["edge"]), json!({}), Some("nodeAffinity")),
            (required("In", &["edge"]), json!({}), None),
            (
                json!({}),
                json!({"taints": [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]}),
                Some("dedicated"),
            ),
            (
                json!({}),
                json!({"taints": [{"key": "dedicated", "effect": "PreferNoSchedule"}]}),
                None,
            ),
            (
                json!({}),
                json!({"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}),
                None,
            ),
            (
                json!({"tolerations": [{"key": "dedicated", "operator": "Equal", "value": "db"}]}),
                json!({"taints": [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]}),
                None,
            ),
            (
                json!({"tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}]}),
                json!({"taints": [{"key": "dedicated", "value": "db", "effect": "NoExecute"}]}),
                Some("dedicated"),
            ),
            (
                json!({"tolerations": [{"operator": "Exists"}]}),
                json!({"taints": [{"key": "x", "effect": "NoExecute"}]}),
                None,
            ),
        ];
        for (spec, node, expected) in table {
            let text = format!("{spec} {node}");
            let mut spec = spec;
            spec["containers"] = json!([]);
            let spec: PodSpec = serde_json::from_value(spec).unwrap();
            let node = json!({"metadata": {"name": "n", "labels": {"pool": "edge"}}, "spec": node});
            let node: Node = serde_json::from_value(node).unwrap();
            let found = obstacle(&spec, NodeView(&node)).map(|obstacle| match obstacle {
                Obstacle::Label(field) => field.to_owned(),
                Obstacle::Taint(taint) => taint.key,
            });
            assert_eq!(found.is_some(), expected.is_some(), "{text}: {found:?}");
            assert!(
                found.unwrap_or_default().ends_with(expected.unwrap_or_default()),
                "{text}"
            );
        }
    }

    fn required(operator: &str, values: &[&str]) -> Value {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "pool", "operator": operator, "values": values}]}
        ]}}}})
    }
}
