//! GW102

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Service;
use resource::{FilterSpec, Ingress, MiddlewareKind};
use route::ObjectKey;
use serde_json::json;

use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::gateway::Door;
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::traffic::{Front, Path, is_local};
use crate::words::list;

pub(super) const RULE: Rule = Rule {
    id: Id("GW102"),
    severity: Severity::Warning,
    condition: "Ingresses of a door judge clients by address (allow list, deny list, rate limit), the door takes the \
                connection's address for the client's, and `externalTrafficPolicy: Cluster` replaces that with a node's.",
    effect: "Allow lists match nodes instead of clients; all clients of a node share one rate limit.",
    fix: "`Local`; or the PROXY protocol or `X-Forwarded-For` from a load balancer that is trusted.",
    needs: &[Kind::Service, Kind::Ingress],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    for (service, paths) in scene.services() {
        if is_local(service) {
            continue;
        }
        let fronts = scene.fronts(service);
        let Some(front) = fronts.iter().find(|front| front.nodes().is_some()) else {
            continue;
        };
        let mut seen = BTreeSet::new();
        for path in paths {
            let Some(door) = path.door().filter(|door| door.sees_peers_alone()) else {
                continue;
            };
            if !seen.insert(door.name.clone()) {
                continue;
            }
            let ingresses = scene.admitted(&door.policy);
            let ingresses = ingresses.filter(|ingress| judges_addresses(scene, ingress));
            let ingresses: Vec<ObjectKey> = ingresses.map(|ingress| ingress.key.clone()).collect();
            if !ingresses.is_empty() {
                found
                    .findings
                    .push(finding(service, path, door, front, &ingresses));
            }
        }
    }
}

/// Whether an annotation of the Ingress, or a Middleware that it names, judges clients by address.
fn judges_addresses(scene: &Scene<'_>, ingress: &Ingress) -> bool {
    let mut filters = ingress.annotations.filters.iter();
    let mut named = ingress.annotations.middlewares.iter();
    filters.any(|filter| filter.spec.judges_addresses())
        || named.any(|named| middleware_judges(scene, &named.key, 0))
}

/// As deep as chains of Middlewares are followed.
const DEPTH: usize = 8;

fn middleware_judges(scene: &Scene<'_>, key: &ObjectKey, depth: usize) -> bool {
    let middleware = scene.view.middleware(key);
    match middleware.and_then(|middleware| middleware.kind.as_ref().ok()) {
        Some(MiddlewareKind::Filters(filters)) => filters.iter().any(FilterSpec::judges_addresses),
        Some(MiddlewareKind::Chain(chain)) if depth < DEPTH => {
            chain.iter().any(|key| middleware_judges(scene, key, depth + 1))
        }
        Some(MiddlewareKind::Chain(_)) | None => false,
    }
}

fn finding(
    service: &Service,
    path: &Path<'_>,
    door: &Door,
    front: &Front<'_>,
    ingresses: &[ObjectKey],
) -> Finding {
    let object = ObjectName::of(Kind::Service, &service.metadata);
    let names = list(ingresses.iter().map(ToString::to_string));
    let mut finding = Finding::new(
        RULE.id,
        RULE.severity,
        object.clone(),
        format!(
            "Connections reach door `{}` with the addresses of nodes, and the door takes them for clients: what {names} says of \
             clients is applied to nodes.",
            door.name
        ),
    )
    .evidence(object.clone(), "spec.externalTrafficPolicy", "Cluster")
    .evidence(
        path.workload.name.clone(),
        format!("listeners.{}.trusted_proxies", door.name),
        match door.trusted.len() {
            0 => "nobody".to_owned(),
            number => format!("{number} networks"),
        },
    );
    for ingress in ingresses.iter().take(10) {
        let ingress = ObjectName::namespaced(Kind::Ingress, ingress.namespace(), ingress.name());
        finding = finding.evidence(ingress, "metadata.annotations", "judges clients by address");
    }
    let finding = finding.effect(
        "An allow list refuses everybody, or lets everybody in whose node is on it (403 or 200 by chance). All clients that come \
         through one node share a rate limit (429).",
    );
    if front.is_layer_7() {
        return finding.advice(format!(
            "Believe the load balancer: in listeners.toml, set `behind = \"alb\"` and `trusted_proxies` of `[listeners.{}]` to the \
             networks of its subnets and of the nodes, which pass its connections on.",
            door.name
        ));
    }
    finding
        .fix(
            "Keep the client's address: only nodes with a gateway take traffic then.",
            object.patch(&json!({"spec": {"externalTrafficPolicy": "Local"}})),
        )
        .advice(format!(
            "Or let the load balancer name the client in a PROXY header: in listeners.toml, set `behind = \"nlb-proxy-v2\"` and \
             `trusted_proxies` of `[listeners.{}]`, and turn the header on at the load balancer at the same time.",
            door.name
        ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::fixture::Fixture;
    use crate::gateway::ClientIp;

    fn cluster(policy: &str, annotation: &str) -> Fixture {
        Fixture::new()
            .nodes(&["a"])
            .daemon_set(&["a"], json!({}))
            .service(
                "gateway",
                json!({"type": "LoadBalancer", "externalTrafficPolicy": policy}),
            )
            .with(json!({
                "apiVersion": "traefik.io/v1alpha1", "kind": "Middleware",
                "metadata": {"name": "office", "namespace": "shop"},
                "spec": {"ipAllowList": {"sourceRange": ["192.0.2.0/24"]}},
            }))
            .with(json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": {"name": "shop", "namespace": "shop", "labels": {"expose": "external-https"},
                             "annotations": {annotation: "shop-office@kubernetescrd"}},
                "spec": {"rules": [{"host": "shop.example.com"}]},
            }))
    }

    const MIDDLEWARES: &str = "traefik.ingress.kubernetes.io/router.middlewares";

    #[test]
    fn lists_of_addresses_behind_cluster_match_nodes() {
        let found = cluster("Cluster", MIDDLEWARES).findings("GW102");
        let [finding] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(
            finding.finding,
            "Connections reach door `external-https` with the addresses of nodes, and the door takes them for clients: what \
             shop/shop says of clients is applied to nodes."
        );
    }

    #[test]
    fn nothing_is_found_where_clients_are_known_or_not_judged() {
        let trusting = cluster("Cluster", MIDDLEWARES).door("external-https", |door| {
            door.client_ip = ClientIp::ProxyProtocol;
            door.trusted = vec!["10.0.0.0/8".parse().unwrap()];
        });
        assert_eq!(trusting.findings("GW102"), []);
        assert_eq!(cluster("Local", MIDDLEWARES).findings("GW102"), []);
        assert_eq!(cluster("Cluster", "example.com/nothing").findings("GW102"), []);
    }
}
