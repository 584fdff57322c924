//! What doors show of each other, and the swap that makes everything live.

use std::sync::Arc;

use route::{HostIndex, HostPattern, ListenerName, Table};

use crate::Publisher;
use crate::snapshot::{RedirectProjection, Route, Routes};
use crate::tls::DoorTls;

/// What a door is to serve.
pub(crate) struct Made {
    pub(crate) table: Arc<Table<Arc<Route>>>,
    pub(crate) tls: Option<Arc<DoorTls>>,
    /// It is known to differ from what is live.
    pub(crate) differs: bool,
}

/// What a door has or is about to have: its table, and the hosts that it passes through.
type Shown = Option<(Arc<Table<Arc<Route>>>, Vec<HostPattern>)>;

/// Adds the projections, which need every door's table, and swaps what each door serves. Doors for which nothing was
/// made keep what they have.
pub(crate) fn go_live<S>(doors: &mut [Publisher<S>], made: Vec<Option<Made>>) {
    let passed = |tls: Option<&Arc<DoorTls>>| -> Vec<HostPattern> {
        let routes = tls.into_iter().flat_map(|tls| tls.passthrough_routes());
        routes.map(|(host, _)| host).collect()
    };
    let live: Vec<Shown> = doors
        .iter()
        .map(|door| Some((Arc::clone(&door.live()?.table), passed(door.tls()))))
        .collect();
    let next: Vec<Shown> = made
        .iter()
        .zip(&live)
        .map(|(made, live)| match made {
            Some(made) => Some((Arc::clone(&made.table), passed(made.tls.as_ref()))),
            None => live.clone(),
        })
        .collect();
    let hosts_differ = live.iter().zip(&next).any(|(live, next)| match (live, next) {
        (Some((old, old_passed)), Some((new, new_passed))) => {
            !Arc::ptr_eq(old, new) && (!old.hosts().eq(new.hosts()) || old_passed != new_passed)
        }
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    });
    let redirects: Vec<(bool, Option<RedirectProjection>)> = doors
        .iter()
        .map(|door| redirect(door, doors, &made, &next))
        .collect();
    let neighbours: Vec<Arc<HostIndex<ListenerName>>> = doors
        .iter()
        .map(|door| match door.live() {
            Some(live) if !hosts_differ => Arc::clone(&live.neighbours),
            Some(_) | None => Arc::new(neighbours(door, doors, &next)),
        })
        .collect();
    let each = doors
        .iter_mut()
        .zip(made)
        .zip(next)
        .zip(redirects)
        .zip(neighbours);
    for ((((door, made), next), (redirect_differs, redirect)), neighbours) in each {
        let Some((table, _)) = next else { continue };
        let routes = |redirect| {
            Arc::new(Routes {
                table,
                redirect,
                neighbours,
            })
        };
        match made {
            Some(made) if made.differs => door.swap(routes(redirect), made.tls),
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
    next: &[Shown],
) -> (bool, Option<RedirectProjection>) {
    let Some(sibling) = door.policy().redirect.as_ref() else {
        return (false, None);
    };
    let mut all = doors.iter().zip(made).zip(next);
    let Some(((sibling, made), Some((table, passed)))) = all.find(|((other, _), _)| other.name() == sibling)
    else {
        return (false, None);
    };
    if let (None, Some(live)) = (made, door.live()) {
        return (false, live.redirect.clone());
    }
    let projection = RedirectProjection {
        table: Arc::new(table.map(|_| ())),
        passed: Arc::new(HostIndex::build(passed.iter().map(|host| (host.clone(), ())))),
        port: sibling.policy().forwarded_port,
    };
    (true, Some(projection))
}

fn neighbours<S>(door: &Publisher<S>, doors: &[Publisher<S>], next: &[Shown]) -> HostIndex<ListenerName> {
    let others = doors
        .iter()
        .zip(next)
        .filter(|(other, _)| other.name() != door.name());
    HostIndex::build(others.flat_map(|(other, next)| {
        let shown = next
            .iter()
            .flat_map(|(table, passed)| table.hosts().chain(passed));
        shown.map(|host| (host.clone(), other.name().clone()))
    }))
}
