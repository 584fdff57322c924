//! From one view of the cluster to the live tables of every door.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use resource::{ClusterView, Ingress, Kind, Problem, Severity};
use route::{ListenerName, ObjectKey, Table};

use super::opening::Publisher;
use super::projections::{Made, go_live};
use super::revision::revise;
use crate::admission::{Admitted, HostOwner, Ownership, Policy, Roll, foreign_classes, precedence};
use crate::backend::{BackendPolicy, Clients};
use crate::compile::{Compiler, Told, bounded};
use crate::snapshot::Route;
use crate::tls::{DoorTls, Gathering, Passthrough, Shelf};

/// From what the doors were compiled last, so that next time only what changed is compiled. It decides how much work
/// is done and never what comes out: a property test compares with doors that have none.
#[derive(Debug, Default)]
pub struct Ledger(Option<Entry>);

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) view: ClusterView,
    pub(crate) backends: BackendPolicy,
    /// In the order of the doors.
    pub(crate) doors: Vec<DoorEntry>,
    /// What admission told, by Ingress.
    pub(crate) admission: Told,
    /// How TLS is spoken to backends.
    pub(crate) clients: Clients,
}

#[derive(Debug)]
pub(crate) struct DoorEntry {
    pub(crate) name: ListenerName,
    pub(crate) policy: Policy,
    pub(crate) roll: Roll,
    /// What compilation told.
    pub(crate) problems: Told,
    /// What gathering certificates told.
    pub(crate) tls_problems: Vec<Problem>,
}

/// Compiles `view` for every door and makes the results live.
///
/// An Ingress that moves from one door to another leaves the old one before it appears at the new one: never both
/// at once, and neither only for the moment between two swaps.
///
/// Returns every problem that admission and compilation found, sorted. A door whose table is unchanged is not touched.
/// With the `ledger` of the publication before, the work is in proportion to what has changed.
pub fn publish<'p, S: 'p>(
    doors: impl IntoIterator<Item = &'p mut Publisher<S>>,
    view: &ClusterView,
    backends: &BackendPolicy,
    ledger: &mut Ledger,
) -> Vec<Problem> {
    let doors = &mut doors.into_iter().collect::<Vec<_>>();
    let entry = match ledger
        .0
        .take()
        .and_then(|last| revise(doors, view, backends, last))
    {
        Some(entry) => entry,
        None => begin(doors, view, backends),
    };
    let compiled = entry
        .doors
        .iter()
        .flat_map(|door| door.problems.values().flatten().chain(&door.tls_problems));
    let told = compiled.chain(entry.admission.values().flatten());
    let mut problems: Vec<Problem> = told.cloned().collect();
    problems.extend(foreign_classes(doors.iter().map(|door| door.policy()), view));
    // The same Ingress may stand at several doors; one telling is enough.
    problems.sort_unstable();
    problems.dedup();
    ledger.0 = Some(entry);
    problems
}

/// Compiles everything.
fn begin<S>(doors: &mut [&mut Publisher<S>], view: &ClusterView, backends: &BackendPolicy) -> Entry {
    let mut told = Vec::new();
    let admitted: Vec<Vec<Admitted<'_>>> = doors
        .iter()
        .map(|door| door.policy().admit(door.name(), view, &mut told))
        .collect();
    explain_the_unadmitted(doors, view, &admitted, &mut told);

    let mut clients = Clients::default();
    let live = doors.iter().filter_map(|door| door.live());
    live.flat_map(|live| live.table.iter())
        .for_each(|row| clients.keep(row.action));
    let mut compiler = Compiler::new(view, backends, clients);
    let mut shelf = Shelf::default();
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
            let (early, _) = make(door, owned, staying, view, &mut compiler, &mut shelf);
            made.push(Some(early));
        }
        steps.push(made);
    }
    let mut made = Vec::new();
    let mut entries = Vec::new();
    let owned = owned(doors, &admitted);
    for ((door, admitted), owned) in doors.iter_mut().zip(&admitted).zip(owned) {
        let (whole, told) = make(door, &owned, admitted, view, &mut compiler, &mut shelf);
        door.own(owned);
        made.push(Some(whole));
        entries.push(DoorEntry {
            name: door.name().clone(),
            policy: door.policy().clone(),
            roll: Roll::of(door.policy(), admitted),
            problems: told.compiling,
            tls_problems: told.gathering,
        });
    }
    steps.push(made);
    go_live(doors, steps);
    let mut clients = compiler.into_clients();
    clients.tidy();
    Entry {
        view: view.clone(),
        backends: backends.clone(),
        doors: entries,
        admission: by_ingress(told),
        clients,
    }
}

