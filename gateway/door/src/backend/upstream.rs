//! What requests are forwarded to.

use std::net::SocketAddr;
use std::sync::Arc;

use route::ObjectKey;

use super::tls::BackendTls;

/// What a Service port stands for: its name and the endpoints that take requests.
#[derive(Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The Service.
    pub service: ObjectKey,
    /// Stands for the Service's namespace. What the requests of one namespace reveal about an address does not count for
    /// another: a namespace may ask an address for something that it cannot do.
    pub namespace_id: u64,
    /// The port of the Service (`spec.ports[].port`).
    pub port: u16,
    /// The protocol of the endpoints.
    pub protocol: UpstreamProtocol,
    /// Where requests go; empty means 503. Shared by everything that names this port of the Service.
    pub endpoints: Arc<[Endpoint]>,
    /// Why there are none, if there are none.
    pub none: Option<NoEndpoints>,
}

/// Why nothing takes the requests of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoEndpoints {
    /// No EndpointSlice of the Service has an address for the port.
    Unlisted,
    /// The Service has addresses, and none of them for this port: pods have no port of that name.
    OtherPorts,
    /// This many addresses are listed, and none is ready.
    Unready(usize),
    /// DNS has no address for the name.
    Unresolved,
    /// Nobody asked DNS: this is not the gateway that serves ([`crate::ExternalNames::Unasked`]).
    Unasked,
}

/// The protocol of an upstream's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1 in clear text.
    Http1,
    /// HTTP/2 in clear text, by prior knowledge (RFC 9113 3.3).
    H2c,
    /// TLS, with HTTP/2 if the settings say so, else HTTP/1.1.
    Tls(Arc<BackendTls>),
}

/// One address that takes requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Pod address and target port.
    pub address: SocketAddr,
    /// The name of the Pod, as far as its EndpointSlice says it: only for whoever reads the logs.
    pub pod: Option<Arc<str>>,
}

impl Endpoint {
    /// An address of which nothing else is known.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { address, pod: None }
    }
}

impl Upstream {
    /// Whether no request can be sent. Where nobody asked DNS, that is not known, and names have addresses usually.
    #[must_use]
    pub fn is_without_endpoints(&self) -> bool {
        self.endpoints.is_empty() && self.none != Some(NoEndpoints::Unasked)
    }

    /// Why it has no endpoint, in words; `None` if it has any.
    #[must_use]
    pub fn explain_none(&self) -> Option<String> {
        let (service, port) = (&self.service, self.port);
        Some(match self.none.filter(|_| self.endpoints.is_empty())? {
            NoEndpoints::Unlisted => format!(
                "Service `{service}` has no endpoint: no EndpointSlice lists an address for its port {port} (are there \
                 pods, and do their labels match its selector?)"
            ),
            NoEndpoints::OtherPorts => format!(
                "Service `{service}` has no endpoint for its port {port}: its EndpointSlices list addresses for other \
                 ports only (do the pods have a port of the name in `targetPort`?)"
            ),
            NoEndpoints::Unready(1) => {
                format!("the one endpoint of Service `{service}`, port {port}, is not ready")
            }
            NoEndpoints::Unready(count) => {
                format!("none of the {count} endpoints of Service `{service}`, port {port}, is ready")
            }
            NoEndpoints::Unresolved => format!("DNS has no address for the name of Service `{service}`"),
            NoEndpoints::Unasked => format!("DNS is not asked here for the name of Service `{service}`"),
        })
    }

    /// The Pod at an address, as far as it is known.
    #[must_use]
    pub fn pod(&self, address: SocketAddr) -> Option<&str> {
        let found = self
            .endpoints
            .binary_search_by_key(&address, |endpoint| endpoint.address);
        self.endpoints.get(found.ok()?)?.pod.as_deref()
    }
}
