//! Places on the shared connections to one endpoint: who holds them, and who waits for one.
//!
//! A place may be held for as long as a gRPC call lasts, so there must be one left for whoever comes next. One client
//! holds at most its [`ClientShare`] of them: by default, as many as are still free. However many hold all they may, a
//! client that holds none gets one.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use foldhash::fast::RandomState;

use crate::settings::ClientShare;
use crate::worker::clients::Client;

/// Requests that may wait for a place at one endpoint, and those of one client among them. More would wait in vain.
const WAITING: usize = 1000;
const WAITING_OF_ONE: usize = 100;

/// Who asks for a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    /// `None` if the client is not known, because a load balancer hides it: it may then hold any number.
    pub(crate) client: Option<Client>,
    pub(crate) share: ClientShare,
}

/// The places of one endpoint that are held, and those who wait.
#[derive(Default)]
pub(super) struct Places {
    clients: RefCell<HashMap<Client, Counts, RandomState>>,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
}

/// What one client has.
#[derive(Default)]
struct Counts {
    held: usize,
    waiting: usize,
}

/// A request that waits for a place.
struct Waiter {
    asker: Asker,
    waker: RefCell<Option<Waker>>,
    /// It has been told to look again.
    called: Cell<bool>,
}

/// A request's turn in the queue. If it ends without having looked, the next in the queue looks instead.
pub(super) struct Turn<'p, F: Fn() -> usize> {
    places: &'p Places,
    waiter: Rc<Waiter>,
    free: F,
}

/// Counts a place as its client's for as long as it lives.
pub(super) struct Held {
    places: Rc<Places>,
    client: Option<Client>,
}

impl Asker {
    /// Nobody in particular.
    pub(crate) fn unknown() -> Self {
        Self {
            client: None,
            share: ClientShare::default(),
        }
    }
}

impl Places {
    /// Whether another place may be given to the asker, of `free` ones.
    pub(super) fn admit(&self, asker: Asker, free: usize) -> bool {
        let held = asker.client.map_or(0, |client| self.held(client));
        asker.share.admits(held, free)
    }

    /// Counts a place.
    pub(super) fn hold(self: &Rc<Self>, client: Option<Client>) -> Held {
        if let Some(client) = client {
            self.clients.borrow_mut().entry(client).or_default().held += 1;
        }
        Held {
            places: Rc::clone(self),
            client,
        }
    }

    /// A turn in the queue, unless too many wait. `free` says how many places are free.
    pub(super) fn queue<F: Fn() -> usize>(&self, asker: Asker, free: F) -> Option<Turn<'_, F>> {
        if self.waiting.borrow().len() >= WAITING {
            return None;
        }
        if let Some(client) = asker.client {
            let mut clients = self.clients.borrow_mut();
            let counts = clients.entry(client).or_default();
            if counts.waiting >= WAITING_OF_ONE {
                return None;
            }
            counts.waiting += 1;
        }
        let waiter = Rc::new(Waiter {
            asker,
            waker: RefCell::default(),
            called: Cell::new(false),
        });
        self.waiting.borrow_mut().push_back(Rc::clone(&waiter));
        Some(Turn {
            places: self,
            waiter,
            free,
        })
    }

    /// Whether anybody waits.
    pub(super) fn is_awaited(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Tells the first in the queue who may have one of `free` places to look again.
    pub(super) fn call(&self, free: usize) {
        if free == 0 {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        let next = waiting.iter().position(|waiter| self.admit(waiter.asker, free));
        let called = next.and_then(|next| waiting.remove(next));
        drop(waiting);
        if let Some(waiter) = called {
            waiter.called.set(true);
            if let Some(waker) = waiter.waker.take() {
                waker.wake();
            }
        }
    }

    fn held(&self, client: Client) -> usize {
        self.clients.borrow().get(&client).map_or(0, |counts| counts.held)
    }

    fn change(&self, client: Option<Client>, change: impl FnOnce(&mut Counts)) {
        let Some(client) = client else { return };
        let mut clients = self.clients.borrow_mut();
        if let Some(counts) = clients.get_mut(&client) {
            change(counts);
            if counts.held == 0 && counts.waiting == 0 {
                clients.remove(&client);
            }
        }
    }
}

impl<F: Fn() -> usize> Turn<'_, F> {
    /// Ready when the request should look again.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.waiter.called.get() {
            return Poll::Ready(());
        }
        *self.waiter.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    /// The request looks now.
    pub(super) fn looks(self) {
        self.waiter.called.set(false);
    }
}

