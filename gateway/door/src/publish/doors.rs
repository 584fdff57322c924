//! From one view of the cluster to the live tables of every door.

use std::collections::HashSet;

use resource::{ClusterView, Ingress, Problem, ProblemLists};
use route::{ListenerName, ObjectKey};

use super::changes::DoorChange;
use super::ledger::{DoorRecord, DoorReports, LastPublication, LastReports, Ledger, by_object};
use super::make::{make, owned};
use super::opening::Publisher;
use super::projections::go_live;
use super::readers::Readers;
use super::revision::revise;
use super::unadmitted::explain_the_unadmitted;
use super::unserved::UnservedRoll;
use crate::admission::{Admitted, Members, Policy, class_problems};
use crate::backend::{BackendMemory, BackendPolicy, UpstreamProtocol};
use crate::compile::Compiler;
use crate::tls::CertificateCache;

/// What a publication found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reports(Vec<ProblemLists>);

impl Reports {
    /// What each part of the work reported. The same problem may be in several lists: one Ingress may be at several doors.
    #[must_use]
    pub fn lists(&self) -> &[ProblemLists] {
        &self.0
    }

    /// Every problem, sorted, each once.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self
            .0
            .iter()
            .flat_map(|lists| lists.iter().map(|it| (**it).clone()))
            .collect();
        problems.sort_unstable();
        problems.dedup();
        problems
    }
}

/// Compiles `view` for every door and makes the results live. No other process opens doors of the same configuration.
/// See [`publish_beside`].
pub fn publish<'p, S: 'p>(
    doors: impl IntoIterator<Item = &'p mut Publisher<S>>,
    view: &ClusterView,
    backends: &BackendPolicy,
    ledger: &mut Ledger,
) -> Reports {
    publish_beside(&[], doors, view, backends, ledger)
}

/// Compiles `view` for every door and makes the results live. `others` are doors that other processes open: Ingresses that
/// only these select are no reason for a warning.
///
/// An Ingress that moves from one door to another leaves the old one before it appears at the new one. It is served at one
/// of the two at most; between the two swaps, for a moment, at neither.
///
/// Returns every problem that admission and compilation found. Lists that have not changed are the same ones as before. A
/// door whose table is unchanged is not touched. With the `ledger` of the publication before, the work is in proportion to
/// what has changed. If this panics, the ledger is empty, the doors serve what they served, and the next publication
/// compiles everything.
pub fn publish_beside<'p, S: 'p>(
    others: &[(ListenerName, Policy)],
    doors: impl IntoIterator<Item = &'p mut Publisher<S>>,
    view: &ClusterView,
    backends: &BackendPolicy,
    ledger: &mut Ledger,
) -> Reports {
    let doors = &mut doors.into_iter().collect::<Vec<_>>();
    let Ledger {
        last,
        memory,
        changes,
    } = ledger;
    changes.clear();
    let last = last.take();
    let reported = last
        .as_ref()
        .map(LastPublication::last_reports)
        .unwrap_or_default();
    let revised = last.and_then(|last| revise(others, doors, view, backends, last, memory, changes));
    let mut publication = match revised {
        Some(publication) => publication,
        None => begin(others, doors, view, backends, reported, memory, changes),
    };
    let classes = class_problems(doors.iter().map(|door| door.policy()), view);
    publication.classes.replace(by_object(classes));
    for door in doors.iter_mut() {
        door.show_unserved(publication.unserved.hosts());
    }
    let reports = Reports(publication.reports());
    ledger.last = Some(publication);
    reports
}

