//! GW103, GW104, GW105: `externalTrafficPolicy: Local`, and registered nodes without a gateway.
//!
//! Who probes what decides. A cloud provider's load balancer probes `healthCheckNodePort`, and nodes without a gateway leave
//! rotation: as it should be. A target group that registers nodes probes the node port itself, where kube-proxy drops.

use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::traffic::{Front, NodeView, Via, is_local, service_type};
use crate::words::{count, list};

const NEEDS: &[Kind] = &[Kind::Node, Kind::Service, Kind::Pod];

pub(super) const RED_TARGETS: Rule = Rule {
    id: Id("GW103"),
    severity: Severity::Error,
    condition: "A Service has `externalTrafficPolicy: Local`, its load balancer registers nodes at a node port (a \
                TargetGroupBinding or an Ingress with instance targets), and some of these run no gateway. A warning where \
                it is not known who uses the node ports.",
    effect: "Those nodes are red in the target group, `Request timed out`. On such a node itself, `curl localhost:NODEPORT` \
             works all the same.",
    fix: "Pods as targets; or a DaemonSet, or only the gateway's nodes as targets; or `Cluster`.",
    needs: NEEDS,
    look: |scene, found| look(scene, found, red_targets),
};

pub(super) const RED_BY_DESIGN: Rule = Rule {
    id: Id("GW104"),
    severity: Severity::Info,
    condition: "A Service of type LoadBalancer has `externalTrafficPolicy: Local`, and some registered nodes run no gateway.",
    effect: "Those nodes are red on the load balancer, by design.",
    fix: "None is needed.",
    needs: NEEDS,
    look: |scene, found| look(scene, found, red_by_design),
};

pub(super) const NOBODY: Rule = Rule {
    id: Id("GW105"),
    severity: Severity::Error,
    condition: "A Service has `externalTrafficPolicy: Local`, and no registered node runs a gateway that is ready.",
    effect: "Every node is red, and drops what arrives: clients see timeouts.",
    fix: "Get the gateway's pods ready, or let them run on registered nodes.",
    needs: NEEDS,
    look: |scene, found| look(scene, found, nobody),
};

/// A Service whose registered nodes are judged.
struct Case<'c, 'a> {
    service: &'a Service,
    object: ObjectName,
    front: &'c Front<'a>,
    nodes: &'c [NodeView<'a>],
    /// Of these, those without a gateway that is ready.
    empty: Vec<NodeView<'a>>,
    /// The nodes with one, wherever they are registered.
    ready: Vec<&'a str>,
}

fn look(scene: &Scene<'_>, found: &mut Found, judge: fn(&Case<'_, '_>) -> Option<Finding>) {
    for (service, _) in scene.services() {
        if !is_local(service) {
            continue;
        }
        let ready = scene.ready_nodes(service);
        for front in scene.fronts(service) {
            let Some(nodes) = front.nodes() else { continue };
            let empty = nodes.iter().filter(|node| !ready.contains(node.name()));
            let case = Case {
                service,
                object: ObjectName::of(Kind::Service, &service.metadata),
                front: &front,
                nodes,
                empty: empty.copied().collect(),
                ready: ready.iter().copied().collect(),
            };
            found.findings.extend(judge(&case));
        }
    }
}

impl Case<'_, '_> {
    /// Whether no registered node has a gateway. What other rules would say of single nodes says less.
    fn has_nobody(&self) -> bool {
        self.empty.len() == self.nodes.len()
    }

    fn names(&self) -> String {
        list(self.empty.iter().map(|node| node.name()))
    }

