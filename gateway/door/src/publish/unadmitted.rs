//! What is reported about Ingresses that no door admits.

use std::collections::{BTreeSet, HashSet};

use resource::{ClusterView, Ingress, Problem, Severity};
use route::{ListenerName, ObjectKey};

use super::opening::Publisher;
use crate::admission::{Admitted, Policy};

/// Reports each Ingress that no door's selector matched: a note without the label, a warning when the label is
/// there and its value belongs to no door.
pub(super) fn explain_the_unadmitted<S>(
    others: &[(ListenerName, Policy)],
    doors: &[&mut Publisher<S>],
    view: &ClusterView,
    admitted: &[Vec<Admitted<'_>>],
    problems: &mut Vec<Problem>,
) {
    let admitted: HashSet<&ObjectKey> = admitted
        .iter()
        .flatten()
        .map(|admitted| &admitted.ingress().key)
        .collect();
    for ingress in view.ingresses() {
        problems.extend(explain(
            others,
            doors,
            view,
            ingress,
            admitted.contains(&ingress.key),
        ));
    }
}

/// Why no door here admits the Ingress, if that may be a mistake. Those that only `others` select, doors of other
/// processes, are no reason for a warning.
pub(crate) fn explain<S>(
    others: &[(ListenerName, Policy)],
    doors: &[&mut Publisher<S>],
    view: &ClusterView,
    ingress: &Ingress,
    is_admitted: bool,
) -> Option<Problem> {
    if is_admitted {
        return None;
    }
    // Its labels concern the controller of its class.
    if !doors.iter().any(|door| door.policy().class_admits(ingress, view)) {
        return Some(ingress.problem(
            Severity::Note,
            "spec.ingressClassName",
            "not served here: the Ingress belongs to another class".to_owned(),
        ));
    }
    let matched = doors
        .iter()
        .any(|door| door.policy().selector.matches(&ingress.labels));
    if matched {
        return None;
    }
    let keys: BTreeSet<&str> = doors
        .iter()
        .flat_map(|door| door.policy().selector.positive_keys())
        .collect();
    let labelled = keys
        .iter()
        .find_map(|key| ingress.labels.get(key).map(|value| (*key, value)));
    Some(match labelled {
        Some((key, value)) => {
            if let Some((door, _)) = others.iter().find(|(_, policy)| policy.chooses(ingress, view)) {
                return Some(ingress.problem(
                    Severity::Note,
                    &format!("metadata.labels[{key}]"),
                    format!("not served here: door `{door}` selects it, which this process does not open"),
                ));
            }
            let accepted: BTreeSet<&str> = doors
                .iter()
                .flat_map(|door| door.policy().selector.accepted_values(key))
                .collect();
            let accepted = accepted.into_iter().collect::<Vec<_>>().join(", ");
            ingress.problem(
                Severity::Warning,
                &format!("metadata.labels[{key}]"),
                format!(
                    "served nowhere: no door's selector matches `{key}={value}`; known values: {accepted}"
                ),
            )
        }
        None => ingress.problem(
            Severity::Note,
            "metadata.labels",
            format!(
                "served nowhere: no label selects a door; doors select by {}",
                keys.iter()
                    .map(|key| format!("`{key}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        ),
    })
}
