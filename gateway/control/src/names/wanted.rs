//! Which names are to be followed.

use std::collections::{HashMap, HashSet};

use door::Policy;
use resource::{ClusterView, Ingress, ServiceType};
use route::{Host, ObjectKey};

/// The names of Services of type ExternalName that Ingresses of these doors ask for: each once, those of the oldest
/// Ingresses first.
#[must_use]
pub fn wanted(policies: &[&Policy], view: &ClusterView) -> Vec<Host> {
    let named = view.services().filter_map(|service| match &service.kind {
        ServiceType::ExternalName(Ok(name)) => Some((&service.key, name)),
        ServiceType::ExternalName(Err(_))
        | ServiceType::ClusterIp
        | ServiceType::Headless
        | ServiceType::NodePort
        | ServiceType::LoadBalancer => None,
    });
    let named: HashMap<&ObjectKey, &Host> = named.collect();
    if named.is_empty() {
        return Vec::new();
    }
    let asks = |ingress: &Ingress| services(ingress).any(|service| named.contains_key(service));
    let admitted = |ingress: &Ingress| policies.iter().any(|policy| policy.admits(ingress, view));
    let mut asking: Vec<&Ingress> = view
        .ingresses()
        .map(AsRef::as_ref)
        .filter(|ingress| asks(ingress) && admitted(ingress))
        .collect();
    // As doors order them: whoever comes first keeps what it has.
    asking.sort_by_key(|ingress| (ingress.created.is_none(), ingress.created, &ingress.key));
    let mut seen = HashSet::new();
    asking
        .into_iter()
        .flat_map(services)
        .filter_map(|service| named.get(service).copied())
        .filter(|name| seen.insert(*name))
        .cloned()
        .collect()
}

fn services(ingress: &Ingress) -> impl Iterator<Item = &ObjectKey> {
    let paths = ingress.rules.iter().flat_map(|rule| &rule.paths);
    let backends = paths.map(|path| &path.backend).chain(&ingress.default_backend);
    backends.filter_map(|backend| Some(&backend.as_ref().ok()?.service))
}
