//! What is reported about Ingresses that no door admits.

use std::collections::{BTreeSet, HashSet};

use resource::{ClusterView, Ingress, Problem, Severity};
use route::{ListenerName, ObjectKey};

use super::challenges::{Admitting, unclassed, unlabelled, unreached};
use super::opening::Publisher;
use crate::admission::{Admitted, Policy, one_of};

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
    let of_this_process = || doors.iter().map(|door| (door.name(), door.policy()));
    if is_admitted {
        let others = others.iter().map(|(name, policy)| (name, policy));
        let all: Vec<Admitting<'_>> = of_this_process().chain(others).collect();
        return unreached(&all, view, ingress);
    }
    // What a door has refused although it is meant for it has been reported.
    if doors.iter().any(|door| door.policy().chooses(ingress, view)) {
        return None;
    }
    let of_class = of_this_process().filter(|(_, policy)| policy.class_admits(ingress, view));
    let keys: BTreeSet<&str> = of_class
        .flat_map(|(_, policy)| policy.selectors.positive_keys())
        .collect();
    let labelled = keys
        .iter()
        .find_map(|key| ingress.labels.get(key).map(|value| (*key, value)));
    let elsewhere = others.iter().find(|(_, policy)| policy.chooses(ingress, view));
    if let Some((door, _)) = elsewhere {
        let field = match labelled {
            Some((key, _)) => format!("metadata.labels[{key}]"),
            None => "spec.ingressClassName".to_owned(),
        };
        return Some(ingress.problem(
            Severity::Note,
            &field,
            format!("not served here: door `{door}` selects it, which this process does not open"),
        ));
    }
    Some(nowhere(doors, view, ingress, &keys, labelled))
}

/// Why no door at all is meant by the Ingress. `keys` are those by which doors of its class select, and it is `labelled` with
/// one of them.
fn nowhere<S>(
    doors: &[&mut Publisher<S>],
    view: &ClusterView,
    ingress: &Ingress,
    keys: &BTreeSet<&str>,
    labelled: Option<(&str, &str)>,
) -> Problem {
    let policies = || doors.iter().map(|door| (door.name(), door.policy()));
    let of_class = || policies().filter(|(_, policy)| policy.class_admits(ingress, view));
    // Who has written the label of a door means the door: the class is the mistake.
    let of_labels = doors.iter().find(|door| {
        let selectors = &door.policy().selectors;
        let names_a_key = || {
            selectors
                .positive_keys()
                .any(|key| ingress.labels.get(key).is_some())
        };
        // With `ingress_class` alone, Ingresses of other classes are another controller's.
        let goes_by_class = !door.policy().classes.is_empty();
        goes_by_class && names_a_key() && selectors.match_labels(&ingress.labels)
    });
    if let Some(door) = of_labels {
        return ingress.problem(
            Severity::Warning,
            "spec.ingressClassName",
            format!(
                "served nowhere: its labels select door `{}`, which admits only Ingresses of class {}",
                door.name(),
                one_of(&door.policy().classes)
            ),
        );
    }
    if keys.is_empty() {
        if ingress.class.is_none()
            && let Some(challenge) = ingress.challenge()
            && let Some(problem) = unclassed(&policies().collect::<Vec<_>>(), ingress, challenge)
        {
            return problem;
        }
        // Its labels concern the controller of its class.
        let why = match &ingress.class {
            Some(_) => "the Ingress belongs to another class",
            None => "the Ingress has no class, and no class of a door is the default one",
        };
        return ingress.problem(
            Severity::Note,
            "spec.ingressClassName",
            format!("not served here: {why}"),
        );
    }
    if labelled.is_none()
        && let Some(challenge) = ingress.challenge()
    {
        let of_class: Vec<Admitting<'_>> = of_class().collect();
        if let Some(problem) = unlabelled(&of_class, view, ingress, challenge) {
            return problem;
        }
    }
    match labelled {
        Some((key, value)) => {
            let accepted: BTreeSet<&str> = of_class()
                .flat_map(|(_, policy)| policy.selectors.accepted_values(key))
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
    }
}
