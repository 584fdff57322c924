//! Where the gateways of this installation listen, so that no door of theirs becomes a backend.
//!
//! When addresses cannot be listed, those that were known before stay. While none are known, every address counts as the
//! gateway's own.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use door::{AddressPolicy, OwnAddresses};
use resource::{ClusterView, Kind, ObjectRef, Problem, Protocol, Severity};
use route::ObjectKey;

use crate::config::{AdminBind, Config, Source};

/// How long a list of interfaces is good enough for a publication.
const MOMENT: Duration = Duration::from_secs(1);

/// The addresses of this host and the ports of this installation's gateways.
#[derive(Debug, Default)]
pub(crate) struct GatewayAddresses {
    /// Every port that a door or the admin port has had: one that drains still answers. Those included that `--doors`
    /// leaves to another process of the same configuration.
    ports: BTreeSet<u16>,
    /// Addresses that doors are bound to, whether an interface has them now or not.
    bound: BTreeSet<IpAddr>,
    /// Those of the interfaces; `None` until they have been listed.
    interfaces: Option<BTreeSet<IpAddr>>,
    /// Why they cannot be listed now.
    trouble: Option<String>,
    /// When they were listed last.
    looked: Option<Instant>,
}

impl GatewayAddresses {
    /// Adds the addresses that a configuration declares.
    pub(crate) fn declare(&mut self, config: &Config) {
        let admin = match &config.admin {
            AdminBind::Tcp(address) => Some(*address),
            AdminBind::Unix(_) => None,
        };
        self.listen(config.declared.iter().copied().chain(admin));
    }

    /// Adds addresses at which the process listens, or will listen.
    pub(crate) fn listen(&mut self, addresses: impl IntoIterator<Item = SocketAddr>) {
        for address in addresses {
            // 0 stands for a port that is known once it is bound.
            if address.port() != 0 {
                self.ports.insert(address.port());
            }
            if !address.ip().is_unspecified() {
                self.bound.insert(address.ip().to_canonical());
            }
        }
    }

    /// Lists the interfaces again; returns whether anything is different.
    pub(crate) fn look(&mut self) -> bool {
        self.looked = Some(Instant::now());
        self.learn(interfaces())
    }

    /// The same, unless that was done a moment ago: on a node with many pods it costs more than a change of one of them.
    pub(crate) fn look_again(&mut self) {
        if self.looked.is_none_or(|looked| looked.elapsed() >= MOMENT) {
            self.look();
        }
    }

    fn learn(&mut self, found: Result<BTreeSet<IpAddr>, String>) -> bool {
        let (found, trouble) = match found {
            Ok(found) => (Some(found), None),
            Err(trouble) => (None, Some(trouble)),
        };
        let is_new = found.is_some() && found != self.interfaces;
        if is_new {
            self.interfaces = found;
        }
        let is_news = trouble != self.trouble;
        self.trouble = trouble;
        is_new || is_news
    }

    /// Which addresses may be called, and which problems limit what is known of them.
    pub(crate) fn policy(&self, source: &Source, view: &ClusterView) -> (AddressPolicy, Vec<Problem>) {
        let replicas = Replicas::find(&source.replicas.services, view);
        let is_complete = replicas.unknown.is_empty() && !source.replicas.host_ports;
        let own_addresses = match &self.interfaces {
            Some(interfaces) if is_complete => {
                let others = self.bound.iter().chain(&replicas.addresses);
                OwnAddresses::At(interfaces.iter().chain(others).copied().collect())
            }
            Some(_) | None => OwnAddresses::Anywhere,
        };
        let mut problems: Vec<Problem> = replicas.unknown.iter().map(unknown).collect();
        problems.extend(self.problem());
        let policy = AddressPolicy {
            allow_loopback: source.allow_loopback_backends,
            refused: source.refuse_backends.clone(),
            own_addresses,
            own_ports: self.ports.union(&replicas.ports).copied().collect(),
        };
        (policy, problems)
    }

    fn problem(&self) -> Option<Problem> {
        let trouble = self.trouble.as_ref()?;
        let consequence = match self.interfaces {
            Some(_) => "those that were listed before count as the gateway's own",
            None => "until they can, no backend is called at a port of the gateway's own, at any address",
        };
        let message = format!("cannot be listed: {trouble}; {consequence}");
        Some(Problem::of_file(
            Severity::Error,
            "addresses of this host",
            message,
        ))
    }
}

/// The gateways that `[source] replicas` names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Replicas {
    addresses: BTreeSet<IpAddr>,
    ports: BTreeSet<u16>,
    /// Services of which there is no EndpointSlice: a name that is misspelled, or that may not be read.
    unknown: Vec<ObjectKey>,
}

impl Replicas {
    /// Whatever their condition: one that ends still answers, and one that starts will.
    fn find(services: &[ObjectKey], view: &ClusterView) -> Self {
        let mut found = Self::default();
        for service in services {
            let mut slices = view.endpoint_slices(service).peekable();
            if slices.peek().is_none() {
                found.unknown.push(service.clone());
            }
            for slice in slices {
                let addresses = slice.endpoints.iter();
                found
                    .addresses
                    .extend(addresses.map(|endpoint| endpoint.address.to_canonical()));
                let tcp = slice.ports.iter().filter(|port| port.protocol == Protocol::Tcp);
                found.ports.extend(tcp.filter_map(|port| port.port));
            }
        }
        found
    }
}

/// How many gateways of this installation are ready, which share what applies to all together; `None` if `[source] replicas`
/// does not name their Services. Each has one address of a family, so that those with both do not count twice.
pub(crate) fn ready_replicas(source: &Source, view: &ClusterView) -> Option<u64> {
    let services = &source.replicas.services;
    if services.is_empty() {
        return None;
    }
    let slices = services.iter().flat_map(|service| view.endpoint_slices(service));
    let endpoints = slices.flat_map(|slice| &slice.endpoints);
    let ready = endpoints.filter(|endpoint| endpoint.ready && !endpoint.terminating);
    let addresses: BTreeSet<IpAddr> = ready.map(|endpoint| endpoint.address.to_canonical()).collect();
    let v4 = addresses.iter().filter(|address| address.is_ipv4()).count();
    let most = v4.max(addresses.len() - v4);
    Some(u64::try_from(most).unwrap_or(u64::MAX).max(1))
}

fn unknown(service: &ObjectKey) -> Problem {
    Problem {
        severity: Severity::Error,
        object: ObjectRef::namespaced(Kind::Service, service),
        field: String::new(),
        message: "`[source] replicas` names it, and it has no EndpointSlice that can be read, so the addresses \
                  of this gateway's other pods are unknown: no backend is called at a port of the gateway's own, at any \
                  address; create the Service, or correct its name"
            .to_owned(),
        source: None,
        topic: resource::Topic::Field,
    }
}

/// The addresses of this host's interfaces. A host without any is one that could not be looked at.
fn interfaces() -> Result<BTreeSet<IpAddr>, String> {
    let interfaces = nix::ifaddrs::getifaddrs().map_err(|error| error.to_string())?;
    let addresses: BTreeSet<IpAddr> = interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        })
        // Refused in any case; on a node's network they come and go with every pod.
        .filter(|address| !matches!(address, IpAddr::V6(address) if address.is_unicast_link_local()))
        .collect();
    if addresses.is_empty() {
        return Err("no interface has an address".to_owned());
    }
    Ok(addresses)
}

#[cfg(test)]
#[path = "gateway_addresses/tests.rs"]
mod tests;
