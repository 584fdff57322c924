//! Which routes of a door have series of their own in the metrics, and what was counted of them.
//!
//! A route is in the book from its first request, for as long as the door serves it. Its series are bounded: what comes too
//! late for one of its own is counted as `other` ([ADR 53](../../../../docs/adr/0053-series-of-routes.md)). A worker asks the
//! book once for each route, Service and class of status, and keeps what it finds.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use route::ObjectKey;

use crate::observe::labels::CLASSES;
use crate::observe::route_counts::{Answers, BUCKETS, OfWorkers, ServiceCounts, Traffic};

/// Series of the times and bytes of an Ingress: the buckets with the last one, sum, count, and bytes of both directions.
const OF_TRAFFIC: usize = BUCKETS.len() + 5;

/// Series of what is known of a Service.
const OF_SERVICE: usize = 5;

/// Series of requests that an Ingress or a Service comes to: those of four classes of status.
const OF_REQUESTS: usize = 4;

/// Series of what is counted as `other`, with those of ejected endpoints and of what was folded.
const OF_OTHER: usize = CLASSES.len() + OF_TRAFFIC + OF_SERVICE + 2;

/// Of how many series one tells how many endpoints of a Service are out.
const ONE_OUT: usize = 50;

/// How often a full book looks for routes that are gone, so that others find room.
const LOOK: Duration = Duration::from_secs(10);

/// What a door serves at a moment, as far as the book must know it.
pub(crate) struct Served {
    /// The number of the publication.
    pub(crate) publication: u64,
    pub(crate) ingresses: HashSet<ObjectKey>,
    pub(crate) services: HashSet<ObjectKey>,
}

/// A door that is open.
pub(crate) trait Serving: Send + Sync {
    /// The number of the publication that is live.
    fn publication(&self) -> u64;

    /// What is live.
    fn served(&self) -> Served;

    /// The Services some of whose endpoints get no requests, because they were ejected, with the number of these.
    fn ejected(&self) -> BTreeMap<ObjectKey, usize>;
}

/// The book of one door.
#[derive(Default)]
pub(crate) struct RouteBook {
    book: Mutex<Book>,
    door: Mutex<Option<Weak<dyn Serving>>>,
    /// How often what workers have found was made invalid.
    edition: AtomicU64,
}

#[derive(Default)]
pub(super) struct Book {
    pub(super) ingresses: BTreeMap<ObjectKey, IngressEntry>,
    pub(super) services: BTreeMap<ObjectKey, ServiceEntry>,
    pub(super) other: IngressEntry,
    pub(super) other_service: Arc<ServiceCounts>,
    /// Series that were not made.
    pub(super) folded: u64,
    /// The bound of all series.
    most: usize,
    /// Series of requests, and of everything else.
    requests: usize,
    details: usize,
    /// How many Ingresses and Services the door serves, since it was looked for the first time.
    served: Option<(usize, usize)>,
    /// The last publication whose routes the book was compared with.
    compared: u64,
    looked: Option<Instant>,
    /// Something was entered since.
    is_new: bool,
}

/// An Ingress that had requests.
#[derive(Default)]
pub(super) struct IngressEntry {
    pub(super) services: Vec<AnswersEntry>,
    /// `None`: it came too late for series of its own.
    pub(super) traffic: Option<OfWorkers<Traffic>>,
    /// The publication that was live when it was last asked for.
    seen: u64,
}

/// A Service that answered requests of an Ingress.
#[derive(Default)]
pub(super) struct AnswersEntry {
    /// `None`: the gateway itself.
    pub(super) service: Option<ObjectKey>,
    pub(super) answers: OfWorkers<Answers>,
    /// The classes of status that have series of their own, and those that came too late, by bits.
    own: u16,
    folded: u16,
    /// The publication that was live when it was last asked for.
    seen: u64,
}

