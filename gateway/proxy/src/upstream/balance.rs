//! The choice between endpoints.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use door::Upstream;
use filter::hash::Ranking;
use smallvec::SmallVec;

use super::choice::{Choice, Preference};
use super::endpoint::Endpoint;
use super::health::{Availability, LastResort};
use super::key::position;

/// Where a request goes.
pub(crate) struct Chosen {
    pub(crate) endpoint: Rc<Endpoint>,
    /// This endpoint, which is known to be down, as are all others.
    pub(crate) last_resort: Option<LastResort>,
}

/// How many endpoints are looked at when a draw hits none that is usable; as many again when that finds none.
pub(super) const LOOKS: usize = 64;

/// How many endpoints are remembered that were found among many.
const FOUND: usize = 4;

/// How many endpoints are looked at for a key. Each costs a pass over all of them.
const RANKS: usize = 8;

/// Where to look in an upstream with many endpoints of which hardly any is usable, and whose turn it is.
#[derive(Default)]
pub(super) struct Search {
    /// The next place that nobody has looked at lately.
    next: Cell<usize>,
    /// What was usable.
    found: RefCell<SmallVec<[SocketAddr; FOUND]>>,
    used: Cell<Option<Instant>>,
    /// How many requests have had their turn; `None` before the first.
    turns: Cell<Option<usize>>,
}

/// Of two endpoints drawn at random, the one with fewer requests in flight: nearly as even as comparing all of them, at
/// the cost of comparing two (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing"). An endpoint that
/// fails is always free, so its failure rate counts first.
///
/// Endpoints that are down or out, and those that the request has tried, are skipped. If a draw hits only such endpoints,
/// others are searched from a random position, at most [`LOOKS`]. In an upstream with more, requests search on where the
/// last one has stopped, and remember what they find, so that one healthy endpoint among many dead ones is found sooner or
/// later, and then always. If none is found, the choice is one that is out, and then, for a request that has tried none,
/// one that is down; for one that has, the same once more if what failed was a single connection.
///
/// A preference comes before all that, as long as it leads to a usable endpoint.
pub(super) fn power_of_two(
    upstream: &Upstream,
    choice: &Choice,
    known: impl Fn(SocketAddr) -> Rc<Endpoint>,
    search: impl Fn() -> Rc<Search>,
) -> Option<Chosen> {
    let all = &upstream.endpoints;
    let count = all.len();
    let look = |index: usize| {
        let address = all.get(index)?.address;
        (!choice.tries.include(address)).then(|| known(address))
    };
    // And whether this request is the one that must try it.
    let usable = |index: usize| {
        let endpoint = look(index)?;
        match endpoint.availability() {
            Availability::In => Some((endpoint, false)),
            Availability::Due => endpoint.examine().then_some((endpoint, true)),
            Availability::Out | Availability::Down => None,
        }
    };
    let preferred = match choice.preference {
        Preference::Load => None,
        Preference::Endpoint(address) => position(upstream, address).and_then(usable),
        Preference::Key(key) => {
            let addresses = all.iter().map(|endpoint| endpoint.address);
            Ranking::new(key, addresses).take(RANKS).find_map(usable)
        }
        Preference::Turn if count > 1 => {
            let turn = search().turn(count);
            (0..count.min(LOOKS)).find_map(|step| usable((turn + step) % count))
        }
        Preference::Turn => None,
    };
    if let Some((endpoint, _)) = preferred {
        return Some(Chosen::usual(endpoint));
    }
    let drawn = match count {
        0 => return None,
        1 => usable(0),
        _ => {
            let first = fastrand::usize(..count);
            // Drawn from the others, so that the two always differ.
            let second = (first + 1 + fastrand::usize(..count - 1)) % count;
            match usable(first) {
                Some((endpoint, true)) => Some((endpoint, true)),
                left => match (left, usable(second)) {
                    (Some((left, _)), Some((right, false))) => Some((lighter(left, right), false)),
                    (_, Some(right)) => Some(right),
                    (left, None) => left,
                },
            }
        }
    };
    if let Some((endpoint, _)) = drawn {
        return Some(Chosen::usual(endpoint));
    }
    let from = fastrand::usize(..count);
    let mut others = (0..count.min(LOOKS)).map(|step| (from + step) % count);
    let found = match others.clone().find_map(usable) {
        found if count <= LOOKS => found,
        None => search().find(upstream, usable),
        Some(found) => {
            search().remember(found.0.address());
            Some(found)
        }
    };
    if let Some((endpoint, _)) = found {
        return Some(Chosen::usual(endpoint));
    }
    let out = |index| look(index).filter(|endpoint| endpoint.availability() != Availability::Down);
    if let Some(endpoint) = others.clone().find_map(out) {
        return Some(Chosen::usual(endpoint));
    }
    if !choice.tries.is_empty() {
        let same = choice.same.as_ref().filter(|endpoint| !endpoint.is_down())?;
        return Some(Chosen::usual(Rc::clone(same)));
    }
    others.find_map(|index| {
        let endpoint = look(index)?;
        let last_resort = Some(endpoint.last_resort()?);
        Some(Chosen {
            endpoint,
            last_resort,
        })
    })
}

