//! The Service and port that an Ingress sends requests to.

use std::fmt;

use k8s_openapi::api::networking::v1::{IngressBackend as RawBackend, ServiceBackendPort as RawPort};
use route::ObjectKey;

use crate::metadata::is_label;
use crate::protocol::port_number;
use crate::reporter::Reporter;
use crate::service_port::ServicePortRef;

/// A port of a Service, as an Ingress names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IngressBackend {
    /// The Service, in the Ingress's own namespace.
    pub service: ObjectKey,
    /// Which of its ports.
    pub port: ServicePortRef,
}

/// Why a backend cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBackend {
    /// Neither `service` nor `resource`.
    #[error("the backend is missing; write `service` with a name and a port; answers 503")]
    Missing,
    /// `resource` beside `service`.
    #[error("`resource` and `service` exclude each other; answers 503")]
    Both,
    /// A `resource` backend.
    #[error("`resource` backends are not supported, only `service`; answers 503")]
    Resource,
    /// `service.name` is absent.
    #[error("the name of the Service is missing; answers 503")]
    NoName,
    /// `service.name` cannot be the name of a Service.
    #[error(
        "`{0}` is not a Service name; allowed: at most 63 lower-case letters, digits and `-`; answers 503"
    )]
    Name(String),
    /// No port.
    #[error("the port of the Service is missing; write `number` or `name`; answers 503")]
    NoPort,
    /// Both a number and a name.
    #[error("`number` and `name` of a port exclude each other; write one of them; answers 503")]
    TwoPorts,
    /// `number` is out of range.
    #[error("{0} is not a port (1 to 65535); answers 503")]
    PortNumber(i32),
    /// The host of the rule is not valid, and yet clear enough that its place can be closed.
    #[error("the host of the rule is not valid; answers 503")]
    Host,
    /// It is not of the right form; the problem is reported where the object is read.
    #[error("the backend cannot be read; answers 503")]
    Unreadable,
}

impl IngressBackend {
    pub(super) fn read(
        raw: RawBackend,
        ingress: &ObjectKey,
        field: &str,
        report: &mut Reporter<'_>,
    ) -> Result<Self, InvalidBackend> {
        let unreadable = [
            "",
            ".service",
            ".service.name",
            ".service.port",
            ".service.port.number",
            ".service.port.name",
        ];
        if unreadable
            .iter()
            .any(|part| report.is_unreadable(&format!("{field}{part}")))
        {
            return Err(InvalidBackend::Unreadable);
        }
        let (part, invalid) = match (raw.service, raw.resource) {
            (Some(service), None) if service.name.is_empty() => (".service.name", InvalidBackend::NoName),
            (Some(service), None) if !is_label(&service.name) => {
                (".service.name", InvalidBackend::Name(service.name))
            }
            (Some(service), None) => match ServicePortRef::read(service.port.unwrap_or_default()) {
                Ok(port) => {
                    return Ok(Self {
                        service: ingress.beside(service.name),
                        port,
                    });
                }
                Err(invalid) => (".service.port", invalid),
            },
            (Some(_), Some(_)) => ("", InvalidBackend::Both),
            (None, Some(_)) => (".resource", InvalidBackend::Resource),
            (None, None) => ("", InvalidBackend::Missing),
        };
        let part = if matches!(invalid, InvalidBackend::PortNumber(_)) {
            ".service.port.number"
        } else {
            part
        };
        report.error(&format!("{field}{part}"), invalid.to_string());
        Err(invalid)
    }
}

impl ServicePortRef {
    /// The number that is meant: one that is written as such, or in the digits of a name that no port has. A cluster
    /// takes no name without a letter, so such a name comes from a file, where it is a number in quotes.
    #[must_use]
    pub fn number(&self) -> Option<u16> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(name) if name.bytes().all(|byte| byte.is_ascii_digit()) => {
                name.parse().ok().and_then(port_number)
            }
            Self::Name(_) => None,
        }
    }

    fn read(raw: RawPort) -> Result<Self, InvalidBackend> {
        // The API server stores an unset number as 0 and an unset name as the empty string.
        let name = raw.name.filter(|name| !name.is_empty());
        match (raw.number.filter(|number| *number != 0 || name.is_none()), name) {
            (None, None) => Err(InvalidBackend::NoPort),
            (Some(_), Some(_)) => Err(InvalidBackend::TwoPorts),
            (None, Some(name)) => Ok(Self::Name(name.into())),
            (Some(number), None) => port_number(number)
                .map(Self::Number)
                .ok_or(InvalidBackend::PortNumber(number)),
        }
    }
}

/// `8080`, or the name in backquotes.
impl fmt::Display for ServicePortRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(out, "{number}"),
            Self::Name(name) => write!(out, "`{name}`"),
        }
    }
}
