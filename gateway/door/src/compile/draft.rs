//! One door's table in the making: whose each place is, and what losers are told.

use std::collections::HashMap;
use std::sync::Arc;

use resource::{Ingress, IngressPath, Problem, Severity};
use route::{HostPattern, ListenerName, ObjectKey, PathPattern, TableBuilder};

use super::passthrough::Passthrough;
use super::route::{Action, Route, route};
use crate::admission::{Admitted, Owner, Ownership, Policy, beside};
use crate::rule::Blocked;

/// One door's table in the making.
pub(super) struct Draft<'a> {
    pub(super) door: &'a ListenerName,
    pub(super) policy: &'a Policy,
    pub(super) ownership: &'a Ownership,
    pub(super) table: TableBuilder<Arc<Route>>,
    /// Places of rules that cannot be read; they yield to every rule that can.
    pub(super) unreadable: Vec<(HostPattern, Option<PathPattern>, Arc<Route>)>,
    pub(super) passthrough: Passthrough,
    /// Who has a host, and whether its TLS is passed through; empty where nothing is.
    pub(super) owners: HashMap<HostPattern, PassOwner>,
    pub(super) problems: &'a mut Vec<Problem>,
}

/// The oldest Ingress with a rule for a host decides whether the host's TLS is ended here.
pub(super) struct PassOwner {
    ingress: ObjectKey,
    passes_through: bool,
}

