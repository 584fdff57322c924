//! From Service ports to upstreams: their endpoints and protocols.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use resource::{
    AppProtocol, BackendAnnotations, ClusterView, Problem, Protocol, Service, ServicePort, ServicePortRef,
    Severity,
};
use route::ObjectKey;

use super::endpoints::{EndpointList, EndpointLists};
use super::external::{External, implied_port};
use super::fault::BackendFault;
use super::memory::BackendMemory;
use super::policy::BackendPolicy;
use super::refused::{Doubt, Refused};
use super::tls::BackendTls;
use super::upstream::{Upstream, UpstreamProtocol};
use crate::rule::{BackendProtocol, BackendRef, Blocked};

/// How many ports of a Service are listed in a message.
const MOST_PORTS: usize = 10;

/// Hashes namespaces to numbers. Each process has a new key, so that nobody can choose a name that shares another's
/// number.
pub(super) static NAMESPACE_IDS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The upstreams of one view. Each is computed once.
pub(crate) struct Upstreams<'v> {
    view: &'v ClusterView,
    backends: &'v BackendPolicy,
    known: HashMap<UpstreamKey, Resolved>,
    lists: EndpointLists<'v>,
    /// The annotations that have been met.
    speeches: HashMap<BackendAnnotations, usize>,
    /// Those of the Ingress that asks: where they are, and their number.
    speech: Option<(usize, usize)>,
    /// Counts the Ingresses that refer to it.
    asking: usize,
    memory: BackendMemory,
}

/// What makes two upstreams different.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct UpstreamKey {
    service: ObjectKey,
    port: ServicePortRef,
    /// The number of its annotations; `None` for raw bytes.
    protocol: Option<usize>,
}

/// The result of a backend reference.
struct Resolved {
    upstream: Result<Arc<Upstream>, Refused>,
    /// The endpoints, with what is wrong with them.
    reported: Rc<[Problem]>,
    /// The last Ingress to which it was reported.
    reported_to: usize,
    /// What is wrong with its name in DNS.
    doubt: Option<Doubt>,
}

impl<'v> Upstreams<'v> {
    pub(crate) fn new(view: &'v ClusterView, backends: &'v BackendPolicy, memory: BackendMemory) -> Self {
        Self {
            view,
            backends,
            known: HashMap::new(),
            lists: EndpointLists::new(view, backends),
            speeches: HashMap::new(),
            speech: None,
            asking: 0,
            memory,
        }
    }

    /// Another Ingress asks from now on.
    pub(crate) fn next_asks(&mut self) {
        self.asking += 1;
        self.speech = None;
    }

    /// Annotations are no longer those that were met last, wherever they are.
    pub(super) fn forget_speech(&mut self) {
        self.speech = None;
    }

    pub(super) fn view(&self) -> &'v ClusterView {
        self.view
    }

    pub(super) fn policy(&self) -> &'v BackendPolicy {
        self.backends
    }

    /// TLS settings towards what is called `name`.
    pub(super) fn settings(
        &mut self,
        name: String,
        asked: &BackendAnnotations,
        h2: bool,
    ) -> Result<Arc<BackendTls>, BackendFault> {
        let roots = &self.backends.platform_roots;
        self.memory.clients.settings(name, asked, h2, self.view, roots)
    }

    pub(crate) fn into_memory(self) -> BackendMemory {
        self.memory
    }

    /// A number for annotations. All rules of an Ingress have the same ones: these are neither copied nor hashed for each.
    fn number(&mut self, asked: &BackendAnnotations) -> usize {
        let place = std::ptr::from_ref(asked).addr();
        if let Some((known, number)) = self.speech
            && known == place
        {
            return number;
        }
        let number = match self.speeches.get(asked) {
            Some(number) => *number,
            None => {
                let number = self.speeches.len();
                self.speeches.insert(asked.clone(), number);
                number
            }
        };
        self.speech = Some((place, number));
        number
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
                BackendProtocol::Http(asked) => Some(self.number(asked)),
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
        problems.extend(reported.iter().cloned());
        let known = Resolved {
            reported_to: self.asking,
            upstream: upstream.clone(),
            reported: reported.into(),
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
        let usable = service.ports.get(..self.backends.bounds.ports);
        let usable = usable.unwrap_or(&service.ports);
        let Some(port) = service_port(usable, backend.port).or(implied.as_ref()) else {
            if service_port(&service.ports, backend.port).is_some() {
                return Err(refused(
                    Blocked::Bound,
                    format!(
                        "port {} of Service `{}` is not among the first {} of its {} ports (`service_ports` in \
                         [source]); the rule answers 503",
                        backend.port,
                        backend.service,
                        usable.len(),
                        service.ports.len()
                    ),
                ));
            }
            let described = service.ports.iter().take(MOST_PORTS).map(describe);
            let mut ports = described.collect::<Vec<_>>().join(", ");
            if service.ports.len() > MOST_PORTS {
                ports += ", …";
            }
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
        let list = match &external {
            Some(external) => {
                *doubt = external.doubt(self.view).or(doubt.take());
                Rc::new(external.endpoints(self.view, self.backends, port.port))
            }
            None => self.lists.of(service, port, &mut self.memory.lists),
        };
        let EndpointList {
            endpoints,
            none,
            any_refused,
            reported,
        } = &*list;
        problems.extend(reported.iter().cloned());
        if endpoints.is_empty() && *any_refused {
            return Err(refused(
                Blocked::RefusedAddress,
                format!(
                    "every address of Service `{}` is refused; the rule answers 503",
                    backend.service
                ),
            ));
        }
        // Last, so that settings which have been made are kept by what uses them.
        let protocol = self.protocol(service, external.as_ref(), port, backend.protocol)?;
        Ok(Upstream {
            service: backend.service.clone(),
            namespace_id: NAMESPACE_IDS.hash_one(backend.service.namespace()),
            port: port.port,
            protocol,
            endpoints: Arc::clone(endpoints),
            none: *none,
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
        match self.memory.clients.settings(name, asked, h2, self.view, roots) {
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
}

/// The port that an Ingress names. A Service may have one number for several protocols (HTTP/3 besides HTTPS): HTTP uses
/// TCP.
fn service_port<'s>(ports: &'s [ServicePort], wanted: &ServicePortRef) -> Option<&'s ServicePort> {
    let mut ports = ports.iter();
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
