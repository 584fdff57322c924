//! From Service ports to upstreams: their endpoints and protocols.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use resource::{
    AppProtocol, BackendAnnotations, ClusterView, EndpointSlice, Problem, Protocol, Service, ServicePort,
    ServicePortRef, Severity,
};
use route::ObjectKey;

use super::external::{External, implied_port};
use super::policy::BackendPolicy;
use super::refused::{Doubt, Refused};
use super::tls::TlsClients;
use super::upstream::{Endpoint, Upstream, UpstreamProtocol};
use crate::rule::{BackendProtocol, BackendRef, Blocked};

/// How many addresses of one Service are reported.
const MOST_ADDRESSES: usize = 10;

/// Hashes namespaces to numbers. Each process has a new key, so that nobody can choose a name that shares another's
/// number.
static NAMESPACE_IDS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The upstreams of one view. Each is computed once.
pub(crate) struct Upstreams<'v> {
    view: &'v ClusterView,
    backends: &'v BackendPolicy,
    known: HashMap<UpstreamKey, Resolved>,
    /// Counts the Ingresses that refer to it.
    asking: usize,
    clients: TlsClients,
}

/// What makes two upstreams different.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct UpstreamKey {
    service: ObjectKey,
    port: ServicePortRef,
    /// `None` for raw bytes.
    protocol: Option<BackendAnnotations>,
}

/// The result of a backend reference.
struct Resolved {
    upstream: Result<Arc<Upstream>, Refused>,
    /// What is wrong with its addresses.
    reported: Vec<Problem>,
    /// The last Ingress to which it was reported.
    reported_to: usize,
    /// What is wrong with its name in DNS.
    doubt: Option<Doubt>,
}

impl<'v> Upstreams<'v> {
    pub(crate) fn new(view: &'v ClusterView, backends: &'v BackendPolicy, clients: TlsClients) -> Self {
        Self {
            view,
            backends,
            known: HashMap::new(),
            asking: 0,
            clients,
        }
    }

    /// Another Ingress asks from now on.
    pub(crate) fn next_asks(&mut self) {
        self.asking += 1;
    }

    pub(crate) fn into_clients(self) -> TlsClients {
        self.clients
    }

    /// The upstream of a backend, or why there is none; and warnings about it.
    pub(crate) fn find(
        &mut self,
        backend: BackendRef<'_>,
        problems: &mut Vec<Problem>,
    ) -> (Result<Arc<Upstream>, Refused>, Option<Doubt>) {
        let key = UpstreamKey {
            service: backend.service.clone(),
            port: backend.port.clone(),
            protocol: match backend.protocol {
                BackendProtocol::Http(asked) => Some(asked.clone()),
                BackendProtocol::Raw => None,
            },
        };
        // What is wrong with a Service's addresses is reported once to each Ingress that refers to it: the first of them
        // may be the first to stop doing so.
        if let Some(known) = self.known.get_mut(&key) {
            if std::mem::replace(&mut known.reported_to, self.asking) != self.asking {
                problems.extend(known.reported.iter().cloned());
            }
            return (known.upstream.clone(), known.doubt.clone());
        }
        let (mut reported, mut doubt) = (Vec::new(), None);
        let upstream = self.resolve(backend, &mut reported, &mut doubt).map(Arc::new);
        let left_out = reported.len().saturating_sub(MOST_ADDRESSES);
        reported.truncate(MOST_ADDRESSES);
        if let Some(last) = reported.last().filter(|_| left_out > 0).cloned() {
            reported.push(Problem {
                message: format!("{left_out} more addresses are not listed"),
                ..last
            });
        }
        problems.extend(reported.iter().cloned());
        let known = Resolved {
            reported_to: self.asking,
            upstream: upstream.clone(),
            reported,
            doubt: doubt.clone(),
        };
        self.known.insert(key, known);
        (upstream, doubt)
    }

