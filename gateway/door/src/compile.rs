//! From admitted Ingresses to a door's table.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use resource::{Backend, ClusterView, Ingress, InvalidBackend, PathRule, Problem, Rule, Severity};
use route::{HostPattern, ListenerName, ObjectKey, PathPattern, Table, TableBuilder};

use crate::snapshot::{Action, Blocked, Route, Tuning};
use crate::tls::{Clients, Passthrough};
use crate::upstreams::{BackendPolicy, Speech, Upstreams};
use crate::{Admitted, Policy, Scheme};

/// Problems that are told of one Ingress at one door.
const MOST_TOLD: usize = 100;

/// Compiles doors from one view, sharing what they have in common: the endpoints of a Service are worked out once.
pub(crate) struct Compiler<'v> {
    upstreams: Upstreams<'v>,
}

/// What a door serves.
pub(crate) struct Compiled {
    pub(crate) table: Table<Arc<Route>>,
    /// Names whose TLS is not ended here; empty at a door that ends no TLS.
    pub(crate) passthrough: Passthrough,
    pub(crate) problems: Told,
}

/// Problems by the Ingress in whose compilation they came up. They may be of objects that it refers to.
pub(crate) type Told = BTreeMap<ObjectKey, Vec<Problem>>;

/// One door's table in the making.
struct Draft<'a> {
    door: &'a ListenerName,
    policy: &'a Policy,
    table: TableBuilder<Arc<Route>>,
    /// Places of rules that cannot be read; they yield to every rule that can.
    unreadable: Vec<(HostPattern, Option<PathPattern>, Arc<Route>)>,
    passthrough: Passthrough,
    /// Who has a host, and whether its TLS is passed through; empty where nothing is.
    owners: HashMap<HostPattern, Owner>,
    problems: &'a mut Vec<Problem>,
}

/// The oldest Ingress that names a host decides whether the host's TLS is ended here.
struct Owner {
    ingress: ObjectKey,
    passes_through: bool,
}

impl<'v> Compiler<'v> {
    /// `clients` are those of the publication before: an unchanged route stays equal and keeps its sessions.
    pub(crate) fn new(view: &'v ClusterView, backends: &'v BackendPolicy, clients: Clients) -> Self {
        Self {
            upstreams: Upstreams::new(view, backends, clients),
        }
    }

    /// The ways to speak TLS that are in use now.
    pub(crate) fn into_clients(self) -> Clients {
        self.upstreams.into_clients()
    }

