//! Routes for places that no rule of the door has.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use resource::{Ingress, Severity};
use route::{HostPattern, MOST_REGEXES, ObjectKey, PathPattern, PathScratch, normalise_path};

use super::places::{Places, readable_prefix};
use super::reports::Reports;
use super::route::Route;
use crate::admission::beside;
use crate::rule::{Blocked, DerivedRule, Field, ObjectReport, Rule, RulePath, Target};

/// A route that may only have a place that is left.
pub(super) struct Derived {
    host: HostPattern,
    /// `None`: what no path of the host matches.
    path: Option<PathPattern>,
    kind: Kind,
    field: Field,
    route: Arc<Route>,
}

/// Earlier ones come first: the host of an alias is no twin of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A copy of a rule, for a host that no rule names.
    Alias,
    /// All of a host that no rule and no alias names.
    Twin,
    /// `/` of a host.
    Root,
}

impl Derived {
    /// A rule under an alias.
    pub(super) fn alias(alias: &HostPattern, rule: &Rule<'_>, route: &Arc<Route>) -> Option<Self> {
        let path = match rule.path {
            RulePath::Pattern { pattern, .. } => Some(pattern.clone()),
            RulePath::Unreadable(written) => readable_prefix(written),
            RulePath::HostDefault | RulePath::RestOfHost => None,
            RulePath::Default | RulePath::Connection => return None,
        };
        Some(Self {
            host: alias.clone(),
            path,
            kind: Kind::Alias,
            field: Field::Annotation("metadata.annotations[nginx.ingress.kubernetes.io/server-alias]"),
            route: Arc::clone(route),
        })
    }

    /// A place that an annotation adds.
    pub(super) fn rule(rule: &DerivedRule<'_>, route: Arc<Route>) -> Self {
        let (path, kind) = match rule.target {
            Target::Host(_) => (PathPattern::prefix("/").ok(), Kind::Twin),
            Target::AppRoot => (PathPattern::exact("/").ok(), Kind::Root),
            Target::Closed => (None, Kind::Alias),
        };
        Self {
            host: rule.host.clone(),
            path,
            kind,
            field: rule.field,
            route,
        }
    }
}

