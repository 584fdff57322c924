//! GW108

use serde_json::json;

use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::words::list;

pub(super) const RULE: Rule = Rule {
    id: Id("GW108"),
    severity: Severity::Warning,
    condition: "A Service has `internalTrafficPolicy: Local`, and some nodes run no gateway.",
    effect: "Pods on those nodes reach no door: their connections are dropped.",
    fix: "`internalTrafficPolicy: Cluster`, or a gateway on every node.",
    needs: &[Kind::Node, Kind::Service, Kind::Pod],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    for (service, _) in scene.services() {
        let spec = service.spec.as_ref();
        if spec.and_then(|spec| spec.internal_traffic_policy.as_deref()) != Some("Local") {
            continue;
        }
        let ready = scene.ready_nodes(service);
        let nodes = scene.nodes().filter(|node| node.is_ready());
        let empty = nodes.filter(|node| !ready.contains(node.name()));
        let empty: Vec<&str> = empty.map(|node| node.name()).collect();
        if empty.is_empty() {
            continue;
        }
        let object = ObjectName::of(Kind::Service, &service.metadata);
        let sentence = format!(
            "Callers in the cluster on {} are dropped: no gateway runs there.",
            list(&empty)
        );
        found.findings.push(
            Finding::new(RULE.id, RULE.severity, object.clone(), sentence)
                .evidence(object.clone(), "spec.internalTrafficPolicy", "Local")
                .evidence(object.clone(), "nodes with a ready endpoint", list(&ready))
                .effect("Pods on these nodes see timeouts when they call the Service; pods elsewhere do not.")
                .fix(
                    "Let callers reach the gateway on other nodes.",
                    object.patch(&json!({"spec": {"internalTrafficPolicy": "Cluster"}})),
                )
                .advice("Or run the gateway on every node, as a DaemonSet."),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::fixture::Fixture;

    #[test]
    fn callers_on_nodes_without_a_gateway_are_dropped() {
        let cluster = |pods: &[&str], policy: &str| {
            Fixture::new()
                .nodes(&["a", "b"])
                .daemon_set(pods, json!({}))
                .service("gateway", json!({"internalTrafficPolicy": policy}))
        };
        let found = cluster(&["a"], "Local").findings("GW108");
        let [finding] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(
            finding.finding,
            "Callers in the cluster on b are dropped: no gateway runs there."
        );
        assert_eq!(cluster(&["a", "b"], "Local").findings("GW108"), []);
        assert_eq!(cluster(&["a"], "Cluster").findings("GW108"), []);
    }
}