    /// Compiles one door. `admitted` is in order of precedence; whoever comes second to a host and path loses it
    /// and is told.
    pub(crate) fn compile(
        &mut self,
        door: &ListenerName,
        policy: &Policy,
        admitted: &[Admitted<'_>],
    ) -> Compiled {
        let (mut problems, mut told) = (Vec::new(), Told::new());
        let mut draft = Draft {
            door,
            policy,
            table: TableBuilder::new(),
            unreadable: Vec::new(),
            passthrough: Passthrough::default(),
            owners: owners(policy, admitted),
            problems: &mut problems,
        };
        for admitted in admitted {
            let ingress = admitted.ingress();
            self.upstreams.next_asks();
            self.ingress(&mut draft, ingress);
            if !draft.problems.is_empty() {
                let problems = bounded(std::mem::take(draft.problems), ingress);
                told.insert(ingress.key.clone(), problems);
            }
        }
        draft.close_unreadable();
        draft.keep_own_hosts();
        Compiled {
            table: draft.table.build(),
            passthrough: draft.passthrough,
            problems: told,
        }
    }

    fn ingress(&mut self, draft: &mut Draft<'_>, ingress: &Ingress) {
        if draft.policy.tls.is_none() && !ingress.tls.is_empty() {
            let message = format!("door `{}` ends no TLS, so this has no effect there", draft.door);
            draft
                .problems
                .push(ingress.problem(Severity::Note, "spec.tls", message));
        }
        let closed = self.closed(draft, ingress);
        if ingress.annotations.ssl_passthrough && draft.policy.tls.is_some() {
            self.pass_through(draft, ingress, closed);
            return;
        }
        for (index, rule) in ingress.rules.iter().enumerate() {
            self.rule(draft, ingress, index, rule, closed);
        }
        let Some(backend) = &ingress.default_backend else {
            return;
        };
        let speech = Speech::Http(&ingress.annotations.backend);
        let action = self.action(draft, ingress, "spec.defaultBackend", backend, closed, speech);
        if ingress.rules.is_empty() {
            if !draft.policy.host_admits(&HostPattern::Any) {
                draft.refuse_host(ingress, "spec.defaultBackend", &HostPattern::Any);
                return;
            }
            if let Err(winner) = draft.table.set_default(route(ingress, action)) {
                let winner = winner.ingress.clone();
                draft.lost(
                    ingress,
                    "spec.defaultBackend",
                    "the default backend of this door",
                    &winner,
                );
            }
        } else {
            for (index, rule) in ingress.rules.iter().enumerate() {
                self.host_default(draft, ingress, index, rule, &action);
            }
        }
    }

    /// The hosts of the Ingress go to the backend of their first path, TLS and all.
    fn pass_through(&mut self, draft: &mut Draft<'_>, ingress: &Ingress, closed: bool) {
        for (index, rule) in ingress.rules.iter().enumerate() {
            let field = format!("spec.rules[{index}]");
            let Ok(host) = &rule.host else { continue };
            if *host == HostPattern::Any {
                let message = "TLS is passed through by host, and this rule has none; it is not served";
                draft
                    .problems
                    .push(ingress.problem(Severity::Error, &format!("{field}.host"), message));
                continue;
            }
            if !draft.admits_host(ingress, &field, host) {
                continue;
            }
            let action = match rule.paths.first() {
                Some(path) => {
                    let field = format!("{field}.http.paths[0].backend");
                    self.action(draft, ingress, &field, &path.backend, closed, Speech::Raw)
                }
                None => Action::Blocked(Blocked::InvalidRule),
            };
            draft.passthrough.insert(host.clone(), route(ingress, action));
        }
        if ingress.default_backend.is_some() {
            let message = "TLS is passed through by host, so this has no effect";
            draft
                .problems
                .push(ingress.problem(Severity::Warning, "spec.defaultBackend", message));
        }
    }

    /// `defaultBackend` beside rules answers the Ingress's own hosts where no path matched.
    fn host_default(
        &self,
        draft: &mut Draft<'_>,
        ingress: &Ingress,
        index: usize,
        rule: &Rule,
        action: &Action,
    ) {
        let Ok(host) = &rule.host else { return };
        if !draft.policy.host_admits(host) || draft.is_passed_elsewhere(ingress, host).is_some() {
            return;
        }
        if let Err(winner) = draft
            .table
            .set_host_default(host.clone(), route(ingress, action.clone()))
            && winner.ingress != ingress.key
        {
            let winner = winner.ingress.clone();
            draft.lost(
                ingress,
                &format!("spec.rules[{index}].host"),
                &format!("the default backend of host {host}"),
                &winner,
            );
        }
    }

    fn rule(&mut self, draft: &mut Draft<'_>, ingress: &Ingress, index: usize, rule: &Rule, closed: bool) {
        // An invalid host names no place where a blocked route could stand; its problem is already told.
        let Ok(host) = &rule.host else { return };
        if !draft.admits_host(ingress, &format!("spec.rules[{index}]"), host) {
            return;
        }
        for (position, path) in rule.paths.iter().enumerate() {
            let field = format!("spec.rules[{index}].http.paths[{position}]");
            match &path.pattern {
                Ok(pattern) => {
                    let speech = Speech::Http(&ingress.annotations.backend);
                    let field_of_backend = format!("{field}.backend");
                    let action =
                        self.action(draft, ingress, &field_of_backend, &path.backend, closed, speech);
                    if let Err(winner) =
                        draft
                            .table
                            .insert(host.clone(), pattern.clone(), route(ingress, action))
                    {
                        let winner = winner.ingress.clone();
                        draft.lost(
                            ingress,
                            &format!("{field}.path"),
                            &format!("{host}{}", path.written),
                            &winner,
                        );
                    }
                }
                Err(_) => draft.block_unreadable(ingress, host, path),
            }
        }
    }

    /// Whether the Ingress asks for something that cannot be given and that it must not be served without.
    fn closed(&self, draft: &mut Draft<'_>, ingress: &Ingress) -> bool {
        let entrypoints = &ingress.annotations.entrypoints;
        if !entrypoints.is_empty() && !entrypoints.iter().any(|name| **name == *draft.door.as_str()) {
            draft.problems.push(ingress.problem(
                Severity::Error,
                "metadata.annotations[traefik.ingress.kubernetes.io/router.entrypoints]",
                format!(
                    "the labels choose door `{}` but the annotation names {}; closed (503) until both agree",
                    draft.door,
                    entrypoints.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
                ),
            ));
            return true;
        }
        if ingress.annotations.ssl_passthrough && draft.policy.tls.is_none() {
            draft.problems.push(ingress.problem(
                Severity::Error,
                "metadata.annotations[nginx.ingress.kubernetes.io/ssl-passthrough]",
                format!(
                    "door `{}` does not see the client's TLS, so it cannot pass it through; closed (503)",
                    draft.door
                ),
            ));
            return true;
        }
        !ingress.annotations.closes.is_empty()
    }

    fn action(
        &mut self,
        draft: &mut Draft<'_>,
        ingress: &Ingress,
        field: &str,
        backend: &Result<Backend, InvalidBackend>,
        closed: bool,
        speech: Speech<'_>,
    ) -> Action {
        if closed {
            return Action::Blocked(Blocked::Annotation);
        }
        if ingress.annotations.ssl_redirect && draft.policy.scheme == Scheme::Http {
            return Action::RedirectToHttps { port: 443 };
        }
        let Ok(backend) = backend else {
            return Action::Blocked(Blocked::InvalidRule);
        };
        let (upstream, doubt) = self.upstreams.find(backend, speech, draft.problems);
        if let Some(doubt) = doubt {
            draft
                .problems
                .push(ingress.problem(doubt.severity, field, doubt.message));
        }
        match upstream {
            Ok(upstream) => Action::Forward(upstream),
            Err(refused) => {
                draft
                    .problems
                    .push(ingress.problem(refused.severity, field, refused.message));
                Action::Blocked(refused.reason)
            }
        }
    }
}

impl Draft<'_> {
    /// A path that cannot be read still closes what it most likely meant, so that no broader rule answers there:
    /// the readable beginning of what is written, whole elements only; the host's remaining paths when nothing is.
    fn block_unreadable(&mut self, ingress: &Ingress, host: &HostPattern, path: &PathRule) {
        let blocked = route(ingress, Action::Blocked(Blocked::InvalidRule));
        self.unreadable
            .push((host.clone(), readable_prefix(&path.written), blocked));
    }

