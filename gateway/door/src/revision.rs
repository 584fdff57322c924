//! From one publication to the next: only what has changed is compiled again.
//!
//! This decides how much work is done and never what comes out. Where it is not sure, everything is compiled.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use resource::{ClusterView, Difference, Ingress, Kind, Problem};
use route::{HostPattern, ObjectKey};

use crate::admission::Roll;
use crate::compile::Compiler;
use crate::projections::{Made, go_live};
use crate::publish::{DoorEntry, Entry, by_ingress, explain, keep, key_of, make};
use crate::tls::Shelf;
use crate::upstreams::BackendPolicy;
use crate::{Admitted, Publisher};

/// More Ingresses than this are not compiled one by one.
const FEW: usize = 500;

/// Compiles what has changed since the `last` publication; `None` when that is not a small part of it.
pub(crate) fn revise<S>(
    doors: &mut [Publisher<S>],
    view: &ClusterView,
    backends: &BackendPolicy,
    last: Entry,
) -> Option<Entry> {
    let same_doors = doors.len() == last.doors.len()
        && doors.iter().zip(&last.doors).all(|(door, entry)| {
            *door.name() == entry.name && *door.policy() == entry.policy && !door.is_stale()
        });
    let changed = view.difference(&last.view);
    let few = changed.ingresses.len() <= FEW && changed.services.len() <= FEW;
    if !same_doors || *backends != last.backends || changed.rest || !few {
        return None;
    }
    let mut told = Vec::new();
    let rolls: Vec<Roll> = doors
        .iter()
        .zip(&last.doors)
        .map(|(door, entry)| {
            let policy = door.policy();
            entry
                .roll
                .revised(door.name(), policy, view, &changed.ingresses, &mut told)
        })
        .collect();
    let moves = Moves::between(&last, &rolls, view, &changed);
    if moves.cross {
        return None;
    }
    let mut admission = last.admission;
    for key in &changed.ingresses {
        admission.remove(key);
        let Some(ingress) = view.ingress(key) else {
            continue;
        };
        let admitted = rolls.iter().any(|roll| roll.holds(ingress));
        told.extend(explain(doors, view, ingress, admitted));
    }
    for (key, problems) in by_ingress(told) {
        admission.insert(key, problems);
    }

    let mut compiler = Compiler::new(view, backends);
    let mut shelf = Shelf::default();
    let (mut early, mut late, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for (((door, entry), roll), gains) in doors.iter_mut().zip(last.doors).zip(rolls).zip(&moves.gains) {
        let mut problems = Vec::new();
        let parts = Revision {
            before: &last.view,
            view,
            changed: &changed,
            old: &entry,
            roll: &roll,
        };
        let made = match parts.revise(door, &mut compiler, &mut problems) {
            Revised::Same => {
                problems.clone_from(&entry.problems);
                None
            }
            Revised::Changed(made) => made,
            Revised::TooMuch => {
                keep(door, &mut compiler);
                let admitted: Vec<Admitted<'_>> = roll.admitted().collect();
                Some(make(
                    door,
                    &admitted,
                    view,
                    &mut compiler,
                    &mut shelf,
                    &mut problems,
                ))
            }
        };
        // Doors that an Ingress comes to wait until it has left the others.
        let (now, then) = if *gains { (None, made) } else { (made, None) };
        early.push(now);
        late.push(then);
        entries.push(DoorEntry {
            problems,
            roll,
            ..entry
        });
    }
    go_live(doors, early);
    if moves.gains.contains(&true) {
        go_live(doors, late);
    }
    Some(Entry {
        view: view.clone(),
        backends: last.backends,
        doors: entries,
        admission,
    })
}

/// Which doors Ingresses of others come to.
struct Moves {
    /// By door.
    gains: Vec<bool>,
    /// Some door both loses one and gains one: that takes the long way.
    cross: bool,
}

impl Moves {
    fn between(last: &Entry, rolls: &[Roll], view: &ClusterView, changed: &Difference) -> Self {
        let mut gains = vec![false; rolls.len()];
        let mut loses = vec![false; rolls.len()];
        for key in &changed.ingresses {
            let (Some(old), Some(new)) = (last.view.ingress(key), view.ingress(key)) else {
                continue;
            };
            let was: Vec<bool> = last.doors.iter().map(|door| door.roll.holds(old)).collect();
            let is: Vec<bool> = rolls.iter().map(|roll| roll.holds(new)).collect();
            let leaves = was.iter().zip(&is).any(|(was, is)| *was && !*is);
            for (((was, is), gains), loses) in was.iter().zip(&is).zip(&mut gains).zip(&mut loses) {
                *loses |= *was && !*is;
                *gains |= leaves && !*was && *is;
            }
        }
        let cross = gains.iter().zip(&loses).any(|(gains, loses)| *gains && *loses);
        Self { gains, cross }
    }
}

/// One door, between two publications.
struct Revision<'a> {
    before: &'a ClusterView,
    view: &'a ClusterView,
    changed: &'a Difference,
    old: &'a DoorEntry,
    roll: &'a Roll,
}

