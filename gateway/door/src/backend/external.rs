//! Services of type ExternalName: from a name and its DNS answer to endpoints.
//!
//! DNS is queried elsewhere and ahead of time; here its answers are part of the view like everything else.

use std::net::SocketAddr;

use resource::{
    AppProtocol, ClusterView, Protocol, Service, ServicePort, ServicePortRef, ServiceType, Severity,
};
use route::Host;

use super::endpoints::{EndpointList, MOST_ADDRESSES, count_others};
use super::policy::{BackendPolicy, ExternalNames};
use super::refused::{Doubt, Refused};
use super::upstream::Endpoint;
use crate::rule::Blocked;

/// A Service of type ExternalName that may be called.
pub(crate) struct External<'v> {
    service: &'v Service,
    /// `spec.externalName`: the name in DNS, and the name that TLS expects.
    pub(crate) name: &'v Host,
    names: ExternalNames,
}

impl<'v> External<'v> {
    /// `None` for Services of other types.
    ///
    /// # Errors
    /// When the Service has a name by which it must not be called.
    pub(crate) fn of(service: &'v Service, names: ExternalNames) -> Result<Option<Self>, Refused> {
        let ServiceType::ExternalName(name) = &service.kind else {
            return Ok(None);
        };
        let refused = |reason, why: &str| Refused {
            reason,
            severity: Severity::Error,
            message: format!(
                "Service `{}` is of type ExternalName, {why}; the rule answers 503",
                service.key
            ),
        };
        if names == ExternalNames::Refused {
            let why = "which is refused (`[source] allow_external_names` is not set)";
            return Err(refused(Blocked::RefusedAddress, why));
        }
        match name {
            Ok(name) => Ok(Some(Self { service, name, names })),
            Err(_reported) => Err(refused(
                Blocked::NoSuchBackend,
                "and its externalName is not a name in DNS",
            )),
        }
    }

    /// What is reported to the Ingress about the name. Errors only if there is nothing to call.
    pub(crate) fn doubt(&self, view: &ClusterView) -> Option<Doubt> {
        let name = self.name;
        let (severity, what) = match view.resolution(name) {
            _ if self.names == ExternalNames::Unasked => (
                Severity::Note,
                "DNS is not queried here, so its addresses are unknown".to_owned(),
            ),
            None => (
                Severity::Note,
                "DNS has not answered yet; the rule answers 503 until it does".to_owned(),
            ),
            Some(known) => match (&known.fault, known.addresses.len()) {
                (None, 0) => (
                    Severity::Error,
                    "DNS has no address for it; the rule answers 503".to_owned(),
                ),
                (Some(fault), 0) => (Severity::Error, format!("{fault}; the rule answers 503")),
                (Some(fault), _) => (
                    Severity::Note,
                    format!("{fault}; the last answer stays in use for a minute"),
                ),
                (None, used) if known.left_out > 0 => (
                    Severity::Note,
                    format!(
                        "DNS has {} addresses for it; {used} of them are used",
                        used + known.left_out
                    ),
                ),
                (None, _) => return None,
            },
        };
        Some(Doubt {
            severity,
            message: format!("Service `{}` stands for `{name}`: {what}", self.service.key),
        })
    }

    /// The addresses of the name at this port.
    pub(crate) fn endpoints(&self, view: &ClusterView, backends: &BackendPolicy, port: u16) -> EndpointList {
        let (mut endpoints, mut any_refused, mut reported) = (Vec::new(), false, Vec::new());
        let addresses = view.resolution(self.name).map(|known| known.addresses.iter());
        for address in addresses.into_iter().flatten() {
            let address = SocketAddr::new(*address, port);
            match backends.addresses.refuses(address) {
                None => endpoints.push(Endpoint::at(address)),
                Some(reason) => {
                    any_refused = true;
                    reported.push(self.service.problem(
                        Severity::Error,
                        "spec.externalName",
                        format!(
                            "`{}` is {address}, which is {reason}; the gateway does not call it",
                            self.name
                        ),
                    ));
                }
            }
        }
        endpoints.sort_unstable();
        endpoints.dedup();
        let more = reported.len();
        reported.truncate(MOST_ADDRESSES);
        count_others(&mut reported, more);
        EndpointList {
            none: endpoints.is_empty().then_some(self.names.why_none()),
            endpoints: endpoints.into(),
            any_refused,
            reported,
        }
    }
}

/// A port that an Ingress may name by its number although the Service does not list it: nothing between the gateway and
/// the name needs the list.
pub(crate) fn implied_port(service: &Service, wanted: &ServicePortRef) -> Option<ServicePort> {
    Some(ServicePort {
        name: None,
        port: wanted.number()?,
        protocol: Protocol::Tcp,
        app_protocol: service.scheme.unwrap_or(AppProtocol::Http),
    })
}
