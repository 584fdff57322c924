//! One door's table while it is compiled: which rule has each place, and what is reported to those that lose it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use resource::{Kind, Severity};
use route::{HostPattern, ListenerName, MOST_REGEXES, ObjectKey, PathPattern, Table, TableBuilder};

use super::canaries::is_canary;
use super::passthrough::Passthrough;
use super::route::Route;
use crate::admission::{Admitted, Owner, Ownership, Policy, beside};
use crate::rule::{Blocked, Field, NamedHost, ObjectReport, ObjectRules, Origin, Rule, RulePath};

/// The places of one door, and the rules that have them.
pub(super) struct Places<'a> {
    door: &'a ListenerName,
    policy: &'a Policy,
    ownership: &'a Ownership,
    table: TableBuilder<Arc<Route>>,
    /// Places of rules that cannot be read; they yield to every rule that can.
    unreadable: Vec<(HostPattern, Option<PathPattern>, Arc<Route>)>,
    passthrough: Passthrough,
    /// Which object has a host, and whether its TLS is passed through; empty if nothing is.
    holders: HashMap<HostPattern, HostHolder>,
}

/// The oldest Ingress with a rule for a host decides whether the host's TLS is terminated here.
struct HostHolder {
    origin: Arc<Origin>,
    passes_through: bool,
}

