//! How much one Ingress and one namespace may have at a door, so that nobody's objects cost others their memory or their
//! time.
//!
//! Each door judges by what it has admitted itself, and each namespace is judged by itself: oldest Ingresses first, so that
//! what was served stays. The verdicts depend on the current objects alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use resource::{DerivedFrom, Ingress};
use route::ObjectKey;

use crate::references::services;

/// What may be exposed at a door (`limits.ingress_rules`, `limits.namespace_rules`, `limits.namespace_endpoints`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The rules of one Ingress: its paths, and the hosts of its `spec.tls`.
    pub ingress_rules: usize,
    /// The rules of all Ingresses of one namespace.
    pub namespace_rules: usize,
    /// The endpoints of all Services that the Ingresses of one namespace name, over all their ports.
    pub namespace_endpoints: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            ingress_rules: 5_000,
            namespace_rules: 40_000,
            namespace_endpoints: 200_000,
        }
    }
}

/// An Ingress is beyond a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Excess {
    pub(crate) bound: Exceeded,
    /// Its hosts answer 503. Otherwise there are so many of these that it is left out.
    pub(crate) closes: bool,
}

/// Which bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// It has so many rules itself.
    IngressRules(usize),
    NamespaceRules,
    NamespaceEndpoints,
}

/// How many endpoints a Service has, as far as they count.
pub(crate) type Endpoints<'f> = &'f dyn Fn(&ObjectKey) -> usize;

/// What the namespaces of one door have.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    bounds: Bounds,
    namespaces: HashMap<Box<str>, Tally>,
    /// The Services that its Ingresses name.
    services: HashMap<ObjectKey, Named>,
    /// Ingresses that are beyond a bound.
    excess: HashMap<ObjectKey, Excess>,
}

/// What one namespace has, within bounds or not.
#[derive(Debug, Default)]
struct Tally {
    ingresses: usize,
    rules: usize,
    endpoints: usize,
    /// Ingresses that have too many rules by themselves.
    large: usize,
    /// Some of them are beyond a bound.
    exceeds: bool,
}

/// A Service that Ingresses name.
#[derive(Debug, Default)]
struct Named {
    /// How often.
    times: usize,
    /// How many endpoints it had when they were counted.
    endpoints: usize,
}

impl Bounds {
    fn are_exceeded_by(&self, tally: &Tally) -> bool {
        tally.large > 0 || tally.rules > self.namespace_rules || tally.endpoints > self.namespace_endpoints
    }
}

/// The rules of an Ingress, as they count.
fn rules(ingress: &Ingress) -> usize {
    let paths = ingress.rules.iter().map(|rule| rule.paths.len().max(1));
    let names = ingress.tls.iter().map(|tls| tls.hosts.len().max(1));
    let own = paths.clone().sum::<usize>();
    // An alias has all of the rules.
    let derived = ingress.derived.iter().map(|derived| match derived.from {
        DerivedFrom::Alias => own.max(1),
        DerivedFrom::WwwTwinOf(_) => 1,
    });
    own + names.chain(derived).sum::<usize>() + usize::from(ingress.default_backend.is_some())
}

