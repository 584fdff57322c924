//! The Secrets and ConfigMaps that doors and Ingresses name: which of them are watched, and which are left out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use resource::{ClusterView, Kind, ObjectRef, Unread};

use super::reflectors::Reflectors;
use super::store::Store;
use super::target::{Scope, WatchTarget};
use super::update::{TargetEvent, Update};
use crate::cluster::connection::Fault;
use crate::cluster::door_view::DoorView;
use crate::cluster::options::{ClusterOptions, SecretScope};
use crate::fair::share_out;

/// Late Secrets that are watched one by one. With more than that, all are listed again.
const MOST_LATE: usize = 100;
/// Objects of one namespace that come before further ones of other namespaces.
const SHARE: usize = 50;

/// What is needed, and what of it is watched.
pub(super) struct NamedObjects {
    options: Rc<ClusterOptions>,
    store: Rc<RefCell<Store>>,
    /// Those that are needed and may be read.
    needed: BTreeSet<ObjectRef>,
    /// Secrets that became needed after the list of all had been filtered.
    late: BTreeSet<ObjectRef>,
    /// Objects that are needed and not watched, and why.
    left_out: BTreeMap<ObjectRef, Unread>,
}

/// What is needed, each object once.
pub(super) struct ObjectNeeds {
    pub(super) by_doors: Vec<ObjectRef>,
    /// In the order in which they matter if not all of them can be watched.
    pub(super) by_ingresses: Vec<ObjectRef>,
    /// Secrets, if none may be read (`secrets = "none"`).
    pub(super) unwanted: Vec<ObjectRef>,
}

impl NamedObjects {
    pub(super) fn new(options: Rc<ClusterOptions>, store: Rc<RefCell<Store>>) -> Self {
        Self {
            options,
            store,
            needed: BTreeSet::new(),
            late: BTreeSet::new(),
            left_out: BTreeMap::new(),
        }
    }

    /// How many are not watched because of the bound.
    pub(super) fn count_beyond_bound(&self) -> usize {
        let reasons = self.left_out.values();
        reasons.filter(|why| **why == Unread::TooMany).count()
    }

    /// Removes Secrets that nobody needs from an update: they are not kept.
    pub(super) fn drop_unneeded(&self, update: &mut Update) {
        if update.target.kind != Kind::Secret {
            return;
        }
        match &mut update.event {
            TargetEvent::Listed(objects) => {
                objects.retain(|observed| self.needed.contains(&observed.reference));
            }
            TargetEvent::Applied(observed) if !self.needed.contains(&observed.reference) => {
                update.event = TargetEvent::Removed(observed.reference.clone());
            }
            TargetEvent::Applied(_)
            | TargetEvent::Removed(_)
            | TargetEvent::Following
            | TargetEvent::Failed(_) => {}
        }
    }

    /// Watches what is needed now, and nothing else.
    pub(super) fn follow(&mut self, doors: &dyn DoorView, reflectors: &mut Reflectors) {
        let needs = ObjectNeeds::of(doors, &self.store.borrow().view, self.options.secrets);
        let needed = needs.by_doors.iter().chain(&needs.by_ingresses);
        let needed: BTreeSet<ObjectRef> = needed.cloned().collect();
        self.catch_up(&needed, reflectors);
        let is_single = |need: &&ObjectRef| !self.is_among_all(need) || self.late.contains(need);
        // A watched object is not given up for a new one, and what doors need comes in addition.
        let singles = needs.by_ingresses.iter().filter(is_single);
        let (held, new): (Vec<&ObjectRef>, Vec<&ObjectRef>) =
            singles.partition(|need| reflectors.are_watching(&WatchTarget::single(need)));
        let in_order: Vec<&ObjectRef> = held.into_iter().chain(new).collect();
        let (followed, beyond) = in_order
            .split_at_checked(self.options.most_followed)
            .unwrap_or((&in_order, &[]));
        let of_doors = needs.by_doors.iter().filter(is_single);
        let wanted: BTreeSet<WatchTarget> = followed
            .iter()
            .copied()
            .chain(of_doors)
            .map(WatchTarget::single)
            .collect();
        let beyond = beyond.iter().map(|need| ((*need).clone(), Unread::TooMany));
        let unwanted = needs.unwanted.iter().map(|need| (need.clone(), Unread::Unwanted));
        self.left_out = beyond.chain(unwanted).collect();
        self.needed = needed;
        let watched = reflectors.singles();
        let unwanted: Vec<WatchTarget> = watched
            .filter(|target| !wanted.contains(target))
            .cloned()
            .collect();
        for target in &unwanted {
            reflectors.close(target);
        }
        for target in wanted {
            if !reflectors.are_watching(&target) {
                reflectors.open(target);
            }
        }
    }