/// Compiles everything.
fn begin<S>(
    others: &[(ListenerName, Policy)],
    doors: &mut [&mut Publisher<S>],
    view: &ClusterView,
    backends: &BackendPolicy,
    mut reports: LastReports,
    memory: &mut BackendMemory,
    changes: &mut Vec<DoorChange>,
) -> LastPublication {
    let mut reported = Vec::new();
    let admitted: Vec<Vec<Admitted<'_>>> = doors
        .iter()
        .map(|door| door.policy().admit(door.name(), view, &mut reported))
        .collect();
    explain_the_unadmitted(others, doors, view, &admitted, &mut reported);
    let endpoints = |service: &ObjectKey| backends.bounds.endpoints_of(view, service);
    let members: Vec<Members> = doors
        .iter()
        .zip(&admitted)
        .map(|(door, admitted)| Members::of(door.policy(), admitted, &endpoints))
        .collect();
    let admitted: Vec<Vec<Admitted<'_>>> = members
        .iter()
        .map(|members| members.admitted().collect())
        .collect();

    memory.doubt();
    let live = doors.iter().filter_map(|door| door.live());
    for row in live.flat_map(|live| live.table.iter()) {
        for upstream in row.action.upstreams() {
            if let UpstreamProtocol::Tls(tls) = &upstream.protocol {
                memory.add(tls);
            }
        }
    }
    let mut compiler = Compiler::new(view, backends, std::mem::take(memory));
    let mut cache = CertificateCache::default();
    let arriving = arriving(doors, &admitted);
    let mut steps = Vec::new();
    if !arriving.is_empty() {
        // First only what leaves: each door without the Ingresses that come to it from another door.
        let stays = |door: &Publisher<S>, admitted: &Admitted<'_>| {
            !arriving.contains(&(door.name().clone(), admitted.ingress().key.clone()))
        };
        let staying: Vec<Vec<Admitted<'_>>> = doors
            .iter()
            .zip(&admitted)
            .map(|(door, admitted)| admitted.iter().filter(|it| stays(door, it)).copied().collect())
            .collect();
        let mut made = Vec::new();
        let owned = owned(doors, &staying);
        for ((door, staying), owned) in doors.iter_mut().zip(&staying).zip(&owned) {
            let unreported = &mut DoorReports::default();
            let early = make(door, owned, staying, view, &mut compiler, &mut cache, unreported);
            made.push(Some(early));
        }
        steps.push(made);
    }
    let mut made = Vec::new();
    let mut reported_by_doors = Vec::new();
    let owned = owned(doors, &admitted);
    for ((door, admitted), owned) in doors.iter_mut().zip(&admitted).zip(owned) {
        let mut reports = reports.of_door(door.name());
        let reported = &mut reports;
        let whole = make(door, &owned, admitted, view, &mut compiler, &mut cache, reported);
        door.own(owned);
        made.push(Some(whole));
        reported_by_doors.push(reports);
    }
    drop(admitted);
    let each = doors.iter().zip(members).zip(reported_by_doors);
    let entries = each.map(|((door, members), reports)| DoorRecord {
        name: door.name().clone(),
        policy: door.policy().clone(),
        members,
        reports,
    });
    let entries: Vec<DoorRecord> = entries.collect();
    steps.push(made);
    *changes = go_live(doors, steps);
    // For the log alone: no door waits for it.
    let is_admitted = |ingress: &Ingress| entries.iter().any(|door| door.members.holds(ingress));
    let unserved = UnservedRoll::new(view, others, is_admitted);
    *memory = compiler.into_memory();
    memory.tidy(view);
    reports.admission.replace(by_object(reported));
    LastPublication {
        view: view.clone(),
        backends: backends.clone(),
        others: others.to_vec(),
        doors: entries,
        readers: Readers::new(view),
        admission: reports.admission,
        classes: reports.classes,
        unserved,
    }
}

/// The (door, Ingress) pairs in which the Ingress was live at another door that no longer admits it.
fn arriving<S>(
    doors: &[&mut Publisher<S>],
    admitted: &[Vec<Admitted<'_>>],
) -> HashSet<(ListenerName, ObjectKey)> {
    let live: Vec<HashSet<&ObjectKey>> = doors
        .iter()
        .map(|door| {
            let served = door.live().into_iter().flat_map(|live| live.table.iter());
            let passed = door.tls().into_iter().flat_map(|tls| tls.passthrough_routes());
            let served = served.flat_map(|row| {
                let canary = row.action.canary.iter().map(|canary| &canary.route.origin.key);
                canary.chain([&row.action.origin.key])
            });
            served.chain(passed.map(|(_, route)| &route.origin.key)).collect()
        })
        .collect();
    let next: Vec<HashSet<&ObjectKey>> = admitted
        .iter()
        .map(|admitted| admitted.iter().map(|admitted| &admitted.ingress().key).collect())
        .collect();
    let leaving: HashSet<&ObjectKey> = live
        .iter()
        .zip(&next)
        .flat_map(|(live, next)| live.difference(next).copied())
        .collect();
    let mut arriving = HashSet::new();
    for ((door, live), next) in doors.iter().zip(&live).zip(&next) {
        for key in next.difference(live).filter(|key| leaving.contains(**key)) {
            arriving.insert((door.name().clone(), (*key).clone()));
        }
    }
    arriving
}
