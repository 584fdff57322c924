//! What the source has to know of the doors: which objects they need, and what they publish.

use std::collections::{HashMap, HashSet};

use door::{CaSource, ClientAuth, DefaultCertificate, Policy};
use resource::{AuthoritySource, ClusterView, Ingress, Kind, ObjectRef, Problem, Severity};
use route::{ListenerName, ObjectKey};

use crate::cluster::read::observed::Address;

/// A door, as far as the source is concerned with it.
#[derive(Debug, Clone, PartialEq)]
pub struct DoorOutlook {
    /// Its name.
    pub name: ListenerName,
    /// Whom it admits.
    pub policy: Policy,
    /// What is written into the status of those.
    pub publish: Publish,
}

/// What a door publishes in `status.loadBalancer` of the Ingresses that it admits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Publish {
    /// Nothing.
    #[default]
    Nothing,
    /// These.
    Addresses(Vec<Address>),
    /// The addresses of this Service.
    Service(ObjectKey),
}

/// Which Secrets are read (`[source] secrets`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SecretScope {
    /// None when nothing needs one, else as [`Named`](Self::Named).
    #[default]
    Auto,
    /// None.
    None,
    /// Each by its name.
    Named,
    /// All that are in the watched namespaces are looked at, and those that are needed kept.
    Cluster,
}

/// Objects of one namespace that Ingresses name and that come before more of other namespaces.
const SHARE: usize = 50;

/// The Secrets and ConfigMaps that doors and Ingresses name, except Secrets where none may be read: each once.
pub(crate) fn needs(doors: &[DoorOutlook], view: &ClusterView, scope: SecretScope) -> Needed {
    let mut needs = Needs {
        scope,
        seen: HashSet::new(),
        order: Vec::new(),
        unwanted: Vec::new(),
    };
    for tls in doors.iter().filter_map(|door| door.policy.tls.as_ref()) {
        if let DefaultCertificate::Secret(key) = &tls.default_certificate {
            needs.add(Kind::Secret, key);
        }
        if let ClientAuth::Optional(CaSource::Secret(key)) | ClientAuth::Required(CaSource::Secret(key)) =
            &tls.client_auth
        {
            needs.add(Kind::Secret, key);
        }
    }
    let of_doors = needs.order.len();
    let any_ends_tls = doors.iter().any(|door| door.policy.tls.is_some());
    // Most Ingresses name nothing; these cost no selector.
    let mut naming: Vec<&Ingress> = view
        .ingresses()
        .map(AsRef::as_ref)
        .filter(|ingress| {
            let asked = &ingress.annotations.backend;
            (any_ends_tls && certificates(ingress).next().is_some())
                || asked.authorities.is_some()
                || asked.client_certificate.is_some()
                || asked.secret.is_some()
        })
        .collect();
    naming.sort_by_key(|ingress| (ingress.created.is_none(), ingress.created, &ingress.key));
    for ingress in naming {
        let mut admitting = doors
            .iter()
            .filter(|door| door.policy.admits(ingress, view))
            .peekable();
        if admitting.peek().is_none() {
            continue;
        }
        let asked = &ingress.annotations.backend;
        for secret in asked.client_certificate.iter().chain(&asked.secret) {
            needs.add(Kind::Secret, secret);
        }
        match &asked.authorities {
            Some(AuthoritySource::Secret(key)) => needs.add(Kind::Secret, key),
            Some(AuthoritySource::ConfigMap(key)) => needs.add(Kind::ConfigMap, key),
            None => {}
        }
        if admitting.any(|door| door.policy.tls.is_some()) {
            certificates(ingress).for_each(|secret| needs.add(Kind::Secret, secret));
        }
    }
    let mut by_doors = needs.order;
    let mut shares: HashMap<Option<Box<str>>, usize> = HashMap::new();
    let named = by_doors.split_off(of_doors).into_iter();
    let (mut by_ingresses, last): (Vec<_>, Vec<_>) = named.partition(|need| {
        let share = shares.entry(need.namespace.clone()).or_default();
        *share += 1;
        *share <= SHARE
    });
    by_ingresses.extend(last);
    Needed {
        by_doors,
        by_ingresses,
        unwanted: needs.unwanted,
    }
}

/// Objects that are named.
pub(crate) struct Needed {
    pub(crate) by_doors: Vec<ObjectRef>,
    /// In the order in which they matter where not all can be had: those of the oldest Ingresses first; what a namespace
    /// asks for beyond its share comes last.
    pub(crate) by_ingresses: Vec<ObjectRef>,
    /// Secrets where none may be read.
    pub(crate) unwanted: Vec<ObjectRef>,
}

/// Needs in the making.
struct Needs {
    scope: SecretScope,
    seen: HashSet<ObjectRef>,
    order: Vec<ObjectRef>,
    unwanted: Vec<ObjectRef>,
}

impl Needs {
    fn add(&mut self, kind: Kind, key: &ObjectKey) {
        let need = ObjectRef::namespaced(kind, key);
        if !self.seen.insert(need.clone()) {
            return;
        }
        if kind == Kind::Secret && self.scope == SecretScope::None {
            self.unwanted.push(need);
        } else {
            self.order.push(need);
        }
    }
}

fn certificates(ingress: &Ingress) -> impl Iterator<Item = &ObjectKey> {
    ingress.tls.iter().filter_map(|tls| tls.secret.as_ref())
}

/// What the status of an Ingress should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DesiredStatus {
    /// No door that admits it publishes anything.
    Nothing,
    /// A door publishes a Service that is not there. What is written stays until it is known what to write.
    Unknown,
    /// These.
    Addresses(Vec<Address>),
}

/// What the status of an Ingress should be. `service` tells the addresses of a Service, if there is one.
pub(crate) fn wanted(
    doors: &[DoorOutlook],
    view: &ClusterView,
    ingress: &Ingress,
    service: impl Fn(&ObjectKey) -> Option<Vec<Address>>,
) -> DesiredStatus {
    let mut addresses: Vec<Address> = Vec::new();
    let mut publishes = false;
    for door in doors.iter().filter(|door| door.policy.admits(ingress, view)) {
        match &door.publish {
            Publish::Nothing => {}
            Publish::Addresses(published) => {
                publishes = true;
                addresses.extend(published.iter().cloned());
            }
            Publish::Service(key) => {
                publishes = true;
                let Some(found) = service(key) else {
                    return DesiredStatus::Unknown;
                };
                addresses.extend(found);
            }
        }
    }
    addresses.sort();
    addresses.dedup();
    if publishes {
        DesiredStatus::Addresses(addresses)
    } else {
        DesiredStatus::Nothing
    }
}

/// A problem for each Service that a door is to publish and that is not there.
pub(crate) fn missing_services(doors: &[DoorOutlook], view: &ClusterView, server: &str) -> Vec<Problem> {
    let missing = doors.iter().filter_map(|door| match &door.publish {
        Publish::Service(key) if view.service(key).is_none() => Some((&door.name, key)),
        Publish::Service(_) | Publish::Nothing | Publish::Addresses(_) => None,
    });
    missing
        .map(|(door, key)| {
            Problem::of_cluster(
                Severity::Warning,
                server,
                format!(
                    "door `{door}` publishes the Service {key}, which is not there or not in a watched namespace; \
                     nothing is written to the status of its Ingresses; create the Service, or name another in \
                     `publish`"
                ),
            )
        })
        .collect()
}
