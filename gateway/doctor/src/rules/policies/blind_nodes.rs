//! GW101

use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::traffic::{EXCLUDE_LABEL, NodeView, Via, is_local};
use crate::words::{count, list};

pub(super) const RULE: Rule = Rule {
    id: Id("GW101"),
    severity: Severity::Error,
    condition: "A Service of type LoadBalancer has `externalTrafficPolicy: Cluster`, and nodes without a gateway are \
                registered.",
    effect: "All nodes are green, also those that only pass traffic on. When such a node goes away, its connections break \
             (Cloudflare: 520) and the gateway logs nothing. The client's address is lost.",
    fix: "`externalTrafficPolicy: Local`; or pods as targets; or keep those nodes out with a label.",
    needs: &[Kind::Node, Kind::Service, Kind::Pod],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    for (service, _) in scene.services() {
        let fronts = scene.fronts(service);
        let mut fronts = fronts
            .iter()
            .filter(|front| matches!(front.via, Via::LoadBalancer));
        let Some(nodes) = fronts.find_map(|front| front.nodes()) else {
            continue;
        };
        if is_local(service) {
            continue;
        }
        let ready = scene.ready_nodes(service);
        let blind = nodes.iter().filter(|node| !ready.contains(node.name()));
        let blind: Vec<NodeView<'_>> = blind.copied().collect();
        if !blind.is_empty() {
            found.findings.push(finding(service, nodes, &blind));
        }
    }
}

fn finding(service: &Service, nodes: &[NodeView<'_>], blind: &[NodeView<'_>]) -> Finding {
    let object = ObjectName::of(Kind::Service, &service.metadata);
    let spot: Vec<&NodeView<'_>> = blind.iter().filter(|node| node.spot().is_some()).collect();
    let mut sentence = format!(
        "All {} are green on the load balancer, but only {} run the gateway: {} only pass traffic on.",
        count(nodes.len(), "node"),
        nodes.len().saturating_sub(blind.len()),
        list(blind.iter().map(|node| node.name()))
    );
    if !spot.is_empty() {
        sentence.push_str(&format!(
            " {} of them are preemptible (Spot): when one is taken away, the connections through it break.",
            spot.len()
        ));
    }
    let mut finding = Finding::new(RULE.id, RULE.severity, object.clone(), sentence).evidence(
        object.clone(),
        "spec.externalTrafficPolicy",
        "Cluster",
    );
    for node in spot {
        if let Some((label, value)) = node.spot() {
            finding = finding.evidence(node.object(), format!("metadata.labels[{label}]"), value);
        }
    }
    finding
        .effect(
            "No node is red. When one without a gateway is taken away, clients see broken connections (through Cloudflare: \
             520), and the gateway's log has nothing of it. The gateway sees nodes' addresses instead of clients'.",
        )
        .fix(
            "Only nodes with a gateway take traffic then, and the client's address is kept. On a live cluster, requests \
             through the other nodes fail until the load balancer has seen it, for up to a minute: run a gateway on every \
             node first, or move DNS to a second Service.",
            object.patch(&json!({"spec": {"externalTrafficPolicy": "Local"}})),
        )
        .advice(pods_as_targets(nodes))
        .fix(
            "Keep those nodes out of all load balancers of the cluster. For a node pool, set the label on the pool: nodes \
             that come later need it too.",
            format!(
                "kubectl label node {} {EXCLUDE_LABEL}=true",
                blind.iter().map(|node| node.name()).collect::<Vec<_>>().join(" ")
            ),
        )
}

/// How a load balancer of this provider gets pods as targets.
fn pods_as_targets(nodes: &[NodeView<'_>]) -> &'static str {
    let mut providers = nodes
        .iter()
        .filter_map(|node| node.0.spec.as_ref()?.provider_id.as_deref());
    match providers.next().and_then(|id| id.split(':').next()) {
        Some("gce") => {
            "Let the load balancer reach the pods: network endpoint groups (annotation `cloud.google.com/neg` on a Service of \
             type ClusterIP, before a backend service of your own or a GKE Ingress)."
        }
        Some("aws") => {
            "Let the load balancer reach the pods: with the AWS Load Balancer Controller, annotation \
             `service.beta.kubernetes.io/aws-load-balancer-nlb-target-type: ip` (set it when the Service is made), or a \
             TargetGroupBinding with `targetType: ip`."
        }
        _ => "Let the load balancer reach the pods instead of nodes, if your provider can.",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::fixture::Fixture;

    /// Three nodes, one of them preemptible; the gateway runs on the first; a load balancer in front.
    fn cluster(gateways: &[&str], service: Value) -> Fixture {
        Fixture::new()
            .nodes(&["a", "b"])
            .node("p", json!({"cloud.google.com/gke-preemptible": "true"}))
            .deployment(gateways, json!({}))
            .service("gateway", service)
    }

    #[test]
    fn nodes_without_a_gateway_are_green_under_cluster() {
        let found = cluster(&["a"], json!({"type": "LoadBalancer"})).findings("GW101");
        let [finding] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(
            finding.finding,
            "All 3 nodes are green on the load balancer, but only 1 run the gateway: b, p only pass traffic on. 1 of \
             them are preemptible (Spot): when one is taken away, the connections through it break."
        );
        assert_eq!(finding.object.to_string(), "Service blastdoor/gateway");
        let commands: Vec<_> = finding
            .fix
            .iter()
            .filter_map(|fix| fix.command.as_deref())
            .collect();
        assert_eq!(
            commands,
            [
                "kubectl patch service/gateway -n blastdoor --type merge -p '{\"spec\":{\"externalTrafficPolicy\":\"Local\"}}'",
                "kubectl label node b p node.kubernetes.io/exclude-from-external-load-balancers=true",
            ]
        );
    }

    #[test]
    fn nothing_is_found_where_every_registered_target_runs_a_gateway() {
        let balancer = json!({"type": "LoadBalancer"});
        let local = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"});
        let healthy = [
            ("every node has one", cluster(&["a", "b", "p"], balancer)),
            ("Local", cluster(&["a"], local)),
            ("no load balancer", cluster(&["a"], json!({"type": "ClusterIP"}))),
            ("node ports alone", cluster(&["a"], json!({"type": "NodePort"}))),
        ];
        for (name, fixture) in healthy {
            assert_eq!(fixture.findings("GW101"), [], "{name}");
        }
    }
}
