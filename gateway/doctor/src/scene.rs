//! Everything that a rule looks at.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::jiff::Timestamp;
use resource::{ClusterView, Ingress, Problem};

use crate::compiled::{is_watched, problems};
use crate::finding::{Finding, NotChecked};
use crate::gateway::{Door, Gateways, Request, Workload};
use crate::inventory::Inventory;
use crate::traffic::{Endpoint, Front, NodeView, Path, endpoints, fronts, paths};
use crate::view::view;

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
    problems: OnceCell<Vec<Problem>>,
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
            problems: OnceCell::new(),
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

    /// All doors.
    pub(crate) fn doors(&self) -> impl Iterator<Item = &'a Door> {
        let workloads = self.workloads.iter();
        workloads.flat_map(|workload| &workload.configuration.doors)
    }

    /// Whether a gateway watches this namespace.
    pub(crate) fn watches(&self, namespace: &str) -> bool {
        is_watched(self.workloads, namespace)
    }

    /// What the doors' own code reports about Ingresses and certificates.
    pub(crate) fn problems(&self) -> &[Problem] {
        self.problems.get_or_init(|| problems(&self.view, self.workloads))
    }

    /// The Ingresses that a door of this workload admits.
    pub(crate) fn admitted<'s>(&'s self, policy: &'s door::Policy) -> impl Iterator<Item = &'s Arc<Ingress>> {
        self.view
            .ingresses()
            .filter(|ingress| policy.admits(ingress, &self.view))
    }
}
