//! What is reachable where: every place of every door, by which Ingress, and to which Service.
//!
//! It is read from what the doors serve, never worked out anew. Only how a rule is written comes from the objects.

mod difference;
mod row;
mod written;

use std::collections::HashMap;
use std::sync::Arc;

use door::{Action, Canary, Route, Snapshot};
use route::{HostPattern, PathPattern, Row, RowPath};

pub(crate) use self::difference::Difference;
pub(crate) use self::row::{Audit, AuditRow, State, host_text};
pub(crate) use self::written::{Written, path_type};
use crate::shown::{ShownDoor, ShownWorld};

/// A place of a table: its host, its path, and whether it answers what no rule at all matches.
pub(crate) type Place<'t> = (&'t HostPattern, Option<&'t PathPattern>, bool);

/// Every place of every door, sorted.
pub(crate) fn audit(world: &ShownWorld) -> Audit {
    let mut routes: Vec<AuditRow> = world.doors.iter().flat_map(|door| of_door(world, door)).collect();
    routes.sort();
    Audit { routes }
}

fn of_door(world: &ShownWorld, door: &ShownDoor) -> Vec<AuditRow> {
    let auditor = Auditor { world, door };
    let snapshot = &door.snapshot;
    let own = snapshot.routes();
    let mut rows: Vec<AuditRow> = own.flat_map(|row| auditor.of_route(&row)).collect();
    for (host, route) in snapshot.tls().iter().flat_map(|tls| tls.passthrough_routes()) {
        rows.push(AuditRow {
            path: "/".to_owned(),
            path_type: "Passthrough".to_owned(),
            ..auditor.row(&host, None, route)
        });
    }
    auditor.add_projection(&mut rows);
    rows
}

/// Makes the rows of one door.
struct Auditor<'w> {
    world: &'w ShownWorld,
    door: &'w ShownDoor,
}

impl Auditor<'_> {
    /// The rows of one place: its own, and that of the canary that takes a part of its requests.
    fn of_route(&self, row: &Row<'_, Arc<Route>>) -> impl Iterator<Item = AuditRow> + use<> {
        let pattern = pattern(row.path);
        let own = self.row(row.host, pattern, row.action);
        let canary = row.action.canary.as_deref();
        let canary = canary.map(|canary| self.of_canary(&own, canary));
        std::iter::once(own).chain(canary)
    }

    fn of_canary(&self, own: &AuditRow, canary: &Canary) -> AuditRow {
        let written = Written::of(self.world.view.as_ref(), &canary.route);
        AuditRow {
            ingress: Some(canary.route.origin.text.to_string()),
            service: written.service(&canary.route),
            port: written.port(&canary.route),
            state: State::of(&canary.route),
            canary: true,
            ..own.clone()
        }
    }

    fn row(&self, host: &HostPattern, pattern: Option<&PathPattern>, route: &Route) -> AuditRow {
        let written = Written::of(self.world.view.as_ref(), route);
        AuditRow {
            listener: self.door.name().to_string(),
            host: host_text(host),
            path: written.path(pattern),
            path_type: written.path_type(pattern).to_owned(),
            ingress: Some(route.origin.text.to_string()),
            service: written.service(route),
            port: written.port(route),
            state: State::of(route),
            canary: false,
        }
    }

    /// What a `redirect` door sends to its sibling, unless it has a rule of its own at that place.
    #[expect(
        clippy::mutable_key_type,
        reason = "a regular expression is compared by its text, which never changes"
    )]
    fn add_projection(&self, rows: &mut Vec<AuditRow>) {
        let Some(sibling) = &self.door.config.policy.redirect else {
            return;
        };
        let sibling = self.world.doors.iter().find(|door| door.name() == sibling);
        let sibling = sibling.map(|door| &*door.snapshot);
        let served = places(sibling.into_iter().flat_map(Snapshot::routes));
        let own = places(self.door.snapshot.routes());
        let redirected = self
            .door
            .snapshot
            .redirected()
            .map(|row| (row.host, pattern(row.path), row.path));
        for (host, pattern, path) in redirected {
            let place = (host, pattern, path == RowPath::Default);
            if own.contains_key(&place) {
                continue;
            }
            rows.push(match served.get(&place) {
                Some(route) => AuditRow {
                    state: State::Redirect,
                    ..self.row(host, pattern, route)
                },
                None => self.redirect(host, pattern),
            });
        }
        let passed = sibling.and_then(|sibling| sibling.tls());
        let passed = passed.into_iter().flat_map(|tls| tls.passthrough_routes());
        let passed: HashMap<HostPattern, &Arc<Route>> = passed.collect();
        for host in self.door.snapshot.redirected_hosts() {
            rows.push(AuditRow {
                path: "/".to_owned(),
                path_type: "Passthrough".to_owned(),
                state: State::Redirect,
                ..match passed.get(&host) {
                    Some(route) => self.row(&host, None, route),
                    None => self.redirect(&host, None),
                }
            });
        }
    }

    /// A redirect to a door that another process opens.
    fn redirect(&self, host: &HostPattern, pattern: Option<&PathPattern>) -> AuditRow {
        let unknown = Written::default();
        AuditRow {
            listener: self.door.name().to_string(),
            host: host_text(host),
            path: unknown.path(pattern),
            path_type: unknown.path_type(pattern).to_owned(),
            ingress: None,
            service: None,
            port: None,
            state: State::Redirect,
            canary: false,
        }
    }
}

fn pattern(path: RowPath<'_>) -> Option<&PathPattern> {
    match path {
        RowPath::Pattern(pattern) => Some(pattern),
        RowPath::HostDefault | RowPath::Default => None,
    }
}

/// Who has each place of a table, or of some of its rows.
#[expect(
    clippy::mutable_key_type,
    reason = "a regular expression is compared by its text, which never changes"
)]
pub(crate) fn places<'t>(
    rows: impl Iterator<Item = Row<'t, Arc<Route>>>,
) -> HashMap<Place<'t>, &'t Arc<Route>> {
    let places = rows.map(|row| {
        let place = (row.host, pattern(row.path), row.path == RowPath::Default);
        (place, row.action)
    });
    places.collect()
}

impl State {
    /// The state of a route.
    pub(crate) fn of(route: &Route) -> Self {
        if route.filters.as_ref().is_some_and(|filters| filters.redirects) {
            return Self::Redirect;
        }
        match &route.action {
            Action::Redirect => Self::Redirect,
            Action::Blocked(_) => Self::Blocked,
            Action::Forward(upstream) if upstream.is_without_endpoints() => Self::NoEndpoints,
            Action::Forward(_) => Self::Ready,
        }
    }
}

#[cfg(test)]
mod tests;
