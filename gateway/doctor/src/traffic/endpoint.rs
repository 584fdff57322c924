//! The endpoints of a Service, as kube-proxy sees them.

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::inventory::Inventory;
use crate::kind::Kind;
use crate::selector::{Labels, matches_map};

/// A pod behind a Service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Endpoint<'i> {
    /// The node that it is on.
    pub(crate) node: &'i str,
    /// The pod.
    pub(crate) pod: &'i str,
    /// Ready, and not terminating: what `healthCheckNodePort` counts.
    pub(crate) is_ready: bool,
}

/// The endpoints of a Service, each once: from its EndpointSlices, or from its pods where slices could not be read.
pub(crate) fn endpoints<'i>(inventory: &'i Inventory, service: &'i Service) -> Vec<Endpoint<'i>> {
    let mut found: Vec<Endpoint<'i>> = if inventory.knows(Kind::EndpointSlice) {
        let slices = inventory.endpoint_slices.iter();
        slices
            .filter(|slice| is_of(slice, service))
            .flat_map(of_slice)
            .collect()
    } else {
        let pods = inventory.pods.iter().filter(|pod| is_selected(pod, service));
        pods.filter_map(of_pod).collect()
    };
    // A pod with addresses of two families is in two slices.
    found.sort();
    found.dedup_by(|one, other| one.pod == other.pod && one.node == other.node);
    found
}

fn is_of(slice: &EndpointSlice, service: &Service) -> bool {
    let labels = slice.metadata.labels.as_ref();
    let named = labels.and_then(|labels| labels.get("kubernetes.io/service-name"));
    named == service.metadata.name.as_ref() && slice.metadata.namespace == service.metadata.namespace
}

fn of_slice(slice: &EndpointSlice) -> impl Iterator<Item = Endpoint<'_>> {
    slice.endpoints.iter().flatten().filter_map(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        // Unknown is to be taken for ready, and for not terminating (API reference, EndpointConditions).
        let is_ready = conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
        let is_terminating = conditions
            .and_then(|conditions| conditions.terminating)
            .unwrap_or(false);
        let pod = endpoint
            .target_ref
            .as_ref()
            .and_then(|target| target.name.as_deref());
        Some(Endpoint {
            node: endpoint.node_name.as_deref()?,
            pod: pod.or(endpoint.addresses.first().map(String::as_str))?,
            is_ready: is_ready && !is_terminating,
        })
    })
}

/// Whether a Service's selector means the pod.
pub(crate) fn is_selected(pod: &Pod, service: &Service) -> bool {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let labels = pod.metadata.labels.as_ref();
    let empty = Labels::new();
    pod.metadata.namespace == service.metadata.namespace
        && selector.is_some_and(|selector| matches_map(selector, labels.unwrap_or(&empty)))
}

fn of_pod(pod: &Pod) -> Option<Endpoint<'_>> {
    let status = pod.status.iter();
    let mut conditions = status.flat_map(|status| status.conditions.iter().flatten());
    let is_ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    Some(Endpoint {
        node: pod.spec.as_ref()?.node_name.as_deref()?,
        pod: pod.metadata.name.as_deref()?,
        is_ready: is_ready && pod.metadata.deletion_timestamp.is_none(),
    })
}
