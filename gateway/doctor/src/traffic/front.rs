//! What stands in front of a Service, what it registers as targets, and so who answers its health checks.
//!
//! The same field of a Service is right before one load balancer and wrong before another. So every finding about traffic
//! policies asks here first.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{Ingress, IngressBackend};

use super::node::NodeView;
use crate::finding::ObjectName;
use crate::inventory::Inventory;
use crate::kind::Kind;
use crate::selector::{Labels, matches};
use crate::target_group_binding::TargetGroupBinding;

/// Something in front of a Service.
#[derive(Debug, Clone)]
pub(crate) struct Front<'i> {
    /// What it is.
    pub(crate) via: Via<'i>,
    /// What it registers.
    pub(crate) registers: Registers<'i>,
}

/// What stands in front of a Service.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Via<'i> {
    /// The load balancer that a cloud provider makes for a Service of type LoadBalancer.
    LoadBalancer,
    /// A target group to which the AWS Load Balancer Controller binds the Service.
    TargetGroup(&'i TargetGroupBinding),
    /// A load balancer that another controller makes for an Ingress whose backend the Service is.
    Ingress(&'i Ingress),
    /// Something that the cluster does not know, on the Service's node ports.
    Unknown,
}

/// What a load balancer has as targets.
#[derive(Debug, Clone)]
pub(crate) enum Registers<'i> {
    /// These nodes, at a node port: kube-proxy passes connections on, and `externalTrafficPolicy` matters.
    Nodes(Vec<NodeView<'i>>),
    /// The pods: neither node ports nor `externalTrafficPolicy` matter.
    Pods,
    /// It cannot be known from here.
    Unknown,
}

impl<'i> Front<'i> {
    /// The nodes that it registers.
    pub(crate) fn nodes(&self) -> Option<&[NodeView<'i>]> {
        match &self.registers {
            Registers::Nodes(nodes) => Some(nodes),
            Registers::Pods | Registers::Unknown => None,
        }
    }

    /// Whether it is certain that nodes are registered and take traffic for others.
    pub(crate) fn is_certain(&self) -> bool {
        !matches!(self.via, Via::Unknown)
    }

    /// The object that says so.
    pub(crate) fn object(&self, service: &Service) -> ObjectName {
        self.object_name(&ObjectName::of(Kind::Service, &service.metadata))
    }

    /// The same, by the name of the Service.
    pub(crate) fn object_name(&self, service: &ObjectName) -> ObjectName {
        match self.via {
            Via::LoadBalancer | Via::Unknown => service.clone(),
            Via::TargetGroup(binding) => ObjectName::of(Kind::TargetGroupBinding, &binding.metadata),
            Via::Ingress(ingress) => ObjectName::of(Kind::Ingress, &ingress.metadata),
        }
    }

    /// Whether it is an Application Load Balancer, which tells the client's address in `X-Forwarded-For`.
    pub(crate) fn is_layer_7(&self) -> bool {
        match self.via {
            Via::Ingress(_) => true,
            Via::TargetGroup(binding) => matches!(
                binding.spec.target_group_protocol.as_deref(),
                Some("HTTP" | "HTTPS")
            ),
            Via::LoadBalancer | Via::Unknown => false,
        }
    }
}

/// An annotation of an object.
fn annotation<'o>(annotations: Option<&'o Labels>, key: &str) -> Option<&'o str> {
    annotations?.get(key).map(String::as_str)
}