/// Whose the hosts of each door are.
pub(crate) fn owned<S>(doors: &[&mut Publisher<S>], admitted: &[Vec<Admitted<'_>>]) -> Vec<Ownership> {
    let owned = doors.iter().zip(admitted).map(|(door, own)| {
        let policy = door.policy();
        if policy.host_owner == HostOwner::Any {
            return Ownership::default();
        }
        let mut naming: Vec<(&Ingress, &Policy)> = own.iter().map(|it| (&**it.ingress(), policy)).collect();
        // A door that redirects to a sibling answers for the sibling's hosts too, and must not let strangers have them.
        let sibling = policy.redirect.as_ref();
        let mut others = doors.iter().zip(admitted);
        if let Some((sibling, theirs)) = others.find(|(other, _)| sibling == Some(other.name())) {
            naming.extend(theirs.iter().map(|it| (&**it.ingress(), sibling.policy())));
            naming.sort_by(|(left, _), (right, _)| precedence(left, right));
        }
        Ownership::decide(naming.into_iter(), door.ownership())
    });
    owned.collect()
}

pub(crate) fn by_ingress(problems: Vec<Problem>) -> Told {
    let mut sorted = Told::new();
    for problem in problems {
        if let Some(namespace) = problem.object.namespace.as_deref() {
            let key = ObjectKey::new(namespace, &*problem.object.name);
            sorted.entry(key).or_default().push(problem);
        }
    }
    sorted
}

/// What making a door has told.
pub(crate) struct MakingTold {
    pub(crate) compiling: Told,
    pub(crate) gathering: Vec<Problem>,
}

/// Makes a door as a whole, from what it admits and from nothing else.
pub(crate) fn make<'v, S>(
    publisher: &mut Publisher<S>,
    ownership: &Ownership,
    admitted: &[Admitted<'_>],
    view: &'v ClusterView,
    compiler: &mut Compiler<'v>,
    shelf: &mut Shelf,
) -> (Made, MakingTold) {
    let compiled = compiler.compile(publisher.name(), publisher.policy(), ownership, admitted);
    let served = Serving {
        table: &compiled.table,
        passthrough: compiled.passthrough,
        ownership,
    };
    let (tls, gathering) = gather(publisher, admitted, view, shelf, served);
    let made = Made {
        table: Arc::new(compiled.table),
        tls,
        part: None,
    };
    let told = MakingTold {
        compiling: compiled.problems,
        gathering,
    };
    (made, told)
}

/// What a door serves, as far as it decides over certificates.
pub(crate) struct Serving<'a> {
    pub(crate) table: &'a Table<Arc<Route>>,
    pub(crate) passthrough: Passthrough,
    pub(crate) ownership: &'a Ownership,
}

/// Gathers the certificates of a door, and tells what is wrong with them.
pub(crate) fn gather<S>(
    publisher: &mut Publisher<S>,
    admitted: &[Admitted<'_>],
    view: &ClusterView,
    shelf: &mut Shelf,
    served: Serving<'_>,
) -> (Option<Arc<DoorTls>>, Vec<Problem>) {
    let (door, policy, memory) = publisher.parts();
    let mut problems = Vec::new();
    let gathering = Gathering {
        door,
        policy,
        view,
        memory,
        shelf,
        problems: &mut problems,
        ownership: served.ownership,
    };
    let tls = gathering.gather(admitted, served.table, served.passthrough);
    problems.sort_by(|left, right| left.object.cmp(&right.object));
    let told = problems.chunk_by(|left, right| left.object == right.object);
    let told = told.filter_map(|of_one| {
        let first = of_one.first()?;
        let more = |severity, message| Problem {
            severity,
            field: String::new(),
            message,
            ..first.clone()
        };
        Some(bounded(of_one.to_vec(), more))
    });
    (tls, told.flatten().collect())
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

/// Of doors that are configured and not opened by this process, their Ingresses are served by another one: that no door
/// here chooses them is nothing to warn of.
pub fn leave_to_others(problems: &mut [Problem], others: &[(ListenerName, Policy)], view: &ClusterView) {
    let unchosen = |problem: &&mut Problem| {
        problem.object.kind == Kind::Ingress
            && problem.severity == Severity::Warning
            && problem.field.starts_with("metadata.labels")
    };
    for problem in problems.iter_mut().filter(unchosen) {
        let namespace = problem.object.namespace.as_deref().unwrap_or_default();
        let Some(ingress) = view.ingress(&ObjectKey::new(namespace, &*problem.object.name)) else {
            continue;
        };
        if let Some((door, _)) = others.iter().find(|(_, policy)| policy.chooses(ingress, view)) {
            problem.severity = Severity::Note;
            problem.message =
                format!("not served here: door `{door}` chooses it, which this process does not open");
        }
    }
}

/// Tells of each Ingress that no door's selector matched: a note without the label, a warning when the label is
/// there and its value belongs to no door.
fn explain_the_unadmitted<S>(
    doors: &[&mut Publisher<S>],
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
        problems.extend(explain(doors, view, ingress, admitted.contains(&ingress.key)));
    }
}

pub(crate) fn explain<S>(
    doors: &[&mut Publisher<S>],
    view: &ClusterView,
    ingress: &Ingress,
    is_admitted: bool,
) -> Option<Problem> {
    if is_admitted {
        return None;
    }
    // Its labels are the affair of whoever serves its class.
    if !doors.iter().any(|door| door.policy().class_admits(ingress, view)) {
        return Some(ingress.problem(
            Severity::Note,
            "spec.ingressClassName",
            "not served here: the Ingress belongs to another class".to_owned(),
        ));
    }
    let matched = doors
        .iter()
        .any(|door| door.policy().selector.matches(&ingress.labels));
    if matched {
        return None;
    }
    let keys: BTreeSet<&str> = doors
        .iter()
        .flat_map(|door| door.policy().selector.positive_keys())
        .collect();
    let labelled = keys
        .iter()
        .find_map(|key| ingress.labels.get(key).map(|value| (*key, value)));
    Some(match labelled {
        Some((key, value)) => {
            let accepted: BTreeSet<&str> = doors
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
    })
}
