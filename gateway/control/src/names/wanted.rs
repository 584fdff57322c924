//! Which names are to be followed.

use std::collections::{HashMap, HashSet};

use door::Policy;
use resource::{ClusterView, Ingress, ServiceType};
use route::{Host, ObjectKey};

/// Names of one namespace that come before the other names of other namespaces.
const SHARE: usize = 250;

/// The names of Services of type ExternalName that Ingresses of these doors ask for: each once, those of the oldest
/// Ingresses first. What a namespace asks for beyond its share comes last, however old its Ingresses are.
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
    let (mut seen, mut shares) = (HashSet::new(), HashMap::<&str, usize>::new());
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for service in asking.into_iter().flat_map(services) {
        let Some(name) = named.get(service).copied().filter(|name| seen.insert(*name)) else {
            continue;
        };
        let share = shares.entry(service.namespace()).or_default();
        *share += 1;
        let names = if *share <= SHARE { &mut first } else { &mut last };
        names.push(name.clone());
    }
    first.extend(last);
    first
}

fn services(ingress: &Ingress) -> impl Iterator<Item = &ObjectKey> {
    let paths = ingress.rules.iter().flat_map(|rule| &rule.paths);
    let backends = paths.map(|path| &path.backend).chain(&ingress.default_backend);
    backends.filter_map(|backend| Some(&backend.as_ref().ok()?.service))
}