    /// Puts the closed places where nobody else is: the neighbours of a broken rule stand.
    fn close_unreadable(&mut self) {
        for (host, pattern, blocked) in self.unreadable.drain(..) {
            let _taken = match pattern {
                Some(pattern) => self.table.insert(host, pattern, blocked).is_err(),
                None => self.table.set_host_default(host, blocked).is_err(),
            };
        }
    }

    /// Whether rules for the host may stand here; if not, the author is told.
    fn admits_host(&mut self, ingress: &Ingress, rule: &str, host: &HostPattern) -> bool {
        if !self.policy.host_admits(host) {
            self.refuse_host(ingress, &format!("{rule}.host"), host);
            return false;
        }
        match self.is_passed_elsewhere(ingress, host) {
            None => true,
            Some(winner) => {
                self.lost(ingress, &format!("{rule}.host"), &format!("host {host}"), &winner);
                false
            }
        }
    }

    /// The other Ingress that has the host, when only one of the two ends its TLS here, or none does.
    fn is_passed_elsewhere(&self, ingress: &Ingress, host: &HostPattern) -> Option<ObjectKey> {
        let owner = self.owners.get(host)?;
        let shared = !owner.passes_through && !ingress.annotations.ssl_passthrough;
        (!shared && owner.ingress != ingress.key).then(|| owner.ingress.clone())
    }

    /// Keeps names that the door itself answers out of the wildcards that pass through.
    fn keep_own_hosts(&mut self) {
        for (host, owner) in &self.owners {
            if let HostPattern::Exact(host) = host
                && !owner.passes_through
            {
                self.passthrough.keep(host);
            }
        }
    }

    fn lost(&mut self, ingress: &Ingress, field: &str, what: &str, winner: &ObjectKey) {
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

    fn refuse_host(&mut self, ingress: &Ingress, field: &str, host: &HostPattern) {
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

/// Not more than can be read, in order; an Ingress may have thousands of paths with something wrong in each.
fn bounded(mut problems: Vec<Problem>, ingress: &Ingress) -> Vec<Problem> {
    problems.sort_unstable();
    problems.dedup();
    let left_out = problems.len().saturating_sub(MOST_TOLD);
    // The worst come first.
    if let Some(severity) = problems.get(MOST_TOLD).map(|first| first.severity) {
        problems.truncate(MOST_TOLD);
        let message = format!("{left_out} more problems of this Ingress are not listed");
        problems.push(ingress.problem(severity, "", message));
    }
    problems
}

/// Who has each host, where any Ingress passes TLS through.
fn owners(policy: &Policy, admitted: &[Admitted<'_>]) -> HashMap<HostPattern, Owner> {
    let passes = |admitted: &Admitted<'_>| admitted.ingress().annotations.ssl_passthrough;
    let mut owners = HashMap::new();
    if policy.tls.is_none() || !admitted.iter().any(passes) {
        return owners;
    }
    for admitted in admitted {
        let ingress = admitted.ingress();
        let passes_through = passes(admitted);
        let rules = ingress.rules.iter().filter_map(|rule| rule.host.as_ref().ok());
        let certificates = ingress
            .tls
            .iter()
            .flat_map(|tls| &tls.hosts)
            .filter(|_| !passes_through);
        for host in rules.chain(certificates) {
            if *host != HostPattern::Any && policy.host_admits(host) {
                owners.entry(host.clone()).or_insert_with(|| Owner {
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

fn route(ingress: &Ingress, action: Action) -> Arc<Route> {
    let asked = &ingress.annotations.tuning;
    Arc::new(Route {
        ingress: ingress.key.clone(),
        ingress_text: ingress.key.to_string().into(),
        action,
        tuning: Tuning {
            connect: asked.connect_timeout,
            response_idle: asked.read_timeout,
            body_idle: asked.send_timeout,
            body: asked.body_size,
        },
    })
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
