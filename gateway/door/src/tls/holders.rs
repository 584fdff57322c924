//! Which Ingresses serve a name at a door.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;
use resource::ClusterView;
use route::{HostPattern, ObjectKey, Table};

use crate::admission::{Ownership, age};
use crate::compile::{Passthrough, Route};

/// What a door serves, with the order of precedence.
#[derive(Clone, Copy)]
pub(crate) struct Answers<'a> {
    pub(crate) table: &'a Table<Arc<Route>>,
    pub(crate) passthrough: &'a Passthrough,
    pub(crate) ownership: &'a Ownership,
    pub(crate) view: &'a ClusterView,
}

/// What answers for a name at a door.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Site<'a> {
    /// The rules of this host, or for no host.
    Rules(HostPattern),
    /// Only this Ingress: it passes the name through, is the door's default, or owns the host and has no rule for it.
    One(&'a ObjectKey),
    Nobody,
}

/// The Ingresses that answer for names, each found once.
pub(crate) struct Holders<'a> {
    answers: Answers<'a>,
    known: HashMap<HostPattern, Rc<[&'a ObjectKey]>, RandomState>,
}

impl<'a> Answers<'a> {
    fn site(&self, name: &HostPattern) -> Site<'a> {
        if let Some(route) = self.passthrough.of(name) {
            return Site::One(&route.origin.key);
        }
        for host in [Some(name.clone()), name.wildcard()].into_iter().flatten() {
            if self.table.has_host(&host) {
                return Site::Rules(host);
            }
            if let Some(owner) = self.ownership.of(&host) {
                return Site::One(&owner.ingress);
            }
        }
        if self.table.has_host(&HostPattern::Any) {
            return Site::Rules(HostPattern::Any);
        }
        let fallback = self.table.fallback();
        fallback.map_or(Site::Nobody, |route| Site::One(&route.origin.key))
    }
}

impl<'a> Holders<'a> {
    pub(crate) fn new(answers: Answers<'a>) -> Self {
        Self {
            answers,
            known: HashMap::default(),
        }
    }

    /// The Ingresses that have won a rule which answers for the name, oldest first. The first one has the name.
    pub(crate) fn of(&mut self, name: &HostPattern) -> Rc<[&'a ObjectKey]> {
        let Answers { table, view, .. } = self.answers;
        match self.answers.site(name) {
            Site::Nobody => Rc::default(),
            Site::One(ingress) => [ingress].into(),
            // Each host is looked up once; what stands for many hosts is found once.
            Site::Rules(host) if host == *name => winners(table, view, &host).into(),
            Site::Rules(host) => match self.known.entry(host) {
                Entry::Occupied(known) => Rc::clone(known.get()),
                Entry::Vacant(place) => {
                    let found = winners(table, view, place.key()).into();
                    Rc::clone(place.insert(found))
                }
            },
        }
    }
}

/// The Ingresses that have won a rule for a host, oldest first.
pub(crate) fn winners<'t>(
    table: &'t Table<Arc<Route>>,
    view: &ClusterView,
    host: &HostPattern,
) -> Vec<&'t ObjectKey> {
    let mut named: Vec<&ObjectKey> = table.of_host(host).map(|route| &route.origin.key).collect();
    named.sort_unstable();
    named.dedup();
    if named.len() > 1 {
        named.sort_by_cached_key(|key| view.ingress(key).map(|ingress| age(ingress)));
    }
    named
}
