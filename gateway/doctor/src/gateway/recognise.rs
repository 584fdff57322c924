//! Which workloads of a cluster are gateways.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::process::Process;
use super::request::Request;
use crate::finding::ObjectName;
use crate::inventory::Inventory;
use crate::kind::Kind;
use crate::selector::{Labels, matches};

/// The label that the chart gives to everything that it makes.
const NAME_LABEL: (&str, &str) = ("app.kubernetes.io/name", "blastdoor");

/// What makes the pods of a workload.
#[derive(Debug, Clone, Copy)]
pub enum Controller<'i> {
    /// One pod for each node.
    DaemonSet(&'i DaemonSet),
    /// A number of pods.
    Deployment(&'i Deployment),
    /// Something that is not looked at, or nothing.
    Pod(&'i Pod),
}

/// A workload that runs the gateway, and what it runs.
pub(super) struct Candidate<'i> {
    pub(super) name: ObjectName,
    pub(super) controller: Controller<'i>,
    pub(super) labels: Labels,
    pub(super) spec: &'i PodSpec,
    pub(super) container: &'i Container,
    pub(super) pods: Vec<&'i Pod>,
}

/// Every workload that runs the gateway.
pub(super) fn candidates<'i>(inventory: &'i Inventory, request: &Request) -> Vec<Candidate<'i>> {
    let mut found = Vec::new();
    let mut owned: Vec<&Pod> = Vec::new();
    for set in &inventory.daemon_sets {
        let spec = &set.spec;
        let name = ObjectName::of(Kind::DaemonSet, &set.metadata);
        let pods = pods_of(inventory, name.namespace(), &spec.selector);
        owned.extend(&pods);
        found.extend(candidate(name, Controller::DaemonSet(set), &spec.template, pods));
    }
    for deployment in &inventory.deployments {
        let spec = &deployment.spec;
        let name = ObjectName::of(Kind::Deployment, &deployment.metadata);
        let pods = pods_of(inventory, name.namespace(), &spec.selector);
        owned.extend(&pods);
        found.extend(candidate(
            name,
            Controller::Deployment(deployment),
            &spec.template,
            pods,
        ));
    }
    for pod in &inventory.pods {
        if owned.iter().any(|known| std::ptr::eq(*known, pod)) || is_over(pod) {
            continue;
        }
        let Some(spec) = &pod.spec else { continue };
        let name = ObjectName::of(Kind::Pod, &pod.metadata);
        found.extend(of_spec(
            name,
            Controller::Pod(pod),
            &pod.metadata,
            spec,
            vec![pod],
        ));
    }
    found.retain(|candidate| is_gateway(inventory, candidate, request));
    found
}

fn candidate<'i>(
    name: ObjectName,
    controller: Controller<'i>,
    template: &'i PodTemplateSpec,
    pods: Vec<&'i Pod>,
) -> Option<Candidate<'i>> {
    let metadata = template.metadata.as_ref()?;
    of_spec(name, controller, metadata, template.spec.as_ref()?, pods)
}

fn of_spec<'i>(
    name: ObjectName,
    controller: Controller<'i>,
    metadata: &ObjectMeta,
    spec: &'i PodSpec,
    pods: Vec<&'i Pod>,
) -> Option<Candidate<'i>> {
    let container = spec.containers.iter().find(|container| looks_like_it(container));
    Some(Candidate {
        name,
        controller,
        labels: metadata.labels.clone().unwrap_or_default(),
        spec,
        container: container.or(spec.containers.first())?,
        pods,
    })
}

/// The pods that a selector of this namespace means, without those that have ended.
fn pods_of<'i>(inventory: &'i Inventory, namespace: &str, selector: &LabelSelector) -> Vec<&'i Pod> {
    let pods = inventory.pods.iter().filter(|pod| !is_over(pod));
    pods.filter(|pod| {
        let metadata = &pod.metadata;
        let empty = Labels::new();
        metadata.namespace.as_deref().unwrap_or("default") == namespace
            && matches(selector, metadata.labels.as_ref().unwrap_or(&empty))
    })
    .collect()
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn is_gateway(inventory: &Inventory, candidate: &Candidate<'_>, request: &Request) -> bool {
    let namespace = candidate.name.namespace();
    if request
        .namespace
        .as_deref()
        .is_some_and(|wanted| wanted != namespace)
    {
        return false;
    }
    if let Some(selector) = &request.selector {
        return selector
            .iter()
            .all(|(key, value)| candidate.labels.get(key) == Some(value));
    }
    let (key, value) = NAME_LABEL;
    let is_labelled = candidate.labels.get(key).is_some_and(|label| label == value);
    // A pod by itself that has the label may be anything that belongs to the chart.
    let is_pod = matches!(candidate.controller, Controller::Pod(_));
    if !looks_like_it(candidate.container) && (is_pod || !is_labelled) {
        return false;
    }
    // Jobs run other commands of the same image.
    let pod = candidate.pods.first().copied();
    Process::of(inventory, namespace, candidate.spec, candidate.container, pod).serves()
}

/// Whether a container runs the program: by the name of its image, by its command, or by its environment, whatever
/// registry, tag or file name it has.
fn looks_like_it(container: &Container) -> bool {
    let image = container.image.as_deref().unwrap_or_default();
    let image = image.split('@').next().unwrap_or_default();
    let image = image.rsplit('/').next().unwrap_or_default();
    let image = image.split(':').next().unwrap_or_default();
    let command = container.command.iter().flatten().next();
    let program = command.and_then(|command| command.rsplit('/').next());
    let is_named = |name: &str| name == "blastdoor" || name.starts_with("blastdoor-");
    let mut variables = container.env.iter().flatten();
    let is_configured = variables.any(|variable| {
        variable.name == "BLASTDOOR_CONFIG" || variable.name.starts_with("BLASTDOOR_LISTENERS__")
    });
    is_named(image) && program.is_none_or(is_named) || program.is_some_and(is_named) || is_configured
}
