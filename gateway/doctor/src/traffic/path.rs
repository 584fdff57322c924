//! The path of a door: from a Service's port to the door that takes its connections.

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::front::{Front, fronts};
use crate::finding::ObjectName;
use crate::gateway::{Door, Workload};
use crate::inventory::Inventory;
use crate::kind::Kind;
use crate::selector::matches_map;

/// A port of a Service that leads to a gateway, with what stands in front of it.
#[derive(Debug)]
pub(crate) struct Path<'a> {
    /// The gateway.
    pub(crate) workload: &'a Workload<'a>,
    /// The Service.
    pub(crate) service: &'a Service,
    /// Its port.
    pub(crate) port: &'a ServicePort,
    /// The port of the pods; `None` when it is a name that their container does not have.
    pub(crate) target_port: Option<i32>,
    /// What listens there.
    pub(crate) target: Target<'a>,
    /// What stands in front of the Service.
    pub(crate) fronts: Vec<Front<'a>>,
}

/// What listens at a port of the gateway's pods.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'a> {
    /// A door.
    Door(&'a Door),
    /// The admin port.
    Admin,
    /// Nothing.
    Nothing,
}

impl<'a> Path<'a> {
    pub(crate) fn object(&self) -> ObjectName {
        ObjectName::of(Kind::Service, &self.service.metadata)
    }

    pub(crate) fn door(&self) -> Option<&'a Door> {
        match self.target {
            Target::Door(door) => Some(door),
            Target::Admin | Target::Nothing => None,
        }
    }
}

/// Every path to a gateway: the ports of all Services that select its pods.
pub(crate) fn paths<'a>(inventory: &'a Inventory, workloads: &'a [Workload<'a>]) -> Vec<Path<'a>> {
    let mut found = Vec::new();
    for service in &inventory.services {
        let Some(spec) = &service.spec else { continue };
        let Some(selector) = &spec.selector else { continue };
        let namespace = service.metadata.namespace.as_deref().unwrap_or("default");
        for workload in workloads {
            if workload.name.namespace() != namespace || !matches_map(selector, &workload.labels) {
                continue;
            }
            for port in spec.ports.iter().flatten() {
                let target_port = target_port(port, workload);
                found.push(Path {
                    workload,
                    service,
                    port,
                    target_port,
                    target: target(target_port, workload),
                    fronts: fronts(inventory, service),
                });
            }
        }
    }
    found
}

/// The number of a port's target: its own when nothing is written, or the container port of that name.
fn target_port(port: &ServicePort, workload: &Workload<'_>) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let mut ports = workload
                .spec
                .containers
                .iter()
                .flat_map(|container| container.ports.iter().flatten());
            ports
                .find(|container| container.name.as_deref() == Some(name))
                .map(|container| container.container_port)
        }
    }
}

fn target<'a>(number: Option<i32>, workload: &'a Workload<'_>) -> Target<'a> {
    let configuration = &workload.configuration;
    let mut doors = configuration.doors.iter();
    let admin = configuration.admin.map(|admin| i32::from(admin.port()));
    match doors.find(|door| Some(i32::from(door.port())) == number) {
        Some(door) => Target::Door(door),
        None if number.is_some() && admin == number => Target::Admin,
        None => Target::Nothing,
    }
}
