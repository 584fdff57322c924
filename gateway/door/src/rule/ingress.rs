//! The front end of Ingresses.

use std::sync::Arc;

use resource::{Ingress, IngressBackend, InvalidBackend, Kind, Severity};
use route::{HostPattern, ListenerName};

use super::derived::{aliases, roots, twins};
use super::{
    BackendProtocol, BackendRef, Blocked, Condition, DerivedRule, Field, NamedHost, ObjectReport,
    ObjectRules, Origin, Rule, RuleAction, RulePath, Target, Tuning,
};
use crate::admission::{Admitted, ClientAuth, Policy};

/// What an admitted Ingress asks for at a door.
pub(crate) fn translate<'v>(
    door: &ListenerName,
    policy: &Policy,
    admitted: Admitted<'v>,
    report: &mut ObjectReport<'_>,
) -> ObjectRules<'v> {
    let ingress: &Ingress = admitted.ingress();
    if policy.tls.is_none() && !ingress.tls.is_empty() {
        let message = format!("door `{door}` does not terminate TLS, so this has no effect there");
        report.add(Severity::Note, "spec.tls", message);
    }
    let passes_through = policy.passes_through(ingress);
    let is_beyond = admitted.excess().is_some();
    let closed = is_beyond || closed(door, policy, ingress, report);
    let translation = Translation {
        ingress,
        closed,
        asked: ObjectRules {
            origin: Arc::new(Origin::new(Kind::Ingress, &ingress.key)),
            passes_through,
            hosts: Vec::new(),
            filters: &ingress.annotations.filters,
            none: &ingress.annotations.none,
            middlewares: &ingress.annotations.middlewares,
            choosing: &ingress.annotations.choosing,
            rules: Vec::new(),
            closed: closed.then_some(Blocked::Annotation),
            aliases: Vec::new(),
            derived: Vec::new(),
        },
    };
    if is_beyond {
        translation.of_hosts()
    } else if passes_through {
        translation.of_connections(report)
    } else {
        translation.of_requests()
    }
}

/// One Ingress while it is translated into rules.
struct Translation<'v> {
    ingress: &'v Ingress,
    /// It asks for something that the door cannot give and without which it must not be served.
    closed: bool,
    asked: ObjectRules<'v>,
}

