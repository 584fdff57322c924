//! What a door served before, compared with what it serves now, at the hosts that were compiled anew.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use route::{HostPattern, Row, RowPath, Table};

use super::changes::{Answer, Changed, MOST_LISTED, PlaceChange, PlacePath, TableChange, aspects};
use super::served::Served;
use crate::compile::Route;

/// The difference between what a door served and what it serves; `None` if there is none. `hosts`: the only ones whose rules
/// can differ, here and at the sibling to which the door redirects; `None` if that is not known.
pub(super) fn compare(
    before: Option<&Served>,
    after: &Served,
    hosts: Option<BTreeSet<HostPattern>>,
) -> Option<Changed> {
    let Some(before) = before else {
        let after = Side::of(after);
        return Some(Changed::First {
            hosts: after.hosts().len(),
            places: after.places(),
        });
    };
    if before.is_same(after) {
        return None;
    }
    let (before, after) = (Side::of(before), Side::of(after));
    let hosts = match hosts {
        Some(mut hosts) => {
            hosts.extend(before.passed().chain(after.passed()).cloned());
            hosts
        }
        None => {
            let mut hosts = before.hosts();
            hosts.append(&mut after.hosts());
            hosts
        }
    };
    let mut found = Found::default();
    for host in &hosts {
        found.compare(host, &before, &after);
    }
    let change = found.finish();
    (change != TableChange::default()).then(|| Changed::Since(Box::new(change)))
}

/// All that a door serves.
struct Side<'a> {
    table: &'a Arc<Table<Arc<Route>>>,
    redirect: Option<&'a Arc<Table<()>>>,
    /// What is passed through.
    passed: BTreeMap<HostPattern, &'a Arc<Route>>,
    /// What the sibling to which the door redirects passes through.
    passed_beside: BTreeSet<HostPattern>,
}

impl<'a> Side<'a> {
    fn of(served: &'a Served) -> Self {
        let redirect = served.routes.redirect.as_ref();
        let passed = served.tls.iter().flat_map(|tls| tls.passthrough_routes());
        let passed_beside = redirect.map(|projection| projection.passed.patterns().into_iter().collect());
        Self {
            table: &served.routes.table,
            redirect: redirect.map(|projection| &projection.table),
            passed: passed.collect(),
            passed_beside: passed_beside.unwrap_or_default(),
        }
    }

    fn passed(&self) -> impl Iterator<Item = &HostPattern> {
        self.passed.keys().chain(&self.passed_beside)
    }

    fn hosts(&self) -> BTreeSet<HostPattern> {
        let redirected = self.redirect.iter().flat_map(|table| table.hosts());
        let named = self.table.hosts().chain(redirected).chain(self.passed());
        let rest = self.knows(&HostPattern::Any).then_some(&HostPattern::Any);
        named.chain(rest).cloned().collect()
    }

    fn places(&self) -> usize {
        let redirected = self.redirect.map_or(0, |table| table.len());
        self.table.len() + redirected + self.passed.len() + self.passed_beside.len()
    }

    fn knows(&self, host: &HostPattern) -> bool {
        /// The default of a table belongs to the rules without a host.
        fn answers<A>(table: &Table<A>, host: &HostPattern) -> bool {
            table.has_host(host) || *host == HostPattern::Any && table.fallback().is_some()
        }
        answers(self.table, host)
            || self.redirect.is_some_and(|table| answers(table, host))
            || self.passed.contains_key(host)
            || self.passed_beside.contains(host)
    }
}

/// What has been found so far.
#[derive(Default)]
struct Found {
    change: TableChange,
    /// The first places of hosts that appeared. Other places have the room that they leave.
    of_new_hosts: Vec<PlaceChange>,
}

