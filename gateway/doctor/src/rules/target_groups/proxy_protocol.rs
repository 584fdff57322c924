//! GW207: health checks that begin with a PROXY header.

use serde_json::json;

use crate::finding::{Finding, Id, Severity};
use crate::gateway::ProxyProtocol;
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::traffic::{Path, Via};

pub(super) const RULE: Rule = Rule {
    id: Id("GW207"),
    severity: Severity::Error,
    condition: "Connections to a door begin with a PROXY header, and its Service is of type LoadBalancer with `externalTrafficPolicy: \
                Local` and nodes as targets.",
    effect: "The load balancer sends the header in front of its health checks too, and kube-proxy's health port cannot read it: every \
             node is red.",
    fix: "Pods as targets; or `externalTrafficPolicy: Cluster`, because the client's address is in the header.",
    needs: &[Kind::Service, Kind::Node],
    look,
};

/// Annotations that switch the header on (AWS Load Balancer Controller, `docs/guide/service/annotations.md`).
const ANNOTATIONS: [(&str, &str); 2] = [
    ("service.beta.kubernetes.io/aws-load-balancer-proxy-protocol", "*"),
    (
        "service.beta.kubernetes.io/aws-load-balancer-target-group-attributes",
        "proxy_protocol_v2.enabled=true",
    ),
];

fn look(scene: &Scene<'_>, found: &mut Found) {
    for (service, paths) in scene.services() {
        let Some(path) = paths.first() else { continue };
        let spec = service.spec.as_ref();
        let is_local = spec.and_then(|spec| spec.external_traffic_policy.as_deref()) == Some("Local");
        let mut fronts = path.fronts.iter();
        let registers_nodes =
            fronts.any(|front| matches!(front.via, Via::LoadBalancer) && front.nodes().is_some());
        if is_local && registers_nodes {
            found.findings.extend(finding(scene, &paths));
        }
    }
}

fn finding(scene: &Scene<'_>, paths: &[&Path<'_>]) -> Option<Finding> {
    let path = paths.first()?;
    let annotations = path.service.metadata.annotations.as_ref();
    let written = ANNOTATIONS.into_iter().find_map(|(key, on)| {
        let value = annotations?.get(key)?;
        value
            .split(',')
            .any(|part| part.trim() == on)
            .then_some((key, value))
    });
    let doors = paths
        .iter()
        .filter_map(|path| path.door().map(|door| (door, path.workload)));
    let required = doors
        .into_iter()
        .find(|(door, _)| door.proxy_protocol == ProxyProtocol::Required);
    if written.is_none() && required.is_none() {
        return None;
    }
    let service = path.object();
    let mut finding = Finding::new(
        RULE.id,
        RULE.severity,
        service.clone(),
        "The load balancer puts a PROXY header in front of its health checks, and kube-proxy's health port cannot read it.",
    )
    .evidence(service.clone(), "spec.externalTrafficPolicy", "Local");
    if let Some((key, value)) = written {
        finding = finding.evidence(service.clone(), format!("metadata.annotations[{key}]"), value);
    }
    if let Some((door, workload)) = required {
        finding = finding.evidence(
            workload.name.clone(),
            format!("listeners.{}.proxy_protocol", door.name),
            "required",
        );
    }
    let nodes = scene.nodes().count();
    Some(
        finding
            .effect(format!(
                "All {nodes} nodes are red. A load balancer without a healthy target sends to all of them: some connections work, and \
                 those to nodes without a gateway time out.",
            ))
            .advice(
                "Let the load balancer reach the pods (annotation \
                 `service.beta.kubernetes.io/aws-load-balancer-nlb-target-type: ip`, set when the Service is made), with the admin port of \
                 the gateway as the port of health checks: it reads PROXY headers.",
            )
            .fix(
                "Or let every node be green: the client's address comes from the header and is not lost.",
                service.patch(&json!({"spec": {"externalTrafficPolicy": "Cluster"}})),
            ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::Fixture;

    #[test]
    fn the_port_of_kube_proxy_reads_no_proxy_header() {
        let balancer = |policy: &str| json!({"type": "LoadBalancer", "externalTrafficPolicy": policy});
        let header = ("service.beta.kubernetes.io/aws-load-balancer-proxy-protocol", "*");
        let attribute = (
            "service.beta.kubernetes.io/aws-load-balancer-target-group-attributes",
            "preserve_client_ip.enabled=false, proxy_protocol_v2.enabled=true",
        );
        let pods = (
            "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type",
            "ip",
        );
        let off = (
            "service.beta.kubernetes.io/aws-load-balancer-target-group-attributes",
            "proxy_protocol_v2.enabled=false",
        );
        let (off_at_door, required) = (ProxyProtocol::Off, ProxyProtocol::Required);
        let table = [
            (balancer("Local"), vec![header], off_at_door, true),
            (balancer("Local"), vec![attribute], off_at_door, true),
            (balancer("Local"), vec![], required, true),
            (balancer("Local"), vec![off], off_at_door, false),
            (balancer("Local"), vec![header, pods], required, false),
            (balancer("Cluster"), vec![header], required, false),
            (json!({"type": "ClusterIP"}), vec![], required, false),
        ];
        for (spec, annotations, at_door, expected) in table {
            let mut fixture = Fixture::new()
                .nodes(&["a"])
                .daemon_set(&["a"], json!({}))
                .service("gateway", spec.clone())
                .door("external-http", |door| door.proxy_protocol = at_door);
            for service in &mut fixture.inventory.services {
                let pairs = annotations
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
                service.metadata.annotations = Some(pairs.collect());
            }
            let found = fixture.findings("GW207");
            assert_eq!(
                !found.is_empty(),
                expected,
                "{spec} {annotations:?} {at_door:?}: {found:?}"
            );
        }
    }
}
