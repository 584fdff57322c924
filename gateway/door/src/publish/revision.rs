//! From one publication to the next: only what has changed is compiled again.
//!
//! This decides how much work is done and never what the result is. In doubt, everything is compiled.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use resource::{ClusterView, Difference, Ingress, Kind, ObjectRef};
use route::{HostPattern, ListenerName, ObjectKey, Table};

use super::changes::DoorChange;
use super::ledger::{DoorRecord, LastPublication, by_object};
use super::make::{Serving, gather, make, owned};
use super::opening::Publisher;
use super::projections::{NewDoor, TablePatch, go_live};
use super::touched::Touched;
use super::unadmitted::explain;
use crate::admission::{Admitted, HostOwner, MembershipChange, Ownership, Policy};
use crate::backend::{BackendMemory, BackendPolicy};
use crate::compile::{Compiler, Route};
use crate::filters::FilterMemory;
use crate::tls::{CertificateCache, winners};

/// More changes than this at once are not compiled one by one.
const FEW: usize = 2_000;

/// Compiles what has changed since the `last` publication; `None` when that is not a small part of it.
pub(crate) fn revise<S>(
    others: &[(ListenerName, Policy)],
    doors: &mut [&mut Publisher<S>],
    view: &ClusterView,
    backends: &BackendPolicy,
    mut last: LastPublication,
    memory: &mut BackendMemory,
    changes: &mut Vec<DoorChange>,
) -> Option<LastPublication> {
    let same_doors = doors.len() == last.doors.len()
        && doors.iter().zip(&last.doors).all(|(door, record)| {
            *door.name() == record.name && *door.policy() == record.policy && !door.is_stale()
        });
    let mut changed = view.difference(&last.view);
    let few = changed.ingresses.len() <= FEW && changed.services.len() <= FEW;
    if !same_doors || *others != *last.others || *backends != last.backends || changed.rest || !few {
        return None;
    }
    last.readers.revise(&last.view, view, &mut changed);
    let mut reported = Vec::new();
    let endpoints = |service: &ObjectKey| backends.bounds.endpoints_of(view, service);
    let memberships: Vec<MembershipChange> = doors
        .iter()
        .zip(&mut last.doors)
        .map(|(door, record)| {
            let views = [&last.view, view];
            let mut change = record.members.revise(
                door.name(),
                door.policy(),
                views,
                &changed.ingresses,
                &mut reported,
            );
            record.members.judge(&mut change, &changed.services, &endpoints);
            change
        })
        .collect();
    let gains = gains(&memberships, view)?;
    for key in &changed.ingresses {
        if let Some(ingress) = view.ingress(key) {
            let is_admitted = last.doors.iter().any(|door| door.members.holds(ingress));
            reported.extend(explain(others, doors, view, ingress, is_admitted));
        }
    }
    let mut reported = by_object(reported);
    for key in &changed.ingresses {
        let object = ObjectRef::namespaced(Kind::Ingress, key);
        let problems = reported.remove(&object).unwrap_or_default();
        last.admission.put(&object, problems);
    }

    memory.changed(&changed, view);
    let mut compiler = Compiler::new(view, backends, std::mem::take(memory));
    let mut cache = CertificateCache::default();
    let (mut early, mut late) = (Vec::new(), Vec::new());
    let owned = owned_now(doors, &last.doors, &memberships);
    let each = doors
        .iter_mut()
        .zip(&mut last.doors)
        .zip(&memberships)
        .zip(&gains);
    for ((((door, record), membership), gains), owned) in each.zip(owned) {
        let change = Change {
            membership,
            changed: &changed,
            before: &last.view,
            view,
        };
        let made = revise_door(door, record, owned, &change, &mut compiler, &mut cache);
        // Doors that an Ingress joins wait until it has left the others.
        let (now, then) = if *gains { (None, made) } else { (made, None) };
        early.push(now);
        late.push(then);
    }
    let mut steps = vec![early];
    if gains.contains(&true) {
        steps.push(late);
    }
    *changes = go_live(doors, steps);
    // For the log alone: no door waits for it.
    let members = &last.doors;
    let is_admitted = |ingress: &Ingress| members.iter().any(|door| door.members.holds(ingress));
    last.unserved
        .revise(&changed.ingresses, view, others, is_admitted);
    *memory = compiler.into_memory();
    memory.tidy_if_worthwhile(view);
    last.view = view.clone();
    Some(last)
}

/// Which doors Ingresses of other doors join; `None` if a door both gains one and loses one, which compiles everything.
fn gains(memberships: &[MembershipChange], view: &ClusterView) -> Option<Vec<bool>> {
    let has = |ingresses: &[Arc<Ingress>], key: &ObjectKey| ingresses.iter().any(|other| other.key == *key);
    // Deleted Ingresses do not move.
    let leaves = |membership: &MembershipChange, key: &ObjectKey| {
        has(&membership.left, key) && !has(&membership.joined, key) && view.ingress(key).is_some()
    };
    let mut gains = Vec::new();
    for membership in memberships {
        let arrives = |ingress: &Arc<Ingress>| {
            let key = &ingress.key;
            !has(&membership.left, key) && memberships.iter().any(|other| leaves(other, key))
        };
        let gains_one = membership.joined.iter().any(arrives);
        if gains_one
            && membership
                .left
                .iter()
                .any(|ingress| leaves(membership, &ingress.key))
        {
            return None;
        }
        gains.push(gains_one);
    }
    Some(gains)
}

