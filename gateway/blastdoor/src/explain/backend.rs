//! Where a request goes: the endpoints of its Service, which of them may get it, and what is known of them.

use std::net::SocketAddr;

use door::{Action, NoEndpoints, Upstream, UpstreamProtocol};
use proxy::{CanaryTurn, EndpointHealth, Outcome, Rehearsal};
use resource::EndpointSlice;

use super::told::{BackendTold, EndpointTold};
use crate::shown::{ShownDoor, ShownWorld};

/// How many endpoints are listed.
const MOST: usize = 50;

/// The backend of a request that has one, whether or not it gets there.
pub(super) fn told(world: &ShownWorld, door: &ShownDoor, rehearsal: &Rehearsal) -> Option<BackendTold> {
    let route = rehearsal.route.as_deref();
    let of_route = route.and_then(|route| match &route.action {
        Action::Forward(upstream) => Some(&**upstream),
        Action::Redirect | Action::Blocked(_) => None,
    });
    let upstream = match &rehearsal.outcome {
        Outcome::Forward(upstream) => upstream,
        Outcome::Answer(_) | Outcome::PassThrough(_) => of_route?,
    };
    let canary = route.and_then(|route| route.canary.as_deref());
    let canary = canary.map(|canary| {
        let name = &canary.route.origin.text;
        match rehearsal.canary {
            CanaryTurn::Yes => format!("canary `{name}` takes this request while it has endpoints"),
            CanaryTurn::Share(part, whole) => {
                format!("canary `{name}` takes {part} of {whole} such requests")
            }
            CanaryTurn::No => format!("canary `{name}` does not take this request"),
        }
    });
    let mut endpoints = in_use(door, upstream);
    if upstream.none == Some(NoEndpoints::Unasked) {
        endpoints.push(EndpointTold {
            address: "unknown".to_owned(),
            pod: None,
            state: "DNS is not asked here: `--admin` asks the running gateway".to_owned(),
        });
    }
    endpoints.extend(unused(world, upstream));
    let more_endpoints = endpoints.len().saturating_sub(MOST) + upstream.endpoints.len().saturating_sub(MOST);
    endpoints.truncate(MOST);
    Some(BackendTold {
        service: upstream.service.to_string(),
        port: upstream.port,
        protocol: protocol(&upstream.protocol),
        endpoints,
        more_endpoints,
        canary,
    })
}

fn protocol(protocol: &UpstreamProtocol) -> String {
    match protocol {
        UpstreamProtocol::Http1 => "HTTP/1.1 in clear text".to_owned(),
        UpstreamProtocol::H2c => "HTTP/2 in clear text".to_owned(),
        UpstreamProtocol::Tls(tls) => {
            let name = tls.server_name.to_str();
            if tls.is_verified() {
                format!(
                    "TLS; the certificate must be for `{name}` and of a trusted authority, else 502 (upstream_tls)"
                )
            } else {
                format!("TLS for `{name}`; the certificate is not verified")
            }
        }
    }
}

/// Those that requests may go to.
fn in_use(door: &ShownDoor, upstream: &Upstream) -> Vec<EndpointTold> {
    let health = door.status.as_ref().map(|status| status.health(upstream, MOST));
    let health = health.unwrap_or_default();
    let each = upstream.endpoints.iter().take(MOST).enumerate();
    each.map(|(index, endpoint)| EndpointTold {
        address: endpoint.address.to_string(),
        pod: endpoint.pod.as_deref().map(str::to_owned),
        state: match health.get(index) {
            None | Some(EndpointHealth::Unknown) => "in use",
            Some(EndpointHealth::In) => "in use, and answers",
            Some(EndpointHealth::Due) => "ejected; the next request finds out whether it has recovered",
            Some(EndpointHealth::Ejected) => "ejected: it accepts connections and fails requests",
            Some(EndpointHealth::Down) => "down: no connection can be established",
        }
        .to_owned(),
    })
    .collect()
}

/// Those of the same Service to which none goes.
fn unused(world: &ShownWorld, upstream: &Upstream) -> Vec<EndpointTold> {
    let mut others = Vec::new();
    for (slice, port) in slices(world, upstream) {
        for endpoint in &slice.endpoints {
            let address = SocketAddr::new(endpoint.address, port);
            let is_used = upstream
                .endpoints
                .binary_search_by_key(&address, |used| used.address)
                .is_ok();
            if is_used || others.len() >= MOST {
                continue;
            }
            let state = match (endpoint.ready, endpoint.serving && endpoint.terminating) {
                (true, _) => "not used: the gateway must not call this address",
                (false, true) => "terminating",
                (false, false) => "not ready",
            };
            others.push(EndpointTold {
                address: address.to_string(),
                pod: endpoint.pod.as_deref().map(str::to_owned),
                state: state.to_owned(),
            });
        }
    }
    others
}

/// The slices of the Service that have its port, and the number that it has there.
fn slices<'w>(world: &'w ShownWorld, upstream: &Upstream) -> Vec<(&'w EndpointSlice, u16)> {
    let Some(view) = &world.view else {
        return Vec::new();
    };
    let service = view.service(&upstream.service);
    let port = service.and_then(|service| service.ports.iter().find(|port| port.port == upstream.port));
    let name = port.and_then(|port| port.name.as_deref()).unwrap_or_default();
    let slices = view.endpoint_slices(&upstream.service);
    slices
        .flat_map(|slice| {
            let ports = slice.ports.iter();
            let named = ports.filter(move |port| port.name.as_deref().unwrap_or_default() == name);
            named.filter_map(move |port| Some((&**slice, port.port?)))
        })
        .collect()
}
