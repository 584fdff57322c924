//! Compiling a door as a whole.

use std::sync::Arc;

use resource::{ClusterView, Ingress, Problem};
use route::Table;

use super::ledger::{DoorReports, by_object};
use super::opening::Publisher;
use super::projections::NewDoor;
use crate::admission::{Admitted, HostOwner, Ownership, Policy, precedence};
use crate::compile::{Compiler, Passthrough, Reports, Route, is_canary};
use crate::rule::bounded;
use crate::tls::{CertificateCache, DoorTls, Gathering};

/// The owners of the hosts of each door.
pub(crate) fn owned<S>(doors: &[&mut Publisher<S>], admitted: &[Vec<Admitted<'_>>]) -> Vec<Ownership> {
    let owned = doors.iter().zip(admitted).map(|(door, own)| {
        let policy = door.policy();
        if policy.host_owner == HostOwner::Any {
            return Ownership::default();
        }
        let served = |admitted: &&Admitted<'_>| !admitted.is_left_out() && !is_canary(admitted.ingress());
        let own = own.iter().filter(served);
        let mut naming: Vec<(&Ingress, &Policy)> = own.map(|it| (&**it.ingress(), policy)).collect();
        // A door that redirects to a sibling answers for the sibling's hosts too, and must not let other namespaces have
        // them.
        let sibling = policy.redirect.as_ref();
        let mut others = doors.iter().zip(admitted);
        if let Some((sibling, theirs)) = others.find(|(other, _)| sibling == Some(other.name())) {
            let theirs = theirs.iter().filter(served);
            naming.extend(theirs.map(|it| (&**it.ingress(), sibling.policy())));
            naming.sort_by(|(left, _), (right, _)| precedence(left, right));
        }
        Ownership::decide(naming.into_iter(), door.ownership())
    });
    owned.collect()
}

/// Compiles a door as a whole, from what it admits and nothing else. `reports` are those of the last time.
pub(crate) fn make<'v, S>(
    publisher: &mut Publisher<S>,
    ownership: &Ownership,
    admitted: &[Admitted<'_>],
    view: &'v ClusterView,
    compiler: &mut Compiler<'v>,
    cache: &mut CertificateCache,
    reports: &mut DoorReports,
) -> NewDoor {
    let policy = publisher.policy();
    let mut each = admitted.iter();
    let any_passes = each.any(|admitted| policy.passes_through(admitted.ingress()));
    let compiled = compiler.compile(
        publisher.name(),
        policy,
        ownership,
        admitted,
        any_passes,
        publisher.filters(),
    );
    let served = Serving {
        table: &compiled.table,
        passthrough: compiled.passthrough,
        ownership,
    };
    let (tls, gathered) = gather(publisher, admitted, view, cache, served);
    reports.compiling.replace(compiled.problems);
    reports.gathering.replace(gathered);
    NewDoor {
        table: Arc::new(compiled.table),
        tls,
        part: None,
    }
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
) -> (Option<Arc<DoorTls>>, Reports) {
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
    let reported = by_object(problems).into_iter().map(|(object, problems)| {
        let source = problems.first().and_then(|first| first.source.clone());
        let more = |severity, message| Problem {
            severity,
            object: object.clone(),
            field: String::new(),
            message,
            source,
            topic: resource::Topic::Field,
        };
        let problems = bounded(problems, more);
        (object, problems)
    });
    let reported = reported.collect();
    (tls, reported)
}