impl Draft<'_> {
    /// A path that cannot be read still closes what it most likely meant, so that no broader rule answers there:
    /// the readable beginning of what is written, whole elements only; the host's remaining paths when nothing is.
    pub(super) fn block_unreadable(&mut self, ingress: &Ingress, host: &HostPattern, path: &IngressPath) {
        let blocked = route(ingress, Action::Blocked(Blocked::InvalidRule));
        self.unreadable
            .push((host.clone(), readable_prefix(&path.written), blocked));
    }

    /// TLS is passed through for whole hosts, whatever the paths: where it cannot be, what no path matches is closed too.
    pub(super) fn close_hosts(&mut self, ingress: &Ingress) {
        let hosts = ingress.rules.iter().filter_map(|rule| rule.host.as_ref().ok());
        for host in hosts.filter(|host| **host != HostPattern::Any) {
            if self.may_have(ingress, host) {
                let blocked = route(ingress, Action::Blocked(Blocked::Annotation));
                let _taken = self.table.set_host_default(host.clone(), blocked).is_err();
            }
        }
    }

    /// Puts the closed places where nobody else is: the neighbours of a broken rule stand.
    pub(super) fn close_unreadable(&mut self) {
        for (host, pattern, blocked) in self.unreadable.drain(..) {
            let _taken = match pattern {
                Some(pattern) => self.table.insert(host, pattern, blocked).is_err(),
                None => self.table.set_host_default(host, blocked).is_err(),
            };
        }
    }

    /// Whether rules for the host may stand here; if not, the author is told.
    pub(super) fn admits_host(&mut self, ingress: &Ingress, rule: &str, host: &HostPattern) -> bool {
        if !self.policy.host_admits(host) {
            self.refuse_host(ingress, &format!("{rule}.host"), host);
            return false;
        }
        if let Some(owner) = self.ownership.of(host) {
            if !beside(&owner.ingress, &ingress.key) {
                self.not_owned(ingress, rule, host, owner);
                return false;
            }
            if let Some(older) = &owner.older
                && owner.ingress == ingress.key
            {
                self.held(ingress, rule, host, older);
            }
        }
        match self.is_passed_elsewhere(ingress, host) {
            None => true,
            Some(winner) => {
                self.lost(ingress, &format!("{rule}.host"), &format!("host {host}"), &winner);
                false
            }
        }
    }

    /// The same, when the author has been told already.
    pub(super) fn may_have(&self, ingress: &Ingress, host: &HostPattern) -> bool {
        let owner = self.ownership.of(host);
        self.policy.host_admits(host)
            && owner.is_none_or(|owner| beside(&owner.ingress, &ingress.key))
            && self.is_passed_elsewhere(ingress, host).is_none()
    }

    /// The other Ingress that has the host, when only one of the two ends its TLS here, or none does.
    fn is_passed_elsewhere(&self, ingress: &Ingress, host: &HostPattern) -> Option<ObjectKey> {
        let owner = self.owners.get(host)?;
        let shared = !owner.passes_through && !self.policy.passes_through(ingress);
        (!shared && owner.ingress != ingress.key).then(|| owner.ingress.clone())
    }

    /// Keeps names that the door itself answers out of the wildcards that pass through.
    pub(super) fn keep_own_hosts(&mut self) {
        for (host, owner) in &self.owners {
            if let HostPattern::Exact(host) = host
                && !owner.passes_through
            {
                self.passthrough.keep(host);
            }
        }
    }

    pub(super) fn lost(&mut self, ingress: &Ingress, field: &str, what: &str, winner: &ObjectKey) {
        let message = if *winner == ingress.key {
            format!(
                "{what} is written twice in this Ingress; the first one counts at door `{}`",
                self.door
            )
        } else {
            format!(
                "{what} at door `{}` belongs to the older Ingress `{winner}`; this rule is not served",
                self.door
            )
        };
        self.problems
            .push(ingress.problem(Severity::Warning, field, message));
    }

    fn not_owned(&mut self, ingress: &Ingress, rule: &str, host: &HostPattern, owner: &Owner) {
        let winner = &owner.ingress;
        let message = format!(
            "host {host} at door `{}` belongs to namespace `{}`, whose Ingress `{winner}` names it or a wildcard above \
             it; this rule is not served",
            self.door,
            winner.namespace()
        );
        self.problems
            .push(ingress.problem(Severity::Warning, &format!("{rule}.host"), message));
    }

    fn held(&mut self, ingress: &Ingress, rule: &str, host: &HostPattern, older: &ObjectKey) {
        let message = format!(
            "the older Ingress `{older}` names host {host} too, or a wildcard above it; at door `{}` the host stays with \
             namespace `{}`, which had it first, until that gives it up or the gateway starts anew",
            self.door,
            ingress.key.namespace()
        );
        self.problems
            .push(ingress.problem(Severity::Warning, &format!("{rule}.host"), message));
    }

    pub(super) fn refuse_default(&mut self, ingress: &Ingress) {
        let message = format!(
            "namespace `{}` may not answer whatever nothing else matches at door `{}`; the door's `default_backend` says \
             who may",
            ingress.key.namespace(),
            self.door
        );
        self.problems
            .push(ingress.problem(Severity::Error, "spec.defaultBackend", message));
    }

    pub(super) fn refuse_host(&mut self, ingress: &Ingress, field: &str, host: &HostPattern) {
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
        self.problems
            .push(ingress.problem(Severity::Error, field, message));
    }
}

/// Who has each host, where any Ingress passes TLS through.
pub(super) fn owners(
    policy: &Policy,
    ownership: &Ownership,
    admitted: &[Admitted<'_>],
) -> HashMap<HostPattern, PassOwner> {
    let passes = |admitted: &Admitted<'_>| policy.passes_through(admitted.ingress());
    let mut owners = HashMap::new();
    if !admitted.iter().any(passes) {
        return owners;
    }
    for admitted in admitted {
        let ingress = admitted.ingress();
        let passes_through = passes(admitted);
        for host in ingress.rules.iter().filter_map(|rule| rule.host.as_ref().ok()) {
            let is_others = ownership
                .of(host)
                .is_some_and(|owner| !beside(&owner.ingress, &ingress.key));
            if *host != HostPattern::Any && policy.host_admits(host) && !is_others {
                owners.entry(host.clone()).or_insert_with(|| PassOwner {
                    ingress: ingress.key.clone(),
                    passes_through,
                });
            }
        }
    }
    owners
}

/// The longest run of whole path elements at the start of `written` that can be read.
fn readable_prefix(written: &str) -> Option<PathPattern> {
    let rooted = if written.starts_with('/') {
        written.to_owned()
    } else {
        format!("/{written}")
    };
    let refused = |character: char| character.is_control() || "`{};#?".contains(character);
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
