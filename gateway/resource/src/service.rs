//! Services: names for sets of endpoints, and the protocols of their ports.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service as RawService, ServicePort as RawPort};
use route::{Host, HostBuf, HostError, ObjectKey, normalise_sni};

use crate::annotations::{ClosedBy, ServiceAnnotations, service_annotations};
use crate::choosing::ServiceChoosing;
use crate::metadata::Metadata;
use crate::protocol::{AppProtocol, Protocol, port_number};
use crate::reporter::{Reporter, UnreadableFields};
use crate::{Kind, ObjectRef, Problem, Severity, Source};

/// A `v1` Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `spec.type`, with headless Services apart.
    pub kind: ServiceType,
    /// `spec.ports`; ports that cannot be read are left out.
    pub ports: Box<[ServicePort]>,
    /// The protocol that its annotations give to every port, including those that are not in `ports`.
    pub scheme: Option<AppProtocol>,
    /// What its annotations say about the choice of its endpoints.
    pub choosing: ServiceChoosing,
    /// `metadata.uid`
    pub uid: Option<Box<str>>,
    /// Namespaces, as names or patterns with `*`, whose filters may call the Service (`allow-calls-from`).
    pub allow_calls_from: Box<[Box<str>]>,
    /// Annotations that ask for something that cannot be given, and without which backends must not be called.
    pub closes: Box<[ClosedBy]>,
    /// Where it is written, when it comes from a file.
    pub source: Option<Arc<Source>>,
}

/// `spec.type` of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceType {
    /// The default.
    ClusterIp,
    /// `ClusterIP` with `spec.clusterIP: None`.
    Headless,
    /// A port on every node.
    NodePort,
    /// A load balancer of the cloud provider.
    LoadBalancer,
    /// A name in DNS (`spec.externalName`), or why it is not one. Always a full name: search domains are not tried.
    ExternalName(Result<Host, HostError>),
}

/// `spec.ports[]` of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// `name`; `None` only in Services with one port. EndpointSlice ports belong to it by this name.
    pub name: Option<Box<str>>,
    /// `port`, 1 to 65535.
    pub port: u16,
    /// `protocol`
    pub protocol: Protocol,
    /// `appProtocol`
    pub app_protocol: AppProtocol,
}

impl Service {
    /// Reads a Service; `None` when it has no usable name.
    #[must_use]
    pub fn from_api(object: RawService, problems: &mut Vec<Problem>) -> Option<Self> {
        Self::read(object, &UnreadableFields::default(), problems)
    }

    pub(crate) fn read(
        object: RawService,
        unreadable: &UnreadableFields,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let meta = Metadata::namespaced(Kind::Service, object.metadata, problems)?;
        let mut report = Reporter::new(
            ObjectRef::namespaced(Kind::Service, &meta.key),
            unreadable,
            problems,
        );
        let spec = object.spec.unwrap_or_default();
        let ServiceAnnotations {
            scheme,
            choosing,
            allow_calls_from,
            closes,
            ..
        } = service_annotations(&meta.annotations, &meta.key, &mut report);

        let headless = spec.cluster_ip.as_deref() == Some("None");
        let kind = match spec.type_.as_deref() {
            None | Some("" | "ClusterIP") if headless => ServiceType::Headless,
            None | Some("" | "ClusterIP") => ServiceType::ClusterIp,
            Some("NodePort") => ServiceType::NodePort,
            Some("LoadBalancer") => ServiceType::LoadBalancer,
            Some("ExternalName") => {
                let name = spec.external_name.unwrap_or_default();
                ServiceType::ExternalName(external_name(&name, &mut report))
            }
            Some(other) => {
                report.error(
                    "spec.type",
                    format!(
                        "`{other}` is not a Service type; write ClusterIP, NodePort, LoadBalancer or ExternalName; \
                         treated as ClusterIP"
                    ),
                );
                ServiceType::ClusterIp
            }
        };

        let raw_ports = spec.ports.unwrap_or_default();
        let several = raw_ports.len() > 1;
        let mut taken = Taken::default();
        let mut ports: Vec<ServicePort> = Vec::with_capacity(raw_ports.len());
        for (index, raw) in raw_ports.into_iter().enumerate() {
            let field = format!("spec.ports[{index}]");
            if let Some(port) = ServicePort::read(raw, scheme, several, &field, &mut report)
                && taken.admits(&port, &field, &mut report)
            {
                ports.push(port);
            }
        }
        Some(Self {
            key: meta.key,
            kind,
            ports: ports.into_boxed_slice(),
            scheme,
            choosing,
            uid: meta.uid,
            allow_calls_from: allow_calls_from.into(),
            closes: closes.into_boxed_slice(),
            source: None,
        })
    }

