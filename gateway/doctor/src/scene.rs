//! Everything that a rule looks at.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::jiff::Timestamp;
use resource::{ClusterView, Ingress, Object};

use crate::finding::{Finding, NotChecked};
use crate::gateway::{Gateways, Request, Workload};
use crate::inventory::Inventory;
use crate::traffic::{Endpoint, Front, NodeView, Path, endpoints, fronts, paths};

/// Everything that a rule looks at.
pub(crate) struct Scene<'a> {
    /// The objects.
    pub(crate) inventory: &'a Inventory,
    /// The gateways.
    pub(crate) workloads: &'a [Workload<'a>],
    /// How Services lead to them.
    pub(crate) paths: Vec<Path<'a>>,
    /// The objects that doors are compiled from.
    pub(crate) view: ClusterView,
    /// What was asked for.
    pub(crate) request: &'a Request,
    /// When the objects were read.
    pub(crate) now: Timestamp,
}

/// What rules find.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Findings.
    pub(crate) findings: Vec<Finding>,
    /// What could not be looked at.
    pub(crate) not_checked: Vec<NotChecked>,
}

impl Found {
    /// Notes that something could not be looked at, and why.
    pub(crate) fn skip(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.not_checked.push(NotChecked {
            what: what.into(),
            why: why.into(),
        });
    }
}

impl<'a> Scene<'a> {
    pub(crate) fn new(
        inventory: &'a Inventory,
        gateways: &'a Gateways<'a>,
        request: &'a Request,
        now: Timestamp,
    ) -> Self {
        Self {
            inventory,
            workloads: &gateways.workloads,
            paths: paths(inventory, &gateways.workloads),
            view: view(inventory),
            request,
            now,
        }
    }

    /// The Services that lead to gateways, each with its paths.
    pub(crate) fn services(&self) -> Vec<(&'a Service, Vec<&Path<'a>>)> {
        let mut services: Vec<(&'a Service, Vec<&Path<'a>>)> = Vec::new();
        for path in &self.paths {
            match services
                .iter_mut()
                .find(|(service, _)| std::ptr::eq(*service, path.service))
            {
                Some((_, paths)) => paths.push(path),
                None => services.push((path.service, vec![path])),
            }
        }
        services
    }

    /// The endpoints of a Service.
    pub(crate) fn endpoints(&self, service: &'a Service) -> Vec<Endpoint<'a>> {
        endpoints(self.inventory, service)
    }

    /// The nodes with a ready endpoint of a Service.
    pub(crate) fn ready_nodes(&self, service: &'a Service) -> BTreeSet<&'a str> {
        let endpoints = self.endpoints(service).into_iter();
        endpoints
            .filter(|endpoint| endpoint.is_ready)
            .map(|endpoint| endpoint.node)
            .collect()
    }

    /// What stands in front of a Service.
    pub(crate) fn fronts(&self, service: &'a Service) -> Vec<Front<'a>> {
        fronts(self.inventory, service)
    }

    /// All nodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeView<'a>> + use<'a> {
        self.inventory.nodes.iter().map(NodeView)
    }

    /// The Ingresses that a door of this workload admits.
    pub(crate) fn admitted<'s>(&'s self, policy: &'s door::Policy) -> impl Iterator<Item = &'s Arc<Ingress>> {
        self.view
            .ingresses()
            .filter(|ingress| policy.admits(ingress, &self.view))
    }
}

/// What doors are compiled from, read as the gateway reads it. Problems of the objects are for `blastdoor check`.
fn view(inventory: &Inventory) -> ClusterView {
    let mut view = ClusterView::default();
    let mut problems = Vec::new();
    let ingresses = inventory.ingresses.iter().cloned();
    let ingresses = ingresses.filter_map(|object| Ingress::from_api(object, &mut problems));
    let ingresses: Vec<Object> = ingresses
        .map(|object| Object::Ingress(Arc::new(object)))
        .collect();
    let classes = inventory.ingress_classes.iter().cloned();
    let classes = classes.filter_map(|object| resource::IngressClass::from_api(object, &mut problems));
    let classes: Vec<Object> = classes
        .map(|object| Object::IngressClass(Arc::new(object)))
        .collect();
    let middlewares = inventory.middlewares.iter().cloned();
    let middlewares = middlewares.filter_map(|object| resource::Middleware::from_api(object, &mut problems));
    let middlewares = middlewares.map(|object| Object::Middleware(Arc::new(object)));
    let middlewares: Vec<Object> = middlewares.collect();
    for object in ingresses.into_iter().chain(classes).chain(middlewares) {
        view.insert(object);
    }
    view
}
