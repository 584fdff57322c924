//! `/api/v1/endpoints`

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

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
            format!("{key}:{port} {}", addresses.join(" "))
        };
        let is_asked_for = (!only_trouble || state != State::Ready)
            && door.is_none_or(|door| called.doors.contains(door))
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
    doors: BTreeSet<&'w str>,
    unwell: Vec<(&'w str, UnwellEndpoint)>,
}

type Places<'w> = BTreeMap<SocketAddr, (Standing, BTreeSet<&'w str>)>;

/// Every port of a Service that some door calls.
fn called(world: &ShownWorld) -> BTreeMap<(&ObjectKey, u16), Called<'_>> {
    let mut services: BTreeMap<_, Called<'_>> = BTreeMap::new();
    for shown in &world.doors {
        let name = shown.name().as_str();
        let unwell = shown
            .status
            .as_ref()
            .map(|status| status.unwell())
            .unwrap_or_default();
        // Thousands of rules may name one list.
        let mut seen = std::collections::HashSet::new();
        for upstream in shown.snapshot.upstreams() {
            if !seen.insert((&upstream.service, upstream.port, upstream.endpoints.as_ptr())) {
                continue;
            }
            let called = services.entry((&upstream.service, upstream.port)).or_default();
            called.upstreams.push(upstream);
            if called.doors.insert(name) && !unwell.is_empty() {
                let of_namespace = unwell
                    .iter()
                    .filter(|one| one.namespace_id == upstream.namespace_id);
                called.unwell.extend(of_namespace.map(|one| (name, *one)));
            }
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
            places.insert(endpoint.address, (Standing::Ready, BTreeSet::new()));
        }
        for (door, unwell) in &self.unwell {
            let Some((standing, doors)) = places.get_mut(&unwell.address) else {
                continue;
            };
            let verdict = if unwell.is_reachable {
                Standing::Ejected
            } else {
                Standing::Down
            };
            *standing = verdict.min(*standing);
            doors.insert(door);
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
                let (known, _) = places.entry(address).or_insert((standing, BTreeSet::new()));
                *known = standing.min(*known);
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
    let any = |wanted: &[Standing]| places.values().any(|(standing, _)| wanted.contains(standing));
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
        .filter(|(standing, _)| takes.contains(standing))
        .count();
    let not_ready = places.len() - ready;
    let mut places: Vec<_> = places.into_iter().collect();
    places.sort_by_key(|(address, (standing, _))| (*standing, *address));
    let more = places.len().saturating_sub(MOST_ENDPOINTS);
    let texts = |doors: &BTreeSet<&str>| doors.iter().map(|door| (*door).to_owned()).collect();
    let endpoints = places.into_iter().take(MOST_ENDPOINTS);
    Row {
        service: key.to_string(),
        port,
        listeners: texts(&called.doors),
        state,
        ready,
        not_ready,
        endpoints: endpoints
            .map(|(address, (state, doors))| Place {
                address: address.to_string(),
                state,
                listeners: texts(&doors),
            })
            .collect(),
        more,
    }
}
