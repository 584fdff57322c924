//! GW301: a rollout that can never end.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use super::ports::declared;
use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::gateway::Controller;
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::words::list;

pub(super) const RULE: Rule = Rule {
    id: Id("GW301"),
    severity: Severity::Error,
    condition: "A DaemonSet has `maxSurge` above 0, and its pods declare ports of the node (`hostPort`, or any port on the host network).",
    effect: "The API server accepts it. The second pod of a node can never be scheduled (`didn't have free ports`): the rollout hangs for \
             ever.",
    fix: "`maxUnavailable: 1, maxSurge: 0`; or the host network without declared ports, where doors share their ports.",
    needs: &[Kind::DaemonSet],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    for workload in scene.workloads {
        let Controller::DaemonSet(set) = workload.controller else {
            continue;
        };
        let strategy = set.spec.update_strategy.as_ref();
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let Some(surge) = rolling.and_then(|rolling| rolling.max_surge.as_ref()) else {
            continue;
        };
        let surge = match surge {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(text) => text.clone(),
        };
        let ports = declared(workload.spec);
        if ports.is_empty() || matches!(surge.as_str(), "0" | "0%") {
            continue;
        }
        let name = &workload.name;
        let numbers = list(ports.iter().map(|port| port.number.to_string()));
        let mut finding = Finding::new(
            RULE.id,
            RULE.severity,
            name.clone(),
            format!(
                "The surge pod can never be scheduled: the pod that it is to replace has the node's ports {numbers} (`didn't have free \
                 ports`). The rollout hangs."
            ),
        )
        .evidence(name.clone(), "spec.updateStrategy.rollingUpdate.maxSurge", &surge)
        .evidence(name.clone(), "spec.template.spec.containers[].ports[].hostPort", &numbers);
        if workload.spec.host_network == Some(true) {
            finding = finding.evidence(name.clone(), "spec.template.spec.hostNetwork", "true");
        }
        for pod in &workload.pods {
            let status = pod
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten());
            let mut waiting =
                status.filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
            if let Some(message) = waiting.find_map(|condition| condition.message.as_deref()) {
                let pod = ObjectName::of(Kind::Pod, &pod.metadata);
                finding = finding.evidence(pod, "status.conditions[PodScheduled].message", message);
            }
        }
        found.findings.push(
            finding
                .effect("After the next change of the pods, one pod stays Pending for ever, and the old version goes on running.")
                .fix(
                    "Replace the pods one node after the other. Each node is dark while its pod is replaced.",
                    name.patch(&json!({"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}}})),
                )
                .advice(
                    "Or keep the surge without a gap: on the host network, declare no ports at all (chart: `hostNetwork: true`, which does \
                     it). Doors bind with SO_REUSEPORT, so that the new pod takes over.",
                ),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::fixture::{Fixture, merge};

    #[test]
    fn a_surge_needs_ports_that_are_free() {
        let declared = json!([{"containerPort": 80}]);
        let host_port = json!([{"containerPort": 10002, "hostPort": 80}]);
        let surge =
            |number: serde_json::Value| json!({"rollingUpdate": {"maxSurge": number, "maxUnavailable": 0}});
        let table = [
            (true, Some(&declared), surge(json!(1)), true),
            (true, Some(&declared), surge(json!("10%")), true),
            (true, Some(&declared), surge(json!(0)), false),
            (true, Some(&declared), surge(json!("0%")), false),
            (true, None, surge(json!(1)), false),
            (false, Some(&declared), surge(json!(1)), false),
            (false, Some(&host_port), surge(json!(1)), true),
            (false, Some(&host_port), json!({}), false),
        ];
        for (host_network, ports, strategy, expected) in table {
            let text = format!("{host_network} {ports:?} {strategy}");
            let container = json!({"name": "blastdoor", "image": "blastdoor:0.1.0", "ports": ports});
            let mut fixture = Fixture::new().nodes(&["a"]).daemon_set(
                &["a"],
                json!({"hostNetwork": host_network, "dnsPolicy": "ClusterFirstWithHostNet", "containers": [container]}),
            );
            for set in &mut fixture.inventory.daemon_sets {
                let mut value = serde_json::to_value(&*set).unwrap();
                merge(&mut value, &json!({"spec": {"updateStrategy": strategy}}));
                *set = serde_json::from_value(value).unwrap();
            }
            assert_eq!(!fixture.findings("GW301").is_empty(), expected, "{text}");
        }
    }
}
