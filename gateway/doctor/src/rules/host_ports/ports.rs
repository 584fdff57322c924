//! Ports of nodes that pods take.

use k8s_openapi::api::core::v1::PodSpec;

/// A port of its node that a pod declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPort {
    pub(super) number: i32,
    pub(super) protocol: String,
    /// On this address alone; empty: on all.
    pub(super) address: String,
}

impl HostPort {
    /// Whether two pods on one node cannot both have them, as the scheduler decides (`NodePorts`).
    pub(super) fn conflicts(&self, other: &Self) -> bool {
        let is_all = |address: &str| address.is_empty() || address == "0.0.0.0" || address == "::";
        self.number == other.number
            && self.protocol == other.protocol
            && (is_all(&self.address) || is_all(&other.address) || self.address == other.address)
    }
}

/// The ports of the node that pods of this kind declare. On the host network, each declared port is one.
pub(super) fn declared(spec: &PodSpec) -> Vec<HostPort> {
    let on_host = spec.host_network == Some(true);
    let ports = spec
        .containers
        .iter()
        .flat_map(|container| container.ports.iter().flatten());
    let ports = ports.filter_map(|port| {
        let number = port
            .host_port
            .filter(|number| *number > 0)
            .or(on_host.then_some(port.container_port))?;
        Some(HostPort {
            number,
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            address: port.host_ip.clone().unwrap_or_default(),
        })
    });
    ports.collect()
}