impl<'a> Places<'a> {
    /// No places are taken yet. `admitted` is in order of precedence.
    pub(super) fn new(
        door: &'a ListenerName,
        policy: &'a Policy,
        ownership: &'a Ownership,
        admitted: &[Admitted<'_>],
        any_passes: bool,
    ) -> Self {
        let holders = if any_passes {
            holders(policy, ownership, admitted)
        } else {
            HashMap::new()
        };
        Self {
            door,
            policy,
            ownership,
            table: TableBuilder::new(),
            unreadable: Vec::new(),
            passthrough: Passthrough::default(),
            holders,
        }
    }

    /// Whether rules of this object may stand under the host.
    pub(super) fn may_have(&self, object: &ObjectRules<'_>, host: &HostPattern) -> bool {
        let owner = self.ownership.of(host);
        self.policy.host_admits(host)
            && owner.is_none_or(|owner| beside(&owner.ingress, &object.origin.key))
            && self.is_passed_elsewhere(object, host).is_none()
    }

    /// Reports why they may not, if they may not.
    pub(super) fn judge_host(
        &self,
        object: &ObjectRules<'_>,
        named: NamedHost<'_>,
        report: &mut ObjectReport<'_>,
    ) {
        let NamedHost { field, host } = named;
        let key = &object.origin.key;
        if !self.policy.host_admits(host) {
            self.refuse_host(field, host, report);
            return;
        }
        if let Some(owner) = self.ownership.of(host) {
            if !beside(&owner.ingress, key) {
                self.not_owned(field, host, owner, report);
                return;
            }
            if let Some(older) = &owner.older
                && owner.ingress == *key
            {
                self.held(key, field, host, older, report);
            }
        }
        if let Some(winner) = self.is_passed_elsewhere(object, host) {
            self.lost(
                &object.origin,
                &field.host(),
                &format!("host {host}"),
                winner,
                report,
            );
        }
    }

    /// Gives a rule its place under a host that it [may have](Self::may_have), unless the place is taken.
    pub(super) fn place(
        &mut self,
        rule: &Rule<'_>,
        host: &HostPattern,
        route: Arc<Route>,
        report: &mut ObjectReport<'_>,
    ) {
        let host = host.clone();
        let (winner, field, what) = match rule.path {
            RulePath::Pattern {
                pattern: PathPattern::Regex(_),
                written,
            } if self.table.regexes(&host) >= MOST_REGEXES => {
                self.too_many(rule, &host, report);
                let why = report.last_error(0);
                let closed = Route::closed(&route, Blocked::Bound, why.as_deref().unwrap_or_default());
                self.unreadable.push((host, readable_prefix(written), closed));
                return;
            }
            RulePath::Pattern { pattern, written } => {
                let what = format!("{host}{written}");
                let placed = self.table.insert(host, pattern.clone(), route);
                (placed.err().cloned(), rule.field.path(), what)
            }
            RulePath::Unreadable(written) => {
                self.unreadable.push((host, readable_prefix(written), route));
                return;
            }
            RulePath::RestOfHost => {
                let _taken = self.table.set_host_default(host, route).is_err();
                return;
            }
            RulePath::HostDefault => {
                let what = format!("the default backend of host {host}");
                let placed = self.table.set_host_default(host, route);
                let others = placed.err().filter(|winner| winner.origin != rule.origin);
                (others.cloned(), rule.field.host(), what)
            }
            RulePath::Default => {
                if !self.policy.default_admits(rule.origin.key.namespace()) {
                    self.refuse_default(rule, report);
                    return;
                }
                let placed = if self.policy.default_is_for_all() {
                    self.table.set_default(route)
                } else {
                    self.table.set_host_default(host, route)
                };
                let what = "the default backend of this door".to_owned();
                (placed.err().cloned(), rule.field.backend(), what)
            }
            RulePath::Connection => {
                self.passthrough.insert(host, route);
                return;
            }
        };
        if let Some(winner) = winner {
            self.lost(&rule.origin, &field, &what, &winner.origin, report);
        }
    }

    /// Gives closed places what is free: the neighbours of a broken rule are served.
    pub(super) fn settle(&mut self) {
        for (host, pattern, blocked) in std::mem::take(&mut self.unreadable) {
            let _taken = match pattern {
                Some(pattern) => self.table.insert(host, pattern, blocked).is_err(),
                None => self.table.set_host_default(host, blocked).is_err(),
            };
        }
    }

    /// The hosts that have a place.
    pub(super) fn hosts(&self) -> HashSet<HostPattern> {
        self.table.hosts().cloned().collect()
    }

    /// Every place that is taken, in no order.
    pub(super) fn places(&self) -> impl Iterator<Item = (&HostPattern, Option<&PathPattern>, &Arc<Route>)> {
        self.table.places()
    }

    pub(super) fn table(&mut self) -> &mut TableBuilder<Arc<Route>> {
        &mut self.table
    }

    pub(super) fn door(&self) -> &ListenerName {
        self.door
    }

    /// The finished table, and the names that are passed through.
    pub(super) fn finish(mut self) -> (Table<Arc<Route>>, Passthrough) {
        // Names that the door itself answers stay out of the wildcards that pass through.
        for (host, holder) in &self.holders {
            if let HostPattern::Exact(host) = host
                && !holder.passes_through
            {
                self.passthrough.keep(host);
            }
        }
        (self.table.build(), self.passthrough)
    }

    /// The other object that has the host, unless both have its TLS terminated here.
    fn is_passed_elsewhere(&self, object: &ObjectRules<'_>, host: &HostPattern) -> Option<&Origin> {
        let holder = self.holders.get(host)?;
        let shared = !holder.passes_through && !object.passes_through;
        (!shared && holder.origin != object.origin).then_some(&*holder.origin)
    }

    fn lost(&self, origin: &Origin, field: &str, what: &str, winner: &Origin, report: &mut ObjectReport<'_>) {
        let door = self.door;
        let message = if winner == origin {
            let kind = origin.kind.as_str();
            format!("{what} is written twice in this {kind}; the first one counts at door `{door}`")
        } else {
            let Origin { kind, key, .. } = winner;
            let kind = kind.as_str();
            format!("{what} at door `{door}` belongs to the older {kind} `{key}`; this rule is not served")
        };
        report.add(Severity::Warning, field, message);
    }

    fn too_many(&self, rule: &Rule<'_>, host: &HostPattern, report: &mut ObjectReport<'_>) {
        let message = format!(
            "host {host} has {MOST_REGEXES} paths at door `{}` that are regular expressions already, and each costs every \
             request; this one is not matched, and what it begins with answers 503 unless another rule has it",
            self.door
        );
        report.add(Severity::Error, &rule.field.path(), message);
    }

    fn not_owned(&self, field: Field, host: &HostPattern, owner: &Owner, report: &mut ObjectReport<'_>) {
        let winner = &owner.ingress;
        let message = format!(
            "host {host} at door `{}` belongs to namespace `{}`, whose Ingress `{winner}` names it or a wildcard above \
             it; this rule is not served",
            self.door,
            winner.namespace()
        );
        report.add(Severity::Warning, &field.host(), message);
    }

    fn held(
        &self,
        key: &ObjectKey,
        field: Field,
        host: &HostPattern,
        older: &ObjectKey,
        report: &mut ObjectReport<'_>,
    ) {
        let message = format!(
            "the older Ingress `{older}` names host {host} too, or a wildcard above it; at door `{}` the host stays with \
             namespace `{}`, which had it first, until that gives it up or the gateway restarts",
            self.door,
            key.namespace()
        );
        report.add(Severity::Warning, &field.host(), message);
    }

    fn refuse_default(&self, rule: &Rule<'_>, report: &mut ObjectReport<'_>) {
        let message = format!(
            "namespace `{}` may not answer what nothing else matches at door `{}`; the door's `default_backend` says \
             who may",
            rule.origin.key.namespace(),
            self.door
        );
        report.add(Severity::Error, &rule.field.backend(), message);
    }

    fn refuse_host(&self, field: Field, host: &HostPattern, report: &mut ObjectReport<'_>) {
        let message = match host {
            HostPattern::Any => {
                format!(
                    "a rule without a host may not be exposed at door `{}`, whose `hosts` are restricted",
                    self.door
                )
            }
            HostPattern::Exact(_) | HostPattern::Wildcard(_) => format!(
                "host `{host}` may not be exposed at door `{}`; the door's `hosts` says which may",
                self.door
            ),
        };
        report.add(Severity::Error, &field.host(), message);
    }
}

/// Which object has each host.
fn holders(
    policy: &Policy,
    ownership: &Ownership,
    admitted: &[Admitted<'_>],
) -> HashMap<HostPattern, HostHolder> {
    let mut holders = HashMap::new();
    let served = admitted.iter().filter(|admitted| !admitted.is_left_out());
    for admitted in served.filter(|admitted| !is_canary(admitted.ingress())) {
        let ingress = admitted.ingress();
        let passes_through = policy.passes_through(ingress);
        let origin = Arc::new(Origin::new(Kind::Ingress, &ingress.key));
        // A host that is not that of a rule is never passed through, nor keeps one from it.
        for host in ingress.rule_hosts() {
            let is_others = ownership
                .of(host)
                .is_some_and(|owner| !beside(&owner.ingress, &ingress.key));
            if *host != HostPattern::Any && policy.host_admits(host) && !is_others {
                holders.entry(host.clone()).or_insert_with(|| HostHolder {
                    origin: Arc::clone(&origin),
                    passes_through,
                });
            }
        }
    }
    holders
}

/// The longest run of whole path elements at the start of `written` that can be read.
pub(super) fn readable_prefix(written: &str) -> Option<PathPattern> {
    let rooted = if written.starts_with('/') {
        written.to_owned()
    } else {
        format!("/{written}")
    };
    let refused = |character: char| character.is_control() || "`{};#?()[]*+^$|\\".contains(character);
    let mut candidate = rooted.split(refused).next()?;
    loop {
        let trimmed = candidate.trim_end_matches('/');
        if trimmed.is_empty() {
            return None;
        }
        if let Ok(pattern) = PathPattern::prefix(trimmed) {
            return Some(pattern);
        }
        candidate = trimmed.rsplit_once('/')?.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_of_a_path() {
        let table = [
            ("/api/{id}", Some("/api")),
            ("/api/{id}/more", Some("/api")),
            ("/a{b}/c", Some("/a")),
            ("/shop?x=1", Some("/shop")),
            ("/shop#top", Some("/shop")),
            ("/shop;v=1/cart", Some("/shop")),
            ("/a/b\u{0}c", Some("/a/b")),
            ("a/../b", Some("/a")),
            ("`", None),
            ("", None),
        ];
        for (written, expected) in table {
            let expected = expected.map(|path| PathPattern::prefix(path).unwrap());
            assert_eq!(readable_prefix(written), expected, "{written:?}");
        }
    }
}
