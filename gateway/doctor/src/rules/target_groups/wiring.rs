//! GW201 and GW202: bindings that lead nowhere, or to another door than they say.

use serde_json::json;

use super::bound::{Bound, bound, meant, side};
use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::gateway::Door;
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::traffic::{Path, Target};
use crate::words::list;

pub(super) const CLUSTER_IP: Rule = Rule {
    id: Id("GW201"),
    severity: Severity::Error,
    condition: "A TargetGroupBinding has `targetType: instance`, and its Service is of type ClusterIP.",
    effect: "The controller says `service type must be either 'NodePort' or 'LoadBalancer'` and registers nothing: the target group \
             is empty, and the load balancer answers 503.",
    fix: "A Service of type NodePort, or a target group with `targetType: ip`.",
    needs: &[Kind::TargetGroupBinding, Kind::Service],
    look: cluster_ip,
};

pub(super) const MISWIRED: Rule = Rule {
    id: Id("GW202"),
    severity: Severity::Error,
    condition: "The Service or the port that a TargetGroupBinding names does not exist, or no door listens there, or another door \
                than the one that the name of the target group says.",
    effect: "Without a port, nothing is registered and the load balancer answers 503. With another door's port, what is meant for \
             one network is served to the other.",
    fix: "The port of the door that is meant, in `serviceRef.port`.",
    needs: &[Kind::TargetGroupBinding, Kind::Service],
    look: miswired,
};

fn cluster_ip(scene: &Scene<'_>, found: &mut Found) {
    for bound in bound(scene) {
        let Some(service) = bound.service else { continue };
        let kind = service.spec.as_ref().and_then(|spec| spec.type_.as_deref());
        let kind = kind.unwrap_or("ClusterIP");
        if bound.binding.target_type() != Some("instance") || kind != "ClusterIP" {
            continue;
        }
        let name = ObjectName::of(Kind::Service, &service.metadata);
        found.findings.push(
            Finding::new(
                CLUSTER_IP.id,
                CLUSTER_IP.severity,
                bound.object(),
                "It registers nodes, and its Service has no node ports: service type must be either 'NodePort' or 'LoadBalancer'.",
            )
            .evidence(bound.object(), "spec.targetType", "instance")
            .evidence(name.clone(), "spec.type", kind)
            .effect(
                "The target group stays empty, and the load balancer answers 503. The error is in the controller's log and in \
                 Events of the TargetGroupBinding.",
            )
            .fix(
                "Node ports, for a target group that registers nodes.",
                name.patch(&json!({"spec": {"type": "NodePort"}})),
            )
            .advice(
                "Or a target group of type `ip`, bound with `targetType: ip`: the load balancer then reaches the pods without \
                 node ports. The type of a target group cannot be changed: make a new one and a new TargetGroupBinding.",
            ),
        );
    }
}

fn miswired(scene: &Scene<'_>, found: &mut Found) {
    for bound in bound(scene) {
        found.findings.extend(wiring(scene, &bound));
    }
}

