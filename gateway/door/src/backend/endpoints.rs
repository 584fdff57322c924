//! From a Service and its EndpointSlices to a list of endpoints for each port, whatever names the port.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use resource::{ClusterView, EndpointSlice, Problem, Protocol, Service, ServicePort, Severity};
use route::ObjectKey;

use super::memory::EndpointMemory;
use super::policy::BackendPolicy;
use super::upstream::{Endpoint, NoEndpoints};

/// How many addresses of one Service are reported.
pub(super) const MOST_ADDRESSES: usize = 10;
/// In Services with more ports, the ports of slices are found by an index.
const FEW_PORTS: usize = 8;

/// The lists of one view. Each is made once.
pub(super) struct EndpointLists<'v> {
    view: &'v ClusterView,
    backends: &'v BackendPolicy,
    known: HashMap<(ObjectKey, Box<str>), Rc<EndpointList>>,
    indices: HashMap<ObjectKey, Index<'v>>,
}

/// The endpoints of one port.
#[derive(Debug)]
pub(super) struct EndpointList {
    pub(super) endpoints: Arc<[Endpoint]>,
    /// Why there are none, if there are none.
    pub(super) none: Option<NoEndpoints>,
    /// Addresses were left out because they must not be called.
    pub(super) any_refused: bool,
    /// What is wrong with them.
    pub(super) reported: Vec<Problem>,
}

/// Slices of a Service and the ports on which they take requests, by the names of these ports.
type Index<'v> = HashMap<&'v str, Vec<Target<'v>>>;
type Target<'v> = (&'v EndpointSlice, u16);

impl<'v> EndpointLists<'v> {
    pub(super) fn new(view: &'v ClusterView, backends: &'v BackendPolicy) -> Self {
        Self {
            view,
            backends,
            known: HashMap::new(),
            indices: HashMap::new(),
        }
    }

    /// The addresses that take requests: the ready ones, or, if there is none, those that still serve while they terminate
    /// (Kubernetes, EndpointConditions).
    pub(super) fn of(
        &mut self,
        service: &'v Service,
        port: &ServicePort,
        memory: &mut EndpointMemory,
    ) -> Rc<EndpointList> {
        let name = port.name.as_deref().unwrap_or_default();
        let place = (service.key.clone(), name.into());
        if let Some(known) = self.known.get(&place) {
            return Rc::clone(known);
        }
        let list = match memory.current(&service.key, name) {
            Some(endpoints) => EndpointList {
                none: None,
                endpoints,
                any_refused: false,
                reported: Vec::new(),
            },
            None => self.make(service, port, memory),
        };
        let list = Rc::new(list);
        self.known.insert(place, Rc::clone(&list));
        list
    }

    fn make(
        &mut self,
        service: &'v Service,
        port: &ServicePort,
        memory: &mut EndpointMemory,
    ) -> EndpointList {
        #[cfg(test)]
        crate::counted::note(|work| work.listed += 1);
        let (mut ready, mut last_resort) = (Vec::new(), Vec::new());
        let (mut refused, mut reported) = (0, Vec::new());
        let bounds = self.backends.bounds;
        let most = bounds.endpoints_of_each(service.ports.len());
        let (mut read, mut left_out, mut unready) = (0, 0, 0);
        let targets = self.targets(service, port);
        let has_port = !targets.is_empty();
        let addresses = &self.backends.addresses;
        for (slice, target) in targets {
            let rest = slice.endpoints.len().min(most - read);
            left_out += slice.endpoints.len() - rest;
            read += rest;
            for endpoint in slice.endpoints.iter().take(rest) {
                let address = SocketAddr::new(endpoint.address, target);
                if let Some(reason) = addresses.refuses(address) {
                    refused += 1;
                    if refused <= MOST_ADDRESSES {
                        reported.push(refused_address(slice, address, reason));
                    }
                    continue;
                }
                let found = || Endpoint {
                    address,
                    pod: endpoint.pod.clone(),
                };
                if endpoint.ready {
                    ready.push(found());
                } else if endpoint.serving && endpoint.terminating {
                    last_resort.push(found());
                } else {
                    unready += 1;
                }
            }
        }
        count_others(&mut reported, refused);
        if left_out > 0 {
            let message = format!(
                "port {} has {} endpoints, and the first {most} of them are used: a Service may have {} over all its \
                 ports (`service_endpoints` in [source])",
                port.port,
                read + left_out,
                bounds.endpoints
            );
            reported.push(service.problem(Severity::Warning, "spec.ports", message));
        }
        let slices = self.view.endpoint_slices(&service.key).count();
        if slices > bounds.slices {
            let message = format!(
                "the Service has {slices} EndpointSlices, and the first {} of them are read (`service_slices` in [source])",
                bounds.slices
            );
            reported.push(service.problem(Severity::Warning, "", message));
        }
        let any_listed = || {
            let mut slices = self.view.endpoint_slices(&service.key);
            slices.any(|slice| !slice.endpoints.is_empty())
        };
        let none = match (unready, has_port) {
            (1.., _) => NoEndpoints::Unready(unready),
            (0, false) if any_listed() => NoEndpoints::OtherPorts,
            (0, _) => NoEndpoints::Unlisted,
        };
        let mut chosen = if ready.is_empty() { last_resort } else { ready };
        chosen.sort_unstable();
        chosen.dedup_by_key(|endpoint| endpoint.address);
        let name = port.name.as_deref().unwrap_or_default();
        EndpointList {
            none: chosen.is_empty().then_some(none),
            endpoints: memory.share(&service.key, name, chosen, reported.is_empty()),
            any_refused: refused > 0,
            reported,
        }
    }

    /// The slices that have the port, and its number there. A Service port and an EndpointSlice port are matched by name,
    /// including the empty one.
    fn targets(&mut self, service: &'v Service, port: &ServicePort) -> Vec<Target<'v>> {
        let bounds = self.backends.bounds;
        let slices = self.view.endpoint_slices(&service.key).take(bounds.slices);
        let all = slices.flat_map(|slice| {
            let ports = slice.ports.iter().take(bounds.ports);
            let tcp = ports.filter(|port| port.protocol == Protocol::Tcp);
            tcp.filter_map(move |port| {
                Some((port.name.as_deref().unwrap_or_default(), (&**slice, port.port?)))
            })
        });
        let wanted = port.name.as_deref().unwrap_or_default();
        if service.ports.len() <= FEW_PORTS {
            return all
                .filter(|(name, _)| *name == wanted)
                .map(|(_, target)| target)
                .collect();
        }
        let index = self.indices.entry(service.key.clone()).or_insert_with(|| {
            let mut index = Index::new();
            for (name, target) in all {
                index.entry(name).or_default().push(target);
            }
            index
        });
        index.get(wanted).cloned().unwrap_or_default()
    }
}

/// Says how many of the refused addresses are not listed.
pub(super) fn count_others(reported: &mut Vec<Problem>, refused: usize) {
    let left_out = refused.saturating_sub(MOST_ADDRESSES);
    if let Some(last) = reported.last().filter(|_| left_out > 0).cloned() {
        reported.push(Problem {
            message: format!("{left_out} more addresses are not listed"),
            ..last
        });
    }
}

fn refused_address(slice: &EndpointSlice, address: SocketAddr, reason: &str) -> Problem {
    slice.problem(
        Severity::Error,
        "endpoints",
        format!("{address} is {reason}; the gateway does not call it"),
    )
}