impl<F: Fn() -> usize> Drop for Turn<'_, F> {
    fn drop(&mut self) {
        let places = self.places;
        places
            .waiting
            .borrow_mut()
            .retain(|waiter| !Rc::ptr_eq(waiter, &self.waiter));
        places.change(self.waiter.asker.client, |counts| counts.waiting -= 1);
        if self.waiter.called.get() {
            places.call((self.free)());
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.places.change(self.client, |counts| counts.held -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> Client {
        Client::of([10, 0, 0, number].into())
    }

    fn asker(number: u8, percent: u8) -> Asker {
        Asker {
            client: Some(client(number)),
            share: ClientShare::percent(percent).unwrap(),
        }
    }

    /// Takes places for clients in turn until nobody gets one; how many each has.
    fn fill(total: usize, clients: u8, percent: u8) -> Vec<usize> {
        let places = Rc::new(Places::default());
        let mut held = Vec::new();
        loop {
            let before = held.len();
            for number in 0..clients {
                if places.admit(asker(number, percent), total - held.len()) {
                    held.push(places.hold(Some(client(number))));
                }
            }
            if held.len() == before {
                return (0..clients).map(|number| places.held(client(number))).collect();
            }
        }
    }

    #[test]
    fn one_client_holds_its_share_and_a_newcomer_finds_a_place() {
        for (total, clients, percent, expected) in [
            (16, 1, 50, vec![8]),
            (1600, 1, 50, vec![800]),
            (1600, 1, 100, vec![1600]),
            (1600, 1, 10, vec![160]),
            (1600, 3, 50, vec![400, 400, 400]),
            (1, 1, 50, vec![1]),
        ] {
            assert_eq!(
                fill(total, clients, percent),
                expected,
                "{total} {clients} {percent}"
            );
        }
        let all: usize = fill(1600, 200, 50).iter().sum();
        assert!(all < 1600, "{all}: nothing is left for one more");
    }

    #[test]
    fn who_hides_its_clients_holds_any_number() {
        let places = Rc::new(Places::default());
        let asker = Asker::unknown();
        let held: Vec<_> = (0..10)
            .map(|taken| {
                assert!(places.admit(asker, 10 - taken));
                places.hold(None)
            })
            .collect();
        assert!(!places.admit(asker, 0));
        drop(held);
        assert!(places.clients.borrow().is_empty());
    }

    #[test]
    fn a_place_goes_to_the_first_who_may_have_it() {
        let places = Rc::new(Places::default());
        let mut context = Context::from_waker(Waker::noop());
        let greedy: Vec<_> = (0..8).map(|_| places.hold(Some(client(1)))).collect();
        let free = || 8;
        let turns: Vec<_> = [1, 2, 3]
            .map(|number| places.queue(asker(number, 50), free).unwrap())
            .into();
        places.call(8);
        let mut called = || -> Vec<bool> {
            let ready = turns.iter().map(|turn| turn.poll(&mut context).is_ready());
            ready.collect()
        };
        assert_eq!(called(), [false, true, false], "the first has its share");
        places.call(8);
        assert_eq!(called(), [false, true, true]);
        drop(turns);
        drop(greedy);
        assert!(places.clients.borrow().is_empty() && places.waiting.borrow().is_empty());
    }

    #[test]
    fn who_leaves_after_a_call_passes_it_on() {
        let places = Rc::new(Places::default());
        let mut context = Context::from_waker(Waker::noop());
        let free = || 1;
        let first = places.queue(asker(1, 50), free).unwrap();
        let second = places.queue(asker(2, 50), free).unwrap();
        places.call(1);
        assert!(first.poll(&mut context).is_ready() && second.poll(&mut context).is_pending());
        drop(first);
        assert!(second.poll(&mut context).is_ready());
        second.looks();
    }

    #[test]
    fn the_queue_has_a_bound_and_one_client_does_not_fill_it() {
        let places = Rc::new(Places::default());
        let mut turns = Vec::new();
        let mut queue = |number| {
            let turn = places.queue(asker(number, 50), || 0);
            turn.map(|turn| turns.push(turn)).is_some()
        };
        assert_eq!((0..300).filter(|_| queue(1)).count(), WAITING_OF_ONE);
        assert!(queue(2));
        let more: usize = (3..100)
            .map(|number| (0..100).filter(|_| queue(number)).count())
            .sum();
        assert_eq!(more + 101, WAITING);
    }
}