fn wiring(scene: &Scene<'_>, bound: &Bound<'_>) -> Option<Finding> {
    let (group, port) = (bound.group_name(), bound.port());
    let finding = |text: String| {
        Finding::new(MISWIRED.id, MISWIRED.severity, bound.object(), text)
            .evidence(bound.object(), bound.group_field(), bound.binding.target_group())
            .evidence(
                bound.object(),
                "spec.serviceRef.name",
                &bound.binding.spec.service_ref.name,
            )
            .evidence(bound.object(), "spec.serviceRef.port", &port)
    };
    const NOBODY: &str =
        "Nothing is registered: the target group stays empty, and the load balancer answers 503.";
    let Some(service) = bound.service else {
        let name = &bound.binding.spec.service_ref.name;
        let text = format!("Target group {group} is bound to Service {name}, which does not exist.");
        return Some(
            finding(text)
                .effect(NOBODY)
                .advice("Write the name of the gateway's Service in `spec.serviceRef.name`."),
        );
    };
    let name = ObjectName::of(Kind::Service, &service.metadata);
    let Some(path) = bound.path else {
        let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let ports = ports.map(|port| port.name.clone().unwrap_or_else(|| port.port.to_string()));
        let ports = list(ports);
        let text = format!(
            "Target group {group} is bound to port {port} of Service {}, which it does not have.",
            name.name
        );
        let finding = finding(text).evidence(name, "spec.ports", &ports).effect(NOBODY);
        return Some(to_the_right_port(
            finding,
            bound,
            right_port(scene, bound),
            &ports,
        ));
    };
    let target = path
        .target_port
        .map_or_else(|| "none".to_owned(), |port| port.to_string());
    let finding = |text: String| {
        let field = format!(
            "spec.ports[{}].targetPort",
            path.port.name.as_deref().unwrap_or_default()
        );
        finding(text).evidence(name.clone(), field, &target)
    };
    match path.target {
        Target::Door(door) => {
            let (says, what) = other_door(scene, bound, door)?;
            let text = format!(
                "Target group {} ({what} says {says}) is bound to port {port}, which is door `{}`: the blast door is wired through.",
                bound.binding.target_group(),
                door.name
            );
            let finding = finding(text).effect(format!(
                "Clients that the load balancer of {says} lets in reach door `{}` and everything that is exposed there. Hosts of \
                 {says} answer 404.",
                door.name
            ));
            Some(to_the_right_port(finding, bound, right_port(scene, bound), &says))
        }
        Target::Admin => {
            let text = format!(
                "Target group {group} is bound to port {port}, which is the admin port of the gateway."
            );
            let finding = finding(text)
                .effect("Clients of the load balancer see metrics, routes and state of the gateway.");
            Some(to_the_right_port(
                finding,
                bound,
                right_port(scene, bound),
                "the door that is meant",
            ))
        }
        Target::Nothing => {
            let text = format!("Target group {group} is bound to port {port}, at which no door listens.");
            let finding =
                finding(text).effect("All targets are red, and the load balancer answers 502 or 504.");
            Some(to_the_right_port(
                finding,
                bound,
                right_port(scene, bound),
                "the door that is meant",
            ))
        }
    }
}

/// Which door, or side, the names around a binding say, if that is not the one that it leads to; and whose name says so.
fn other_door(scene: &Scene<'_>, bound: &Bound<'_>, door: &Door) -> Option<(String, &'static str)> {
    let binding = bound.binding.metadata.name.clone().unwrap_or_default();
    let names = [
        (bound.group_name().to_owned(), "its name"),
        (binding, "the name of its binding"),
        (bound.port(), "the name of the port"),
    ];
    names
        .into_iter()
        .find_map(|(name, what)| match meant(&name, scene.doors()) {
            Some(said) => (said.name != door.name).then(|| (said.name.to_string(), what)),
            None => {
                let (said, is) = (side(&name)?, side(door.name.as_str())?);
                (said != is).then(|| (format!("{said:?}").to_ascii_lowercase(), what))
            }
        })
}

/// A port, and its Service, that leads to the door that the target group's name means: of the same Service, or else of
/// another one.
fn right_port(scene: &Scene<'_>, bound: &Bound<'_>) -> Option<Reference> {
    let binding = bound.binding.metadata.name.as_deref().unwrap_or_default();
    let door = meant(bound.group_name(), scene.doors()).or_else(|| meant(binding, scene.doors()))?;
    let namespace = &bound.binding.metadata.namespace;
    let leads = |path: &&Path<'_>| {
        path.service.metadata.namespace == *namespace
            && path.door().is_some_and(|other| other.name == door.name)
    };
    let is_same = |path: &&Path<'_>| {
        bound
            .service
            .is_some_and(|service| std::ptr::eq(service, path.service))
    };
    let mut leading = scene.paths.iter().filter(leads);
    let path = scene
        .paths
        .iter()
        .filter(leads)
        .find(is_same)
        .or_else(|| leading.next())?;
    Some(Reference {
        service: path.service.metadata.name.clone()?,
        port: path.port.name.clone()?,
    })
}

