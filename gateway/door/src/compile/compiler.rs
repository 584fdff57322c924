//! From admitted Ingresses to a door's table.

use std::collections::BTreeMap;
use std::sync::Arc;

use resource::{ClusterView, Ingress, IngressBackend, IngressRule, InvalidBackend, Problem, Severity};
use route::{HostPattern, ListenerName, ObjectKey, Table, TableBuilder};

use super::draft::{Draft, owners};
use super::passthrough::Passthrough;
use super::route::{Action, Route, route};
use crate::admission::{Admitted, ClientAuth, Ownership, Policy};
use crate::backend::{BackendPolicy, BackendProtocol, TlsClients, Upstreams};
use crate::rule::Blocked;
use crate::scheme::Scheme;

/// Problems that are told of one Ingress at one door.
const MOST_REPORTED: usize = 100;

/// Compiles doors from one view, sharing what they have in common: the endpoints of a Service are worked out once.
pub(crate) struct Compiler<'v> {
    upstreams: Upstreams<'v>,
}

/// What a door serves.
pub(crate) struct Compiled {
    pub(crate) table: Table<Arc<Route>>,
    /// Names whose TLS is not ended here; empty at a door that ends no TLS.
    pub(crate) passthrough: Passthrough,
    pub(crate) problems: Reports,
}

/// Problems by the Ingress in whose compilation they came up. They may be of objects that it refers to.
pub(crate) type Reports = BTreeMap<ObjectKey, Vec<Problem>>;

impl<'v> Compiler<'v> {
    /// `clients` are those of the publication before: an unchanged route stays equal and keeps its sessions.
    pub(crate) fn new(view: &'v ClusterView, backends: &'v BackendPolicy, clients: TlsClients) -> Self {
        Self {
            upstreams: Upstreams::new(view, backends, clients),
        }
    }

    /// The ways to speak TLS that are in use now.
    pub(crate) fn into_clients(self) -> TlsClients {
        self.upstreams.into_clients()
    }

    /// Compiles one door. `admitted` is in order of precedence; whoever comes second to a host and path loses it
    /// and is told.
    pub(crate) fn compile(
        &mut self,
        door: &ListenerName,
        policy: &Policy,
        ownership: &Ownership,
        admitted: &[Admitted<'_>],
    ) -> Compiled {
        let (mut problems, mut told) = (Vec::new(), Reports::new());
        let mut draft = Draft {
            door,
            policy,
            ownership,
            table: TableBuilder::new(),
            unreadable: Vec::new(),
            passthrough: Passthrough::default(),
            owners: owners(policy, ownership, admitted),
            problems: &mut problems,
        };
        for admitted in admitted {
            let ingress = admitted.ingress();
            self.upstreams.next_asks();
            self.ingress(&mut draft, ingress);
            if !draft.problems.is_empty() {
                let more = |severity, message| ingress.problem(severity, "", message);
                let problems = bounded(std::mem::take(draft.problems), more);
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
        if draft.policy.passes_through(ingress) {
            self.pass_through(draft, ingress, closed);
            return;
        }
        for (index, rule) in ingress.rules.iter().enumerate() {
            self.rule(draft, ingress, index, rule, closed);
        }
        if ingress.annotations.ssl_passthrough {
            draft.close_hosts(ingress);
        }
        let Some(backend) = &ingress.default_backend else {
            return;
        };
        let protocol = BackendProtocol::Http(&ingress.annotations.backend);
        let action = self.action(draft, ingress, "spec.defaultBackend", backend, closed, protocol);
        if ingress.rules.is_empty() {
            if !draft.policy.host_admits(&HostPattern::Any) {
                draft.refuse_host(ingress, "spec.defaultBackend", &HostPattern::Any);
                return;
            }
            if !draft.policy.default_admits(ingress.key.namespace()) {
                draft.refuse_default(ingress);
                return;
            }
            let route = route(ingress, action);
            let place = if draft.policy.default_is_for_all() {
                draft.table.set_default(route)
            } else {
                draft.table.set_host_default(HostPattern::Any, route)
            };
            if let Err(winner) = place {
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
                    self.action(
                        draft,
                        ingress,
                        &field,
                        &path.backend,
                        closed,
                        BackendProtocol::Raw,
                    )
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
        rule: &IngressRule,
        action: &Action,
    ) {
        let Ok(host) = &rule.host else { return };
        if !draft.may_have(ingress, host) {
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

    fn rule(
        &mut self,
        draft: &mut Draft<'_>,
        ingress: &Ingress,
        index: usize,
        rule: &IngressRule,
        closed: bool,
    ) {
        // An invalid host names no place where a blocked route could stand; its problem is already told.
        let Ok(host) = &rule.host else { return };
        if !draft.admits_host(ingress, &format!("spec.rules[{index}]"), host) {
            return;
        }
        for (position, path) in rule.paths.iter().enumerate() {
            let field = format!("spec.rules[{index}].http.paths[{position}]");
            match &path.pattern {
                Ok(pattern) => {
                    let protocol = BackendProtocol::Http(&ingress.annotations.backend);
                    let field_of_backend = format!("{field}.backend");
                    let action =
                        self.action(draft, ingress, &field_of_backend, &path.backend, closed, protocol);
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
        if ingress.annotations.ssl_passthrough && !draft.policy.passes_through(ingress) {
            let door = draft.door;
            let message = match &draft.policy.tls {
                None => {
                    format!(
                        "door `{door}` does not see the client's TLS, so it cannot pass it through; closed (503)"
                    )
                }
                Some(tls) => format!(
                    "door `{door}` passes no TLS through{}; closed (503); remove the annotation, or have `passthrough = \
                     true` set for the door",
                    match tls.client_auth {
                        ClientAuth::Off => "",
                        ClientAuth::Optional(_) | ClientAuth::Required(_) => {
                            ", which would go round the client certificates that it asks for"
                        }
                    }
                ),
            };
            draft.problems.push(ingress.problem(
                Severity::Error,
                "metadata.annotations[nginx.ingress.kubernetes.io/ssl-passthrough]",
                message,
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
        backend: &Result<IngressBackend, InvalidBackend>,
        closed: bool,
        protocol: BackendProtocol<'_>,
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
        let (upstream, doubt) = self.upstreams.find(backend, protocol, draft.problems);
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

/// Not more than can be read, in order; an Ingress may have thousands of paths, or hosts, with something wrong in each.
/// `of_ingress` makes the problem that tells of the others.
pub(crate) fn bounded(
    mut problems: Vec<Problem>,
    of_ingress: impl FnOnce(Severity, String) -> Problem,
) -> Vec<Problem> {
    problems.sort_unstable();
    problems.dedup();
    let left_out = problems.len().saturating_sub(MOST_REPORTED);
    // The worst come first.
    if let Some(severity) = problems.get(MOST_REPORTED).map(|first| first.severity) {
        problems.truncate(MOST_REPORTED);
        let message = format!("{left_out} more problems of this Ingress are not listed");
        problems.push(of_ingress(severity, message));
    }
    problems
}
