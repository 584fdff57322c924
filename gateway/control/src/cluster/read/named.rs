//! The Secrets and ConfigMaps that doors and Ingresses name: which of them are watched, and which are left out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use resource::{ClusterView, Kind, ObjectRef, Unread};
use tokio::time::Instant;

use super::held::NAMED_WAIT;
use super::openings::Openings;
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
/// Between two lists of all Secrets that were asked for because too many were late.
const RELIST: Duration = Duration::from_secs(30);
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
    /// Those that doors need.
    of_doors: BTreeSet<ObjectRef>,
    openings: Openings,
    /// When all Secrets were listed again.
    relisted: Option<Instant>,
    /// When something can be watched that cannot be now.
    retry: Option<Instant>,
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
            of_doors: BTreeSet::new(),
            openings: Openings::default(),
            relisted: None,
            retry: None,
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
        self.retry = None;
        // Lists of all are filtered as they arrive, and what they have brought may have been needed only for a while.
        let unneeded = self.needed.difference(&needed);
        for secret in unneeded.filter(|object| object.kind == Kind::Secret) {
            self.store.borrow_mut().forget(secret);
        }
        self.catch_up(&needed, reflectors);
        let is_single = |need: &&ObjectRef| !self.is_among_all(need) || self.late.contains(need);
        let singles: Vec<&ObjectRef> = needs.by_ingresses.iter().filter(is_single).collect();
        let in_order = in_order(singles, |need| {
            reflectors.are_watching(&WatchTarget::single(need))
        });
        let (followed, beyond) = in_order
            .split_at_checked(self.options.most_followed)
            .unwrap_or((&in_order, &[]));
        let beyond = beyond.iter().map(|need| ((*need).clone(), Unread::TooMany));
        let unwanted = needs.unwanted.iter().map(|need| (need.clone(), Unread::Unwanted));
        let left_out = beyond.chain(unwanted).collect();
        let of_doors: Vec<&ObjectRef> = needs.by_doors.iter().filter(is_single).collect();
        self.left_out = left_out;
        let wanted: BTreeSet<WatchTarget> = followed
            .iter()
            .copied()
            .chain(of_doors.iter().copied())
            .map(WatchTarget::single)
            .collect();
        let watched = reflectors.singles();
        let unwanted: Vec<WatchTarget> = watched
            .filter(|target| !wanted.contains(target))
            .cloned()
            .collect();
        for target in &unwanted {
            reflectors.close(target);
        }
        for need in of_doors {
            open(need, reflectors);
        }
        self.openings.tidy();
        for need in followed {
            let is_new = !reflectors.are_watching(&WatchTarget::single(need));
            let namespace = need.namespace.as_deref().unwrap_or_default();
            match self
                .openings
                .take_if(is_new, namespace, self.options.most_followed)
            {
                Ok(()) => open(need, reflectors),
                Err(later) => {
                    self.left_out.insert((*need).clone(), Unread::TooOften);
                    self.retry_at(later);
                }
            }
        }
        self.of_doors = needs.by_doors.into_iter().collect();
        self.needed = needed;
    }

    /// When [`follow`](Self::follow) can watch more than now, although nothing changes.
    pub(super) fn retry(&self) -> Option<Instant> {
        self.retry
    }

    fn retry_at(&mut self, at: Instant) {
        self.retry = Some(self.retry.map_or(at, |earlier| earlier.min(at)));
    }

    /// Objects that Ingresses need and that have not been read since they were named a moment ago.
    pub(super) fn young(&self) -> BTreeSet<ObjectRef> {
        let all = self.all_young().into_iter();
        let named = all.map(|(object, _)| object);
        named.filter(|object| !self.of_doors.contains(object)).collect()
    }

    /// Whether an object that an Ingress names will be watched as soon as it is found out again what is needed.
    pub(super) fn is_yet_to_follow(&self, object: &ObjectRef) -> bool {
        let may_be_read = match object.kind {
            Kind::Secret => self.options.secrets != SecretScope::None,
            Kind::ConfigMap => true,
            Kind::Ingress
            | Kind::IngressClass
            | Kind::Service
            | Kind::EndpointSlice
            | Kind::Namespace
            | Kind::Middleware
            | Kind::File
            | Kind::Cluster
            | Kind::Variable => false,
        };
        may_be_read && !self.needed.contains(object)
    }

    /// Until when an object is waited for that a door has just named: the door has other settings since a moment ago.
    pub(super) fn doors_wait(&self) -> Option<Instant> {
        let all = self.all_young().into_iter();
        let of_doors = all.filter(|(object, _)| self.of_doors.contains(object));
        of_doors.map(|(_, until)| until).max()
    }

    /// Objects that are waited for, and until when.
    fn all_young(&self) -> Vec<(ObjectRef, Instant)> {
        let store = self.store.borrow();
        let now = Instant::now();
        let mut young = Vec::new();
        for (target, state) in store.targets() {
            let until = state.since + NAMED_WAIT;
            if state.is_known() || state.fault.is_some() || until <= now {
                continue;
            }
            match &target.scope {
                Scope::Object(key) => young.push((ObjectRef::namespaced(target.kind, key), until)),
                Scope::Cluster | Scope::Namespace(_) | Scope::Replicas(_) if target.kind == Kind::Secret => {
                    let covered = self.needed.iter().filter(|need| target.covers(need));
                    let unknown = covered.filter(|need| !store.has_secret(need));
                    young.extend(unknown.map(|need| (need.clone(), until)));
                }
                Scope::Cluster | Scope::Namespace(_) | Scope::Replicas(_) => {}
            }
        }
        young
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
            // Who keeps naming new ones does not have everything listed again and again.
            let next = self.relisted.map(|last| last + RELIST);
            if let Some(next) = next.filter(|next| *next > Instant::now()) {
                self.retry_at(next);
                return;
            }
            self.relisted = Some(Instant::now());
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

fn open(need: &ObjectRef, reflectors: &mut Reflectors) {
    let target = WatchTarget::single(need);
    if !reflectors.are_watching(&target) {
        reflectors.open(target);
    }
}

/// In the order in which they are watched if there are too many. What a namespace has beyond its share comes last, watched
/// already or not: the places that it has taken beyond are for others that need one. Among the others a watched object is
/// not given up for a new one.
pub(super) fn in_order(needs: Vec<&ObjectRef>, is_watched: impl Fn(&ObjectRef) -> bool) -> Vec<&ObjectRef> {
    let mut shares: HashMap<&str, usize> = HashMap::new();
    let mut ranked: Vec<(bool, bool, &ObjectRef)> = needs
        .into_iter()
        .map(|need| {
            let taken = shares
                .entry(need.namespace.as_deref().unwrap_or_default())
                .or_default();
            *taken += 1;
            (*taken > SHARE, !is_watched(need), need)
        })
        .collect();
    ranked.sort_by_key(|(beyond, is_new, _)| (*beyond, *is_new));
    ranked.into_iter().map(|(_, _, need)| need).collect()
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
