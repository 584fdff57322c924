//! The Ingresses that a door admits, kept from one publication to the next.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;

use foldhash::fast::RandomState;
use resource::{ClusterView, Ingress, Kind, ObjectRef, Problem};
use route::{HostPattern, ListenerName, ObjectKey};
use smallvec::SmallVec;

use super::budgets::{Budgets, Endpoints};
use super::policy::{Admitted, Policy, precedence};
use crate::references::{Reference, objects, services};

/// The Ingresses that a door has admitted, in order of precedence. Like [`Admitted`], only a policy can make it.
#[derive(Debug, Default)]
pub(crate) struct Members {
    held: Vec<Arc<Ingress>>,
    /// Who names a host, a Service, a Secret, a ConfigMap or a Middleware.
    naming: Index,
    /// How many of them pass TLS through.
    passing: usize,
    budgets: Budgets,
}

/// Which Ingresses left a door and which joined it, with one change of the view.
#[derive(Debug, Default)]
pub(crate) struct MembershipChange {
    /// Ingresses that are no longer members as they were.
    pub(crate) left: Vec<Arc<Ingress>>,
    /// Ingresses that are members as they are now.
    pub(crate) joined: Vec<Arc<Ingress>>,
    /// Members that were within all bounds and are beyond one now, or the other way round.
    pub(crate) judged: Vec<Arc<Ingress>>,
    /// The first Ingress has joined that passes its TLS through, or the last one has left.
    pub(crate) begins_or_ends_passing: bool,
}

/// Ingresses by a hash of what they name. If two names share a hash, more is compiled than necessary, nothing else.
#[derive(Debug, Default)]
struct Index {
    of: HashMap<u64, SmallVec<[Arc<Ingress>; 1]>, RandomState>,
    hasher: RandomState,
}

