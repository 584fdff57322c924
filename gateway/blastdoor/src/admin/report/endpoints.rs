//! `/api/v1/endpoints`

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use door::Upstream;
use proxy::UnwellEndpoint;
use resource::ClusterView;
use route::ObjectKey;
use serde::Serialize;

use super::listing::{Listing, door, refused, word};
use crate::admin::answer::Answer;
use crate::admin::query::Query;
use crate::shown::ShownWorld;

/// How many endpoints of a Service are listed, those in trouble first.
const MOST_ENDPOINTS: usize = 20;

#[derive(Serialize)]
struct Page {
    services: Vec<Row>,
    /// How many match the query, how many there are, of how many no endpoint can be called, and of how many others some
    /// cannot.
    total: usize,
    all: usize,
    none: usize,
    some: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    service: String,
    port: u16,
    listeners: Vec<String>,
    state: State,
    /// Why no endpoint takes requests, if none does.
    why: Option<String>,
    /// Endpoints that take requests, according to their slices, and those that do not yet, or no more.
    ready: usize,
    not_ready: usize,
    endpoints: Vec<Place>,
    more: usize,
}

/// Of a Service. Ordered from worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// No endpoint can be called.
    None,
    /// Some cannot.
    Some,
    Ready,
}

#[derive(Debug, Serialize)]
struct Place {
    address: String,
    pod: Option<String>,
    state: Standing,
    /// The doors that say so; none if the slices do.
    listeners: Vec<String>,
}

/// Of an endpoint. Ordered from worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Standing {
    /// A door cannot connect to it.
    Down,
    /// A door has taken it out for a while, because it failed requests.
    Ejected,
    NotReady,
    Terminating,
    Ready,
}

/// The Services that doors call, those in trouble first.
///
/// # Errors
/// The answer to a query that cannot be understood.
pub(in crate::admin) fn page(world: &ShownWorld, query: &Query) -> Result<Answer, Answer> {
    query
        .only(&["state", "door", "q", "offset", "limit"])
        .map_err(|error| refused(&error))?;
    Ok(Answer::json(&of(world, query)?))
}

fn of(world: &ShownWorld, query: &Query) -> Result<Page, Answer> {
    let listing = Listing::of(query)?;
    let only_trouble = word(query, "state", &["trouble"])?.is_some();
    let door = door(query)?;
    let services = called(world);
    let (mut none, mut some) = (0, 0);
    let mut found = Vec::new();
    let all = services.len();
    for ((key, port), called) in services {
        let places = called.places(key, world.view.as_ref());
        let state = state(&places);
        match state {
            State::None => none += 1,
            State::Some => some += 1,
            State::Ready => {}
        }
        let text = || {
            let addresses: Vec<String> = places.keys().map(ToString::to_string).collect();
            let pods: Vec<&str> = places.values().filter_map(|known| known.pod.as_deref()).collect();
            format!("{key}:{port} {} {}", addresses.join(" "), pods.join(" "))
        };
        let is_asked_for = (!only_trouble || state != State::Ready)
            && door.is_none_or(|door| called.doors.contains_key(door))
            && listing.has(text);
        if is_asked_for {
            found.push((state, key, port, called, places));
        }
    }
    // Within each state they stay in order of their names.
    found.sort_by_key(|(state, ..)| *state);
    let (part, total) = listing.part(found);
    let rows = part.into_iter();
    let rows = rows.map(|(state, key, port, called, places)| row(state, key, port, &called, places));
    Ok(Page {
        services: rows.collect(),
        total,
        all,
        none,
        some,
    })
}

/// A port of a Service, and what doors know of it.
#[derive(Default)]
struct Called<'w> {
    upstreams: Vec<&'w Upstream>,
    doors: BTreeMap<&'w str, Judgement>,
}

/// What a door has found about the endpoints that it calls.
struct Judgement {
    /// Of all its endpoints, in order. Its Services share the list: every one can have thousands.
    unwell: Rc<[UnwellEndpoint]>,
    /// The namespace for which the door calls the Service.
    namespace_id: u64,
}

impl Judgement {
    /// What is wrong with an endpoint, if something is.
    fn of(&self, address: SocketAddr) -> Option<Standing> {
        let key = (self.namespace_id, address);
        let place = self
            .unwell
            .binary_search_by_key(&key, |one| (one.namespace_id, one.address));
        let unwell = self.unwell.get(place.ok()?)?;
        Some(if unwell.is_reachable {
            Standing::Ejected
        } else {
            Standing::Down
        })
    }
}

type Places<'w> = BTreeMap<SocketAddr, Known<'w>>;

/// What is known of an endpoint.
struct Known<'w> {
    standing: Standing,
    /// The doors that say so.
    doors: BTreeSet<&'w str>,
    pod: Option<Arc<str>>,
}

impl Known<'_> {
    fn of(standing: Standing, pod: Option<&Arc<str>>) -> Self {
        Self {
            standing,
            doors: BTreeSet::new(),
            pod: pod.cloned(),
        }
    }
}