impl Places<'_> {
    /// Gives out the places that are left, in order of precedence, after [`settle`](Self::settle).
    pub(super) fn derive(&mut self, objects: &[(&Ingress, Vec<Derived>)], problems: &mut Reports) {
        if objects.is_empty() {
            return;
        }
        let named = self.hosts();
        let covering = self.covering(objects);
        let mut roots = HashMap::new();
        // Who has a host that no rule names.
        let mut holders: HashMap<&HostPattern, &Ingress> = HashMap::new();
        for kind in [Kind::Alias, Kind::Twin, Kind::Root] {
            if kind == Kind::Root {
                roots = self.roots(objects);
            }
            for (ingress, routes) in objects {
                let mut report = ObjectReport::of_ingress(ingress);
                for route in routes.iter().filter(|route| route.kind == kind) {
                    let is_free = match kind {
                        Kind::Alias | Kind::Twin => !named.contains(&route.host),
                        Kind::Root => true,
                    };
                    let is_own = match holders.get(&route.host) {
                        Some(holder) => holder.key == ingress.key,
                        // A root is none of an alias that was not to be had.
                        None => kind != Kind::Root || ingress.rule_hosts().any(|host| *host == route.host),
                    };
                    let winner = match kind {
                        Kind::Alias | Kind::Twin => route.host.wildcard().and_then(|above| {
                            let mut holders = covering.get(&above)?.values();
                            holders.find(|holder| !beside(holder, &ingress.key))
                        }),
                        Kind::Root => {
                            let holder = roots.get(&route.host);
                            holder.filter(|holder| !beside(holder, &ingress.key))
                        }
                    };
                    if let (true, Some(winner)) = (is_free && is_own, winner) {
                        self.report_yields(route, winner, &mut report);
                        continue;
                    }
                    match (is_free && is_own, kind) {
                        (true, Kind::Alias | Kind::Twin) => {
                            holders.insert(&route.host, ingress);
                            self.put(route, &mut report);
                        }
                        (true, Kind::Root) => self.put(route, &mut report),
                        (false, Kind::Alias) => self.report_taken(route, &mut report),
                        (false, Kind::Twin | Kind::Root) => {}
                    }
                }
                let object = report.object();
                let found = report.finish();
                if !found.is_empty() {
                    let reported = problems.entry(object).or_default();
                    reported.extend(found);
                    reported.sort_unstable();
                }
            }
        }
    }

    fn put(&mut self, derived: &Derived, report: &mut ObjectReport<'_>) {
        let (host, route) = (derived.host.clone(), Arc::clone(&derived.route));
        let placed = match &derived.path {
            // An alias has the rules of several hosts, whose patterns may be too many for one.
            Some(PathPattern::Regex(regex)) if self.table().regexes(&host) >= MOST_REGEXES => {
                let message = format!(
                    "host {host} has {MOST_REGEXES} paths at door `{}` that are regular expressions already; others of this \
                     alias answer 503 there",
                    self.door()
                );
                let closed = Route::closed(&route, Blocked::Bound, &message);
                report.add(Severity::Error, &derived.field.host(), message);
                match readable_prefix(regex.as_str()) {
                    Some(prefix) => self.table().insert(host, prefix, closed),
                    None => self.table().set_host_default(host, closed),
                }
            }
            Some(path) => self.table().insert(host, path.clone(), route),
            None => self.table().set_host_default(host, route),
        };
        let winner = placed.err().map(|winner| winner.origin.key.clone());
        // Two hosts of an Ingress may have the same paths: an alias gets those of the first.
        if let (Some(winner), Kind::Root) = (winner, derived.kind) {
            let message = format!(
                "a rule of Ingress `{winner}` has exactly `/` of host {} at door `{}`; it is not redirected there",
                derived.host,
                self.door()
            );
            report.add(Severity::Warning, &derived.field.path(), message);
        }
    }

    /// Who has rules for the wildcards that cover derived hosts: the first Ingress of each namespace.
    fn covering(
        &self,
        objects: &[(&Ingress, Vec<Derived>)],
    ) -> HashMap<HostPattern, BTreeMap<Box<str>, ObjectKey>> {
        let routes = objects.iter().flat_map(|(_, routes)| routes);
        let derived = routes.filter(|route| route.kind != Kind::Root);
        let above: HashSet<HostPattern> = derived.filter_map(|route| route.host.wildcard()).collect();
        let mut covering: HashMap<HostPattern, BTreeMap<Box<str>, ObjectKey>> = HashMap::new();
        if above.is_empty() {
            return covering;
        }
        for (host, _, route) in self.places().filter(|(host, ..)| above.contains(*host)) {
            let key = &route.origin.key;
            let holders = covering.entry(host.clone()).or_default();
            let first = holders
                .entry(key.namespace().into())
                .or_insert_with(|| key.clone());
            if key < first {
                *first = key.clone();
            }
        }
        covering
    }

    /// Who answers `/` of the hosts whose roots are to be redirected, where no rule has exactly `/`.
    fn roots(&self, objects: &[(&Ingress, Vec<Derived>)]) -> HashMap<HostPattern, ObjectKey> {
        let routes = objects.iter().flat_map(|(_, routes)| routes);
        let roots = routes.filter(|route| route.kind == Kind::Root);
        let hosts: HashSet<&HostPattern> = roots.map(|route| &route.host).collect();
        if hosts.is_empty() {
            return HashMap::new();
        }
        let mut scratch = PathScratch::default();
        let Ok(root) = normalise_path(b"/", &mut scratch) else {
            return HashMap::new();
        };
        let mut found = HashMap::new();
        for (host, path, route) in self.places().filter(|(host, ..)| hosts.contains(host)) {
            // Regular expressions come before prefixes, and longer ones first.
            let rank = match path {
                Some(PathPattern::Exact(_)) => continue,
                Some(path) if !path.matches(&root) => continue,
                Some(PathPattern::Regex(regex)) => (0, Some(regex)),
                Some(PathPattern::Prefix(_)) => (1, None),
                None => (2, None),
            };
            let best = found.entry(host).or_insert((rank, route));
            if rank < best.0 {
                *best = (rank, route);
            }
        }
        let keys = found.into_iter();
        keys.map(|(host, (_, route))| (host.clone(), route.origin.key.clone()))
            .collect()
    }

    fn report_yields(&self, derived: &Derived, winner: &ObjectKey, report: &mut ObjectReport<'_>) {
        let (host, door) = (&derived.host, self.door());
        let (field, message) = match derived.kind {
            Kind::Alias => (
                derived.field.host(),
                format!(
                    "host {host} at door `{door}` is covered by a wildcard of Ingress `{winner}` of another namespace; it is no \
                     alias there"
                ),
            ),
            Kind::Twin => (
                derived.field.host(),
                format!(
                    "host {host} at door `{door}` is covered by a wildcard of Ingress `{winner}` of another namespace; it is \
                     not redirected there"
                ),
            ),
            Kind::Root => (
                derived.field.path(),
                format!(
                    "Ingress `{winner}` of another namespace has `/` of host {host} at door `{door}`; it is not redirected there"
                ),
            ),
        };
        report.add(Severity::Warning, &field, message);
    }

    fn report_taken(&self, derived: &Derived, report: &mut ObjectReport<'_>) {
        let message = format!(
            "host {} at door `{}` is named by a rule, or is an alias of an older Ingress; it is no alias there",
            derived.host,
            self.door()
        );
        report.add(Severity::Warning, &derived.field.host(), message);
    }
}
