//! Membership by class.

use resource::{ClusterView, Ingress};

/// Whether the Ingress belongs to one of these classes; without a class of its own it belongs to the [default
/// class](ClusterView::default_class). No class at all means every one.
pub(super) fn admit(classes: &[Box<str>], ingress: &Ingress, view: &ClusterView) -> bool {
    if classes.is_empty() {
        return true;
    }
    match &ingress.class {
        Some(class) => classes.contains(&class.name),
        None => view
            .default_class()
            .is_some_and(|class| classes.contains(&class.name)),
    }
}

/// Whether an Ingress may belong to a class of each door. Without a class of its own it belongs to one at most.
pub(super) fn may_overlap(left: &[Box<str>], right: &[Box<str>]) -> bool {
    left.is_empty() || right.is_empty() || left.iter().any(|class| right.contains(class))
}

/// As in a sentence: `` `a` or `b` ``.
pub(crate) fn one_of(classes: &[Box<str>]) -> String {
    let quoted: Vec<String> = classes.iter().map(|class| format!("`{class}`")).collect();
    quoted.join(" or ")
}
