//! Everything that the API server has sent so far.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use resource::{ClusterView, Kind, Object, ObjectRef, Problem, ProblemLists, Unread};
use route::ObjectKey;
use tokio::time::Instant;

use super::observed::Observed;
use super::target::{Scope, WatchTarget};
use super::update::{TargetEvent, Update};
use crate::cluster::connection::Fault;
use crate::cluster::door_view::DoorView;
use crate::cluster::status::{Address, LoadBalancerStatus};
use crate::writes::Writes;

/// Everything that is known, by target and by object.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) view: ClusterView,
    targets: BTreeMap<WatchTarget, TargetState>,
    /// Problems of single objects.
    problems: ProblemLists,
    /// Statuses that are not empty.
    ingress_status: HashMap<ObjectKey, LoadBalancerStatus>,
    /// Of each Ingress, the version that was last seen.
    ingress_version: HashMap<ObjectKey, Box<str>>,
    service_status: HashMap<ObjectKey, LoadBalancerStatus>,
    touched: Touched,
    /// Who wrote what has changed lately.
    writes: Writes,
    no_status: LoadBalancerStatus,
}

/// What has changed of what is written to the API server, or decides about it.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Ingresses that are others than before, or whose status is.
    pub(crate) ingresses: BTreeSet<ObjectKey>,
    /// Services, likewise.
    pub(crate) services: BTreeSet<ObjectKey>,
    /// Something on which every Ingress may depend.
    pub(crate) everything: bool,
}

/// How far a target is known.
#[derive(Debug)]
pub(crate) struct TargetState {
    pub(crate) since: Instant,
    /// It has been listed completely at least once.
    pub(crate) is_listed: bool,
    /// Why it cannot be watched now.
    pub(crate) fault: Option<Fault>,
}

/// What an update changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Something that doors are compiled from, or what is to be reported of it.
    pub(crate) view: bool,
    /// Other objects may be needed from now on.
    pub(crate) needs: bool,
    /// A status.
    pub(crate) status: bool,
    /// The state of a target.
    pub(crate) targets: bool,
}

impl TargetState {
    pub(crate) fn new() -> Self {
        Self {
            since: Instant::now(),
            is_listed: false,
            fault: None,
        }
    }

    /// Whether its content is known, or that it cannot be had.
    pub(crate) fn is_known(&self) -> bool {
        self.is_listed
            || matches!(
                self.fault,
                Some(Fault::Forbidden(_) | Fault::Absent | Fault::Nonsense(_))
            )
    }
}

impl Store {
    /// Adds a target.
    pub(crate) fn open(&mut self, target: WatchTarget) {
        self.targets.entry(target).or_insert_with(TargetState::new);
    }

    /// The list of a target was filtered too early: until it is read again the target does not count as listed.
    pub(crate) fn expect_again(&mut self, target: &WatchTarget) {
        if let Some(state) = self.targets.get_mut(target) {
            state.is_listed = false;
            state.since = Instant::now();
        }
    }

    /// Forgets a target; of a single object also what was known of it, unless another target covers it.
    pub(crate) fn close(&mut self, target: &WatchTarget) {
        self.targets.remove(target);
        if let Scope::Object(key) = &target.scope {
            let object = ObjectRef::namespaced(target.kind, key);
            if !self.targets.keys().any(|other| other.covers(&object)) {
                self.forget(&object);
            }
        }
    }

    /// Forgets a Secret or a ConfigMap that nobody needs any more.
    pub(crate) fn forget(&mut self, object: &ObjectRef) {
        self.problems.put::<Problem>(object, []);
        self.view.remove(object);
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = (&WatchTarget, &TargetState)> {
        self.targets.iter()
    }

    /// Whether a Secret has been read.
    pub(crate) fn has_secret(&self, object: &ObjectRef) -> bool {
        self.view.secret(&key_of(object)).is_some()
    }

    /// Why the API server is out of reach, or its answers make no sense. Refused credentials come first, because they do
    /// not recover by themselves; then what concerns all kinds; last what may concern one alone.
    pub(crate) fn loss(&self) -> Option<&Fault> {
        let faults = self.targets.values().filter_map(|state| state.fault.as_ref());
        let losses = faults.filter(|fault| fault.is_loss() || matches!(fault, Fault::Nonsense(_)));
        losses.max_by_key(|fault| match fault {
            Fault::Unauthorized => 3,
            Fault::Unreachable(_) | Fault::Stalled(_) => 2,
            Fault::Busy(_) => 1,
            Fault::Forbidden(_)
            | Fault::Refused(_)
            | Fault::Absent
            | Fault::Conflict
            | Fault::Expired
            | Fault::Nonsense(_) => 0,
        })
    }

    /// Kinds of objects that are not read, each without a name ([`UnreadObjects`](resource::UnreadObjects)).
    pub(crate) fn unread_kinds(&self) -> impl Iterator<Item = (ObjectRef, Unread)> + '_ {
        self.targets.iter().filter_map(|(target, state)| {
            let why = match state.fault {
                Some(Fault::Absent) => Unread::NoSuchKind,
                Some(Fault::Forbidden(_)) if !state.is_listed => Unread::Denied,
                _ => return None,
            };
            let namespace = match &target.scope {
                Scope::Cluster => None,
                Scope::Namespace(namespace) => Some(namespace.clone()),
                Scope::Replicas(_) | Scope::Object(_) => return None,
            };
            let all = ObjectRef {
                kind: target.kind,
                namespace,
                name: Box::default(),
            };
            target.may_be_absent().then_some((all, why))
        })
    }