/// Every port of a Service that some door calls.
fn called(world: &ShownWorld) -> BTreeMap<(&ObjectKey, u16), Called<'_>> {
    let mut services: BTreeMap<_, Called<'_>> = BTreeMap::new();
    for shown in &world.doors {
        let name = shown.name().as_str();
        let status = shown.status.as_ref();
        let unwell: Rc<[_]> = status.map(|status| status.unwell()).unwrap_or_default().into();
        // Thousands of rules may name one list.
        let mut seen = std::collections::HashSet::new();
        for upstream in shown.snapshot.upstreams() {
            if !seen.insert((&upstream.service, upstream.port, upstream.endpoints.as_ptr())) {
                continue;
            }
            let called = services.entry((&upstream.service, upstream.port)).or_default();
            called.upstreams.push(upstream);
            called.doors.entry(name).or_insert_with(|| Judgement {
                unwell: Rc::clone(&unwell),
                namespace_id: upstream.namespace_id,
            });
        }
    }
    services
}

impl<'w> Called<'w> {
    /// Every address of it, with the worst that is known of it.
    fn places(&self, key: &ObjectKey, view: Option<&ClusterView>) -> Places<'w> {
        let mut places = Places::new();
        let ready = self
            .upstreams
            .iter()
            .flat_map(|upstream| upstream.endpoints.iter());
        for endpoint in ready {
            let known = Known::of(Standing::Ready, endpoint.pod.as_ref());
            places.insert(endpoint.address, known);
        }
        for (door, judgement) in self
            .doors
            .iter()
            .filter(|(_, judgement)| !judgement.unwell.is_empty())
        {
            for (address, known) in &mut places {
                if let Some(standing) = judgement.of(*address) {
                    known.standing = standing.min(known.standing);
                    known.doors.insert(door);
                }
            }
        }
        let Some(view) = view else { return places };
        let service = view.service(key);
        let port = service.and_then(|service| service.ports.iter().find(|port| self.is_at(port.port)));
        let name = port.and_then(|port| port.name.as_deref());
        for slice in view.endpoint_slices(key) {
            let target = slice.ports.iter().find(|port| port.name.as_deref() == name);
            let Some(target) = target.and_then(|port| port.port) else {
                continue;
            };
            for endpoint in slice.endpoints.iter().filter(|endpoint| !endpoint.ready) {
                let standing = if endpoint.terminating {
                    Standing::Terminating
                } else {
                    Standing::NotReady
                };
                // If no other is left, those that terminate are called.
                let address = SocketAddr::new(endpoint.address, target);
                let known = places
                    .entry(address)
                    .or_insert_with(|| Known::of(standing, endpoint.pod.as_ref()));
                known.standing = standing.min(known.standing);
            }
        }
        places
    }

    fn is_at(&self, port: u16) -> bool {
        self.upstreams.iter().any(|upstream| upstream.port == port)
    }
}

/// What a Service is like. Endpoints that terminate are no trouble: every update has them.
fn state(places: &Places<'_>) -> State {
    let any = |wanted: &[Standing]| places.values().any(|known| wanted.contains(&known.standing));
    if !any(&[Standing::Ready, Standing::Ejected]) {
        State::None
    } else if any(&[Standing::Down, Standing::Ejected, Standing::NotReady]) {
        State::Some
    } else {
        State::Ready
    }
}

fn row(state: State, key: &ObjectKey, port: u16, called: &Called<'_>, places: Places<'_>) -> Row {
    let takes = [Standing::Ready, Standing::Ejected, Standing::Down];
    let ready = places
        .values()
        .filter(|known| takes.contains(&known.standing))
        .count();
    let not_ready = places.len() - ready;
    let mut places: Vec<_> = places.into_iter().collect();
    places.sort_by_key(|(address, known)| (known.standing, *address));
    let more = places.len().saturating_sub(MOST_ENDPOINTS);
    let endpoints = places.into_iter().take(MOST_ENDPOINTS);
    Row {
        service: key.to_string(),
        port,
        listeners: called.doors.keys().map(|door| (*door).to_owned()).collect(),
        state,
        why: called
            .upstreams
            .iter()
            .find_map(|upstream| upstream.explain_none()),
        ready,
        not_ready,
        endpoints: endpoints
            .map(|(address, known)| Place {
                address: address.to_string(),
                pod: known.pod.as_deref().map(str::to_owned),
                state: known.standing,
                listeners: known.doors.iter().map(|door| (*door).to_owned()).collect(),
            })
            .collect(),
        more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_judged_in_its_own_namespace() {
        let address = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let unwell = |namespace_id, port, is_reachable| UnwellEndpoint {
            namespace_id,
            address: address(port),
            is_reachable,
        };
        let judgement = Judgement {
            unwell: Rc::new([
                unwell(1, 80, true),
                unwell(1, 81, false),
                unwell(2, 80, false),
                unwell(2, 82, true),
            ]),
            namespace_id: 1,
        };
        let found = [80, 81, 82].map(|port| judgement.of(address(port)));
        assert_eq!(found, [Some(Standing::Ejected), Some(Standing::Down), None]);
    }
}