impl Budgets {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            ..Self::default()
        }
    }

    pub(super) fn excess(&self, ingress: &ObjectKey) -> Option<Excess> {
        // Nearly always there is none.
        if self.excess.is_empty() {
            return None;
        }
        self.excess.get(ingress).copied()
    }

    /// Another Ingress counts.
    pub(super) fn add(&mut self, ingress: &Ingress) {
        let large = self.is_large(ingress);
        let tally = self.tally(ingress.key.namespace());
        tally.ingresses += 1;
        tally.rules += rules(ingress);
        tally.large += usize::from(large);
        for service in services(ingress) {
            self.named(service).times += 1;
        }
    }

    /// An Ingress does not count any more.
    pub(super) fn subtract(&mut self, ingress: &Ingress) {
        let large = self.is_large(ingress);
        let tally = self.tally(ingress.key.namespace());
        tally.ingresses = tally.ingresses.saturating_sub(1);
        tally.rules = tally.rules.saturating_sub(rules(ingress));
        tally.large = tally.large.saturating_sub(usize::from(large));
        self.excess.remove(&ingress.key);
        for service in services(ingress) {
            let named = self.named(service);
            named.times = named.times.saturating_sub(1);
        }
    }

    /// Counts the endpoints of a Service that an Ingress names, or named.
    pub(super) fn count(&mut self, service: &ObjectKey, endpoints: Endpoints<'_>) {
        let Some(named) = self.services.get_mut(service) else {
            return;
        };
        let now = if named.times > 0 { endpoints(service) } else { 0 };
        let before = std::mem::replace(&mut named.endpoints, now);
        if named.times == 0 {
            self.services.remove(service);
        }
        if before != now {
            let tally = self.tally(service.namespace());
            tally.endpoints = (tally.endpoints + now).saturating_sub(before);
        }
    }

    /// Whether the Ingresses of a namespace must be judged again once one of them or of their Services has changed.
    pub(super) fn is_in_question(&self, namespace: &str) -> bool {
        let tally = self.namespaces.get(namespace);
        tally.is_some_and(|tally| tally.exceeds || self.bounds.are_exceeded_by(tally))
    }

    /// Judges a namespace by all of its Ingresses, in order of precedence. Returns those that are judged otherwise than
    /// before.
    pub(super) fn judge<'m>(
        &mut self,
        namespace: &str,
        ingresses: impl Iterator<Item = &'m Arc<Ingress>>,
    ) -> Vec<Arc<Ingress>> {
        let bounds = self.bounds;
        let (mut kept, mut closed) = (Tally::default(), 0);
        let mut counted = HashSet::new();
        let mut judged = Vec::new();
        let mut exceeds = false;
        for ingress in ingresses {
            let rules = rules(ingress);
            let bound = if rules > bounds.ingress_rules {
                Some(Exceeded::IngressRules(rules))
            } else if kept.rules + rules > bounds.namespace_rules {
                Some(Exceeded::NamespaceRules)
            } else {
                // Whether its endpoints are within bounds or not: finding that out has a cost.
                kept.rules += rules;
                let more: HashSet<&ObjectKey> = services(ingress)
                    .filter(|service| !counted.contains(service))
                    .collect();
                #[cfg(test)]
                crate::counted::note(|work| work.indexed += services(ingress).count());
                let endpoints: usize = more.iter().map(|service| self.endpoints(service)).sum();
                if kept.endpoints + endpoints > bounds.namespace_endpoints {
                    Some(Exceeded::NamespaceEndpoints)
                } else {
                    kept.endpoints += endpoints;
                    counted.extend(more);
                    None
                }
            };
            let excess = bound.map(|bound| {
                let hosts = ingress.rules.len() + ingress.derived.len();
                let closes = closed + hosts <= bounds.namespace_rules;
                closed += if closes { hosts } else { 0 };
                Excess { bound, closes }
            });
            exceeds |= excess.is_some();
            let before = match excess {
                Some(excess) => self.excess.insert(ingress.key.clone(), excess),
                None => self.excess.remove(&ingress.key),
            };
            if before != excess {
                judged.push(Arc::clone(ingress));
            }
        }
        self.tally(namespace).exceeds = exceeds;
        judged
    }

    /// Forgets namespaces that have nothing.
    pub(super) fn tidy<'n>(&mut self, namespaces: impl Iterator<Item = &'n str>) {
        for namespace in namespaces {
            let tally = self.namespaces.get(namespace);
            if tally.is_some_and(|tally| tally.ingresses == 0) {
                self.namespaces.remove(namespace);
            }
        }
    }

    /// How many endpoints a Service had when they were counted.
    fn endpoints(&self, service: &ObjectKey) -> usize {
        self.services.get(service).map_or(0, |named| named.endpoints)
    }

    fn named(&mut self, service: &ObjectKey) -> &mut Named {
        if !self.services.contains_key(service) {
            self.services.insert(service.clone(), Named::default());
        }
        self.services.entry(service.clone()).or_default()
    }

    fn is_large(&self, ingress: &Ingress) -> bool {
        rules(ingress) > self.bounds.ingress_rules
    }

    fn tally(&mut self, namespace: &str) -> &mut Tally {
        if !self.namespaces.contains_key(namespace) {
            self.namespaces.insert(namespace.into(), Tally::default());
        }
        self.namespaces.entry(namespace.into()).or_default()
    }
}

impl Exceeded {
    /// In words, for the Ingress.
    pub(crate) fn describe(self, namespace: &str, door: &str, bounds: Bounds) -> String {
        match self {
            Self::IngressRules(rules) => format!(
                "the Ingress has {rules} rules (paths, and hosts of `spec.tls`), and one may have {} at door `{door}` \
                 (`limits.ingress_rules`)",
                bounds.ingress_rules
            ),
            Self::NamespaceRules => format!(
                "the Ingresses of namespace `{namespace}` have more than {} rules (paths, and hosts of `spec.tls`) at door \
                 `{door}` (`limits.namespace_rules`), and older ones come first",
                bounds.namespace_rules
            ),
            Self::NamespaceEndpoints => format!(
                "the Services that Ingresses of namespace `{namespace}` name have more than {} endpoints at door `{door}` \
                 (`limits.namespace_endpoints`), and older Ingresses come first",
                bounds.namespace_endpoints
            ),
        }
    }
}