    /// The problems of single objects.
    pub(crate) fn problems(&self) -> &ProblemLists {
        &self.problems
    }

    pub(crate) fn ingress_status(&self, key: &ObjectKey) -> &LoadBalancerStatus {
        self.ingress_status.get(key).unwrap_or(&self.no_status)
    }

    /// `metadata.resourceVersion` as it was last seen.
    pub(crate) fn ingress_version(&self, key: &ObjectKey) -> &str {
        self.ingress_version
            .get(key)
            .map(|version| &**version)
            .unwrap_or_default()
    }

    /// What has changed since this was last called.
    pub(crate) fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }

    /// Who wrote what has changed since this was last called.
    pub(crate) fn take_writes(&mut self) -> Writes {
        std::mem::take(&mut self.writes)
    }

    pub(crate) fn addresses_of(&self, service: &ObjectKey) -> Vec<Address> {
        let status = self.service_status.get(service);
        status.map(|status| status.addresses.to_vec()).unwrap_or_default()
    }

    /// Takes an update in. The doors say whether other objects are needed from now on.
    pub(crate) fn take(&mut self, update: Update, doors: &dyn DoorView) -> Changed {
        let mut changed = Changed::default();
        let Some(state) = self.targets.get_mut(&update.target) else {
            // From a reflector that has been stopped.
            return changed;
        };
        match update.event {
            TargetEvent::Failed(fault) => {
                changed.targets = state.fault.as_ref() != Some(&fault);
                let is_gone = fault == Fault::Absent && update.target.may_be_absent();
                state.fault = Some(fault);
                if is_gone {
                    // With its definition go all objects of a kind.
                    self.replace(&update.target, Vec::new(), doors, &mut changed);
                }
            }
            TargetEvent::Following => {
                changed.targets = state.fault.take().is_some();
            }
            TargetEvent::Listed(objects) => {
                changed.targets = !std::mem::replace(&mut state.is_listed, true);
                // Permission to list without permission to watch remains a fault.
                if state.fault.as_ref().is_some_and(Fault::is_loss) {
                    state.fault = None;
                    changed.targets = true;
                }
                self.replace(&update.target, objects, doors, &mut changed);
            }
            TargetEvent::Applied(observed) => self.apply(*observed, doors, &mut changed),
            TargetEvent::Removed(object) => self.remove(&object, doors, &mut changed),
        }
        changed
    }

    fn replace(
        &mut self,
        target: &WatchTarget,
        objects: Vec<Observed>,
        doors: &dyn DoorView,
        changed: &mut Changed,
    ) {
        let present: HashSet<ObjectRef> = objects
            .iter()
            .map(|observed| observed.reference.clone())
            .collect();
        let gone: BTreeSet<ObjectRef> = self
            .known(target.kind)
            .chain(self.problems.lists().map(|list| list.object.clone()))
            .filter(|known| target.covers(known) && !present.contains(known))
            .collect();
        for object in gone {
            self.remove(&object, doors, changed);
        }
        for observed in objects {
            self.apply(observed, doors, changed);
        }
    }

    fn known(&self, kind: Kind) -> Box<dyn Iterator<Item = ObjectRef> + '_> {
        let view = &self.view;
        let named = move |key: &ObjectKey| ObjectRef::namespaced(kind, key);
        match kind {
            Kind::Ingress => Box::new(view.ingresses().map(move |object| named(&object.key))),
            Kind::Service => Box::new(view.services().map(move |object| named(&object.key))),
            Kind::EndpointSlice => Box::new(view.all_endpoint_slices().map(move |object| named(&object.key))),
            Kind::Secret => Box::new(view.secrets().map(move |object| named(&object.key))),
            Kind::ConfigMap => Box::new(view.config_maps().map(move |object| named(&object.key))),
            Kind::IngressClass => Box::new(
                view.classes()
                    .map(move |object| ObjectRef::global(kind, &object.name)),
            ),
            Kind::Middleware => Box::new(view.middlewares().map(move |object| named(&object.key))),
            Kind::Namespace | Kind::File | Kind::Cluster | Kind::Variable => Box::new(std::iter::empty()),
        }
    }

    fn apply(&mut self, observed: Observed, doors: &dyn DoorView, changed: &mut Changed) {
        let Observed {
            reference,
            object,
            problems,
            status,
            version,
            write,
        } = observed;
        self.put_status(&reference, &status, changed);
        // A new version alone is not a change.
        if reference.kind == Kind::Ingress {
            let key = match &object {
                // Texts that are in memory already.
                Some(Object::Ingress(ingress)) => ingress.key.clone(),
                Some(_) | None => key_of(&reference),
            };
            self.ingress_version.insert(key, version);
        }
        self.put_problems(&reference, problems, changed);
        let Some(object) = object else {
            self.take_out(&reference, doors, changed);
            return;
        };
        // An equal object does not replace the old one: most changes in a cluster are in parts that the gateway
        // does not keep.
        match self.view.insert(object.clone()) {
            Some(before) if before == object => {
                self.view.insert(before);
            }
            before => {
                changed.note(doors, before.as_ref(), Some(&object));
                self.touched.add(&reference);
                self.writes.put(reference, write);
            }
        }
    }

    fn remove(&mut self, reference: &ObjectRef, doors: &dyn DoorView, changed: &mut Changed) {
        self.put_status(reference, &LoadBalancerStatus::default(), changed);
        if reference.kind == Kind::Ingress {
            self.ingress_version.remove(&key_of(reference));
        }
        self.put_problems(reference, Vec::new(), changed);
        self.take_out(reference, doors, changed);
    }

    fn take_out(&mut self, reference: &ObjectRef, doors: &dyn DoorView, changed: &mut Changed) {
        if let Some(before) = self.view.remove(reference) {
            changed.note(doors, Some(&before), None);
            self.touched.add(reference);
        }
    }

    fn put_problems(&mut self, reference: &ObjectRef, problems: Vec<Problem>, changed: &mut Changed) {
        changed.view |= self.problems.put(reference, problems);
    }

    fn put_status(&mut self, reference: &ObjectRef, status: &LoadBalancerStatus, changed: &mut Changed) {
        let statuses = match reference.kind {
            Kind::Ingress => &mut self.ingress_status,
            Kind::Service => &mut self.service_status,
            Kind::IngressClass
            | Kind::EndpointSlice
            | Kind::Secret
            | Kind::ConfigMap
            | Kind::Namespace
            | Kind::Middleware
            | Kind::File
            | Kind::Cluster
            | Kind::Variable => return,
        };
        let key = key_of(reference);
        let before = if *status == LoadBalancerStatus::default() {
            statuses.remove(&key)
        } else {
            statuses.insert(key, status.clone())
        };
        if before.unwrap_or_default() != *status {
            changed.status = true;
            self.touched.add(reference);
        }
    }
}

fn key_of(reference: &ObjectRef) -> ObjectKey {
    let namespace = reference.namespace.as_deref().unwrap_or_default();
    ObjectKey::new(namespace, &*reference.name)
}

impl Touched {
    fn add(&mut self, reference: &ObjectRef) {
        match reference.kind {
            Kind::Ingress => {
                self.ingresses.insert(key_of(reference));
            }
            Kind::Service => {
                self.services.insert(key_of(reference));
            }
            Kind::IngressClass => self.everything = true,
            Kind::EndpointSlice
            | Kind::Secret
            | Kind::ConfigMap
            | Kind::Namespace
            | Kind::Middleware
            | Kind::File
            | Kind::Cluster
            | Kind::Variable => {}
        }
    }
}

impl Changed {
    /// An object has changed, come or gone.
    fn note(&mut self, doors: &dyn DoorView, before: Option<&Object>, after: Option<&Object>) {
        self.view = true;
        self.needs |= doors.concerns_needs(before, after);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.view |= other.view;
        self.needs |= other.needs;
        self.status |= other.status;
        self.targets |= other.targets;
    }
}