    /// Whether a list of all Secrets has it.
    fn is_among_all(&self, need: &ObjectRef) -> bool {
        let namespaces = &self.options.namespaces;
        let is_watched = namespaces.is_empty()
            || need
                .namespace
                .as_ref()
                .is_some_and(|namespace| namespaces.contains(namespace));
        need.kind == Kind::Secret && self.options.secrets == SecretScope::Cluster && is_watched
    }

    /// Finds Secrets that are needed only now and were dropped when the list of all arrived. A few are watched by their
    /// names; for many, everything is listed again. A list that is still under way is filtered when it arrives.
    fn catch_up(&mut self, needed: &BTreeSet<ObjectRef>, reflectors: &mut Reflectors) {
        self.late.retain(|need| needed.contains(need));
        let listed: Vec<WatchTarget> = {
            let store = self.store.borrow();
            let all = store.targets().filter(|(target, state)| {
                target.kind == Kind::Secret && !matches!(target.scope, Scope::Object(_)) && state.is_listed
            });
            all.map(|(target, _)| target.clone()).collect()
        };
        if listed.is_empty() {
            return;
        }
        let fresh = needed.difference(&self.needed);
        self.late
            .extend(fresh.filter(|need| need.kind == Kind::Secret).cloned());
        if self.late.len() > MOST_LATE {
            self.late.clear();
            for target in listed {
                self.store.borrow_mut().expect_again(&target);
                reflectors.open(target);
            }
        }
    }

    /// Objects that are needed and not read, and why.
    pub(super) fn unread(&self) -> BTreeMap<ObjectRef, Unread> {
        let mut unread = self.left_out.clone();
        let store = self.store.borrow();
        let denied = store.targets().filter(|(target, state)| {
            let is_named = matches!(target.kind, Kind::Secret | Kind::ConfigMap);
            is_named && !state.is_listed && matches!(state.fault, Some(Fault::Forbidden(_)))
        });
        for (target, _) in denied {
            match &target.scope {
                Scope::Object(key) => {
                    unread.insert(ObjectRef::namespaced(target.kind, key), Unread::Denied);
                }
                Scope::Cluster | Scope::Namespace(_) | Scope::Replicas(_) => {
                    let covered = self.needed.iter().filter(|need| target.covers(need));
                    unread.extend(covered.map(|need| (need.clone(), Unread::Denied)));
                }
            }
        }
        unread
    }
}

impl ObjectNeeds {
    pub(super) fn of(doors: &dyn DoorView, view: &ClusterView, secrets: SecretScope) -> Self {
        let is_readable = |need: &ObjectRef| need.kind != Kind::Secret || secrets != SecretScope::None;
        let (by_doors, mut unwanted): (Vec<_>, Vec<_>) =
            doors.needs_of_doors(view).into_iter().partition(is_readable);
        let (by_ingresses, other): (Vec<_>, Vec<_>) =
            doors.needs_of_ingresses(view).into_iter().partition(is_readable);
        unwanted.extend(other);
        Self {
            by_doors,
            by_ingresses: share_out(by_ingresses, SHARE, |need| {
                need.namespace.as_deref().unwrap_or_default()
            }),
            unwanted,
        }
    }
}