/// Something that an Ingress names.
#[derive(Hash)]
enum Name<'i> {
    Host(&'i HostPattern),
    Service(&'i ObjectKey),
    Secret(&'i ObjectKey),
    ConfigMap(&'i ObjectKey),
    Middleware(&'i ObjectKey),
}

impl Members {
    /// `endpoints` says how many endpoints a Service has.
    pub(crate) fn of(policy: &Policy, admitted: &[Admitted<'_>], endpoints: Endpoints<'_>) -> Self {
        let mut naming = Index::default();
        let mut budgets = Budgets::new(policy.bounds);
        let mut counted = HashSet::new();
        for admitted in admitted {
            naming.add(admitted.ingress);
            budgets.add(admitted.ingress);
            for service in services(admitted.ingress) {
                if counted.insert(service) {
                    budgets.count(service, endpoints);
                }
            }
        }
        let namespaces = admitted.iter().map(|admitted| admitted.ingress.key.namespace());
        let namespaces: BTreeSet<&str> = namespaces
            .filter(|namespace| budgets.is_in_question(namespace))
            .collect();
        for namespace in namespaces {
            let all = admitted.iter().map(|admitted| admitted.ingress);
            let own = all.filter(|ingress| ingress.key.namespace() == namespace);
            budgets.judge(namespace, own);
        }
        Self {
            budgets,
            held: admitted
                .iter()
                .map(|admitted| Arc::clone(admitted.ingress))
                .collect(),
            naming,
            passing: admitted
                .iter()
                .filter(|admitted| policy.passes_through(admitted.ingress))
                .count(),
        }
    }

    pub(crate) fn admitted(&self) -> impl Iterator<Item = Admitted<'_>> {
        self.held.iter().map(|ingress| self.admit(ingress))
    }

    /// Those of these Ingresses that are members, in order of precedence.
    pub(crate) fn among<'i>(&self, ingresses: impl Iterator<Item = &'i Arc<Ingress>>) -> Vec<Admitted<'i>> {
        let mut found: Vec<Admitted<'i>> = ingresses
            .filter(|ingress| self.holds(ingress))
            .map(|ingress| self.admit(ingress))
            .collect();
        found.sort_by(|left, right| precedence(left.ingress, right.ingress));
        found
    }

    fn admit<'i>(&self, ingress: &'i Arc<Ingress>) -> Admitted<'i> {
        Admitted {
            ingress,
            excess: self.budgets.excess(&ingress.key),
        }
    }

    pub(crate) fn holds(&self, ingress: &Ingress) -> bool {
        self.place(ingress).is_ok()
    }

    /// Whether any of them asks for its TLS to be passed through.
    pub(crate) fn has_passthrough(&self) -> bool {
        self.passing > 0
    }

    /// Who names a host, and perhaps others.
    pub(crate) fn naming_host(&self, host: &HostPattern) -> &[Arc<Ingress>] {
        self.naming.find(&Name::Host(host))
    }

    /// Who names a Service, and perhaps others.
    pub(crate) fn naming_service(&self, service: &ObjectKey) -> &[Arc<Ingress>] {
        self.naming.find(&Name::Service(service))
    }

    /// Who names a Secret, a ConfigMap or a Middleware itself, and perhaps others.
    pub(crate) fn naming_object(&self, object: &ObjectRef) -> &[Arc<Ingress>] {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        let key = &ObjectKey::new(namespace, &*object.name);
        match object.kind {
            Kind::Secret => self.naming.find(&Name::Secret(key)),
            Kind::ConfigMap => self.naming.find(&Name::ConfigMap(key)),
            Kind::Middleware => self.naming.find(&Name::Middleware(key)),
            Kind::Ingress
            | Kind::IngressClass
            | Kind::Service
            | Kind::EndpointSlice
            | Kind::Namespace
            | Kind::File
            | Kind::Cluster
            | Kind::Variable => &[],
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Updates the members from the view `before` to a `view` that differs only in these Ingresses, as far as it concerns
    /// members.
    pub(crate) fn revise(
        &mut self,
        door: &ListenerName,
        policy: &Policy,
        [before, view]: [&ClusterView; 2],
        changed: &BTreeSet<ObjectKey>,
        problems: &mut Vec<Problem>,
    ) -> MembershipChange {
        let mut change = MembershipChange::default();
        let passed = self.has_passthrough();
        for key in changed {
            if let Some(old) = before.ingress(key)
                && let Ok(place) = self.place(old)
            {
                let old = self.held.remove(place);
                self.naming.remove(&old);
                self.budgets.subtract(&old);
                self.passing -= usize::from(policy.passes_through(&old));
                change.left.push(old);
            }
            if let Some(new) = view.ingress(key)
                && policy.chooses(new, view)
                && policy.namespace_admits(door, new, problems)
            {
                // The old one is gone, so there is none of the same precedence.
                let (Ok(place) | Err(place)) = self.place(new);
                self.held.insert(place, Arc::clone(new));
                self.naming.add(new);
                self.budgets.add(new);
                self.passing += usize::from(policy.passes_through(new));
                change.joined.push(Arc::clone(new));
            }
        }
        change.begins_or_ends_passing = passed != self.has_passthrough();
        change
    }

    /// Judges again what may be beyond a bound, after the members have been updated and Services have `changed`. Each
    /// Service has so many `endpoints` now.
    pub(crate) fn judge(
        &mut self,
        change: &mut MembershipChange,
        changed: &BTreeSet<ObjectKey>,
        endpoints: Endpoints<'_>,
    ) {
        let came_or_went = change.left.iter().chain(&change.joined);
        let named = came_or_went.flat_map(|ingress| services(ingress));
        let concerned: HashSet<&ObjectKey> = named.chain(changed).collect();
        for service in &concerned {
            self.budgets.count(service, endpoints);
        }
        let came_or_went = change.left.iter().chain(&change.joined);
        let namespaces = concerned.iter().map(|service| service.namespace());
        let namespaces: BTreeSet<&str> = namespaces
            .chain(came_or_went.map(|ingress| ingress.key.namespace()))
            .collect();
        let mut judged = Vec::new();
        for namespace in &namespaces {
            if self.budgets.is_in_question(namespace) {
                let own = self.held.iter();
                let own = own.filter(|ingress| ingress.key.namespace() == *namespace);
                judged.extend(self.budgets.judge(namespace, own));
            }
        }
        self.budgets.tidy(namespaces.into_iter());
        change.judged = judged;
    }

    fn place(&self, ingress: &Ingress) -> Result<usize, usize> {
        self.held.binary_search_by(|held| precedence(held, ingress))
    }
}

impl MembershipChange {
    /// Whether anything may be served otherwise because of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty() && self.joined.is_empty() && self.judged.is_empty()
    }

    /// Whether what has changed may concern the certificates of a door, or what is reported about them.
    pub(crate) fn concerns_certificates(&self) -> bool {
        let all = self.left.iter().chain(&self.joined).chain(&self.judged);
        all.into_iter()
            .any(|ingress| !ingress.tls.is_empty() || ingress.annotations.ssl_passthrough)
    }
}

impl Index {
    fn add(&mut self, ingress: &Arc<Ingress>) {
        for hash in self.hashes(ingress) {
            self.of.entry(hash).or_default().push(Arc::clone(ingress));
        }
    }

    fn remove(&mut self, ingress: &Arc<Ingress>) {
        for hash in self.hashes(ingress) {
            if let Some(named) = self.of.get_mut(&hash) {
                #[cfg(test)]
                crate::counted::note(|work| work.indexed += named.len());
                named.retain(|known| !Arc::ptr_eq(known, ingress));
                if named.is_empty() {
                    self.of.remove(&hash);
                }
            }
        }
    }

    /// Of what an Ingress names, each once: it may name a host thousands of times, and thousands of others may do so too.
    fn hashes(&self, ingress: &Ingress) -> Vec<u64> {
        let hashes = names(ingress).map(|name| self.hasher.hash_one(name));
        let mut hashes: Vec<u64> = hashes.collect();
        #[cfg(test)]
        crate::counted::note(|work| work.indexed += hashes.len());
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    fn find(&self, name: &Name<'_>) -> &[Arc<Ingress>] {
        self.of
            .get(&self.hasher.hash_one(name))
            .map_or(&[], |named| named)
    }
}

fn names(ingress: &Ingress) -> impl Iterator<Item = Name<'_>> {
    let objects = objects(ingress).map(|named| match named {
        Reference::Secret(key) | Reference::Certificate(key) => Name::Secret(key),
        Reference::ConfigMap(key) => Name::ConfigMap(key),
        Reference::Service(key) => Name::Service(key),
        Reference::Middleware(key) => Name::Middleware(key),
    });
    let services = services(ingress).map(Name::Service);
    claimed(ingress).map(Name::Host).chain(services).chain(objects)
}

/// The hosts for which an Ingress may have rules, and the wildcards to which derived ones yield. A default backend without rules answers every host.
pub(crate) fn claimed(ingress: &Ingress) -> impl Iterator<Item = &HostPattern> {
    let is_default = ingress.rules.is_empty() && ingress.default_backend.is_some();
    let above = ingress
        .derived
        .iter()
        .filter_map(|derived| derived.above.as_ref());
    ingress
        .hosts()
        .chain(above)
        .chain(is_default.then_some(&HostPattern::Any))
}
