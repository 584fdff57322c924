//! GW203: pods that count as ready before the load balancer has them.

use super::bound::bound;
use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::gateway::{Controller, Workload};
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::words::list;

/// Which namespaces the controller's webhook gives gates to (AWS Load Balancer Controller, `docs/deploy/pod_readiness_gate.md`).
const LABEL: &str = "elbv2.k8s.aws/pod-readiness-gate-inject";
/// What the types of its gates begin with.
const GATE: &str = "target-health.elbv2.k8s.aws/";

pub(super) const RULE: Rule = Rule {
    id: Id("GW203"),
    severity: Severity::Warning,
    condition: "A target group registers pods, and pods have no readiness gate of the AWS Load Balancer Controller, or their namespace \
                does not ask for one.",
    effect: "A rollout goes on when a pod is ready, and not when the load balancer has it (an NLB needs 90 to 180 s): it can outrun the \
             registration, and for a while no target is healthy.",
    fix: "The label on the namespace, and a restart: gates are injected when pods are made.",
    needs: &[
        Kind::TargetGroupBinding,
        Kind::Service,
        Kind::Namespace,
        Kind::Pod,
    ],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    for workload in scene.workloads {
        let registers_pods = bound(scene).into_iter().find(|bound| {
            let leads_here = bound.path.is_some_and(|path| path.workload.name == workload.name);
            leads_here && bound.binding.target_type() == Some("ip")
        });
        if let Some(bound) = registers_pods {
            found.findings.extend(finding(scene, workload, bound.object()));
        }
    }
}

fn finding(scene: &Scene<'_>, workload: &Workload<'_>, binding: ObjectName) -> Option<Finding> {
    let namespace = workload.name.namespace();
    let mut namespaces = scene.inventory.namespaces.iter();
    let object = namespaces.find(|object| object.metadata.name.as_deref() == Some(namespace));
    let label = object.and_then(|object| object.metadata.labels.as_ref()?.get(LABEL));
    let is_asked_for = label.is_some_and(|value| value == "enabled");
    let without = workload.pods.iter().filter(|pod| {
        let gates = pod
            .spec
            .iter()
            .flat_map(|spec| spec.readiness_gates.iter().flatten());
        !gates
            .into_iter()
            .any(|gate| gate.condition_type.starts_with(GATE))
    });
    let without: Vec<&str> = without.filter_map(|pod| pod.metadata.name.as_deref()).collect();
    if is_asked_for && without.is_empty() {
        return None;
    }
    let name = ObjectName {
        kind: Kind::Namespace,
        namespace: None,
        name: namespace.into(),
    };
    let text = if is_asked_for {
        format!(
            "Pods without a readiness gate of the load balancer: {}. They are older than the label, the Service or the binding.",
            list(&without)
        )
    } else {
        format!(
            "Namespace {namespace} does not ask for readiness gates of the load balancer, so that new pods get none."
        )
    };
    let mut finding = Finding::new(RULE.id, RULE.severity, workload.name.clone(), text)
        .evidence(binding, "spec.targetType", "ip")
        .evidence(
            name,
            format!("metadata.labels[{LABEL}]"),
            label.map_or("(not set)", String::as_str),
        )
        .effect("Rollouts can outrun registration (an NLB needs 90 to 180 s): requests fail with 503 or time out meanwhile.");
    for pod in &without {
        finding = finding.evidence(
            ObjectName::namespaced(Kind::Pod, namespace, pod),
            "spec.readinessGates",
            format!("none of `{GATE}…`"),
        );
    }
    if !is_asked_for {
        finding = finding.fix(
            "Ask for gates.",
            format!("kubectl label namespace {namespace} {LABEL}=enabled --overwrite"),
        );
    }
    if matches!(workload.controller, Controller::Pod(_)) {
        return Some(finding.advice("Then make the pods anew."));
    }
    let restart = format!("kubectl rollout restart {}", workload.name.kubectl());
    Some(finding.fix("Then make the pods anew, once the Service and the TargetGroupBinding are there: gates are injected into new pods.", restart))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::fixture::Fixture;

    fn cluster(kind: &str, label: Option<&str>, gates: &[&str]) -> Fixture {
        let gates: Vec<_> = gates.iter().map(|gate| json!({"conditionType": gate})).collect();
        Fixture::new()
            .nodes(&["a", "b"])
            .daemon_set(&["a", "b"], json!({"readinessGates": gates}))
            .service("gateway", json!({"type": "NodePort"}))
            .with(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
                "name": "blastdoor", "labels": {"elbv2.k8s.aws/pod-readiness-gate-inject": label.unwrap_or("disabled")}}}))
            .with(json!({
                "apiVersion": "elbv2.k8s.aws/v1beta1", "kind": "TargetGroupBinding",
                "metadata": {"name": "external-http", "namespace": "blastdoor"},
                "spec": {"targetType": kind, "serviceRef": {"name": "gateway", "port": "external-http"}},
            }))
    }

    #[test]
    fn pods_behind_a_target_group_have_a_gate() {
        let gate = ["target-health.elbv2.k8s.aws/k8s-external-http"];
        let table = [
            ("ip", Some("enabled"), gate.as_slice(), 0),
            ("ip", Some("enabled"), &[], 1),
            ("ip", Some("enabled"), &["example.com/other"], 1),
            ("ip", Some("disabled"), &gate, 2),
            ("instance", None, &[], 0),
        ];
        for (kind, label, gates, ways_out) in table {
            let found = cluster(kind, label, gates).findings("GW203");
            let ways: usize = found.iter().map(|finding| finding.fix.len()).sum();
            assert_eq!(
                (found.len(), ways),
                (ways_out.min(1), ways_out),
                "{kind} {label:?} {gates:?}: {found:?}"
            );
        }
    }
}