    /// The facts that all three rest on.
    fn facts(&self, finding: Finding) -> Finding {
        let ready = match self.ready.as_slice() {
            [] => "none".to_owned(),
            nodes => list(nodes),
        };
        let finding = finding
            .evidence(self.object.clone(), "spec.externalTrafficPolicy", "Local")
            .evidence(self.object.clone(), "spec.type", service_type(self.service))
            .evidence(self.object.clone(), "nodes with a ready endpoint", ready);
        let front = self.front.object(self.service);
        match self.front.via {
            Via::TargetGroup(binding) => finding
                .evidence(
                    front.clone(),
                    "spec.targetType",
                    binding.target_type().unwrap_or_default(),
                )
                .evidence(front, "target group", binding.target_group()),
            Via::Ingress(ingress) => {
                let annotations = ingress.metadata.annotations.as_ref();
                let key = "alb.ingress.kubernetes.io/target-type";
                let value = annotations.and_then(|annotations| annotations.get(key));
                finding.evidence(
                    front,
                    format!("metadata.annotations[{key}]"),
                    value.map_or("absent, so instance", |value| value.as_str()),
                )
            }
            Via::LoadBalancer | Via::Unknown => finding,
        }
    }

    fn node_port(&self) -> String {
        let ports = self
            .service
            .spec
            .iter()
            .flat_map(|spec| spec.ports.iter().flatten());
        let mut ports = ports.filter_map(|port| port.node_port);
        ports
            .next()
            .map_or("NODEPORT".to_owned(), |port| port.to_string())
    }
}

fn red_targets(case: &Case<'_, '_>) -> Option<Finding> {
    let is_node_port = match case.front.via {
        Via::LoadBalancer => return None,
        Via::TargetGroup(_) | Via::Ingress(_) | Via::Unknown => service_type(case.service) == "NodePort",
    };
    if case.empty.is_empty() || case.has_nobody() {
        return None;
    }
    let (all, empty) = (case.nodes.len(), case.empty.len());
    // A Service of type LoadBalancer has a port that such a target group could probe, if its owner said so.
    let is_certain = case.front.is_certain() && is_node_port;
    let severity = if is_certain {
        Severity::Error
    } else {
        Severity::Warning
    };
    let who = match case.front.is_certain() {
        true => format!("{empty} of {all} registered nodes run no gateway"),
        false => format!(
            "{empty} of {all} nodes run no gateway, and whatever sends traffic to the node ports of all of them finds it there"
        ),
    };
    let sentence = format!("{who} ({}): kube-proxy drops what arrives at them.", case.names());
    let finding = Finding::new(RED_TARGETS.id, severity, case.object.clone(), sentence);
    let finding = case.facts(finding).effect(format!(
        "These nodes are red in the target group: `Request timed out`. On such a node, `curl localhost:{}` works all the same, \
         because kube-proxy treats what comes from the node itself as internal. The node's kube-proxy counts \
         kubeproxy_sync_proxy_rules_no_local_endpoints_total.",
        case.node_port()
    ));
    Some(ways_out(case, finding))
}

fn ways_out(case: &Case<'_, '_>, finding: Finding) -> Finding {
    let object = case.front.object(case.service);
    let finding = match case.front.via {
        Via::Ingress(_) => finding.fix(
            "Let the load balancer reach the pods. Node ports and policies no longer matter then.",
            format!(
                "kubectl annotate {} --overwrite alb.ingress.kubernetes.io/target-type=ip",
                object.kubectl()
            ),
        ),
        Via::TargetGroup(_) | Via::LoadBalancer | Via::Unknown => finding.advice(
            "Let the load balancer reach the pods: a new target group with targets of type `ip`, and a TargetGroupBinding with \
             `targetType: ip` (neither type can be changed later). Node ports and policies no longer matter then.",
        ),
    };
    let nodes = case.ready.join(" ");
    let finding = match case.front.via {
        Via::TargetGroup(_) => finding.fix(
            "Run the gateway on every registered node (a DaemonSet), or register only the gateway's nodes.",
            format!(
                "kubectl label node {nodes} blastdoor.dev/gateway=true\n{}",
                object.patch(&json!({"spec": {"nodeSelector": {"matchLabels": {"blastdoor.dev/gateway": "true"}}}}))
            ),
        ),
        Via::Ingress(_) => finding.fix(
            "Run the gateway on every registered node (a DaemonSet), or register only the gateway's nodes.",
            format!(
                "kubectl label node {nodes} blastdoor.dev/gateway=true\nkubectl annotate {} --overwrite \
                 alb.ingress.kubernetes.io/target-node-labels=blastdoor.dev/gateway=true",
                object.kubectl()
            ),
        ),
        Via::LoadBalancer | Via::Unknown => finding.advice(
            "Run the gateway on every node that takes traffic (a DaemonSet), or send traffic only to the gateway's nodes.",
        ),
    };
    finding.fix(
        "Let every node pass traffic on. Behind an Application Load Balancer nothing is lost: the client's address is in \
         X-Forwarded-For.",
        case.object.patch(&json!({"spec": {"externalTrafficPolicy": "Cluster"}})),
    )
}

