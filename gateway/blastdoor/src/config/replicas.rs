//! `[source] replicas` and `refuse_backends`: what must not be a backend, besides the built-in list.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use route::ObjectKey;

use super::diagnostics::Section;
use super::model::{Replicas, SourceKind};
use super::networks::network;
use super::raw::{RawReplicas, RawSource};
use super::units::object;

pub(super) fn replicas(section: &mut Section<'_, '_>, raw: &RawSource, kind: &SourceKind) -> Replicas {
    const KEY: &str = "replicas";
    let Some(raw) = &raw.replicas else {
        if *kind == SourceKind::Kubernetes {
            let message = "is not set, so anyone who can write EndpointSlices can name another pod of this gateway \
                           there, and reach a door of it through another one; name the Services of all its pods, \
                           as in { services = [\"blastdoor/blastdoor\"] }";
            section.warn(KEY, message);
        }
        return Replicas::default();
    };
    Replicas {
        services: services(section, raw),
        host_ports: raw.host_ports.unwrap_or(false),
    }
}

fn services(section: &mut Section<'_, '_>, raw: &RawReplicas) -> Vec<ObjectKey> {
    const KEY: &str = "replicas.services";
    let written = raw.services.as_deref().unwrap_or_default();
    if written.is_empty() {
        let message =
            "names no Service; write those of all pods of this gateway, as in [\"blastdoor/blastdoor\"]";
        section.error(KEY, message);
    }
    let mut services = Vec::new();
    for (index, text) in written.iter().enumerate() {
        match object(text) {
            Some(key) => services.push(key),
            None => section.error(
                &format!("{KEY}[{index}]"),
                format!("`{text}` is not a Service; allowed: `namespace/name`"),
            ),
        }
    }
    services.sort();
    services.dedup();
    services
}

pub(super) fn refuse_backends(section: &mut Section<'_, '_>, raw: &RawSource) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (index, written) in raw.refuse_backends.iter().flatten().enumerate() {
        match network(written) {
            Some(network) => networks.push(unmapped(network)),
            None => section.error(
                &format!("refuse_backends[{index}]"),
                format!(
                    "`{written}` is not a network; allowed: `10.0.0.0/8`, `2001:db8::/32`, or one address"
                ),
            ),
        }
    }
    networks
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`: addresses are judged as what they stand for.
fn unmapped(network: IpNet) -> IpNet {
    let v4 = || {
        let IpAddr::V4(ip) = network.addr().to_canonical() else {
            return None;
        };
        let length = network.prefix_len().checked_sub(96)?;
        Ipv4Net::new(ip, length).ok()
    };
    match network {
        IpNet::V6(_) => v4().map_or(network, IpNet::V4),
        IpNet::V4(_) => network,
    }
}
