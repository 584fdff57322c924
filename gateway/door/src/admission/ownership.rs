//! Which namespace owns a host, if a door's `host_owner` is `namespace`
//! ([ADR 20](../../../../docs/adr/0020-a-host-stays-with-its-namespace.md)).

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;
use resource::Ingress;
use route::{Host, HostPattern, ObjectKey};
use smallvec::SmallVec;

use super::policy::Policy;

/// The hosts of one door that Ingresses name, and their owners. Empty if hosts have no owners.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ownership {
    exact: HashMap<Host, Owner, RandomState>,
    /// By suffix.
    wildcard: HashMap<Host, Owner, RandomState>,
}

/// The owner of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The oldest Ingress of its namespace that names the host, or a wildcard above it.
    pub(crate) ingress: ObjectKey,
    /// The oldest Ingress that does, if it is one of another namespace: it named the host later.
    pub(crate) older: Option<ObjectKey>,
}

/// The Ingresses that name a host, the oldest of each namespace, in order of precedence. The number is the position in
/// that order.
type Claims<'i> = SmallVec<[(usize, &'i ObjectKey); 1]>;

impl Ownership {
    /// Decides who owns the hosts that these Ingresses name, each at the door whose policy is beside it. They are in order
    /// of precedence. A namespace that owned a host `before`, and still names it, keeps it.
    pub(crate) fn decide<'i>(naming: impl Iterator<Item = (&'i Ingress, &'i Policy)>, before: &Self) -> Self {
        let mut exact: Named<'_> = HashMap::default();
        let mut wildcard: Named<'_> = HashMap::default();
        let (mut further, mut further_wildcard): (Named<'_>, Named<'_>) = Default::default();
        for (place, (ingress, policy)) in naming.enumerate() {
            let claimed = (place, &ingress.key);
            for host in ingress.rule_hosts().filter(|host| policy.host_admits(host)) {
                claim(host, claimed, &mut exact, &mut wildcard);
            }
            let derived = ingress.derived.iter().map(|derived| &derived.host);
            for host in derived.filter(|host| policy.host_admits(host)) {
                claim(host, claimed, &mut further, &mut further_wildcard);
            }
        }
        let mut decided = Self::default();
        for (suffix, claims) in wildcard.values() {
            let held = before.wildcard.get(*suffix);
            if let Some(owner) = Owner::among(claims, [held, None]) {
                decided.wildcard.insert((*suffix).clone(), owner);
            }
        }
        for (host, mut claims) in exact.into_values() {
            let above = parent(host);
            if let Some((_, above)) = above.and_then(|suffix| wildcard.get(suffix)) {
                claims.extend_from_slice(above);
                claims.sort_unstable();
            }
            let held = [
                before.exact.get(host),
                above.and_then(|suffix| before.wildcard.get(suffix)),
            ];
            if let Some(owner) = Owner::among(&claims, held) {
                decided.exact.insert(host.clone(), owner);
            }
        }
        // What an annotation adds counts only where no rule names it, or a wildcard above it.
        for (suffix, claims) in further_wildcard.into_values() {
            let held = before.wildcard.get(suffix);
            if let (false, Some(owner)) = (
                wildcard.contains_key(suffix.as_str()),
                Owner::among(&claims, [held, None]),
            ) {
                decided.wildcard.insert(suffix.clone(), owner);
            }
        }
        for (host, claims) in further.into_values() {
            let above = parent(host).filter(|suffix| wildcard.contains_key(suffix));
            let owner = match above.and_then(|suffix| decided.wildcard.get(suffix)) {
                Some(owner) => Some(owner.clone()),
                None => Owner::among(&claims, [before.exact.get(host), None]),
            };
            if let (false, Some(owner)) = (decided.exact.contains_key(host), owner) {
                decided.exact.insert(host.clone(), owner);
            }
        }
        decided
    }

    /// The owner of a host, or of a wildcard, that some rule names.
    pub(crate) fn of(&self, host: &HostPattern) -> Option<&Owner> {
        match host {
            HostPattern::Any => None,
            HostPattern::Exact(host) => self.exact.get(host),
            HostPattern::Wildcard(suffix) => self.wildcard.get(suffix),
        }
    }

    /// Whether it says the same of these hosts.
    pub(crate) fn is_same_at(&self, other: &Self, hosts: &BTreeSet<HostPattern>) -> bool {
        hosts.iter().all(|host| self.of(host) == other.of(host))
    }

    /// Whether it says the same of every host but these.
    pub(crate) fn is_same_beside(&self, other: &Self, hosts: &BTreeSet<HostPattern>) -> bool {
        let agrees = |ours: &Self, theirs: &Self| {
            let exact = ours.exact.iter().all(|(host, owner)| {
                theirs.exact.get(host) == Some(owner) || hosts.contains(&HostPattern::Exact(host.clone()))
            });
            let mut wildcard = ours.wildcard.iter();
            exact
                && wildcard.all(|(suffix, owner)| {
                    theirs.wildcard.get(suffix) == Some(owner)
                        || hosts.contains(&HostPattern::Wildcard(suffix.clone()))
                })
        };
        agrees(self, other) && agrees(other, self)
    }
}

/// The hosts that are named, and by whom.
type Named<'i> = HashMap<&'i str, (&'i Host, Claims<'i>), RandomState>;

fn claim<'i>(
    host: &'i HostPattern,
    claim: (usize, &'i ObjectKey),
    exact: &mut Named<'i>,
    wildcard: &mut Named<'i>,
) {
    let (named, host) = match host {
        HostPattern::Any => return,
        HostPattern::Exact(host) => (exact, host),
        HostPattern::Wildcard(suffix) => (wildcard, suffix),
    };
    let (_, claims) = named
        .entry(host.as_str())
        .or_insert_with(|| (host, Claims::default()));
    if !claims.iter().any(|(_, other)| beside(other, claim.1)) {
        claims.push(claim);
    }
}

impl Owner {
    /// Of those that name a host: the one that owned it or the wildcard above it, if it is among them; else the oldest.
    fn among(claims: &Claims<'_>, held: [Option<&Self>; 2]) -> Option<Self> {
        let (_, oldest) = claims.first()?;
        let of_namespace = |held: &Self| claims.iter().find(|(_, claim)| beside(claim, &held.ingress));
        let holder = held.into_iter().flatten().find_map(of_namespace);
        let owner = holder.map_or(*oldest, |(_, claim)| *claim);
        Some(Self {
            ingress: owner.clone(),
            older: (!beside(owner, oldest)).then(|| (*oldest).clone()),
        })
    }
}

/// Whether two objects are in one namespace.
pub(crate) fn beside(one: &ObjectKey, other: &ObjectKey) -> bool {
    one.namespace() == other.namespace()
}

fn parent(host: &Host) -> Option<&str> {
    host.as_str().split_once('.').map(|(_, parent)| parent)
}