    /// A problem of this Service.
    #[must_use]
    pub fn problem(&self, severity: Severity, field: &str, message: impl Into<String>) -> Problem {
        let object = ObjectRef::namespaced(Kind::Service, &self.key);
        Problem::of(object, self.source.as_deref(), severity, field, message)
    }
}

impl ServicePort {
    fn read(
        raw: RawPort,
        scheme: Option<AppProtocol>,
        several: bool,
        field: &str,
        report: &mut Reporter<'_>,
    ) -> Option<Self> {
        if report.is_unreadable(field) {
            return None;
        }
        let name = raw.name.filter(|name| !name.is_empty()).map(Box::from);
        if several && name.is_none() {
            report.error(
                &format!("{field}.name"),
                "every port of a Service with several ports needs a name, by which endpoints find it",
            );
        }
        let Some(port) = port_number(raw.port) else {
            report.error(
                &format!("{field}.port"),
                format!(
                    "{} is not a port (1 to 65535); the Service port is ignored",
                    raw.port
                ),
            );
            return None;
        };
        let protocol = Protocol::read(raw.protocol.as_deref(), &format!("{field}.protocol"), report)?;
        let app_protocol = match scheme {
            Some(scheme) => scheme,
            None => AppProtocol::read(
                raw.app_protocol.as_deref(),
                &format!("{field}.appProtocol"),
                report,
            ),
        };
        Some(Self {
            name,
            port,
            protocol,
            app_protocol,
        })
    }
}

/// Numbers and names of ports. Kubernetes allows a number twice only for different protocols, and no name twice.
#[derive(Default)]
struct Taken {
    numbers: HashSet<(u16, Protocol)>,
    names: HashSet<Box<str>>,
}

impl Taken {
    fn admits(&mut self, port: &ServicePort, field: &str, report: &mut Reporter<'_>) -> bool {
        if !self.numbers.insert((port.port, port.protocol)) {
            report.error(
                &format!("{field}.port"),
                format!("port {} is listed twice; the first one counts", port.port),
            );
            return false;
        }
        match &port.name {
            Some(name) if !self.names.insert(name.clone()) => {
                report.error(
                    &format!("{field}.name"),
                    format!("name `{name}` is used twice; the first port counts"),
                );
                false
            }
            Some(_) | None => true,
        }
    }
}

/// A name in its normal form. As in the Kubernetes API, neither an address nor an empty text is one.
fn external_name(name: &str, report: &mut Reporter<'_>) -> Result<Host, HostError> {
    let mut scratch = HostBuf::new();
    let host = normalise_sni(name.as_bytes(), &mut scratch)
        .and_then(|host| Host::of(&host).ok_or(HostError::AddressAsName));
    if let Err(error) = &host
        && !report.is_unreadable("spec.externalName")
    {
        let advice = match error {
            HostError::AddressAsName | HostError::Address => {
                "; for an address write a Service without selector and an EndpointSlice"
            }
            HostError::Empty
            | HostError::TooLong
            | HostError::EmptyLabel
            | HostError::Character
            | HostError::Port => "",
        };
        report.error(
            "spec.externalName",
            format!("`{name}` is not a name in DNS: {error}{advice}; rules that use the Service answer 503"),
        );
    }
    host
}