fn red_by_design(case: &Case<'_, '_>) -> Option<Finding> {
    if !matches!(case.front.via, Via::LoadBalancer) || case.empty.is_empty() || case.has_nobody() {
        return None;
    }
    let sentence = format!(
        "{} ({}) run no gateway and are red on the load balancer, by design: with `Local`, only nodes with a gateway take \
         traffic.",
        count(case.empty.len(), "node"),
        case.names()
    );
    let finding = Finding::new(
        RED_BY_DESIGN.id,
        RED_BY_DESIGN.severity,
        case.object.clone(),
        sentence,
    );
    Some(case.facts(finding).effect(
        "The load balancer shows these nodes as unhealthy. Nothing is wrong with them, and no alert should count them.",
    ))
}

fn nobody(case: &Case<'_, '_>) -> Option<Finding> {
    if !case.has_nobody() || case.nodes.is_empty() {
        return None;
    }
    let sentence = match case.ready.as_slice() {
        [] => format!(
            "No pod of the gateway is ready: all {} drop what arrives.",
            count(case.nodes.len(), "node")
        ),
        elsewhere => format!(
            "The gateway runs only on nodes that are not registered ({}): all {} that are registered drop what arrives.",
            list(elsewhere),
            count(case.nodes.len(), "node")
        ),
    };
    let finding = Finding::new(NOBODY.id, NOBODY.severity, case.object.clone(), sentence);
    let finding = case.facts(finding).effect(
        "Every target is red, and clients see timeouts, or what the load balancer answers without a target.",
    );
    Some(match case.ready.as_slice() {
        [] => finding.fix(
            "See why its pods are not ready.",
            format!(
                "kubectl describe pods -n {} -l app.kubernetes.io/name=blastdoor",
                case.object.namespace()
            ),
        ),
        _ => finding.advice(
            "Let the gateway run on registered nodes (`nodeSelector`, tolerations), or register its nodes.",
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::Severity;
    use crate::fixture::Fixture;

    /// Three nodes, a Service with `Local`, and pods of the gateway on these nodes.
    fn cluster(kind: &str, pods: &[&str]) -> Fixture {
        Fixture::new()
            .nodes(&["a", "b", "c"])
            .deployment(pods, json!({}))
            .service("gateway", json!({"type": kind, "externalTrafficPolicy": "Local"}))
    }

    fn binding(target_type: &str, selector: Value) -> Value {
        json!({
            "apiVersion": "elbv2.k8s.aws/v1beta1", "kind": "TargetGroupBinding",
            "metadata": {"name": "gw", "namespace": "blastdoor"},
            "spec": {"targetGroupARN": "arn:1", "targetType": target_type, "nodeSelector": selector,
                     "serviceRef": {"name": "gateway", "port": "external-https"}},
        })
    }

    fn alb(annotations: Value) -> Value {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "front", "namespace": "blastdoor", "annotations": annotations},
            "spec": {"ingressClassName": "alb", "defaultBackend": {"service": {"name": "gateway", "port": {"number": 443}}}},
        })
    }

    fn ids(fixture: &Fixture) -> Vec<(&'static str, Severity)> {
        let findings = fixture.report().findings.into_iter();
        let findings = findings.filter(|finding| ["GW103", "GW104", "GW105"].contains(&finding.id.0));
        findings.map(|finding| (finding.id.0, finding.severity)).collect()
    }

    #[test]
    fn who_probes_what_decides() {
        let selector = json!({"matchLabels": {"pool": "edge"}});
        let error = |id| vec![(id, Severity::Error)];
        let table = [
            // A cloud's load balancer probes healthCheckNodePort.
            (
                "balancer",
                cluster("LoadBalancer", &["a"]),
                vec![("GW104", Severity::Info)],
            ),
            (
                "balancer, everywhere",
                cluster("LoadBalancer", &["a", "b", "c"]),
                vec![],
            ),
            ("balancer, nobody", cluster("LoadBalancer", &[]), error("GW105")),
            // A target group of instances probes the node port.
            (
                "instances",
                cluster("NodePort", &["a"]).with(binding("instance", Value::Null)),
                error("GW103"),
            ),
            (
                "instances, everywhere",
                cluster("NodePort", &["a", "b", "c"]).with(binding("instance", Value::Null)),
                vec![],
            ),
            (
                "instances, gateway's nodes alone",
                cluster("NodePort", &["e"])
                    .node("e", json!({"pool": "edge"}))
                    .with(binding("instance", selector.clone())),
                vec![],
            ),
            (
                "instances, other nodes alone",
                cluster("NodePort", &["a"])
                    .node("e", json!({"pool": "edge"}))
                    .with(binding("instance", selector)),
                error("GW105"),
            ),
            (
                "pods",
                cluster("NodePort", &["a"]).with(binding("ip", Value::Null)),
                vec![],
            ),
            (
                "nobody knows",
                cluster("NodePort", &["a"]),
                vec![("GW103", Severity::Warning)],
            ),
            // An ALB for an Ingress registers instances by default.
            (
                "alb",
                cluster("NodePort", &["a"]).with(alb(json!({}))),
                error("GW103"),
            ),
            (
                "alb with the gateway's nodes",
                cluster("NodePort", &["e"])
                    .node("e", json!({"pool": "edge"}))
                    .with(alb(
                        json!({"alb.ingress.kubernetes.io/target-node-labels": "pool=edge"}),
                    )),
                vec![],
            ),
            (
                "alb with pods",
                cluster("NodePort", &["a"]).with(alb(json!({"alb.ingress.kubernetes.io/target-type": "ip"}))),
                vec![],
            ),
        ];
        for (name, fixture, expected) in table {
            assert_eq!(ids(&fixture), expected, "{name}");
        }
    }

    #[test]
    fn red_targets_are_named_with_the_ways_out() {
        let fixture = cluster("NodePort", &["a"]).with(binding("instance", Value::Null));
        let found = fixture.findings("GW103");
        assert_eq!(
            found[0].finding,
            "2 of 3 registered nodes run no gateway (b, c): kube-proxy drops what arrives at them."
        );
        let commands: Vec<_> = found[0].fix.iter().map(|fix| fix.command.as_deref()).collect();
        assert_eq!(
            commands,
            [
                None,
                Some(
                    "kubectl label node a blastdoor.dev/gateway=true\nkubectl patch targetgroupbinding/gw -n blastdoor --type \
                     merge -p '{\"spec\":{\"nodeSelector\":{\"matchLabels\":{\"blastdoor.dev/gateway\":\"true\"}}}}'"
                ),
                Some(
                    "kubectl patch service/gateway -n blastdoor --type merge -p \
                     '{\"spec\":{\"externalTrafficPolicy\":\"Cluster\"}}'"
                ),
            ]
        );
    }

    #[test]
    fn a_node_that_is_not_registered_needs_no_gateway() {
        let excluded = json!({"node.kubernetes.io/exclude-from-external-load-balancers": ""});
        let fixture = Fixture::new()
            .nodes(&["a"])
            .node("x", excluded)
            .deployment(&["a"], json!({}))
            .service(
                "gateway",
                json!({"type": "NodePort", "externalTrafficPolicy": "Local"}),
            );
        assert_eq!(ids(&fixture), []);
    }
}
