//! What doors show of each other, and the swap that makes everything live.

use std::collections::BTreeSet;
use std::sync::Arc;

use route::{HostPattern, HostSet, Table};

use crate::Publisher;
use crate::snapshot::{Neighbour, RedirectProjection, Route, Routes};
use crate::tls::DoorTls;

/// What a door is to serve.
pub(crate) struct Made {
    pub(crate) table: Arc<Table<Arc<Route>>>,
    pub(crate) tls: Option<Arc<DoorTls>>,
    /// How the table differs from the live one; `None`: it has been made as a whole and may be the same.
    pub(crate) part: Option<Part>,
}

/// The part of a table that was compiled anew.
pub(crate) struct Part {
    pub(crate) hosts: BTreeSet<HostPattern>,
    /// Rules for these hosts, and no others.
    pub(crate) table: Table<Arc<Route>>,
}

/// What a door has or is about to have.
#[derive(Clone)]
struct Shown {
    table: Arc<Table<Arc<Route>>>,
    /// The hosts that it passes through.
    passed: HostSet,
}

impl Shown {
    fn new(table: &Arc<Table<Arc<Route>>>, tls: Option<&Arc<DoorTls>>) -> Self {
        let routes = tls.into_iter().flat_map(|tls| tls.passthrough_routes());
        let passed: Vec<HostPattern> = routes.map(|(host, _)| host).collect();
        Self {
            table: Arc::clone(table),
            passed: passed.iter().collect(),
        }
    }

    fn same_hosts(&self, other: &Self) -> bool {
        self.table.host_set() == other.table.host_set() && self.passed == other.passed
    }
}

/// Adds the projections, which need every door's table, and swaps what each door serves. Doors for which nothing was
/// made keep what they have.
pub(crate) fn go_live<S>(doors: &mut [Publisher<S>], made: Vec<Option<Made>>) {
    let live: Vec<Option<Shown>> = doors
        .iter()
        .map(|door| Some(Shown::new(&door.live()?.table, door.tls())))
        .collect();
    let next: Vec<Option<Shown>> = made
        .iter()
        .zip(&live)
        .map(|(made, live)| match made {
            Some(made) => Some(Shown::new(&made.table, made.tls.as_ref())),
            None => live.clone(),
        })
        .collect();
    let hosts_differ = live.iter().zip(&next).any(|(live, next)| match (live, next) {
        (Some(live), Some(next)) => !live.same_hosts(next),
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    });
    let redirects: Vec<(bool, Option<RedirectProjection>)> = doors
        .iter()
        .map(|door| redirect(door, doors, &made, &next))
        .collect();
    let neighbours: Vec<Box<[Neighbour]>> = doors.iter().map(|door| neighbours(door, doors, &next)).collect();
    let each = doors
        .iter_mut()
        .zip(made)
        .zip(next)
        .zip(redirects)
        .zip(neighbours);
    for ((((door, made), next), (redirect_differs, redirect)), neighbours) in each {
        let Some(next) = next else { continue };
        let routes = |redirect| {
            Arc::new(Routes {
                table: next.table,
                redirect,
                neighbours,
            })
        };
        match made {
            Some(made) if made.part.is_some() => door.swap(routes(redirect), made.tls),
            Some(made) => {
                door.go_live(routes(redirect), made.tls);
            }
            None if hosts_differ || redirect_differs => {
                let tls = door.tls().cloned();
                door.swap(routes(redirect), tls);
            }
            None => {}
        }
    }
}

/// What the door's sibling serves, and whether that is news.
fn redirect<S>(
    door: &Publisher<S>,
    doors: &[Publisher<S>],
    made: &[Option<Made>],
    next: &[Option<Shown>],
) -> (bool, Option<RedirectProjection>) {
    let Some(sibling) = door.policy().redirect.as_ref() else {
        return (false, None);
    };
    let mut all = doors.iter().zip(made).zip(next);
    let Some(((sibling, made), Some(shown))) = all.find(|((other, _), _)| other.name() == sibling) else {
        return (false, None);
    };
    let live = door.live().and_then(|live| live.redirect.as_ref());
    let table = match (made, live) {
        (None, Some(live)) => return (false, Some(live.clone())),
        (Some(Made { part: Some(part), .. }), Some(live)) => {
            match live.table.with_hosts(&part.hosts, &part.table.map(|_| ())) {
                Some(table) => table,
                // Other endpoints, say, and the same hosts and paths.
                None if live.passed == shown.passed => return (false, Some(live.clone())),
                None => (*live.table).clone(),
            }
        }
        (None | Some(_), _) => shown.table.map(|_| ()),
    };
    let projection = RedirectProjection {
        table: Arc::new(table),
        passed: shown.passed.clone(),
        port: sibling.policy().forwarded_port,
    };
    (true, Some(projection))
}

fn neighbours<S>(door: &Publisher<S>, doors: &[Publisher<S>], next: &[Option<Shown>]) -> Box<[Neighbour]> {
    let others = doors
        .iter()
        .zip(next)
        .filter(|(other, _)| other.name() != door.name());
    let known = others.filter_map(|(other, next)| {
        let next = next.as_ref()?;
        Some(Neighbour {
            door: other.name().clone(),
            hosts: next.table.host_set().clone(),
            passed: next.passed.clone(),
        })
    });
    known.collect()
}
