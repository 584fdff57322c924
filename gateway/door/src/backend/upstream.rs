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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Pod address and target port.
    pub address: SocketAddr,
}
