//! Which port of a Service is meant.

/// `service.port` of an Ingress backend.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServicePortRef {
    /// `number`, 1 to 65535: the port of the Service, not of its pods.
    Number(u16),
    /// `name`
    Name(Box<str>),
}
