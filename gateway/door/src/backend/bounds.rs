//! How much of one Service is used, so that no Service costs more than a bounded part of memory and time.

use resource::ClusterView;
use route::ObjectKey;

/// The bounds of each Service (`[source] service_ports`, `service_slices`, `service_endpoints`). They depend on that
/// Service alone: what exceeds them affects nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceBounds {
    /// Rules for a port after this many ports of the Service are closed.
    pub ports: usize,
    /// The EndpointSlices that are read, in the order of their names.
    pub slices: usize,
    /// The endpoints that are read, over all ports: each port has an equal part.
    pub endpoints: usize,
}

impl Default for ServiceBounds {
    fn default() -> Self {
        Self {
            ports: 250,
            slices: 1_000,
            endpoints: 20_000,
        }
    }
}

impl ServiceBounds {
    /// How many endpoints of a Service are kept at most, over all its ports.
    pub(crate) fn endpoints_of(self, view: &ClusterView, service: &ObjectKey) -> usize {
        let Some(service) = view.service(service) else {
            return 0;
        };
        let slices = view.endpoint_slices(&service.key).take(self.slices);
        let endpoints: usize = slices.map(|slice| slice.endpoints.len()).sum();
        let ports = service.ports.len().min(self.ports);
        endpoints.saturating_mul(ports).min(self.endpoints)
    }

    /// How many endpoints are read for each port of a Service that has so many ports.
    pub(crate) fn endpoints_of_each(self, ports: usize) -> usize {
        (self.endpoints / ports.clamp(1, self.ports.max(1))).max(1)
    }
}