/// Everything that stands in front of a Service, as far as the cluster says.
pub(crate) fn fronts<'i>(inventory: &'i Inventory, service: &'i Service) -> Vec<Front<'i>> {
    let mut found = Vec::new();
    let spec = service.spec.as_ref();
    let kind = spec.and_then(|spec| spec.type_.as_deref()).unwrap_or("ClusterIP");
    if kind == "LoadBalancer" {
        found.push(load_balancer(inventory, service));
    }
    for binding in &inventory.target_group_bindings {
        if binding.metadata.namespace == service.metadata.namespace
            && Some(&binding.spec.service_ref.name) == service.metadata.name.as_ref()
        {
            found.push(target_group(inventory, binding));
        }
    }
    let ingresses = inventory.ingresses.iter();
    found.extend(ingresses.filter_map(|ingress| of_ingress(inventory, ingress, service)));
    if kind == "NodePort" && found.is_empty() {
        found.push(Front {
            via: Via::Unknown,
            registers: Registers::Nodes(eligible(inventory)),
        });
    }
    found
}

fn eligible(inventory: &Inventory) -> Vec<NodeView<'_>> {
    let nodes = inventory.nodes.iter().map(NodeView);
    nodes
        .filter(|node| node.is_eligible() && node.is_ready())
        .collect()
}

/// The nodes with all of these labels, written `a=b, c=d`, as annotations of the AWS Load Balancer Controller have them.
fn labelled<'i>(nodes: Vec<NodeView<'i>>, labels: Option<&str>) -> Vec<NodeView<'i>> {
    let Some(labels) = labels else { return nodes };
    let pairs: Vec<(&str, &str)> = labels
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .collect();
    let has_all = |node: &NodeView<'i>| {
        let mut pairs = pairs.iter();
        pairs.all(|(key, value)| node.label(key.trim()) == Some(value.trim()))
    };
    nodes.into_iter().filter(has_all).collect()
}

/// Cloud providers register nodes, unless the Service asks for pods.
fn load_balancer<'i>(inventory: &'i Inventory, service: &'i Service) -> Front<'i> {
    let annotations = service.metadata.annotations.as_ref();
    let spec = service.spec.as_ref();
    let class = spec.and_then(|spec| spec.load_balancer_class.as_deref());
    let is = |key: &str, values: &[&str]| {
        annotation(annotations, key).is_some_and(|value| values.contains(&value))
    };
    // AWS Load Balancer Controller, `docs/guide/service/nlb.md`: `nlb-ip` is the older spelling.
    let aws_pods = is(
        "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type",
        &["ip"],
    ) || is("service.beta.kubernetes.io/aws-load-balancer-type", &["nlb-ip"]);
    // Without node ports nothing but pods can be registered.
    let no_node_ports = spec.is_some_and(|spec| spec.allocate_load_balancer_node_ports == Some(false))
        && spec
            .and_then(|spec| spec.ports.as_ref())
            .is_some_and(|ports| ports.iter().all(|port| port.node_port.is_none()));
    let registers = if aws_pods || no_node_ports {
        Registers::Pods
    } else if class.is_some_and(|class| !is_of_nodes(class)) {
        Registers::Unknown
    } else {
        let labels = annotation(
            annotations,
            "service.beta.kubernetes.io/aws-load-balancer-target-node-labels",
        );
        Registers::Nodes(labelled(eligible(inventory), labels))
    };
    Front {
        via: Via::LoadBalancer,
        registers,
    }
}

/// Whether implementations with this `spec.loadBalancerClass` register nodes unless they are told otherwise.
fn is_of_nodes(class: &str) -> bool {
    // GKE: `networking.gke.io/l4-regional-external` and its like. AWS Load Balancer Controller: instance targets by default.
    class.starts_with("networking.gke.io/l4-regional") || class == "service.k8s.aws/nlb"
}

fn target_group<'i>(inventory: &'i Inventory, binding: &'i TargetGroupBinding) -> Front<'i> {
    let registers = match binding.target_type() {
        Some("ip") => Registers::Pods,
        Some("instance") => Registers::Nodes(instances(inventory, binding)),
        Some(_) | None => Registers::Unknown,
    };
    Front {
        via: Via::TargetGroup(binding),
        registers,
    }
}