impl Search {
    /// An endpoint that has been found before, else one of the next [`LOOKS`].
    fn find(
        &self,
        upstream: &Upstream,
        usable: impl Fn(usize) -> Option<(Rc<Endpoint>, bool)>,
    ) -> Option<(Rc<Endpoint>, bool)> {
        self.used.set(Some(Instant::now()));
        let remembered = self.found.borrow().clone();
        let from = fastrand::usize(..FOUND);
        for step in 0..remembered.len() {
            let address = remembered.get((from + step) % remembered.len());
            let index = address.and_then(|address| position(upstream, *address));
            if let Some(found) = index.and_then(&usable) {
                return Some(found);
            }
        }
        let count = upstream.endpoints.len();
        for step in 0..LOOKS {
            let index = (self.next.get() + step) % count;
            if let Some(found) = usable(index) {
                self.next.set((index + 1) % count);
                self.remember(found.0.address());
                return Some(found);
            }
        }
        self.next.set((self.next.get() + LOOKS) % count);
        None
    }

    /// Whose turn it is. Workers begin anywhere, so that their requests do not all begin with the same endpoint.
    fn turn(&self, count: usize) -> usize {
        self.used.set(Some(Instant::now()));
        let turn = self.turns.get().unwrap_or_else(|| fastrand::usize(..count));
        self.turns.set(Some(turn.wrapping_add(1)));
        turn % count
    }

    fn remember(&self, address: SocketAddr) {
        self.used.set(Some(Instant::now()));
        let mut found = self.found.borrow_mut();
        if found.contains(&address) {
            return;
        }
        if found.len() == FOUND {
            found.remove(0);
        }
        found.push(address);
    }

    /// Whether no request has searched for so long.
    pub(super) fn is_forgotten(&self, now: Instant, after: Duration) -> bool {
        self.used
            .get()
            .is_none_or(|used| now.saturating_duration_since(used) > after)
    }
}

fn lighter(left: Rc<Endpoint>, right: Rc<Endpoint>) -> Rc<Endpoint> {
    let (failing_left, failing_right) = (left.failing(), right.failing());
    let worse = failing_left.abs_diff(failing_right);
    let right_is_lighter = if worse > 0 && fastrand::u8(..) < worse {
        failing_right < failing_left
    } else {
        right.in_flight() < left.in_flight()
    };
    if right_is_lighter { right } else { left }
}