    fn resolve(
        &mut self,
        backend: BackendRef<'_>,
        problems: &mut Vec<Problem>,
        doubt: &mut Option<Doubt>,
    ) -> Result<Upstream, Refused> {
        let refused = |reason, message| Refused {
            reason,
            severity: Severity::Error,
            message,
        };
        let Some(service) = self.view.service(backend.service) else {
            return Err(refused(
                Blocked::NoSuchBackend,
                format!(
                    "Service `{}` does not exist; the rule answers 503",
                    backend.service
                ),
            ));
        };
        let external = External::of(service, self.backends.external_names)?;
        let implied = external
            .as_ref()
            .and_then(|_| implied_port(service, backend.port));
        let Some(port) = service_port(service, backend.port).or(implied.as_ref()) else {
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
        *doubt = named_by_number(port, backend.port);
        if let Some(closed) = service.closes.first() {
            return Err(refused(
                Blocked::Annotation,
                format!(
                    "Service `{}` is closed by its annotation {}: {}; the rule answers 503",
                    backend.service, closed.annotation, closed.reason
                ),
            ));
        }
        let protocol = self.protocol(service, external.as_ref(), port, backend.protocol)?;
        let (endpoints, any_refused) = match &external {
            Some(external) => {
                *doubt = external.doubt(self.view).or(doubt.take());
                external.endpoints(self.view, self.backends, port.port, problems)
            }
            None => self.endpoints(backend.service, port, problems),
        };
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
            namespace_id: NAMESPACE_IDS.hash_one(backend.service.namespace()),
            port: port.port,
            protocol,
            endpoints,
        })
    }

    /// The protocol: the Ingress takes precedence over the Service, and that over its port.
    fn protocol(
        &mut self,
        service: &Service,
        external: Option<&External<'_>>,
        port: &ServicePort,
        protocol: BackendProtocol<'_>,
    ) -> Result<UpstreamProtocol, Refused> {
        let BackendProtocol::Http(asked) = protocol else {
            return Ok(UpstreamProtocol::Http1);
        };
        let h2 = match asked.protocol.unwrap_or(port.app_protocol) {
            AppProtocol::Http => return Ok(UpstreamProtocol::Http1),
            AppProtocol::H2c | AppProtocol::Grpc => return Ok(UpstreamProtocol::H2c),
            AppProtocol::Https | AppProtocol::Wss => false,
            AppProtocol::Grpcs => true,
        };
        let roots = &self.backends.platform_roots;
        let name = match external {
            Some(external) => external.name.to_string(),
            None => format!("{}.{}.svc", service.key.name(), service.key.namespace()),
        };
        match self.clients.settings(name, asked, h2, self.view, roots) {
            Ok(tls) => Ok(UpstreamProtocol::Tls(tls)),
            Err(fault) => Err(Refused {
                reason: Blocked::BackendTls,
                severity: Severity::Error,
                message: format!(
                    "Service `{}` is called over TLS, and {fault}; the rule answers 503",
                    service.key
                ),
            }),
        }
    }

    /// The addresses that take requests: the ready ones, or, if there is none, those that still serve while they terminate
    /// (Kubernetes, EndpointConditions). Also returns whether any address was refused.
    fn endpoints(
        &self,
        service: &ObjectKey,
        port: &ServicePort,
        problems: &mut Vec<Problem>,
    ) -> (Box<[Endpoint]>, bool) {
        let (mut ready, mut last_resort, mut any_refused) = (Vec::new(), Vec::new(), false);
        for slice in self.view.endpoint_slices(service) {
            // A Service port and an EndpointSlice port are matched by name, including the empty one.
            let named = slice.ports.iter().filter(|candidate| {
                candidate.name.as_deref().unwrap_or("") == port.name.as_deref().unwrap_or("")
                    && candidate.protocol == port.protocol
            });
            for target in named.filter_map(|candidate| candidate.port) {
                for endpoint in &slice.endpoints {
                    let address = SocketAddr::new(endpoint.address, target);
                    if let Some(reason) = self.backends.addresses.refuses(address) {
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

/// The port that an Ingress names. A Service may have one number for several protocols (HTTP/3 besides HTTPS): HTTP uses
/// TCP.
fn service_port<'s>(service: &'s Service, wanted: &ServicePortRef) -> Option<&'s ServicePort> {
    let mut ports = service.ports.iter();
    if let ServicePortRef::Name(name) = wanted
        && let Some(port) = ports.clone().find(|port| port.name.as_ref() == Some(name))
    {
        return Some(port);
    }
    let number = wanted.number()?;
    let tcp = ports
        .clone()
        .find(|port| port.port == number && port.protocol == Protocol::Tcp);
    tcp.or_else(|| ports.find(|port| port.port == number))
}

/// What is doubtful about a port that is found by a name of digits.
fn named_by_number(port: &ServicePort, wanted: &ServicePortRef) -> Option<Doubt> {
    let ServicePortRef::Name(name) = wanted else {
        return None;
    };
    (port.name.as_ref() != Some(name)).then(|| Doubt {
        severity: Severity::Note,
        message: format!(
            "no port has the name `{name}`, so it is read as the number; write `number: {}`, because a cluster \
             takes no such name",
            port.port
        ),
    })
}

fn describe(port: &ServicePort) -> String {
    match &port.name {
        Some(name) => format!("{} ({name})", port.port),
        None => port.port.to_string(),
    }
}

fn refused_address(slice: &EndpointSlice, address: SocketAddr, reason: &str) -> Problem {
    slice.problem(
        Severity::Error,
        "endpoints",
        format!("{address} is {reason}; the gateway does not call it"),
    )
}
