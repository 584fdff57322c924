//! What the doors' own code reports about the objects of the cluster.

use std::collections::BTreeSet;

use door::{BackendPolicy, Ledger, Policy, Publisher, Scheme, open, publish};
use resource::{ClusterView, Problem};
use route::ListenerName;

use crate::gateway::{Gateways, Workload};
use crate::inventory::Inventory;
use crate::view::view;

/// Compiles the objects for the doors of all gateways, and returns what is wrong with those that they watch.
///
/// The doors of several workloads are compiled together: what one of them serves is not served nowhere. Backends are not
/// looked at, so that only problems of admission and of certificates mean something.
pub(crate) fn problems(view: &ClusterView, workloads: &[Workload<'_>]) -> Vec<Problem> {
    let mut doors: Vec<(&ListenerName, &Policy)> = Vec::new();
    for door in workloads
        .iter()
        .flat_map(|workload| &workload.configuration.doors)
    {
        let known = doors
            .iter()
            .any(|(name, policy)| **name == door.name && **policy == door.policy);
        if !known {
            doors.push((&door.name, &door.policy));
        }
    }
    let publishers = doors
        .into_iter()
        .map(|(name, policy)| open(name.clone(), policy.clone(), ()).0);
    let mut publishers: Vec<Publisher<()>> = publishers.collect();
    let reports = publish(
        &mut publishers,
        view,
        &BackendPolicy::default(),
        &mut Ledger::default(),
    );
    let mut problems = reports.problems();
    problems.retain(|problem| {
        let namespace = problem.object.namespace.as_deref();
        namespace.is_none_or(|namespace| is_watched(workloads, namespace))
    });
    problems
}

/// Whether a gateway watches this namespace.
pub(crate) fn is_watched(workloads: &[Workload<'_>], namespace: &str) -> bool {
    workloads.iter().any(|workload| {
        let watched = &workload.configuration.namespaces;
        watched.is_empty() || watched.iter().any(|name| **name == *namespace)
    })
}

/// The Secrets with certificates that doors, or Ingresses at doors that end TLS, name: namespace and name.
#[must_use]
pub fn needed_secrets(inventory: &Inventory, gateways: &Gateways<'_>) -> Vec<(String, String)> {
    let view = view(inventory);
    let mut names = BTreeSet::new();
    for workload in gateways
        .workloads
        .iter()
        .filter(|workload| !workload.configuration.reads_no_secrets)
    {
        let doors = &workload.configuration.doors;
        let policies: Vec<&Policy> = doors.iter().map(|door| &door.policy).collect();
        let of_doors = door::needs(policies.iter().copied(), &view).of_doors();
        let named = of_doors
            .into_iter()
            .map(|object| (object.namespace.unwrap_or_default(), object.name));
        names.extend(named.map(|(namespace, name)| (namespace.into_string(), name.into_string())));
        let ends_tls = policies
            .iter()
            .filter(|policy| policy.tls.is_some() && policy.scheme == Scheme::Https);
        for policy in ends_tls {
            let admitted = view.ingresses().filter(|ingress| policy.admits(ingress, &view));
            let secrets =
                admitted.flat_map(|ingress| ingress.tls.iter().filter_map(|tls| tls.secret.as_ref()));
            names.extend(secrets.map(|key| (key.namespace().to_owned(), key.name().to_owned())));
        }
    }
    names.into_iter().collect()
}