/// The owners of hosts at each door at which they may have changed, by its own Ingresses or its sibling's.
fn owned_now<S>(
    doors: &[&mut Publisher<S>],
    entries: &[DoorRecord],
    memberships: &[MembershipChange],
) -> Vec<Option<Ownership>> {
    let has_owners = |door: &&mut Publisher<S>| door.policy().host_owner == HostOwner::Namespace;
    let moves = |membership: &MembershipChange| !membership.is_empty();
    if !doors.iter().any(has_owners) || !memberships.iter().any(moves) {
        return doors.iter().map(|_| None).collect();
    }
    let admitted: Vec<Vec<Admitted<'_>>> = entries
        .iter()
        .map(|record| record.members.admitted().collect())
        .collect();
    owned(doors, &admitted).into_iter().map(Some).collect()
}

/// What has changed at a door.
struct Change<'c, 'v> {
    membership: &'c MembershipChange,
    changed: &'c Difference,
    before: &'c ClusterView,
    view: &'v ClusterView,
}

/// Brings one door up to date; `None` when it serves what it has served.
fn revise_door<'v, S>(
    door: &mut Publisher<S>,
    record: &mut DoorRecord,
    owned: Option<Ownership>,
    change: &Change<'_, 'v>,
    compiler: &mut Compiler<'v>,
    cache: &mut CertificateCache,
) -> Option<NewDoor> {
    let Change { membership, view, .. } = *change;
    let mut touched = Touched::find(record, membership, &change.with_stores(door.filters()), view);
    let before = Arc::clone(door.ownership());
    if let Some(owned) = owned {
        // A host may change owners by a change of the wildcard above it, or at the sibling.
        touched = touched.filter(|touched| owned.is_same_beside(door.ownership(), &touched.hosts));
        door.own(owned);
    }
    let ownership = Arc::clone(door.ownership());
    let passes_through = record.members.has_passthrough();
    let is_half = passes_through && door.tls().is_none();
    let (Some(live), Some(touched), false) = (door.live().cloned(), touched, is_half) else {
        let admitted: Vec<Admitted<'_>> = record.members.admitted().collect();
        let reports = &mut record.reports;
        return Some(make(door, &ownership, &admitted, view, compiler, cache, reports));
    };
    if touched.ingresses.is_empty() && !touched.certificates {
        return None;
    }
    let again = record.members.among(touched.ingresses.values());
    let (name, policy) = (door.name(), door.policy());
    let compiled = compiler.compile(name, policy, &ownership, &again, passes_through, door.filters());
    let mut problems = compiled.problems;
    for key in touched.ingresses.keys() {
        problems
            .entry(ObjectRef::namespaced(Kind::Ingress, key))
            .or_default();
    }
    record.reports.compiling.update(problems);
    let table = live.table.with_hosts(&touched.hosts, &compiled.table);
    let passed = door.tls().and_then(|tls| {
        let passed = tls.passed();
        passed.with_hosts(&touched.hosts, &compiled.passthrough)
    });
    let regather = door.policy().tls.is_some()
        && (touched.certificates
            || passed.is_some()
            || membership.concerns_certificates()
            || change.moves_hosts(&touched.hosts, &live.table, &compiled.table)
            // A host may have an owner without a route.
            || !ownership.is_same_at(&before, &touched.hosts));
    let tls = if regather {
        // Certificates are chosen among all Ingresses of a door.
        let admitted: Vec<Admitted<'_>> = record.members.admitted().collect();
        let passed = passed.or_else(|| Some(door.tls()?.passed().clone()));
        let served = Serving {
            table: table.as_ref().unwrap_or(&live.table),
            passthrough: passed.unwrap_or_default(),
            ownership: &ownership,
        };
        let (tls, problems) = gather(door, &admitted, view, cache, served);
        record.reports.gathering.replace(problems);
        tls
    } else {
        door.tls().cloned()
    };
    match table {
        Some(table) => Some(NewDoor {
            table: Arc::new(table),
            tls,
            part: Some(TablePatch {
                hosts: touched.hosts,
                table: compiled.table,
            }),
        }),
        None if regather => Some(NewDoor {
            table: Arc::clone(&live.table),
            tls,
            part: None,
        }),
        None => None,
    }
}

impl Change<'_, '_> {
    /// What has changed, and the Secrets that name servers at Services that have changed.
    fn with_stores(&self, memory: &FilterMemory) -> Cow<'_, Difference> {
        let secrets = memory.stores_at(&self.changed.services);
        if secrets.is_empty() {
            return Cow::Borrowed(self.changed);
        }
        let mut changed = self.changed.clone();
        let secrets = secrets.iter().map(|key| ObjectRef::namespaced(Kind::Secret, key));
        changed.objects.extend(secrets);
        Cow::Owned(changed)
    }

    /// Whether other Ingresses than before serve any of these hosts: names have the certificates of those that serve them.
    fn moves_hosts(
        &self,
        hosts: &BTreeSet<HostPattern>,
        live: &Table<Arc<Route>>,
        compiled: &Table<Arc<Route>>,
    ) -> bool {
        let differs = |host| winners(live, self.before, host) != winners(compiled, self.view, host);
        let of = |table: &Table<Arc<Route>>| table.fallback().map(|route| route.origin.key.clone());
        let falls_back = hosts.contains(&HostPattern::Any) && of(live) != of(compiled);
        falls_back || hosts.iter().any(differs)
    }
}