impl<'v> Translation<'v> {
    /// The hosts of an Ingress that is beyond a bound are closed, whatever its rules are. Rules without a host are left out:
    /// what they answer belongs to others too.
    fn of_hosts(mut self) -> ObjectRules<'v> {
        for (index, rule) in self.ingress.rules.iter().enumerate() {
            let field = Field::Rule { rule: index };
            if let Ok(host) = &rule.host
                && *host != HostPattern::Any
            {
                self.name(field, host);
                let path = if self.asked.passes_through {
                    RulePath::Connection
                } else {
                    RulePath::RestOfHost
                };
                self.push(field, Some(host), path, RuleAction::Blocked(Blocked::Bound));
            }
        }
        // One route closes an alias: with the rules of every host there would be as many as hosts times aliases.
        if !self.asked.passes_through {
            for (field, host) in aliases(self.ingress) {
                self.name(field, host);
                self.asked.derived.push(DerivedRule {
                    field,
                    host,
                    target: Target::Closed,
                });
            }
        }
        self.asked
    }

    /// TLS connections for the hosts of the Ingress are passed through to the backend of their first path.
    fn of_connections(mut self, report: &mut ObjectReport<'_>) -> ObjectRules<'v> {
        for (index, rule) in self.ingress.rules.iter().enumerate() {
            let Ok(host) = &rule.host else { continue };
            let named = Field::Rule { rule: index };
            if *host == HostPattern::Any {
                let message = "TLS is passed through by host, and this rule has none; it is not served";
                report.add(Severity::Error, &named.host(), message);
                continue;
            }
            self.name(named, host);
            let field = Field::Path { rule: index, path: 0 };
            let action = match rule.paths.first() {
                Some(path) => self.action(&path.backend, BackendProtocol::Raw),
                None => RuleAction::Blocked(Blocked::InvalidRule),
            };
            self.push(field, Some(host), RulePath::Connection, action);
        }
        if self.ingress.default_backend.is_some() {
            let message = "TLS is passed through by host, so this has no effect";
            report.add(Severity::Warning, "spec.defaultBackend", message);
        }
        self.asked
    }

    fn of_requests(mut self) -> ObjectRules<'v> {
        let ingress = self.ingress;
        let protocol = BackendProtocol::Http(&ingress.annotations.backend);
        for (index, rule) in ingress.rules.iter().enumerate() {
            let Ok(host) = &rule.host else { continue };
            self.name(Field::Rule { rule: index }, host);
            for (position, path) in rule.paths.iter().enumerate() {
                let field = Field::Path {
                    rule: index,
                    path: position,
                };
                let (place, action) = match &path.pattern {
                    Ok(pattern) => {
                        let written = &*path.written;
                        let action = self.action(&path.backend, protocol);
                        (RulePath::Pattern { pattern, written }, action)
                    }
                    Err(_reported) => {
                        let blocked = RuleAction::Blocked(Blocked::InvalidRule);
                        (RulePath::Unreadable(&path.written), blocked)
                    }
                };
                self.push(field, Some(host), place, action);
            }
        }
        if ingress.annotations.ssl_passthrough {
            self.close_hosts();
        }
        if let Some(backend) = &ingress.default_backend {
            self.default(backend, protocol);
        }
        self.alias();
        for derived in twins(ingress) {
            self.name(derived.field, derived.host);
            self.asked.derived.push(derived);
        }
        self.asked.derived.extend(roots(ingress));
        self.asked
    }

    fn alias(&mut self) {
        for (field, host) in aliases(self.ingress) {
            self.name(field, host);
            self.asked.aliases.push(host);
        }
    }

    /// Passthrough applies to whole hosts, whatever the paths: if it is impossible, what no path matches is closed too.
    fn close_hosts(&mut self) {
        for (index, rule) in self.ingress.rules.iter().enumerate() {
            if let Ok(host) = &rule.host
                && *host != HostPattern::Any
            {
                let action = RuleAction::Blocked(Blocked::Annotation);
                let field = Field::Rule { rule: index };
                self.push(field, Some(host), RulePath::RestOfHost, action);
            }
        }
    }

    /// `defaultBackend` answers what no other rule of the door matches; in an Ingress with rules, what no path of its hosts
    /// matches.
    fn default(
        &mut self,
        backend: &'v Result<IngressBackend, InvalidBackend>,
        protocol: BackendProtocol<'v>,
    ) {
        let action = self.action(backend, protocol);
        if self.ingress.rules.is_empty() {
            let host = &HostPattern::Any;
            self.name(Field::Default, host);
            self.push(Field::Default, Some(host), RulePath::Default, action);
            return;
        }
        for (index, rule) in self.ingress.rules.iter().enumerate() {
            let field = Field::HostDefault { rule: index };
            let host = rule.host.as_ref().ok();
            self.push(field, host, RulePath::HostDefault, action.clone());
        }
    }

    fn action(
        &self,
        backend: &'v Result<IngressBackend, InvalidBackend>,
        protocol: BackendProtocol<'v>,
    ) -> RuleAction<'v> {
        if self.closed {
            return RuleAction::Blocked(Blocked::Annotation);
        }
        match backend {
            Ok(IngressBackend { service, port }) => RuleAction::Forward(BackendRef {
                service,
                port,
                protocol,
            }),
            Err(_reported) => RuleAction::Unusable,
        }
    }

    fn name(&mut self, field: Field, host: &'v HostPattern) {
        self.asked.hosts.push(NamedHost { field, host });
    }

    fn push(
        &mut self,
        field: Field,
        host: Option<&'v HostPattern>,
        path: RulePath<'v>,
        action: RuleAction<'v>,
    ) {
        let tuning = &self.ingress.annotations.tuning;
        self.asked.rules.push(Rule {
            origin: Arc::clone(&self.asked.origin),
            field,
            host,
            path,
            condition: Condition::Always,
            action,
            tuning: Tuning {
                connect: tuning.connect_timeout,
                response_idle: tuning.read_timeout,
                body_idle: tuning.send_timeout,
                body: tuning.body_size,
            },
        });
    }
}

/// Whether the Ingress asks for something that the door cannot give and without which it must not be served.
pub(crate) fn closed(
    door: &ListenerName,
    policy: &Policy,
    ingress: &Ingress,
    report: &mut ObjectReport<'_>,
) -> bool {
    let entrypoints = &ingress.annotations.entrypoints;
    if !entrypoints.is_empty() && !entrypoints.iter().any(|name| **name == *door.as_str()) {
        let named = entrypoints
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>();
        report.add(
            Severity::Error,
            "metadata.annotations[traefik.ingress.kubernetes.io/router.entrypoints]",
            format!(
                "door `{door}` admits the Ingress ({}), but the annotation names {}; closed (503) until both agree",
                policy.membership(),
                named.join(", ")
            ),
        );
        return true;
    }
    if ingress.annotations.ssl_passthrough && !policy.passes_through(ingress) {
        let message = match &policy.tls {
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
                        ", which would bypass the client certificates that it requires"
                    }
                }
            ),
        };
        report.add(
            Severity::Error,
            "metadata.annotations[nginx.ingress.kubernetes.io/ssl-passthrough]",
            message,
        );
        return true;
    }
    !ingress.annotations.closes.is_empty()
}
