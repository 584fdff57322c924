//! From one view of the cluster to the live tables of every door.

use std::collections::HashSet;
use std::sync::Arc;

use resource::{ClusterView, Problem, Severity};
use route::{HostIndex, HostPattern, ListenerName, ObjectKey, Table};

use crate::compile::Compiler;
use crate::snapshot::{RedirectProjection, Route, Routes};
use crate::tls::{DoorTls, Gathering, Shelf};
use crate::upstreams::BackendPolicy;
use crate::{Admitted, Publisher};

/// Compiles `view` for every door and makes the results live.
///
/// An Ingress that moves from one door to another leaves the old one before it appears at the new one: never both
/// at once, and neither only for the moment between two swaps.
///
/// Returns every problem that admission and compilation found. A door whose table is unchanged is not touched.
pub fn publish<S>(doors: &mut [Publisher<S>], view: &ClusterView, backends: &BackendPolicy) -> Vec<Problem> {
    let mut problems = Vec::new();
    let admitted: Vec<Vec<Admitted<'_>>> = doors
        .iter()
        .map(|door| door.policy().admit(door.name(), view, &mut problems))
        .collect();
    explain_the_unadmitted(doors, view, &admitted, &mut problems);

    let mut compiler = Compiler::new(view, backends);
    for live in doors.iter().filter_map(Publisher::live) {
        live.table.iter().for_each(|row| compiler.keep(row.action));
    }
    let mut shelf = Shelf::default();
    let arriving = arriving(doors, &admitted);
    if !arriving.is_empty() {
        // First only what leaves: each door without the Ingresses that come to it from another door.
        let staying: Vec<Vec<Admitted<'_>>> = doors
            .iter()
            .zip(&admitted)
            .map(|(door, admitted)| {
                let stays = |admitted: &&Admitted<'_>| {
                    !arriving.contains(&(door.name().clone(), admitted.ingress().key.clone()))
                };
                admitted.iter().filter(stays).copied().collect()
            })
            .collect();
        let made = make(doors, &staying, view, &mut compiler, &mut shelf, &mut Vec::new());
        go_live(doors, made);
    }
    let made = make(doors, &admitted, view, &mut compiler, &mut shelf, &mut problems);
    go_live(doors, made);
    problems
}

/// What a door is to serve.
struct Made {
    table: Table<Arc<Route>>,
    tls: Option<Arc<DoorTls>>,
}

/// Compiles each door from what it admits, and from nothing else.
fn make<'v, S>(
    doors: &mut [Publisher<S>],
    admitted: &[Vec<Admitted<'v>>],
    view: &'v ClusterView,
    compiler: &mut Compiler<'v>,
    shelf: &mut Shelf,
    problems: &mut Vec<Problem>,
) -> Vec<Made> {
    let each = doors.iter_mut().zip(admitted);
    each.map(|(publisher, admitted)| {
        let (door, policy, memory) = publisher.parts();
        let compiled = compiler.compile(door, policy, admitted, problems);
        let gathering = Gathering {
            door,
            policy,
            view,
            memory,
            shelf,
            problems,
        };
        let tls = gathering.gather(admitted, compiled.passthrough);
        Made {
            table: compiled.table,
            tls,
        }
    })
    .collect()
}

/// The (door, Ingress) pairs in which the Ingress was live at another door that no longer admits it.
fn arriving<S>(doors: &[Publisher<S>], admitted: &[Vec<Admitted<'_>>]) -> HashSet<(ListenerName, ObjectKey)> {
    let live: Vec<HashSet<&ObjectKey>> = doors
        .iter()
        .map(|door| {
            let served = door.live().into_iter().flat_map(|live| live.table.iter());
            let passed = door.tls().into_iter().flat_map(|tls| tls.passthrough_routes());
            let served = served.map(|row| &row.action.ingress);
            served.chain(passed.map(|(_, route)| &route.ingress)).collect()
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

/// Adds the projections, which need every door's table, and swaps what each door serves.
fn go_live<S>(doors: &mut [Publisher<S>], made: Vec<Made>) {
    let redirects: Vec<Option<RedirectProjection>> = doors
        .iter()
        .map(|door| {
            let sibling = door.policy().redirect.as_ref()?;
            let (sibling, made) = doors
                .iter()
                .zip(&made)
                .find(|(other, _)| other.name() == sibling)?;
            Some(RedirectProjection {
                table: Arc::new(made.table.map(|_| ())),
                passed: HostIndex::build(made.passed_hosts().map(|host| (host, ()))),
                port: sibling.policy().forwarded_port,
            })
        })
        .collect();
    let neighbours: Vec<HostIndex<ListenerName>> = doors
        .iter()
        .map(|door| {
            let others = doors
                .iter()
                .zip(&made)
                .filter(|(other, _)| other.name() != door.name());
            HostIndex::build(others.flat_map(|(other, made)| {
                let hosts = made.table.hosts().cloned().chain(made.passed_hosts());
                hosts.map(|host| (host, other.name().clone()))
            }))
        })
        .collect();
    for (((door, made), redirect), neighbours) in doors.iter_mut().zip(made).zip(redirects).zip(neighbours) {
        let routes = Routes {
            table: made.table,
            redirect,
            neighbours,
        };
        door.go_live(Arc::new(routes), made.tls);
    }
}

impl Made {
    fn passed_hosts(&self) -> impl Iterator<Item = HostPattern> {
        let passed = self.tls.iter().flat_map(|tls| tls.passthrough_routes());
        passed.map(|(host, _)| host)
    }
}

/// Tells of each Ingress that no door's selector matched: a note without the label, a warning when the label is
/// there and its value belongs to no door.
fn explain_the_unadmitted<S>(
    doors: &[Publisher<S>],
    view: &ClusterView,
    admitted: &[Vec<Admitted<'_>>],
    problems: &mut Vec<Problem>,
) {
    let admitted: HashSet<&ObjectKey> = admitted
        .iter()
        .flatten()
        .map(|admitted| &admitted.ingress().key)
        .collect();
    for ingress in view.ingresses() {
        let matched = doors
            .iter()
            .any(|door| door.policy().selector.matches(&ingress.labels));
        if matched && !admitted.contains(&ingress.key) {
            let ours = doors.iter().any(|door| door.policy().class_admits(ingress, view));
            if !ours {
                problems.push(ingress.problem(
                    Severity::Note,
                    "spec.ingressClassName",
                    "served nowhere: the Ingress belongs to another class".to_owned(),
                ));
            }
            continue;
        }
        if matched {
            continue;
        }
        let keys: std::collections::BTreeSet<&str> = doors
            .iter()
            .flat_map(|door| door.policy().selector.positive_keys())
            .collect();
        let labelled = keys
            .iter()
            .find_map(|key| ingress.labels.get(key).map(|value| (*key, value)));
        problems.push(match labelled {
            Some((key, value)) => {
                let accepted: std::collections::BTreeSet<&str> = doors
                    .iter()
                    .flat_map(|door| door.policy().selector.accepted_values(key))
                    .collect();
                let accepted = accepted.into_iter().collect::<Vec<_>>().join(", ");
                ingress.problem(
                    Severity::Warning,
                    &format!("metadata.labels[{key}]"),
                    format!(
                        "served nowhere: no door's selector matches `{key}={value}`; known values: {accepted}"
                    ),
                )
            }
            None => ingress.problem(
                Severity::Note,
                "metadata.labels",
                format!(
                    "served nowhere: no label chooses a door; doors select by {}",
                    keys.iter()
                        .map(|key| format!("`{key}`"))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            ),
        });
    }
}