impl Found {
    fn compare(&mut self, host: &HostPattern, before: &Side<'_>, after: &Side<'_>) {
        let mut is_new_host = false;
        match (before.knows(host), after.knows(host)) {
            (false, true) => {
                self.change.hosts_appeared += 1;
                is_new_host = true;
            }
            (true, false) => self.change.hosts_gone += 1,
            (true, true) | (false, false) => {}
        }
        let mut note = |path: PlacePath, before: Option<Answer>, after: Option<Answer>| {
            self.note(PlaceChange {
                host: host.clone(),
                path,
                is_new_host: std::mem::take(&mut is_new_host),
                before,
                after,
            });
        };
        if !Arc::ptr_eq(before.table, after.table) {
            let (olds, news) = (before.table.rows_of(host), after.table.rows_of(host));
            side_by_side(olds, news, |path, before, after| {
                let is_same = match (before, after) {
                    (Some(before), Some(after)) => {
                        Arc::ptr_eq(before, after) || aspects(before, after).is_empty()
                    }
                    (None, _) | (_, None) => false,
                };
                if !is_same {
                    let answer = |route: Option<&Arc<Route>>| route.cloned().map(Answer::Route);
                    note(path.into(), answer(before), answer(after));
                }
            });
        }
        let redirects = [before.redirect, after.redirect];
        if redirects[0].map(Arc::as_ptr) != redirects[1].map(Arc::as_ptr) {
            let [olds, news] = redirects.map(|table| table.into_iter().flat_map(|table| table.rows_of(host)));
            side_by_side(olds, news, |path, before, after| {
                if before.is_some() != after.is_some() {
                    let answer = |there: Option<&()>| there.map(|()| Answer::Redirect);
                    note(path.into(), answer(before), answer(after));
                }
            });
        }
        let beside = [before, after].map(|side| side.passed_beside.contains(host));
        if beside[0] != beside[1] {
            let [before, after] = beside.map(|there| there.then_some(Answer::Redirect));
            note(PlacePath::Connection, before, after);
        }
        let passed = [before, after].map(|side| side.passed.get(host).copied());
        let is_same = match passed {
            [Some(before), Some(after)] => Arc::ptr_eq(before, after) || aspects(before, after).is_empty(),
            [None, None] => true,
            [Some(_), None] | [None, Some(_)] => false,
        };
        if !is_same {
            let [before, after] = passed.map(|route| route.cloned().map(Answer::Passthrough));
            note(PlacePath::Connection, before, after);
        }
    }

    fn note(&mut self, change: PlaceChange) {
        match (&change.before, &change.after) {
            (None, _) => self.change.appeared += 1,
            (Some(_), None) => self.change.gone += 1,
            (Some(_), Some(_)) => self.change.changed += 1,
        }
        let list = if change.is_new_host {
            &mut self.of_new_hosts
        } else {
            &mut self.change.listed
        };
        if list.len() < MOST_LISTED {
            list.push(change);
        }
    }

    fn finish(self) -> TableChange {
        let Self {
            mut change,
            of_new_hosts,
        } = self;
        change.listed.truncate(MOST_LISTED - of_new_hosts.len());
        change.listed.extend(of_new_hosts);
        change
            .listed
            .sort_by(|left, right| (&left.host, &left.path).cmp(&(&right.host, &right.path)));
        change
    }
}

/// Visits every path of the rows of one host, with what each side has there. Both are in order.
fn side_by_side<'t, A: 't>(
    before: impl Iterator<Item = Row<'t, A>>,
    after: impl Iterator<Item = Row<'t, A>>,
    mut visit: impl FnMut(RowPath<'t>, Option<&'t A>, Option<&'t A>),
) {
    let (mut before, mut after) = (before.peekable(), after.peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return,
            (Some(old), Some(new)) => old.path.cmp(&new.path),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
        };
        let old = before.next_if(|_| order.is_le());
        let new = after.next_if(|_| order.is_ge());
        if let Some(path) = old.or(new).map(|row| row.path) {
            visit(path, old.map(|row| row.action), new.map(|row| row.action));
        }
    }
}

impl From<RowPath<'_>> for PlacePath {
    fn from(path: RowPath<'_>) -> Self {
        match path {
            RowPath::Pattern(pattern) => Self::Pattern(pattern.clone()),
            RowPath::HostDefault => Self::HostDefault,
            RowPath::Default => Self::Default,
        }
    }
}