enum Revised {
    /// Nothing of this door has changed.
    Same,
    /// Something may have; `None` when the table has come out the same.
    Changed(Option<Made>),
    /// It has to be compiled as a whole.
    TooMuch,
}

impl Revision<'_> {
    fn revise<S>(
        &self,
        door: &Publisher<S>,
        compiler: &mut Compiler<'_>,
        problems: &mut Vec<Problem>,
    ) -> Revised {
        // Certificates are chosen among all Ingresses of a door; problems of other objects belong to none.
        let whole = door.policy().tls.is_some()
            || self
                .old
                .problems
                .iter()
                .any(|problem| problem.object.kind != Kind::Ingress);
        let (Some(live), false) = (door.live(), whole) else {
            return Revised::TooMuch;
        };
        let Some((touched, hosts)) = self.touched() else {
            return Revised::TooMuch;
        };
        if touched.is_empty() {
            return Revised::Same;
        }
        keep(door, compiler);
        let again: Vec<Admitted<'_>> = self
            .roll
            .admitted()
            .filter(|admitted| touched.contains(&admitted.ingress().key))
            .collect();
        let mut fresh = Vec::new();
        let compiled = compiler.compile(door.name(), door.policy(), &again, &mut fresh);
        let stands = |problem: &&Problem| !key_of(problem).is_some_and(|key| touched.contains(&key));
        problems.extend(self.old.problems.iter().filter(stands).cloned());
        problems.extend(fresh);
        Revised::Changed(live.table.with_hosts(&hosts, &compiled.table).map(|table| Made {
            table: Arc::new(table),
            tls: None,
            differs: true,
        }))
    }

    /// The Ingresses to compile again, and all hosts that any of them names, now or before: whoever shares a host
    /// with one of them is one of them. `None` when there are too many, or when one answers without hosts of its own.
    fn touched(&self) -> Option<(HashSet<ObjectKey>, HashSet<HostPattern>)> {
        let mut touched = Touched::default();
        for key in &self.changed.ingresses {
            let old = self
                .before
                .ingress(key)
                .filter(|ingress| self.old.roll.holds(ingress));
            let new = self.view.ingress(key).filter(|ingress| self.roll.holds(ingress));
            old.into_iter()
                .chain(new)
                .for_each(|ingress| touched.add(ingress));
        }
        if !self.changed.services.is_empty() {
            let calls = |ingress: &Ingress| calls(ingress, &self.changed.services);
            let calling = self.roll.admitted().map(|admitted| admitted.ingress());
            calling
                .filter(|ingress| calls(ingress))
                .for_each(|ingress| touched.add(ingress));
        }
        while !touched.hosts.is_empty() {
            let before = touched.hosts.len();
            for admitted in self.roll.admitted() {
                let mut hosts = admitted
                    .ingress()
                    .rules
                    .iter()
                    .filter_map(|rule| rule.host.as_ref().ok());
                if hosts.any(|host| touched.hosts.contains(host)) {
                    touched.add(admitted.ingress());
                }
            }
            if touched.answers_all || touched.ingresses.len() > FEW {
                return None;
            }
            if touched.hosts.len() == before {
                break;
            }
        }
        (!touched.answers_all).then_some((touched.ingresses, touched.hosts))
    }
}

#[derive(Default)]
struct Touched {
    ingresses: HashSet<ObjectKey>,
    hosts: HashSet<HostPattern>,
    /// One of them is the default of the whole door.
    answers_all: bool,
}

impl Touched {
    fn add(&mut self, ingress: &Ingress) {
        self.answers_all |= ingress.rules.is_empty() && ingress.default_backend.is_some();
        self.ingresses.insert(ingress.key.clone());
        self.hosts
            .extend(ingress.rules.iter().filter_map(|rule| rule.host.clone().ok()));
    }
}

fn calls(ingress: &Ingress, services: &BTreeSet<ObjectKey>) -> bool {
    let paths = ingress.rules.iter().flat_map(|rule| &rule.paths);
    let backends = paths.map(|path| &path.backend).chain(&ingress.default_backend);
    backends
        .filter_map(|backend| backend.as_ref().ok())
        .any(|backend| services.contains(&backend.service))
}