pub(super) struct ServiceEntry {
    /// `None`: it came too late for series of its own.
    pub(super) counts: Option<Arc<ServiceCounts>>,
    seen: u64,
}

/// Where a worker counts requests of a route that a Service answered with one class of status.
pub(crate) struct Found {
    /// These are the series of the route itself, not those of `other`.
    pub(crate) is_own: bool,
    pub(crate) answers: Arc<Answers>,
    pub(crate) traffic: Arc<Traffic>,
}

/// The name of what has no series of its own.
pub(super) const OTHER: &str = "other";

impl RouteBook {
    /// The door is open, and says what it serves.
    pub(crate) fn is_of(&self, door: Weak<dyn Serving>) {
        *self.door.lock().unwrap_or_else(PoisonError::into_inner) = Some(door);
    }

    /// Takes over a bound of the series. Those that are beyond a lower one begin anew, all of them.
    pub(crate) fn bound(&self, most: usize) {
        let mut book = self.lock();
        if book.most == most {
            return;
        }
        book.most = most;
        if book.requests + book.details > book.room() {
            book.clear();
        }
        // What came too late may be in time for a higher one.
        self.edition.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes whenever what was found must be asked for again.
    pub(crate) fn edition(&self) -> u64 {
        self.edition.load(Ordering::Relaxed)
    }

    /// Where `worker` counts requests of an Ingress that a Service answered with this class of status. `None`: the gateway did.
    pub(crate) fn find(
        &self,
        worker: usize,
        ingress: &ObjectKey,
        service: Option<&ObjectKey>,
        class: usize,
    ) -> Found {
        let door = self.door();
        let publication = door.as_ref().map_or(0, |door| door.publication());
        let mut book = self.lock();
        if let Some(found) = book.find(worker, ingress, service, class, publication, false) {
            return found;
        }
        let mut book = self.look(book, door.as_deref(), publication);
        let found = book.find(worker, ingress, service, class, publication, true);
        found.unwrap_or_else(|| book.others(worker))
    }

    /// What is counted of a Service.
    pub(crate) fn service(&self, service: &ObjectKey) -> Arc<ServiceCounts> {
        let door = self.door();
        let publication = door.as_ref().map_or(0, |door| door.publication());
        let mut book = self.lock();
        if !book.has_room_for(service) {
            book = self.look(book, door.as_deref(), publication);
        }
        book.service(service, publication)
    }

    /// A full book looks what the door serves, at times: what is gone makes room, and so does what the door does not have.
    fn look<'b>(
        &'b self,
        mut book: MutexGuard<'b, Book>,
        door: Option<&dyn Serving>,
        publication: u64,
    ) -> MutexGuard<'b, Book> {
        if let Some(door) = door
            && book.may_look(publication, Instant::now())
        {
            drop(book);
            let served = door.served();
            book = self.lock();
            self.forget_the_gone(&mut book, &served);
        }
        book
    }

    /// What there is to show: routes that are gone are not. With the ejected endpoints.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Book, Vec<(Option<ObjectKey>, usize)>) -> T) -> T {
        let door = self.door();
        let publication = door.as_ref().map(|door| door.publication());
        let is_outdated = {
            let book = self.lock();
            book.is_new || publication.is_some_and(|publication| publication != book.compared)
        };
        let served = door.as_ref().filter(|_| is_outdated).map(|door| door.served());
        let ejected = door.as_ref().map(|door| door.ejected()).unwrap_or_default();
        let mut book = self.lock();
        if door.is_none() {
            book.clear();
            self.edition.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(served) = served {
            self.forget_the_gone(&mut book, &served);
        }
        let ejected = bounded(ejected, book.most / ONE_OUT);
        read(&book, ejected)
    }

    fn forget_the_gone(&self, book: &mut Book, served: &Served) {
        if book.forget_the_gone(served) {
            self.edition.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn door(&self) -> Option<Arc<dyn Serving>> {
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        door.as_ref()?.upgrade()
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for RouteBook {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RouteBook").finish_non_exhaustive()
    }
}

impl Book {
    /// For the series of routes, beside those of `other`.
    fn room(&self) -> usize {
        self.most.saturating_sub(self.most / ONE_OUT + OF_OTHER)
    }

    /// What requests leave. Half is kept for them, as who answers what is known of more routes than how fast; less where the
    /// door does not serve so much.
    fn most_details(&self) -> usize {
        let half = self.room().saturating_sub(self.most / 2);
        let needed = self
            .served
            .map(|(ingresses, services)| OF_REQUESTS * ingresses.max(services));
        let kept = needed.map_or(half, |needed| needed.min(half));
        self.room().saturating_sub(kept.max(self.requests))
    }

    /// What details leave, of which half is kept for them likewise.
    fn most_requests(&self) -> usize {
        let half = self.most / 2;
        let needed = self
            .served
            .map(|(ingresses, services)| OF_TRAFFIC * ingresses + OF_SERVICE * services);
        let kept = needed.map_or(half, |needed| needed.min(half));
        self.room().saturating_sub(kept.max(self.details))
    }

    fn has_room_for(&self, service: &ObjectKey) -> bool {
        let known = self.services.get(service);
        known.is_some_and(|known| known.counts.is_some()) || self.details + OF_SERVICE <= self.most_details()
    }

    /// `None` if there is no room, unless it may `fold`.
    fn find(
        &mut self,
        worker: usize,
        ingress: &ObjectKey,
        service: Option<&ObjectKey>,
        class: usize,
        publication: u64,
        fold: bool,
    ) -> Option<Found> {
        let bit = 1_u16.checked_shl(u32::try_from(class).ok()?)?;
        let room = self.room();
        let has_room = (
            self.requests < self.most_requests(),
            self.details + OF_TRAFFIC <= self.most_details(),
        );
        if !self.ingresses.contains_key(ingress) {
            if has_room != (true, true) && !fold {
                return None;
            }
            if !has_room.1 {
                self.folded += OF_TRAFFIC as u64;
            }
            self.ingresses.insert(ingress.clone(), IngressEntry::default());
        }
        let entry = self.ingresses.get_mut(ingress)?;
        if entry.seen != publication {
            entry.seen = publication;
            self.is_new = true;
        }
        if entry.traffic.is_none() && has_room.1 {
            entry.traffic = Some(OfWorkers::default());
            self.details += OF_TRAFFIC;
        }
        let traffic = match &mut entry.traffic {
            Some(traffic) => traffic.of(worker),
            None => self.other.traffic.get_or_insert_default().of(worker),
        };
        let position = entry
            .services
            .iter()
            .position(|known| known.service.as_ref() == service);
        let position = position.unwrap_or_else(|| {
            entry.services.push(AnswersEntry {
                service: service.cloned(),
                ..AnswersEntry::default()
            });
            entry.services.len() - 1
        });
        let answers = entry.services.get_mut(position)?;
        if answers.seen != publication {
            answers.seen = publication;
            self.is_new = true;
        }
        if answers.own & bit == 0 {
            if has_room.0 && self.requests + self.details < room {
                answers.own |= bit;
                answers.folded &= !bit;
                self.requests += 1;
            } else if answers.folded & bit != 0 {
                // It is known to have come too late.
            } else if fold {
                answers.folded |= bit;
                self.folded += 1;
            } else {
                return None;
            }
        }
        let is_own = answers.own & bit != 0;
        let answers = if is_own {
            answers.answers.of(worker)
        } else {
            self.other.answers(worker)
        };
        Some(Found {
            is_own,
            answers,
            traffic,
        })
    }

    fn others(&mut self, worker: usize) -> Found {
        Found {
            is_own: false,
            answers: self.other.answers(worker),
            traffic: self.other.traffic.get_or_insert_default().of(worker),
        }
    }

    fn service(&mut self, service: &ObjectKey, publication: u64) -> Arc<ServiceCounts> {
        let has_room = self.details + OF_SERVICE <= self.most_details();
        let entry = self.services.entry(service.clone()).or_insert_with(|| {
            if !has_room {
                self.folded += OF_SERVICE as u64;
            }
            self.is_new = true;
            ServiceEntry {
                counts: None,
                seen: publication,
            }
        });
        if entry.counts.is_none() && has_room {
            entry.counts = Some(Arc::default());
            self.details += OF_SERVICE;
        }
        self.is_new |= entry.seen != publication;
        entry.seen = publication;
        Arc::clone(entry.counts.as_ref().unwrap_or(&self.other_service))
    }

    /// Whether it may be that there is room when what is gone has gone.
    fn may_look(&mut self, publication: u64, now: Instant) -> bool {
        let is_due = self
            .looked
            .is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK);
        let may = is_due && publication != self.compared;
        if may {
            self.looked = Some(now);
        }
        may
    }

    /// Forgets what the door does not serve any more. What was asked for under a later publication stays. Returns whether
    /// workers must ask again: a Service of an Ingress that stays is gone, or what came too late may be in time.
    fn forget_the_gone(&mut self, served: &Served) -> bool {
        let before = self.ingresses.len() + self.services.len();
        let most_before = (self.most_requests(), self.most_details());
        let is_late = |seen: u64| seen > served.publication;
        let (mut requests, mut details, mut has_changed) = (0, 0, false);
        self.ingresses.retain(|key, entry| {
            let stays = is_late(entry.seen) || served.ingresses.contains(key);
            if stays {
                let services = entry.services.len();
                entry.services.retain(|known| {
                    let service = known.service.as_ref();
                    is_late(known.seen) || service.is_none_or(|service| served.services.contains(service))
                });
                has_changed |= entry.services.len() < services;
                let own = entry.services.iter().map(|known| known.own.count_ones() as usize);
                requests += own.sum::<usize>();
                details += entry.traffic.as_ref().map_or(0, |_| OF_TRAFFIC);
            }
            stays
        });
        self.services.retain(|key, entry| {
            let stays = is_late(entry.seen) || served.services.contains(key);
            details += entry.counts.as_ref().filter(|_| stays).map_or(0, |_| OF_SERVICE);
            stays
        });
        (self.requests, self.details) = (requests, details);
        self.served = Some((served.ingresses.len(), served.services.len()));
        self.compared = served.publication;
        let entries = self.ingresses.values().map(|entry| entry.seen);
        self.is_new = entries
            .chain(self.services.values().map(|entry| entry.seen))
            .any(is_late);
        let has_room = self.ingresses.len() + self.services.len() < before
            || self.most_requests() > most_before.0
            || self.most_details() > most_before.1;
        has_changed || has_room && self.folded > 0
    }

    fn clear(&mut self) {
        self.ingresses.clear();
        self.services.clear();
        self.other = IngressEntry::default();
        self.other_service = Arc::default();
        (self.requests, self.details) = (0, 0);
    }
}

impl IngressEntry {
    /// Of `other`, which has one entry for whoever answered.
    fn answers(&mut self, worker: usize) -> Arc<Answers> {
        if self.services.is_empty() {
            self.services.push(AnswersEntry::default());
        }
        match self.services.first_mut() {
            Some(entry) => entry.answers.of(worker),
            None => Arc::default(),
        }
    }
}

/// The first so many, and the sum of the others.
fn bounded(all: BTreeMap<ObjectKey, usize>, most: usize) -> Vec<(Option<ObjectKey>, usize)> {
    let mut all = all.into_iter();
    let first = all.by_ref().take(most);
    let mut bounded: Vec<_> = first.map(|(key, count)| (Some(key), count)).collect();
    let rest: usize = all.map(|(_, count)| count).sum();
    if rest > 0 {
        bounded.push((None, rest));
    }
    bounded
}

#[cfg(test)]
mod tests;
