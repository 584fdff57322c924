//! Missing permissions, as the RBAC rules to add.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use resource::{Kind, Problem, Severity};

use super::store::TargetState;
use super::target::{Scope, WatchTarget};
use crate::cluster::connection::Fault;

/// API group and resource of a kind.
pub(crate) const fn resource_of(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Ingress => ("networking.k8s.io", "ingresses"),
        Kind::IngressClass => ("networking.k8s.io", "ingressclasses"),
        Kind::EndpointSlice => ("discovery.k8s.io", "endpointslices"),
        Kind::Service => ("", "services"),
        Kind::Secret => ("", "secrets"),
        Kind::ConfigMap => ("", "configmaps"),
        Kind::Namespace => ("", "namespaces"),
        Kind::Middleware => ("traefik.io", "middlewares"),
        Kind::File | Kind::Cluster | Kind::Variable => ("", ""),
    }
}

/// One problem for each kind that may not be read, with the missing rule; a separate one for EndpointSlices that are read
/// to find the other gateways.
pub(crate) fn missing_permissions<'s>(
    server: &str,
    targets: impl Iterator<Item = (&'s WatchTarget, &'s TargetState)>,
) -> Vec<Problem> {
    let mut denied: Vec<(Group, Vec<&WatchTarget>, bool)> = Vec::new();
    for (target, state) in targets {
        if !matches!(state.fault, Some(Fault::Forbidden(_))) {
            continue;
        }
        let group = Group::of(target);
        match denied.iter_mut().find(|(known, ..)| *known == group) {
            Some((_, targets, is_listed)) => {
                targets.push(target);
                *is_listed &= state.is_listed;
            }
            None => denied.push((group, vec![target], state.is_listed)),
        }
    }
    denied
        .into_iter()
        .map(|(group, targets, is_listed)| {
            let consequence = match (is_listed, group.purpose) {
                (true, _) => "what was read before stays in force",
                (false, Purpose::Everything) => "nothing is served until then",
                (false, Purpose::Something) => "what needs one of them is closed",
                (false, Purpose::Replicas) => {
                    "nobody knows where this gateway's other pods are, so no backend is called at one of the gateway's own ports"
                }
            };
            let severity = match group.purpose {
                Purpose::Everything | Purpose::Replicas => Severity::Error,
                Purpose::Something => Severity::Warning,
            };
            let kind = group.kind;
            let message = format!(
                "no permission to read {}; {consequence}; add this rule: {}",
                resource_of(kind).1,
                rule(kind, &targets)
            );
            Problem::of_cluster(severity, server, message)
        })
        .collect()
}

/// Targets that are reported together.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Group {
    kind: Kind,
    purpose: Purpose,
}

/// What needs the objects of a target.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Everything,
    /// What names them.
    Something,
    /// Whether an address is a gateway's own.
    Replicas,
}

impl Group {
    fn of(target: &WatchTarget) -> Self {
        let purpose = match target.scope {
            Scope::Replicas(_) => Purpose::Replicas,
            Scope::Cluster | Scope::Namespace(_) | Scope::Object(_) if target.is_essential() => {
                Purpose::Everything
            }
            Scope::Cluster | Scope::Namespace(_) | Scope::Object(_) => Purpose::Something,
        };
        Self {
            kind: target.kind,
            purpose,
        }
    }
}

/// The rule, and the Role or ClusterRole that it belongs in.
fn rule(kind: Kind, targets: &[&WatchTarget]) -> String {
    let (group, resource) = resource_of(kind);
    let (mut namespaces, mut names) = (BTreeSet::new(), BTreeSet::new());
    for target in targets {
        match &target.scope {
            Scope::Cluster => {}
            Scope::Namespace(namespace) | Scope::Replicas(namespace) => {
                namespaces.insert(&**namespace);
            }
            Scope::Object(key) => {
                namespaces.insert(key.namespace());
                names.insert(key.name());
            }
        }
    }
    let quoted = |names: &BTreeSet<&str>| {
        let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        names.join(", ")
    };
    let mut rule = format!("{{apiGroups: [\"{group}\"], resources: [\"{resource}\"]");
    if !names.is_empty() {
        let _infallible = write!(rule, ", resourceNames: [{}]", quoted(&names));
    }
    rule.push_str(", verbs: [\"list\", \"watch\"]}");
    if namespaces.is_empty() {
        rule.push_str(" in a ClusterRole");
    } else {
        let namespaces: Vec<&str> = namespaces.into_iter().collect();
        let _infallible = write!(rule, " in a Role in namespace {}", namespaces.join(", "));
    }
    rule
}

#[cfg(test)]
mod tests {
    use route::ObjectKey;

    use super::*;

    #[test]
    fn a_missing_permission_names_the_rule_to_add() {
        let target = |kind, scope| WatchTarget { kind, scope };
        let services = target(Kind::Service, Scope::Cluster);
        assert_eq!(
            rule(Kind::Service, &[&services]),
            r#"{apiGroups: [""], resources: ["services"], verbs: ["list", "watch"]} in a ClusterRole"#
        );
        let secret = |name| target(Kind::Secret, Scope::Object(ObjectKey::new("shop", name)));
        assert_eq!(
            rule(Kind::Secret, &[&secret("b"), &secret("a")]),
            r#"{apiGroups: [""], resources: ["secrets"], resourceNames: ["a", "b"], verbs: ["list", "watch"]} in a Role in namespace shop"#
        );
    }

    #[test]
    fn a_missing_permission_is_one_problem_per_kind() {
        let denied = |is_listed| TargetState {
            is_listed,
            fault: Some(Fault::Forbidden(String::new())),
            ..TargetState::new()
        };
        let targets = [
            (
                WatchTarget {
                    kind: Kind::Service,
                    scope: Scope::Namespace("a".into()),
                },
                denied(false),
            ),
            (
                WatchTarget {
                    kind: Kind::Service,
                    scope: Scope::Namespace("b".into()),
                },
                denied(false),
            ),
            (
                WatchTarget {
                    kind: Kind::IngressClass,
                    scope: Scope::Cluster,
                },
                denied(false),
            ),
            (
                WatchTarget {
                    kind: Kind::Ingress,
                    scope: Scope::Cluster,
                },
                TargetState::new(),
            ),
        ];
        let problems = missing_permissions(
            "https://api",
            targets.iter().map(|(target, state)| (target, state)),
        );
        let severities: Vec<Severity> = problems.iter().map(|problem| problem.severity).collect();
        assert_eq!(severities, [Severity::Error, Severity::Warning]);
        let replicas = WatchTarget {
            kind: Kind::EndpointSlice,
            scope: Scope::Replicas("blastdoor".into()),
        };
        let state = denied(false);
        let problem = missing_permissions("https://api", [(&replicas, &state)].into_iter());
        assert_eq!(
            problem[0].message,
            "no permission to read endpointslices; nobody knows where this gateway's other pods are, so no backend is \
             called at one of the gateway's own ports; add this rule: {apiGroups: [\"discovery.k8s.io\"], resources: \
             [\"endpointslices\"], verbs: [\"list\", \"watch\"]} in a Role in namespace blastdoor"
        );
        assert!(
            problems[0].message.contains("nothing is served until then"),
            "{problems:?}"
        );
        assert!(
            problems[0].message.ends_with("in a Role in namespace a, b"),
            "{problems:?}"
        );
    }
}
