//! Compiling a door as a whole.

use std::sync::Arc;

use resource::{ClusterView, Ingress, Problem};
use route::Table;

use super::ledger::DoorReports;
use super::opening::Publisher;
use super::projections::NewDoor;
use crate::admission::{Admitted, HostOwner, Ownership, Policy, precedence};
use crate::compile::{Compiler, Passthrough, Route};
use crate::rule::bounded;
use crate::tls::{CertificateCache, DoorTls, Gathering};

/// The owners of the hosts of each door.
pub(crate) fn owned<S>(doors: &[&mut Publisher<S>], admitted: &[Vec<Admitted<'_>>]) -> Vec<Ownership> {
    let owned = doors.iter().zip(admitted).map(|(door, own)| {
        let policy = door.policy();
        if policy.host_owner == HostOwner::Any {
            return Ownership::default();
        }
        let mut naming: Vec<(&Ingress, &Policy)> = own.iter().map(|it| (&**it.ingress(), policy)).collect();
        // A door that redirects to a sibling answers for the sibling's hosts too, and must not let other namespaces have
        // them.
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

/// Compiles a door as a whole, from what it admits and nothing else.
pub(crate) fn make<'v, S>(
    publisher: &mut Publisher<S>,
    ownership: &Ownership,
    admitted: &[Admitted<'_>],
    view: &'v ClusterView,
    compiler: &mut Compiler<'v>,
    cache: &mut CertificateCache,
) -> (NewDoor, DoorReports) {
    let compiled = compiler.compile(publisher.name(), publisher.policy(), ownership, admitted);
    let served = Serving {
        table: &compiled.table,
        passthrough: compiled.passthrough,
        ownership,
    };
    let (tls, gathering) = gather(publisher, admitted, view, cache, served);
    let made = NewDoor {
        table: Arc::new(compiled.table),
        tls,
        part: None,
    };
    let reports = DoorReports {
        compiling: compiled.problems,
        gathering,
    };
    (made, reports)
}

/// What a door serves, as far as it determines certificates.
pub(crate) struct Serving<'a> {
    pub(crate) table: &'a Table<Arc<Route>>,
    pub(crate) passthrough: Passthrough,
    pub(crate) ownership: &'a Ownership,
}

/// Gathers the certificates of a door, and reports what is wrong with them.
pub(crate) fn gather<S>(
    publisher: &mut Publisher<S>,
    admitted: &[Admitted<'_>],
    view: &ClusterView,
    cache: &mut CertificateCache,
    served: Serving<'_>,
) -> (Option<Arc<DoorTls>>, Vec<Problem>) {
    let (door, policy, memory) = publisher.parts();
    let mut problems = Vec::new();
    let gathering = Gathering {
        door,
        policy,
        view,
        memory,
        cache,
        problems: &mut problems,
        ownership: served.ownership,
    };
    let tls = gathering.gather(admitted, served.table, served.passthrough);
    problems.sort_by(|left, right| left.object.cmp(&right.object));
    let reported = problems.chunk_by(|left, right| left.object == right.object);
    let reported = reported.filter_map(|of_one| {
        let first = of_one.first()?;
        let more = |severity, message| Problem {
            severity,
            field: String::new(),
            message,
            ..first.clone()
        };
        Some(bounded(of_one.to_vec(), more))
    });
    (tls, reported.flatten().collect())
}
