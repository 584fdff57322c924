//! GW501: Secrets that no door needs.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};

use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::gateway::Workload;
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::words::list;

pub(super) const RULE: Rule = Rule {
    id: Id("GW501"),
    severity: Severity::Warning,
    condition: "The gateway's ServiceAccount may read all Secrets of the cluster, and no door ends TLS or needs a Secret otherwise.",
    effect: "Nothing is seen. Whoever takes over the process reads all keys and passwords of the cluster.",
    fix: "No right to Secrets (chart: `secrets.scope: none`).",
    needs: &[Kind::ClusterRole, Kind::ClusterRoleBinding, Kind::Ingress],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    for workload in scene.workloads {
        let doors = &workload.configuration.doors;
        let policies = || doors.iter().map(|door| &door.policy);
        let needs = door::needs(policies(), &scene.view);
        let named = needs.of_doors().into_iter().chain(needs.of_ingresses());
        let needs_secrets = named
            .into_iter()
            .any(|object| object.kind == resource::Kind::Secret);
        if doors.iter().all(|door| !door.terminates_tls()) && !needs_secrets {
            found.findings.extend(finding(scene, workload));
        }
    }
}

fn finding(scene: &Scene<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let account = workload
        .spec
        .service_account_name
        .as_deref()
        .filter(|name| !name.is_empty())
        .unwrap_or("default");
    let bindings = scene.inventory.cluster_role_bindings.iter();
    let mut bound = bindings.filter(|binding| is_bound(binding, workload.name.namespace(), account));
    let (binding, role) = bound.find_map(|binding| Some((binding, reads_secrets(scene, binding)?)))?;
    let (role, rule) = role;
    let (role, binding) = (
        ObjectName::of(Kind::ClusterRole, &role.metadata),
        ObjectName::of(Kind::ClusterRoleBinding, &binding.metadata),
    );
    Some(
        Finding::new(
            RULE.id,
            RULE.severity,
            workload.name.clone(),
            "No door needs Secrets, and the gateway may read all Secrets of the cluster.",
        )
        .evidence(role.clone(), "rules[].resources", list(rule.resources.iter().flatten()))
        .evidence(role.clone(), "rules[].verbs", list(&rule.verbs))
        .evidence(binding, "subjects[]", format!("ServiceAccount {}/{account}", workload.name.namespace()))
        .effect("Nothing is seen. Whoever takes over the process reads all keys and passwords of the cluster.")
        .advice(format!(
            "Take the right away: with the chart, `secrets.scope: none` and `helm upgrade`; without it, remove the rule with `secrets` from \
             {role} (`kubectl edit {}`), and set `[source] secrets = \"none\"` in listeners.toml.",
            role.kubectl()
        )),
    )
}

fn is_bound(binding: &ClusterRoleBinding, namespace: &str, account: &str) -> bool {
    let mut subjects = binding.subjects.iter().flatten();
    subjects.any(|subject| match subject.kind.as_str() {
        "ServiceAccount" => subject.name == account && subject.namespace.as_deref() == Some(namespace),
        "Group" => {
            subject.name == "system:serviceaccounts"
                || subject.name.strip_prefix("system:serviceaccounts:") == Some(namespace)
        }
        _ => false,
    })
}

/// The rule of its role that lets its subjects read every Secret.
fn reads_secrets<'s>(
    scene: &'s Scene<'_>,
    binding: &ClusterRoleBinding,
) -> Option<(&'s ClusterRole, &'s PolicyRule)> {
    let mut roles = scene.inventory.cluster_roles.iter();
    let role = roles.find(|role| role.metadata.name.as_deref() == Some(&binding.role_ref.name))?;
    let mut rules = role.rules.iter().flatten();
    let rule = rules.find(|rule| {
        let has = |names: Option<&Vec<String>>, wanted: &[&str]| {
            names.is_some_and(|names| {
                names
                    .iter()
                    .any(|name| name == "*" || wanted.contains(&name.as_str()))
            })
        };
        has(rule.api_groups.as_ref(), &[""])
            && has(rule.resources.as_ref(), &["secrets"])
            && has(Some(&rule.verbs), &["get", "list", "watch"])
            && rule.resource_names.as_ref().is_none_or(Vec::is_empty)
    })?;
    Some((role, rule))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::fixture::Fixture;

    fn bound(rule: Value, subject: Value) -> Fixture {
        Fixture::new()
            .nodes(&["a"])
            .daemon_set(&["a"], json!({"serviceAccountName": "gateway"}))
            .with(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "gateway"}, "rules": [rule]}))
            .with(json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "gateway"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "gateway"}, "subjects": [subject],
            }))
    }

    #[test]
    fn secrets_are_not_for_doors_that_need_none() {
        let all =
            || json!({"apiGroups": [""], "resources": ["services", "secrets"], "verbs": ["list", "watch"]});
        let ours = || json!({"kind": "ServiceAccount", "name": "gateway", "namespace": "blastdoor"});
        let table = [
            (all(), ours(), true),
            (
                json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}),
                ours(),
                true,
            ),
            (
                all(),
                json!({"kind": "Group", "name": "system:serviceaccounts:blastdoor"}),
                true,
            ),
            (
                all(),
                json!({"kind": "ServiceAccount", "name": "gateway", "namespace": "other"}),
                false,
            ),
            (
                json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["tls"]}),
                ours(),
                false,
            ),
            (
                json!({"apiGroups": [""], "resources": ["services"], "verbs": ["list"]}),
                ours(),
                false,
            ),
        ];
        for (rule, subject, expected) in table {
            let text = format!("{rule} {subject}");
            assert_eq!(
                !bound(rule, subject).findings("GW501").is_empty(),
                expected,
                "{text}"
            );
        }
        let ends_tls = bound(all(), ours()).door("external-https", |door| {
            door.policy.tls = Some(door::TlsPolicy::new(door::DefaultCertificate::None));
        });
        assert_eq!(ends_tls.findings("GW501"), []);
    }
}
