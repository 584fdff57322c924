//! GW106

use std::collections::BTreeMap;

use serde_json::json;

use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::gateway::Controller;
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::traffic::is_local;

pub(super) const RULE: Rule = Rule {
    id: Id("GW106"),
    severity: Severity::Warning,
    condition: "A Service has `externalTrafficPolicy: Local`, its load balancer registers nodes, and the pods of a Deployment are \
                spread unevenly over them.",
    effect: "Load balancers share by node, so the pods of a crowded node get less than others, and a lone one gets more.",
    fix: "A DaemonSet, or anti-affinity that keeps pods on different nodes.",
    needs: &[Kind::Node, Kind::Service, Kind::Pod],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    for (service, paths) in scene.services() {
        let is_of_nodes = scene.fronts(service).iter().any(|front| front.nodes().is_some());
        let deployment = paths
            .iter()
            .find(|path| matches!(path.workload.controller, Controller::Deployment(_)));
        let Some(path) = deployment.filter(|_| is_of_nodes && is_local(service)) else {
            continue;
        };
        let mut pods: BTreeMap<&str, usize> = BTreeMap::new();
        for endpoint in scene
            .endpoints(service)
            .iter()
            .filter(|endpoint| endpoint.is_ready)
        {
            *pods.entry(endpoint.node).or_default() += 1;
        }
        let most = pods.iter().max_by_key(|(_, number)| **number);
        let fewest = pods.iter().min_by_key(|(_, number)| **number);
        let (Some((crowded, most)), Some((lonely, fewest))) = (most, fewest) else {
            continue;
        };
        if most == fewest {
            continue;
        }
        let object = path.workload.name.clone();
        let sentence = format!(
            "Node {crowded} runs {most} pods of the gateway and gets the same share of connections as node {lonely} with {fewest}."
        );
        let anti_affinity = json!({"spec": {"template": {"spec": {"affinity": {"podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [{
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": path.workload.labels},
            }],
        }}}}}});
        let service = ObjectName::of(Kind::Service, &service.metadata);
        let mut finding = Finding::new(RULE.id, RULE.severity, object.clone(), sentence)
            .evidence(service, "spec.externalTrafficPolicy", "Local")
            .effect(format!(
                "Each pod on node {lonely} gets more traffic than one on node {crowded}: it is slow first, while the others have \
                 room."
            ))
            .advice("Run the gateway as a DaemonSet: one pod on each node.")
            .fix(
                "Keep pods on different nodes. A pod that finds no node waits: have more nodes than replicas, and `maxSurge: 0` \
                 where there are as many.",
                object.patch(&anti_affinity),
            );
        for (node, number) in pods.iter().take(10) {
            let node = ObjectName {
                kind: Kind::Node,
                namespace: None,
                name: (*node).into(),
            };
            finding = finding.evidence(node, "ready pods of the gateway", number);
        }
        found.findings.push(finding);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::fixture::Fixture;

    fn cluster(pods: &[&str], service: serde_json::Value) -> Fixture {
        Fixture::new()
            .nodes(&["a", "b"])
            .deployment(pods, json!({}))
            .service("gateway", service)
    }

    #[test]
    fn pods_share_what_their_node_gets() {
        let local = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"});
        let found = cluster(&["a", "a", "b"], local.clone()).findings("GW106");
        let [finding] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(
            finding.finding,
            "Node a runs 2 pods of the gateway and gets the same share of connections as node b with 1."
        );
        let even = [
            cluster(&["a", "b"], local),
            cluster(&["a", "a", "b"], json!({"type": "LoadBalancer"})),
            cluster(&["a", "a", "b"], json!({"type": "ClusterIP"})),
        ];
        for fixture in even {
            assert_eq!(fixture.findings("GW106"), []);
        }
    }
}
