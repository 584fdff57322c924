//! Who reaches a door, and how long that takes to leave it alone.

use k8s_openapi::api::core::v1::Service;

use crate::finding::ObjectName;
use crate::gateway::{Door, Front, Workload};
use crate::scene::Scene;
use crate::traffic::{Path, Via};

/// What sends traffic to a door, with the time that it needs to notice that the door drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// An ALB with pods as targets: two probes of 5 s, and the controller.
    AlbPods,
    /// An ALB with nodes or instances as targets: two probes of 5 s, and nothing else says that a pod has ended.
    AlbInstances,
    /// An NLB: new connections come for two minutes and more after deregistration.
    Nlb,
    /// A passthrough load balancer of GKE with `externalTrafficPolicy: Local`: two probes of 3 s.
    GkeLocal,
    /// The same with `Cluster`, or a target pool: three probes of 8 s.
    GkeCluster,
    /// Network endpoint groups of GKE.
    GkeEndpoints,
    /// DNS alone: nothing probes, and a refused connection is tried elsewhere at once.
    Cloudflare,
}

impl Profile {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AlbPods => "an ALB with pods as targets",
            Self::AlbInstances => "an ALB with nodes as targets",
            Self::Nlb => "an NLB",
            Self::GkeLocal => "a GKE load balancer with `Local`",
            Self::GkeCluster => "a GKE load balancer with `Cluster`",
            Self::GkeEndpoints => "network endpoint groups of GKE",
            Self::Cloudflare => "Cloudflare on the nodes' ports",
        }
    }

    /// Seconds for which a door must take connections after SIGTERM.
    pub(super) const fn wait(self) -> u64 {
        match self {
            Self::AlbPods => 25,
            Self::AlbInstances => 30,
            Self::Nlb => 150,
            Self::GkeLocal => 15,
            Self::GkeCluster => 35,
            Self::GkeEndpoints => 40,
            Self::Cloudflare => 2,
        }
    }
}

/// What reaches a door of a workload, the slowest of it, and the object that says so.
pub(super) fn of(scene: &Scene<'_>, workload: &Workload<'_>, door: &Door) -> Option<(Profile, ObjectName)> {
    let leads_here = |path: &&Path<'_>| {
        let is_door = path.door().is_some_and(|other| other.name == door.name);
        is_door && path.workload.name == workload.name
    };
    let paths = scene.paths.iter().filter(leads_here);
    let known = paths.flat_map(|path| in_front(scene, path, door));
    known
        .max_by_key(|(profile, _)| profile.wait())
        .or_else(|| on_nodes(workload, door))
}

fn in_front(scene: &Scene<'_>, path: &Path<'_>, door: &Door) -> Vec<(Profile, ObjectName)> {
    let fronts = path.fronts.iter().filter_map(|front| {
        let is_nodes = front.nodes().is_some();
        let profile = match front.via {
            Via::TargetGroup(binding) => {
                let protocol = binding.spec.target_group_protocol.as_deref();
                let is_layer_4 = matches!(protocol, Some("TCP" | "TLS" | "TCP_UDP"))
                    || protocol.is_none() && door.front == Front::Nlb;
                match (is_layer_4, binding.target_type()) {
                    (true, _) => Some(Profile::Nlb),
                    (false, Some("instance")) => Some(Profile::AlbInstances),
                    (false, _) => Some(Profile::AlbPods),
                }
            }
            Via::LoadBalancer => load_balancer(scene, path.service),
            Via::Ingress(_) => match provider(scene) {
                Some("gce") => Some(if is_nodes {
                    Profile::GkeCluster
                } else {
                    Profile::GkeEndpoints
                }),
                _ => Some(if is_nodes {
                    Profile::AlbInstances
                } else {
                    Profile::AlbPods
                }),
            },
            // Node ports: an ALB with a target group of its owner's.
            Via::Unknown => (door.front == Front::Alb).then_some(Profile::AlbInstances),
        };
        Some((profile?, front.object(path.service)))
    });
    let mut found: Vec<(Profile, ObjectName)> = fronts.collect();
    if annotation(path.service, "cloud.google.com/neg").is_some_and(|value| value.contains("exposed_ports")) {
        found.push((Profile::GkeEndpoints, path.object()));
    }
    found
}

fn load_balancer(scene: &Scene<'_>, service: &Service) -> Option<Profile> {
    let spec = service.spec.as_ref()?;
    let class = spec.load_balancer_class.as_deref().unwrap_or_default();
    let kind = annotation(service, "service.beta.kubernetes.io/aws-load-balancer-type").unwrap_or_default();
    if class == "service.k8s.aws/nlb" || matches!(kind, "nlb" | "nlb-ip" | "external") {
        return Some(Profile::Nlb);
    }
    let is_local = spec.external_traffic_policy.as_deref() == Some("Local");
    match provider(scene) {
        Some("gce") if is_local => Some(Profile::GkeLocal),
        Some("gce") => Some(Profile::GkeCluster),
        _ => None,
    }
}

/// Ports of the node, with no Service in between.
fn on_nodes(workload: &Workload<'_>, door: &Door) -> Option<(Profile, ObjectName)> {
    let mut ports = workload
        .spec
        .containers
        .iter()
        .flat_map(|container| container.ports.iter().flatten());
    let is_declared = ports.any(|port| {
        port.container_port == i32::from(door.port()) && port.host_port.is_some_and(|port| port > 0)
    });
    let is_on_node = is_declared || workload.spec.host_network == Some(true);
    let profile = match door.front {
        Front::Alb => Profile::AlbInstances,
        Front::Nlb => Profile::Nlb,
        Front::Cloudflare => Profile::Cloudflare,
        Front::Gclb | Front::Other => return None,
    };
    is_on_node.then(|| (profile, workload.name.clone()))
}

fn annotation<'s>(service: &'s Service, key: &str) -> Option<&'s str> {
    service
        .metadata
        .annotations
        .as_ref()?
        .get(key)
        .map(String::as_str)
}

/// The cloud of the nodes: the scheme of `spec.providerID`.
fn provider<'s>(scene: &'s Scene<'_>) -> Option<&'s str> {
    let mut ids = scene
        .inventory
        .nodes
        .iter()
        .filter_map(|node| node.spec.as_ref()?.provider_id.as_deref());
    ids.find_map(|id| id.split_once(':').map(|(scheme, _)| scheme))
}
