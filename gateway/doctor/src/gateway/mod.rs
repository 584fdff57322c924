//! The gateway in the cluster: its workloads, their pods and their doors.

mod door;
mod process;
mod recognise;
mod request;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use crate::finding::ObjectName;
use crate::inventory::Inventory;

pub use door::{ClientIp, Configuration, Door, Front, ProxyProtocol};
pub use process::Process;
pub use recognise::Controller;
pub use request::Request;

/// A workload that runs the gateway.
#[derive(Debug)]
pub struct Workload<'i> {
    /// Which one.
    pub name: ObjectName,
    /// The object itself.
    pub controller: Controller<'i>,
    /// The labels of its pods.
    pub labels: BTreeMap<String, String>,
    /// What its pods are made from.
    pub spec: &'i PodSpec,
    /// The container that runs the gateway.
    pub container: &'i Container,
    /// Its pods, without those that have ended.
    pub pods: Vec<&'i Pod>,
    /// What its process is started with, by the example of one pod.
    pub process: Process,
    /// What it is configured to do.
    pub configuration: Configuration,
}

/// A workload that runs the gateway, and why its configuration cannot be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Which one.
    pub name: ObjectName,
    /// Why.
    pub reason: String,
}

/// The gateways of a cluster.
#[derive(Debug, Default)]
pub struct Gateways<'i> {
    /// Those whose doors are known.
    pub workloads: Vec<Workload<'i>>,
    /// The others.
    pub unreadable: Vec<Unreadable>,
}

impl<'i> Gateways<'i> {
    /// Finds them. `read` is the program's own reading of its configuration.
    pub fn find(
        inventory: &'i Inventory,
        request: &Request,
        read: impl Fn(&Process) -> Result<Configuration, String>,
    ) -> Self {
        let mut gateways = Self::default();
        for candidate in recognise::candidates(inventory, request) {
            let namespace = candidate.name.namespace();
            let pod = candidate.pods.first().copied();
            let process = Process::of(inventory, namespace, candidate.spec, candidate.container, pod);
            match read(&process) {
                Ok(configuration) => gateways.workloads.push(Workload {
                    name: candidate.name,
                    controller: candidate.controller,
                    labels: candidate.labels,
                    spec: candidate.spec,
                    container: candidate.container,
                    pods: candidate.pods,
                    process,
                    configuration,
                }),
                Err(reason) => gateways.unreadable.push(Unreadable {
                    name: candidate.name,
                    reason,
                }),
            }
        }
        gateways
    }
}

/// The ConfigMaps that workloads of the gateway use, as namespace and name.
#[must_use]
pub fn needed_config_maps(inventory: &Inventory, request: &Request) -> Vec<(String, String)> {
    let candidates = recognise::candidates(inventory, request);
    let names = candidates
        .iter()
        .flat_map(|candidate| process::config_maps(candidate.name.namespace(), candidate.spec));
    let mut names: Vec<(String, String)> = names.collect();
    names.sort();
    names.dedup();
    names
}