impl Chosen {
    fn usual(endpoint: Rc<Endpoint>) -> Self {
        Self {
            endpoint,
            last_resort: None,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashMap;

    use filter::hash::KeyHash;
    use route::ObjectKey;

    use super::*;
    use crate::upstream::endpoint::tests::endpoint;
    use crate::upstream::{Again, HealthBoard};

    pub(crate) fn upstream(ports: &[u16]) -> Upstream {
        let endpoints = ports
            .iter()
            .map(|port| door::Endpoint::at(([10, 0, 0, 1], *port).into()))
            .collect();
        Upstream {
            service: ObjectKey::new("shop", "web"),
            namespace_id: 0,
            port: 80,
            protocol: door::UpstreamProtocol::Http1,
            endpoints,
            none: None,
        }
    }

    fn known(ports: &[u16]) -> HashMap<u16, Rc<Endpoint>> {
        let board = HealthBoard::default();
        let ports = ports.iter();
        ports.map(|port| (*port, endpoint(&board, 0, *port))).collect()
    }

    fn choose(ports: &[u16], choice: &Choice, known: impl Fn(SocketAddr) -> Rc<Endpoint>) -> Option<Chosen> {
        power_of_two(&upstream(ports), choice, known, || {
            panic!("only many are searched")
        })
    }

    fn tried(ports: &[u16]) -> Choice {
        let mut choice = Choice::default();
        for port in ports {
            choice
                .tries
                .go_on(Again::Unreached, ([10, 0, 0, 1], *port).into());
        }
        choice
    }

    #[test]
    fn the_endpoint_with_fewer_requests_wins_and_the_load_is_even() {
        let ports = [1, 2, 3, 4];
        let endpoints = known(&ports);
        let mut held = Vec::new();
        for _ in 0..400 {
            let chosen = choose(&ports, &Choice::default(), |address| {
                Rc::clone(&endpoints[&address.port()])
            })
            .unwrap();
            held.push(chosen.endpoint.begin());
        }
        for port in ports {
            let in_flight = endpoints[&port].in_flight();
            assert!((90..=110).contains(&in_flight), "{port}: {in_flight}");
        }
    }

    /// Of four endpoints three hold each request for as long as the others take 30, and one fails each at once.
    #[test]
    fn an_endpoint_that_fails_fast_does_not_attract_requests() {
        let ports = [1, 2, 3, 4];
        let endpoints = known(&ports);
        let mut held = std::collections::VecDeque::new();
        let mut failed = 0;
        for _ in 0..4000 {
            let chosen = choose(&ports, &Choice::default(), |address| {
                Rc::clone(&endpoints[&address.port()])
            })
            .unwrap();
            if chosen.endpoint.address().port() == 1 {
                failed += 1;
                chosen.endpoint.worsen();
            } else {
                held.push_back(chosen.endpoint.begin());
                if held.len() > 30 {
                    held.pop_front();
                }
                chosen.endpoint.served();
            }
        }
        assert!(
            (1..=400).contains(&failed),
            "{failed} of 4000, where half went there"
        );
        // It is better now, and gets its share again.
        let mut served = 0;
        for _ in 0..4000 {
            let chosen = choose(&ports, &Choice::default(), |address| {
                Rc::clone(&endpoints[&address.port()])
            })
            .unwrap();
            chosen.endpoint.served();
            served += usize::from(chosen.endpoint.address().port() == 1);
        }
        assert!(served > 800, "{served} of 4000");
    }

    #[test]
    fn endpoints_that_are_down_or_were_tried_are_skipped() {
        let ports = [1, 2, 3];
        let endpoints = known(&ports);
        let choose_any =
            |choice: &Choice| choose(&ports, choice, |address| Rc::clone(&endpoints[&address.port()]));
        let choose_port = |choice: &Choice| {
            choose_any(choice).map(|chosen| (chosen.endpoint.address().port(), chosen.last_resort.is_some()))
        };
        endpoints[&1].take_down_for_test();
        for _ in 0..100 {
            assert_eq!(choose_port(&tried(&[2])), Some((3, false)));
        }
        endpoints[&3].take_down_for_test();
        assert_eq!(choose_port(&tried(&[2])), None, "it had its try");
        endpoints[&2].take_down_for_test();
        // One request at a time each.
        let mut resorts: Vec<_> = (0..4).filter_map(|_| choose_any(&Choice::default())).collect();
        resorts.sort_unstable_by_key(|chosen| chosen.endpoint.address());
        let ports: Vec<u16> = resorts
            .iter()
            .map(|chosen| chosen.endpoint.address().port())
            .collect();
        assert_eq!(ports, [1, 2, 3]);
        assert!(resorts.iter().all(|chosen| chosen.last_resort.is_some()));
        drop(resorts);
        assert!(choose_any(&Choice::default()).is_some());
        assert!(
            choose(&[], &Choice::default(), |address| Rc::clone(
                &endpoints[&address.port()]
            ))
            .is_none()
        );
    }

    fn prefer(ports: &[u16], preference: Preference, known: &HashMap<u16, Rc<Endpoint>>) -> Option<u16> {
        let upstream = upstream(ports);
        let choice = Choice::preferring(preference);
        let known = |address: SocketAddr| Rc::clone(&known[&address.port()]);
        let chosen = power_of_two(&upstream, &choice, known, Rc::default)?;
        Some(chosen.endpoint.address().port())
    }

    #[test]
    fn a_preferred_endpoint_wins_until_it_is_down_tried_or_gone() {
        let ports = [1, 2, 3];
        let endpoints = known(&ports);
        let preference = Preference::Endpoint(([10, 0, 0, 1], 2).into());
        let held: Vec<_> = (0..50).map(|_| endpoints[&2].begin()).collect();
        for _ in 0..50 {
            assert_eq!(
                prefer(&ports, preference, &endpoints),
                Some(2),
                "whatever its load"
            );
        }
        drop(held);
        let mut choice = Choice::preferring(preference);
        choice.tries.go_on(Again::Unreached, ([10, 0, 0, 1], 2).into());
        let other = choose(&ports, &choice, |address| Rc::clone(&endpoints[&address.port()]));
        assert_ne!(other.unwrap().endpoint.address().port(), 2);
        assert!(matches!(prefer(&[1, 3], preference, &endpoints), Some(1 | 3)));
        endpoints[&2].take_down_for_test();
        for _ in 0..50 {
            assert!(matches!(prefer(&ports, preference, &endpoints), Some(1 | 3)));
        }
        assert_eq!(prefer(&[], preference, &endpoints), None);
    }

    #[test]
    fn a_key_always_finds_the_same_endpoint_and_the_next_one_when_that_is_down() {
        let ports: Vec<u16> = (1..=20).collect();
        let endpoints = known(&ports);
        let key = Preference::Key(KeyHash::of(b"/page"));
        let first = prefer(&ports, key, &endpoints).unwrap();
        for _ in 0..50 {
            assert_eq!(prefer(&ports, key, &endpoints), Some(first));
        }
        endpoints[&first].take_down_for_test();
        let second = prefer(&ports, key, &endpoints).unwrap();
        assert_ne!(second, first);
        for _ in 0..50 {
            assert_eq!(prefer(&ports, key, &endpoints), Some(second));
        }
        let left: Vec<u16> = ports.iter().copied().filter(|port| *port != first).collect();
        assert_eq!(prefer(&left, key, &endpoints), Some(second), "as if it were gone");
        endpoints[&first].health().reached();
        assert_eq!(prefer(&ports, key, &endpoints), Some(first), "it is back");
    }

    #[test]
    fn each_endpoint_has_its_turn() {
        let ports = [1, 2, 3, 4];
        let (upstream, endpoints, search) = (upstream(&ports), known(&ports), Rc::<Search>::default());
        let next = || {
            let choice = Choice::preferring(Preference::Turn);
            let known = |address: SocketAddr| Rc::clone(&endpoints[&address.port()]);
            let chosen = power_of_two(&upstream, &choice, known, || Rc::clone(&search));
            chosen.unwrap().endpoint.address().port()
        };
        let round: Vec<u16> = (0..4).map(|_| next()).collect();
        let mut sorted = round.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ports);
        for turn in 0..40 {
            assert_eq!(next(), round[turn % 4]);
        }
        endpoints[&3].take_down_for_test();
        let counts = (0..40).fold([0; 5], |mut counts, _| {
            counts[usize::from(next())] += 1;
            counts
        });
        assert_eq!(counts[3], 0);
        assert!(
            counts[1] >= 10 && counts[2] >= 10 && counts[4] >= 10,
            "{counts:?}"
        );
    }

    /// Chooses for many requests; how many endpoints each looked at, and the ports that it got.
    fn run(
        upstream: &Upstream,
        endpoints: &HashMap<u16, Rc<Endpoint>>,
        search: &Rc<Search>,
        requests: usize,
    ) -> (usize, Vec<Option<u16>>) {
        let mut most = 0;
        let chosen = (0..requests).map(|_| {
            let looks = Cell::new(0);
            let known = |address: SocketAddr| {
                looks.set(looks.get() + 1);
                Rc::clone(&endpoints[&address.port()])
            };
            let chosen = power_of_two(upstream, &Choice::default(), known, || Rc::clone(search));
            most = most.max(looks.get());
            chosen.map(|chosen| chosen.endpoint.address().port())
        });
        let chosen = chosen.collect();
        (most, chosen)
    }

    #[test]
    fn a_request_looks_at_few_of_many_endpoints_that_are_down() {
        let ports: Vec<u16> = (1..=60_000).collect();
        let (upstream, endpoints, search) = (upstream(&ports), known(&ports), Rc::<Search>::default());
        for endpoint in endpoints.values() {
            endpoint.take_down_for_test();
        }
        let (most, chosen) = run(&upstream, &endpoints, &search, 1000);
        assert!(most <= 2 + 4 * LOOKS + FOUND, "{most}");
        assert!(chosen.iter().all(Option::is_some), "one is tried all the same");
        // One comes back: it is found once all places have been looked at, and from then on by each request.
        endpoints[&40_000].health().reached();
        let rounds = ports.len().div_ceil(LOOKS);
        let (most, chosen) = run(&upstream, &endpoints, &search, rounds + 500);
        assert!(most <= 2 + 4 * LOOKS + FOUND, "{most}");
        assert_eq!(chosen[rounds..], vec![Some(40_000); 500]);
        // What was found and is down again is not chosen.
        endpoints[&40_000].take_down_for_test();
        endpoints[&5].health().reached();
        let (_, chosen) = run(&upstream, &endpoints, &search, rounds + 500);
        assert_eq!(chosen[rounds..], vec![Some(5); 500]);
    }
}
