//! EndpointSlices: the addresses behind a Service.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{
    Endpoint as RawEndpoint, EndpointPort as RawPort, EndpointSlice as RawEndpointSlice,
};
use route::ObjectKey;

use crate::metadata::Metadata;
use crate::protocol::{Protocol, port_number};
use crate::reporter::{Reporter, UnreadableFields};
use crate::{Kind, ObjectRef, Problem, Severity, Source};

/// A `discovery.k8s.io/v1` EndpointSlice of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Namespace and name.
    pub key: ObjectKey,
    /// The Service it belongs to (label `kubernetes.io/service-name`).
    pub service: ObjectKey,
    /// `ports`; ports that cannot be read are left out.
    pub ports: Box<[EndpointPort]>,
    /// `endpoints`; endpoints that cannot be read are left out.
    pub endpoints: Box<[Endpoint]>,
    /// Where it is written, when it comes from a file.
    pub source: Option<Arc<Source>>,
}

/// `ports[]` of an EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointPort {
    /// `name`: that of the Service port it belongs to; `None` is the empty one.
    pub name: Option<Box<str>>,
    /// `port`; `None` stands for every port, so that there is none to connect to.
    pub port: Option<u16>,
    /// `protocol`
    pub protocol: Protocol,
}

/// `endpoints[]` of an EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The first of `addresses`; Kubernetes gives the others no meaning.
    pub address: IpAddr,
    /// `conditions.ready`; absent is true.
    pub ready: bool,
    /// `conditions.serving`; absent is as `ready`.
    pub serving: bool,
    /// `conditions.terminating`; absent is false.
    pub terminating: bool,
    /// `targetRef.name`, if that is a Pod: only for whoever reads the logs.
    pub pod: Option<Arc<str>>,
}

/// The longest name that an object can have (RFC 1123).
const LONGEST_NAME: usize = 253;

const SERVICE_NAME: &str = "kubernetes.io/service-name";

impl EndpointSlice {
    /// Reads an EndpointSlice. `None` when it has no usable name, belongs to no Service or holds no addresses.
    #[must_use]
    pub fn from_api(object: RawEndpointSlice, problems: &mut Vec<Problem>) -> Option<Self> {
        Self::read(object, &UnreadableFields::default(), problems)
    }

    pub(crate) fn read(
        object: RawEndpointSlice,
        unreadable: &UnreadableFields,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let meta = Metadata::namespaced(Kind::EndpointSlice, object.metadata, problems)?;
        let mut report = Reporter::new(
            ObjectRef::namespaced(Kind::EndpointSlice, &meta.key),
            unreadable,
            problems,
        );
        let Some(service) = meta.labels.get(SERVICE_NAME) else {
            report.note(
                &format!("metadata.labels[{SERVICE_NAME}]"),
                "the slice belongs to no Service and is ignored; write this label with the Service's name",
            );
            return None;
        };
        let service = meta.key.beside(service);
        let family = match object.address_type.as_str() {
            "IPv4" => Some(Family::V4),
            "IPv6" => Some(Family::V6),
            "FQDN" => {
                report.note(
                    "addressType",
                    "slices of host names (FQDN) are not used; the slice is ignored",
                );
                return None;
            }
            "" => {
                report.error("addressType", "the address type is missing; write IPv4 or IPv6");
                None
            }
            other => {
                report.error(
                    "addressType",
                    format!("`{other}` is not an address type; write IPv4 or IPv6"),
                );
                None
            }
        };
        let ports = object.ports.unwrap_or_default().into_iter().enumerate();
        let ports = ports
            .filter_map(|(index, raw)| EndpointPort::read(raw, index, &mut report))
            .collect();
        let endpoints = object.endpoints.unwrap_or_default().into_iter().enumerate();
        let endpoints = endpoints
            .filter_map(|(index, raw)| Endpoint::read(raw, family, index, &mut report))
            .collect();
        Some(Self {
            key: meta.key,
            service,
            ports,
            endpoints,
            source: None,
        })
    }

    /// A problem of this slice.
    #[must_use]
    pub fn problem(&self, severity: Severity, field: &str, message: impl Into<String>) -> Problem {
        let object = ObjectRef::namespaced(Kind::EndpointSlice, &self.key);
        Problem::of(object, self.source.as_deref(), severity, field, message)
    }
}

#[derive(Debug, Clone, Copy)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn holds(self, address: IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

impl EndpointPort {
    fn read(raw: RawPort, index: usize, report: &mut Reporter<'_>) -> Option<Self> {
        let field = format!("ports[{index}]");
        if report.is_unreadable(&field) {
            return None;
        }
        let number_field = format!("{field}.port");
        let port = match raw.port {
            // A number that could not be read must not become "every port".
            None if report.is_unreadable(&number_field) => return None,
            None => None,
            Some(number) => {
                let port = port_number(number);
                if port.is_none() {
                    report.error(
                        &number_field,
                        format!("{number} is not a port (1 to 65535); it is ignored"),
                    );
                    return None;
                }
                port
            }
        };
        let protocol = Protocol::read(raw.protocol.as_deref(), &format!("{field}.protocol"), report)?;
        Some(Self {
            name: raw.name.filter(|name| !name.is_empty()).map(Box::from),
            port,
            protocol,
        })
    }
}

impl Endpoint {
    fn read(
        raw: RawEndpoint,
        family: Option<Family>,
        index: usize,
        report: &mut Reporter<'_>,
    ) -> Option<Self> {
        let field = format!("endpoints[{index}]");
        if report.is_unreadable(&field) {
            return None;
        }
        let Some(written) = raw.addresses.first() else {
            report.error(
                &format!("{field}.addresses"),
                "the endpoint has no address and is ignored",
            );
            return None;
        };
        let address = written
            .parse::<IpAddr>()
            .ok()
            .filter(|address| family.is_none_or(|family| family.holds(*address)));
        let Some(address) = address else {
            let wanted = match family {
                Some(Family::V4) => "an IPv4 address",
                Some(Family::V6) => "an IPv6 address",
                None => "an IP address",
            };
            report.error(
                &format!("{field}.addresses[0]"),
                format!("`{written}` is not {wanted}; the endpoint is ignored"),
            );
            return None;
        };
        // No traffic may go to an endpoint whose readiness is written but unreadable.
        let unknown = report.is_unreadable(&format!("{field}.conditions"))
            || report.is_unreadable(&format!("{field}.conditions.ready"));
        let conditions = raw.conditions.unwrap_or_default();
        let ready = conditions.ready.unwrap_or(!unknown);
        Some(Self {
            address,
            ready,
            serving: conditions.serving.unwrap_or(ready),
            terminating: conditions.terminating.unwrap_or(false),
            pod: raw.target_ref.and_then(pod),
        })
    }
}

/// The Pod that an endpoint refers to.
fn pod(target: ObjectReference) -> Option<Arc<str>> {
    let is_pod = target.kind.as_deref() == Some("Pod");
    let name = target
        .name
        .filter(|name| is_pod && (1..=LONGEST_NAME).contains(&name.len()));
    name.map(Arc::from)
}
