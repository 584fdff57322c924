//! From admitted Ingresses to a door's table.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use resource::{
    AppProtocol, Backend, ClusterView, EndpointSlice, Ingress, InvalidBackend, PathRule, Problem, Protocol,
    Rule, Service, ServicePort, ServicePortRef, ServiceType, Severity,
};
use route::{HostPattern, ListenerName, ObjectKey, PathPattern, Table, TableBuilder};

use crate::snapshot::{Action, Blocked, Endpoint, Route, Tuning, Upstream, UpstreamProtocol};
use crate::{Admitted, Policy, Scheme};

/// Which endpoint addresses the gateway may call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackendPolicy {
    /// Loopback addresses are allowed (`[source] allow_loopback_backends`): for the demo and for tests.
    pub allow_loopback: bool,
    /// The addresses of this host, so that the gateway does not become its own backend.
    pub own_addresses: Vec<IpAddr>,
    /// The ports on which this process listens, its admin port included.
    pub own_ports: Vec<u16>,
}

/// Compiles doors from one view, sharing what they have in common: the endpoints of a Service are worked out once.
pub(crate) struct Compiler<'v> {
    view: &'v ClusterView,
    backends: &'v BackendPolicy,
    upstreams: HashMap<(ObjectKey, ServicePortRef), Result<Arc<Upstream>, Refused>>,
}

/// Why a backend reference yields no upstream: the reason for the data path, the words for the user.
#[derive(Debug, Clone)]
struct Refused {
    reason: Blocked,
    severity: Severity,
    message: String,
}

/// One door's table in the making.
struct Draft<'a> {
    door: &'a ListenerName,
    policy: &'a Policy,
    table: TableBuilder<Arc<Route>>,
    /// Places of rules that cannot be read; they yield to every rule that can.
    unreadable: Vec<(HostPattern, Option<PathPattern>, Arc<Route>)>,
    problems: &'a mut Vec<Problem>,
}

impl BackendPolicy {
    /// Why `address` must not be called, if so.
    fn refuses(&self, address: SocketAddr) -> Option<&'static str> {
        let ip = address.ip().to_canonical();
        if self.own_ports.contains(&address.port())
            && (ip.is_loopback() || ip.is_unspecified() || self.own_addresses.contains(&ip))
        {
            return Some("one of the gateway's own ports");
        }
        if ip.is_loopback() {
            return (!self.allow_loopback).then_some("a loopback address");
        }
        match ip {
            IpAddr::V4(ip) if ip.is_link_local() => Some("a link-local address (cloud metadata lives there)"),
            IpAddr::V4(ip) if ip == Ipv4Addr::new(100, 100, 100, 200) => Some("a cloud metadata address"),
            IpAddr::V6(ip) if ip.is_unicast_link_local() => Some("a link-local address"),
            IpAddr::V6(ip) if ip == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254) => {
                Some("a cloud metadata address")
            }
            IpAddr::V4(ip) if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() => {
                Some("no unicast address")
            }
            IpAddr::V6(ip) if ip.is_unspecified() || ip.is_multicast() => Some("no unicast address"),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }
}

impl<'v> Compiler<'v> {
    pub(crate) fn new(view: &'v ClusterView, backends: &'v BackendPolicy) -> Self {
        Self {
            view,
            backends,
            upstreams: HashMap::new(),
        }
    }