/// `serviceRef`
struct Reference {
    service: String,
    port: String,
}

fn to_the_right_port(
    finding: Finding,
    bound: &Bound<'_>,
    reference: Option<Reference>,
    which: &str,
) -> Finding {
    match reference {
        Some(Reference { service, port }) => finding.fix(
            "Bind the port of the door that is meant.",
            bound
                .object()
                .patch(&json!({"spec": {"serviceRef": {"name": service, "port": port}}})),
        ),
        None => finding.advice(format!("Write the port of {which} in `spec.serviceRef.port`.")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::fixture::Fixture;

    fn bound(kind: &str, spec: Value) -> Fixture {
        let mut all = json!({"targetType": "ip", "serviceRef": {"name": "gateway", "port": "external-https"},
            "targetGroupARN": "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/gw-external-https/0123456789abcdef"});
        crate::fixture::merge(&mut all, &spec);
        Fixture::new()
            .nodes(&["a", "b"])
            .daemon_set(&["a", "b"], json!({}))
            .service("gateway", json!({"type": kind}))
            .with(json!({
                "apiVersion": "elbv2.k8s.aws/v1beta1", "kind": "TargetGroupBinding",
                "metadata": {"name": "external-https", "namespace": "blastdoor"}, "spec": all,
            }))
    }

    #[test]
    fn a_binding_of_nodes_needs_node_ports() {
        let instance = json!({"targetType": "instance"});
        assert_eq!(bound("ClusterIP", instance.clone()).findings("GW201").len(), 1);
        for kind in ["NodePort", "LoadBalancer"] {
            assert_eq!(bound(kind, instance.clone()).findings("GW201"), [], "{kind}");
        }
        assert_eq!(bound("ClusterIP", json!({})).findings("GW201"), []);
    }

    #[test]
    fn a_target_group_leads_to_the_door_that_its_name_says() {
        let group = |name: &str| json!({"targetGroupARN": format!("arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/{name}/1")});
        let port = |port: &str| json!({"serviceRef": {"port": port}});
        let of_port = |name: &str, port: &str| {
            let mut spec = group(name);
            spec["serviceRef"] = json!({"port": port});
            spec
        };
        let table = [
            (json!({}), None),
            (group("prod-ExternalHttps-1A2B"), None),
            (group("k8s-edge-12345"), None),
            // The binding's own name says the door.
            (
                of_port("k8s-edge-12345", "internal-http"),
                Some("says external-https) is bound to port internal-http"),
            ),
            (
                port("internal-http"),
                Some(
                    "(its name says external-https) is bound to port internal-http, which is door `internal-http`",
                ),
            ),
            (
                port("external-http"),
                Some("is door `external-http`: the blast door is wired through"),
            ),
            (
                of_port("edge-internal", "external-https"),
                Some("(its name says internal)"),
            ),
            (
                port("metrics"),
                Some("port metrics of Service gateway, which it does not have"),
            ),
            (
                json!({"serviceRef": {"name": "gone"}}),
                Some("is bound to Service gone, which does not exist"),
            ),
        ];
        for (spec, expected) in table {
            let found = bound("ClusterIP", spec.clone()).findings("GW202");
            let texts: Vec<&str> = found.iter().map(|finding| finding.finding.as_str()).collect();
            match expected {
                None => assert_eq!(texts, [""; 0], "{spec}"),
                Some(expected) => assert!(
                    texts.len() == 1 && texts[0].contains(expected),
                    "{spec}: {texts:?}"
                ),
            }
        }
        let found = bound("ClusterIP", port("internal-http")).findings("GW202");
        assert_eq!(
            found[0].fix[0].command.as_deref(),
            Some(
                "kubectl patch targetgroupbinding/external-https -n blastdoor --type merge -p '{\"spec\":{\"serviceRef\":{\"name\":\"gateway\",\"port\":\"external-https\"}}}'"
            )
        );
    }
}