/// The nodes that the controller registers for a binding.
fn instances<'i>(inventory: &'i Inventory, binding: &TargetGroupBinding) -> Vec<NodeView<'i>> {
    let empty = Labels::new();
    let nodes = inventory.nodes.iter().map(NodeView);
    nodes
        .filter(|node| node.is_instance_target())
        .filter(|node| {
            let selector = binding.spec.node_selector.as_ref();
            selector.is_none_or(|selector| matches(selector, node.labels().unwrap_or(&empty)))
        })
        .collect()
}

/// The load balancer that the AWS Load Balancer Controller or GKE makes for an Ingress to the Service.
fn of_ingress<'i>(inventory: &'i Inventory, ingress: &'i Ingress, service: &'i Service) -> Option<Front<'i>> {
    if ingress.metadata.namespace != service.metadata.namespace || !leads_to(ingress, service) {
        return None;
    }
    let annotations = ingress.metadata.annotations.as_ref();
    let registers = match controller(inventory, ingress)? {
        LayerSeven::Aws => match annotation(annotations, "alb.ingress.kubernetes.io/target-type") {
            Some("ip") => Registers::Pods,
            // The controller's own default, unless its `--default-target-type` says otherwise.
            Some("instance") | None => {
                let nodes = inventory.nodes.iter().map(NodeView);
                let nodes = nodes.filter(|node| node.is_instance_target()).collect();
                let labels = annotation(annotations, "alb.ingress.kubernetes.io/target-node-labels");
                Registers::Nodes(labelled(nodes, labels))
            }
            Some(_) => Registers::Unknown,
        },
        LayerSeven::Google => match uses_negs(service) {
            true => Registers::Pods,
            false => Registers::Nodes(eligible(inventory)),
        },
    };
    Some(Front {
        via: Via::Ingress(ingress),
        registers,
    })
}

/// Whether GKE's Ingress controller reaches the pods of a Service by network endpoint groups. It writes the groups into
/// an annotation; the other one asks for them.
fn uses_negs(service: &Service) -> bool {
    let annotations = service.metadata.annotations.as_ref();
    let asked = annotation(annotations, "cloud.google.com/neg").is_some_and(|value| {
        let value: serde_json::Value = serde_json::from_str(value).unwrap_or_default();
        value.get("ingress").and_then(serde_json::Value::as_bool) == Some(true)
    });
    asked || annotation(annotations, "cloud.google.com/neg-status").is_some()
}

/// Controllers that make load balancers for Ingresses.
enum LayerSeven {
    Aws,
    Google,
}

fn controller(inventory: &Inventory, ingress: &Ingress) -> Option<LayerSeven> {
    let named = ingress
        .spec
        .as_ref()
        .and_then(|spec| spec.ingress_class_name.as_deref());
    let annotated = annotation(
        ingress.metadata.annotations.as_ref(),
        "kubernetes.io/ingress.class",
    );
    let class = named.or(annotated)?;
    let object = inventory
        .ingress_classes
        .iter()
        .find(|known| known.metadata.name.as_deref() == Some(class));
    let controller = object
        .and_then(|object| object.spec.as_ref())
        .and_then(|spec| spec.controller.as_deref());
    match (controller, class) {
        (Some("ingress.k8s.aws/alb"), _) | (None, "alb") => Some(LayerSeven::Aws),
        (Some("k8s.io/ingress-gce"), _) | (None, "gce" | "gce-internal") => Some(LayerSeven::Google),
        _ => None,
    }
}

fn leads_to(ingress: &Ingress, service: &Service) -> bool {
    let is_it = |backend: &IngressBackend| {
        let named = backend.service.as_ref().map(|service| service.name.as_str());
        named.is_some() && named == service.metadata.name.as_deref()
    };
    let Some(spec) = &ingress.spec else { return false };
    let rules = spec.rules.iter().flatten();
    let mut paths = rules.flat_map(|rule| rule.http.iter().flat_map(|http| &http.paths));
    spec.default_backend.as_ref().is_some_and(is_it) || paths.any(|path| is_it(&path.backend))
}