    /// Compiles one door. `admitted` is in order of precedence; whoever comes second to a host and path loses it
    /// and is told.
    pub(crate) fn compile(
        &mut self,
        door: &ListenerName,
        policy: &Policy,
        admitted: &[Admitted<'_>],
        problems: &mut Vec<Problem>,
    ) -> Table<Arc<Route>> {
        let mut draft = Draft {
            door,
            policy,
            table: TableBuilder::new(),
            unreadable: Vec::new(),
            problems,
        };
        for admitted in admitted {
            self.ingress(&mut draft, admitted.ingress());
        }
        draft.close_unreadable();
        draft.table.build()
    }

    fn ingress(&mut self, draft: &mut Draft<'_>, ingress: &Ingress) {
        let closed = self.closed(draft, ingress);
        for (index, rule) in ingress.rules.iter().enumerate() {
            self.rule(draft, ingress, index, rule, closed);
        }
        let Some(backend) = &ingress.default_backend else {
            return;
        };
        let action = self.action(draft, ingress, "spec.defaultBackend", backend, closed);
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
        if !draft.policy.host_admits(host) {
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
        if !draft.policy.host_admits(host) {
            draft.refuse_host(ingress, &format!("spec.rules[{index}].host"), host);
            return;
        }
        for (position, path) in rule.paths.iter().enumerate() {
            let field = format!("spec.rules[{index}].http.paths[{position}]");
            match &path.pattern {
                Ok(pattern) => {
                    let action =
                        self.action(draft, ingress, &format!("{field}.backend"), &path.backend, closed);
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
        !ingress.annotations.closes.is_empty()
    }

    fn action(
        &mut self,
        draft: &mut Draft<'_>,
        ingress: &Ingress,
        field: &str,
        backend: &Result<Backend, InvalidBackend>,
        closed: bool,
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
        match self.upstream(backend, draft.problems) {
            Ok(upstream) => Action::Forward(upstream),
            Err(refused) => {
                let problem = ingress.problem(refused.severity, field, refused.message);
                // The same Ingress may stand at several doors; one telling is enough.
                if !draft.problems.contains(&problem) {
                    draft.problems.push(problem);
                }
                Action::Blocked(refused.reason)
            }
        }
    }

    fn upstream(&mut self, backend: &Backend, problems: &mut Vec<Problem>) -> Result<Arc<Upstream>, Refused> {
        let key = (backend.service.clone(), backend.port.clone());
        if let Some(known) = self.upstreams.get(&key) {
            return known.clone();
        }
        let resolved = self.resolve(backend, problems).map(Arc::new);
        self.upstreams.insert(key, resolved.clone());
        resolved
    }

    fn resolve(&self, backend: &Backend, problems: &mut Vec<Problem>) -> Result<Upstream, Refused> {
        let refused = |reason, message| Refused {
            reason,
            severity: Severity::Error,
            message,
        };
        let Some(service) = self.view.service(&backend.service) else {
            return Err(refused(
                Blocked::NoSuchBackend,
                format!(
                    "Service `{}` does not exist; the rule answers 503",
                    backend.service
                ),
            ));
        };
        if let ServiceType::ExternalName(_) = service.kind {
            return Err(refused(
                Blocked::RefusedAddress,
                format!(
                    "Service `{}` is of type ExternalName, which is refused; the rule answers 503",
                    backend.service
                ),
            ));
        }
        let Some(port) = service_port(service, &backend.port) else {
            let ports = service.ports.iter().map(describe).collect::<Vec<_>>().join(", ");
            return Err(refused(
                Blocked::NoSuchBackend,
                format!(
                    "Service `{}` has no port {}; it has: {ports}",
                    backend.service, backend.port
                ),
            ));
        };
        if port.protocol != Protocol::Tcp {
            return Err(refused(
                Blocked::Protocol,
                format!(
                    "port {} of Service `{}` is not TCP",
                    backend.port, backend.service
                ),
            ));
        }
        if let Some(closed) = service.closes.first() {
            return Err(refused(
                Blocked::Annotation,
                format!(
                    "Service `{}` is closed by its annotation {}: {}; the rule answers 503",
                    backend.service, closed.annotation, closed.reason
                ),
            ));
        }
        if let Some(protocol) = unspoken(port.app_protocol) {
            return Err(refused(
                Blocked::Protocol,
                format!(
                    "port {} of Service `{}` asks for `{protocol}`, which is not supported yet; the rule answers 503",
                    backend.port, backend.service
                ),
            ));
        }
        let (endpoints, any_refused) = self.endpoints(&backend.service, port, problems);
        if endpoints.is_empty() && any_refused {
            return Err(refused(
                Blocked::RefusedAddress,
                format!(
                    "every address of Service `{}` is refused; the rule answers 503",
                    backend.service
                ),
            ));
        }
        Ok(Upstream {
            service: backend.service.clone(),
            port: port.port,
            protocol: UpstreamProtocol::Http1,
            endpoints,
        })
    }

    /// The addresses that take requests: the ready ones, or, when none is left, those that still serve while they
    /// terminate (Kubernetes, EndpointConditions). Says also whether any address was refused.
    fn endpoints(
        &self,
        service: &ObjectKey,
        port: &ServicePort,
        problems: &mut Vec<Problem>,
    ) -> (Box<[Endpoint]>, bool) {
        let (mut ready, mut last_resort, mut any_refused) = (Vec::new(), Vec::new(), false);
        for slice in self.view.endpoint_slices(service) {
            // A Service port and an EndpointSlice port belong together by name, the empty one included.
            let named = slice.ports.iter().filter(|candidate| {
                candidate.name.as_deref().unwrap_or("") == port.name.as_deref().unwrap_or("")
                    && candidate.protocol == port.protocol
            });
            for target in named.filter_map(|candidate| candidate.port) {
                for endpoint in &slice.endpoints {
                    let address = SocketAddr::new(endpoint.address, target);
                    if let Some(reason) = self.backends.refuses(address) {
                        any_refused = true;
                        problems.push(refused_address(slice, address, reason));
                    } else if endpoint.ready {
                        ready.push(Endpoint { address });
                    } else if endpoint.serving && endpoint.terminating {
                        last_resort.push(Endpoint { address });
                    }
                }
            }
        }
        let mut chosen = if ready.is_empty() { last_resort } else { ready };
        chosen.sort_unstable();
        chosen.dedup();
        (chosen.into_boxed_slice(), any_refused)
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

/// The longest run of whole path elements at the start of `written` that can be read.
fn readable_prefix(written: &str) -> Option<PathPattern> {
    let rooted = if written.starts_with('/') {
        written.to_owned()
    } else {
        format!("/{written}")
    };
    let mut candidate = rooted
        .split(|character: char| character.is_control() || character == '?')
        .next()?;
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

fn service_port<'s>(service: &'s Service, wanted: &ServicePortRef) -> Option<&'s ServicePort> {
    service.ports.iter().find(|port| match wanted {
        ServicePortRef::Number(number) => port.port == *number,
        ServicePortRef::Name(name) => port.name.as_deref() == Some(&**name),
    })
}

fn describe(port: &ServicePort) -> String {
    match &port.name {
        Some(name) => format!("{} ({name})", port.port),
        None => port.port.to_string(),
    }
}

/// The protocol that a backend asks for and the gateway does not speak to backends.
fn unspoken(protocol: AppProtocol) -> Option<&'static str> {
    match protocol {
        AppProtocol::Http => None,
        AppProtocol::H2c | AppProtocol::Grpc | AppProtocol::Https | AppProtocol::Wss => {
            Some(protocol.as_str())
        }
    }
}

fn refused_address(slice: &EndpointSlice, address: SocketAddr, reason: &str) -> Problem {
    slice.problem(
        Severity::Error,
        "endpoints",
        format!("{address} is {reason}; the gateway does not call it"),
    )
}
