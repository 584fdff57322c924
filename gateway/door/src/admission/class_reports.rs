//! What is to be said about the classes of Ingresses themselves.

use std::collections::BTreeMap;

use resource::{ClusterView, IngressClass, Problem, Severity};

use super::policy::Policy;

/// Who names a class.
#[derive(Clone, Copy)]
enum Named {
    /// `[source] ingress_class`, for all doors.
    BySource,
    /// `classes` of a door alone.
    ByDoor,
}

/// Problems of the classes that doors with these policies admit.
pub(crate) fn class_problems<'p>(
    policies: impl Iterator<Item = &'p Policy>,
    view: &ClusterView,
) -> Vec<Problem> {
    let mut named: BTreeMap<&str, Named> = BTreeMap::new();
    for policy in policies {
        for name in &policy.classes {
            named.entry(name).or_insert(Named::ByDoor);
        }
        named.extend(
            policy
                .ingress_classes
                .iter()
                .map(|name| (&**name, Named::BySource)),
        );
    }
    let classes = named
        .into_iter()
        .filter_map(|(name, named)| Some((view.class(name)?, named)));
    classes
        .flat_map(|(class, named)| [foreign(class, named), second_default(class, view)])
        .flatten()
        .collect()
}

/// The class names another controller. Names decide, so that an Ingress can be served by its old controller and here at the
/// same time; but it may be a mistake. A door that names the class itself takes it over on purpose.
fn foreign(class: &IngressClass, named: Named) -> Option<Problem> {
    if class.controller.as_deref() == Some(IngressClass::CONTROLLER) {
        return None;
    }
    let (severity, key) = match named {
        Named::BySource => (Severity::Warning, "`ingress_class` names it"),
        Named::ByDoor => (Severity::Note, "`classes` of a door names it"),
    };
    let whose = match class.controller.as_deref() {
        Some(controller) => format!("the class belongs to the controller `{controller}`"),
        None => "the class names no controller".to_owned(),
    };
    Some(class.problem(
        severity,
        "spec.controller",
        format!(
            "{whose}; its Ingresses are served here as well, because {key}; a class of this gateway's own has `{}`",
            IngressClass::CONTROLLER
        ),
    ))
}

/// The class is a default class, and another one counts.
fn second_default(class: &IngressClass, view: &ClusterView) -> Option<Problem> {
    let first = view.default_class().filter(|_| class.is_default)?;
    (first.name != class.name).then(|| {
        class.problem(
            Severity::Warning,
            "metadata.annotations[ingressclass.kubernetes.io/is-default-class]",
            format!(
                "`{}` is a default class too, and Ingresses without a class belong to that: the newest counts, and of \
                 equally old ones the first by name; let one class be the default one",
                first.name
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use resource::{ClusterView, manifest};

    use super::{Policy, class_problems};
    use crate::admission::Selector;
    use crate::scheme::Scheme;

    fn policy(classes: &[&str]) -> Policy {
        Policy {
            ingress_classes: classes.iter().copied().map(Box::from).collect(),
            ..Policy::new(Selector::parse("expose=a").unwrap(), Scheme::Http)
        }
    }

    #[test]
    fn a_class_of_another_controller_is_reported_once_and_where_it_is_named() {
        let class = |name: &str, spec: &str| {
            format!(
                "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n"
            )
        };
        let yaml = [
            class("ours", "{controller: blastdoor.dev/gateway}"),
            class("nginx", "{controller: k8s.io/ingress-nginx}"),
            class("nobody", "{}"),
            class("unnamed", "{controller: traefik.io/ingress-controller}"),
        ]
        .concat();
        let view: ClusterView = manifest::collect([&manifest::parse("classes.yaml", yaml.as_bytes())]).0;
        let reported = |policies: &[Policy]| -> Vec<String> {
            let problems = class_problems(policies.iter(), &view);
            problems.iter().map(ToString::to_string).collect()
        };
        let all = ["ours", "nginx", "nobody", "missing"];
        let of_all = reported(&[policy(&all), policy(&all)]);
        assert_eq!(of_all.len(), 2, "{of_all:?}");
        assert!(
            of_all[0].starts_with(
                "classes.yaml:9: warning: IngressClass nginx spec.controller: the class belongs to the controller \
                 `k8s.io/ingress-nginx`; "
            ),
            "{of_all:?}"
        );
        assert!(
            of_all[1].contains("IngressClass nobody spec.controller: the class names no controller"),
            "{of_all:?}"
        );
        // Without `ingress_class` the class does not matter.
        assert_eq!(reported(&[policy(&[]), policy(&["ours"])]), Vec::<String>::new());
    }

    #[test]
    fn a_class_that_only_doors_name_is_noted() {
        let yaml = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: traefik}\nspec: {controller: traefik.io/ingress-controller}\n";
        let view: ClusterView = manifest::collect([&manifest::parse("classes.yaml", yaml.as_bytes())]).0;
        let of_door = Policy {
            classes: vec!["traefik".into()],
            ..policy(&[])
        };
        let severities = |policies: &[Policy]| -> Vec<&str> {
            let problems = class_problems(policies.iter(), &view);
            problems.iter().map(|problem| problem.severity.as_str()).collect()
        };
        assert_eq!(severities(&[of_door.clone(), of_door.clone()]), ["note"]);
        let both = Policy {
            ingress_classes: vec!["traefik".into()],
            ..of_door.clone()
        };
        assert_eq!(severities(&[of_door, both]), ["warning"]);
    }

    #[test]
    fn of_several_default_classes_one_counts() {
        let class = |name: &str, year: u16| {
            format!(
                "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {name}, creationTimestamp: \"{year}-01-01T00:00:00Z\", \
                 annotations: {{ingressclass.kubernetes.io/is-default-class: \"true\"}}}}\nspec: {{controller: blastdoor.dev/gateway}}\n---\n"
            )
        };
        let yaml = class("old", 2020) + &class("young", 2026) + &class("z-young", 2026);
        let view: ClusterView = manifest::collect([&manifest::parse("classes.yaml", yaml.as_bytes())]).0;
        assert_eq!(view.default_class().map(|class| &*class.name), Some("young"));
        let reported = class_problems([policy(&["old", "young"])].iter(), &view);
        let reported: Vec<String> = reported.iter().map(ToString::to_string).collect();
        assert_eq!(reported.len(), 1, "{reported:?}");
        assert!(
            reported[0].contains("warning: IngressClass old ")
                && reported[0].contains("`young` is a default class too"),
            "{reported:?}"
        );
    }
}
