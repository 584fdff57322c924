//! What doors know of each other, and the swap that makes everything live.

use std::collections::BTreeSet;
use std::sync::Arc;

use route::{HostPattern, HostSet, Table};

use super::changes::DoorChange;
use super::comparison::compare;
use super::opening::Publisher;
use super::served::Served;
use crate::compile::Route;
use crate::snapshot::{Neighbour, RedirectProjection, Routes};
use crate::tls::DoorTls;

/// What a door will serve.
pub(crate) struct NewDoor {
    pub(crate) table: Arc<Table<Arc<Route>>>,
    pub(crate) tls: Option<Arc<DoorTls>>,
    /// How the table differs from the live one; `None`: it was compiled as a whole and may be the same.
    pub(crate) part: Option<TablePatch>,
}

/// The part of a table that was compiled anew.
pub(crate) struct TablePatch {
    pub(crate) hosts: BTreeSet<HostPattern>,
    /// Rules for these hosts, and no others.
    pub(crate) table: Table<Arc<Route>>,
}

/// What other doors may know of a door.
#[derive(Clone)]
struct Exposed {
    table: Arc<Table<Arc<Route>>>,
    /// The hosts that it passes through.
    passed: HostSet,
}

impl Exposed {
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

/// Makes the steps live, one after the other. Each step gets the projections, which need every door's table. Doors for
/// which nothing was compiled keep what they have.
///
/// Everything is computed before the first swap: an Ingress that leaves a door in one step and joins another in the next is
/// at neither only for as long as a few swaps take.
///
/// Returns what is different from before at each door where something is.
pub(crate) fn go_live<S>(
    doors: &mut [&mut Publisher<S>],
    steps: Vec<Vec<Option<NewDoor>>>,
) -> Vec<DoorChange> {
    let recompiled = Recompiled::of(doors, &steps);
    let mut stale: Vec<bool> = doors.iter().map(|door| door.is_stale()).collect();
    // The old snapshots are dropped at the end, for the same reason: dropping a large one takes long.
    let mut history: Vec<Vec<Option<Served>>> = vec![doors.iter().map(|door| Served::by(door)).collect()];
    let mut swaps = Vec::new();
    for made in steps {
        let before = history.last().map(Vec::as_slice).unwrap_or_default();
        let mut after = before.to_vec();
        let fresh = step(doors, before, made, &stale);
        for (((index, fresh), after), stale) in fresh.into_iter().enumerate().zip(&mut after).zip(&mut stale)
        {
            if fresh.is_some() {
                after.clone_from(&fresh);
                *stale = false;
                swaps.push((index, fresh));
            }
        }
        history.push(after);
    }
    for (index, fresh) in swaps {
        if let (Some(door), Some(fresh)) = (doors.get_mut(index), fresh) {
            door.swap(fresh.routes, fresh.tls);
        }
    }
    // Everything is live by now, and nobody waits for this.
    let first = history.first().map(Vec::as_slice).unwrap_or_default();
    let last = history.last().map(Vec::as_slice).unwrap_or_default();
    let each = doors.iter().zip(first).zip(last).zip(recompiled);
    let differing = each.filter_map(|(((door, before), after), recompiled)| {
        let what = compare(before.as_ref(), after.as_ref()?, recompiled.0)?;
        Some(DoorChange {
            door: door.name().clone(),
            what,
        })
    });
    differing.collect()
}

/// The hosts of a door and of the sibling to which it redirects whose rules were compiled anew; `None`: all of them.
struct Recompiled(Option<BTreeSet<HostPattern>>);

impl Recompiled {
    fn of<S>(doors: &[&mut Publisher<S>], steps: &[Vec<Option<NewDoor>>]) -> Vec<Self> {
        let of_door = |index: usize| {
            let live = doors.get(index).and_then(|door| door.live());
            let mut hosts = BTreeSet::new();
            for made in steps.iter().filter_map(|made| made.get(index)?.as_ref()) {
                match &made.part {
                    Some(part) => hosts.extend(part.hosts.iter().cloned()),
                    // Only certificates are other ones.
                    None if live.is_some_and(|live| Arc::ptr_eq(&live.table, &made.table)) => {}
                    None => return None,
                }
            }
            Some(hosts)
        };
        let sibling = |door: &Publisher<S>| {
            let sibling = door.policy().redirect.as_ref()?;
            doors.iter().position(|other| other.name() == sibling)
        };
        let each = doors.iter().enumerate().map(|(index, door)| {
            let mut hosts = of_door(index)?;
            if let Some(sibling) = sibling(door) {
                hosts.append(&mut of_door(sibling)?);
            }
            Some(hosts)
        });
        each.map(Self).collect()
    }
}

/// What each door will serve that differs from what it serves `before`.
fn step<S>(
    doors: &[&mut Publisher<S>],
    before: &[Option<Served>],
    made: Vec<Option<NewDoor>>,
    stale: &[bool],
) -> Vec<Option<Served>> {
    let shown = |served: &Served| Exposed::new(&served.routes.table, served.tls.as_ref());
    let live: Vec<Option<Exposed>> = before.iter().map(|served| served.as_ref().map(shown)).collect();
    let next: Vec<Option<Exposed>> = made
        .iter()
        .zip(&live)
        .map(|(made, live)| match made {
            Some(made) => Some(Exposed::new(&made.table, made.tls.as_ref())),
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
        .zip(before)
        .map(|(door, served)| redirect(door, served.as_ref(), doors, &made, &next))
        .collect();
    let neighbours: Vec<Box<[Neighbour]>> = doors.iter().map(|door| neighbours(door, doors, &next)).collect();
    let each = before
        .iter()
        .zip(stale)
        .zip(made)
        .zip(next)
        .zip(redirects)
        .zip(neighbours);
    each.map(
        |(((((before, stale), made), next), (redirect_differs, redirect)), neighbours)| {
            let routes = Arc::new(Routes {
                table: next?.table,
                redirect,
                neighbours,
            });
            match made {
                Some(made) => {
                    // Equal ones are left alone, so that a change elsewhere costs this door nothing.
                    let same = |before: &Served| before.is(&routes, made.tls.as_ref());
                    let is_news = made.part.is_some() || *stale || !before.as_ref().is_some_and(same);
                    is_news.then_some(Served {
                        routes,
                        tls: made.tls,
                    })
                }
                None if hosts_differ || redirect_differs => {
                    let tls = before.as_ref().and_then(|served| served.tls.clone());
                    Some(Served { routes, tls })
                }
                None => None,
            }
        },
    )
    .collect()
}

/// What the door's sibling serves, and whether that has changed.
fn redirect<S>(
    door: &Publisher<S>,
    served: Option<&Served>,
    doors: &[&mut Publisher<S>],
    made: &[Option<NewDoor>],
    next: &[Option<Exposed>],
) -> (bool, Option<RedirectProjection>) {
    let Some(sibling) = door.policy().redirect.as_ref() else {
        return (false, None);
    };
    let mut all = doors.iter().zip(made).zip(next);
    let Some(((sibling, made), Some(shown))) = all.find(|((other, _), _)| other.name() == sibling) else {
        return (false, None);
    };
    let live = served.and_then(|served| served.routes.redirect.as_ref());
    let table = match (made, live) {
        (None, Some(live)) => return (false, Some(live.clone())),
        (Some(NewDoor { part: Some(part), .. }), Some(live)) => {
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

fn neighbours<S>(
    door: &Publisher<S>,
    doors: &[&mut Publisher<S>],
    next: &[Option<Exposed>],
) -> Box<[Neighbour]> {
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
