//! What changed: a journal of the publications of this process that changed what doors answer.
//!
//! The compiling thread writes it, and the admin port and `audit --since` show it. It is in memory alone, so that it begins
//! with the process. It has a bound in publications and one in bytes; beyond them the oldest go, and it says since when it is
//! complete ([ADR 58](../../../../docs/adr/0058-a-journal-of-publications.md)).

mod causes;
mod entry;
mod news;
mod query;
mod table;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use control::Writes;
use door::DoorChange;
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use proxy::Warnings;
use resource::ClusterView;
use route::ListenerName;
use serde::Serialize;
use text::Shown;

use self::causes::causes;
use self::entry::{DoorEntry, DoorEvent, Entry, in_words};
pub(crate) use self::query::{MOST as MOST_SHOWN, Query};
pub(crate) use self::table::in_words as page_in_words;

/// How many publications are kept.
const MOST_ENTRIES: usize = 10_000;

/// How many bytes they may take, roughly.
const MOST_BYTES: usize = 4 << 20;

/// How many one of them may take: of more changes only the numbers are kept.
const MOST_BYTES_OF_ENTRY: usize = 128 << 10;

/// The journal. Clones share it.
#[derive(Clone)]
pub(crate) struct Journal(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// How many hosts have been logged lately.
    lines: Warnings,
}

struct State {
    started: Timestamp,
    /// Nothing is missing from then on.
    complete_since: Timestamp,
    /// Publications so far, those without a change included.
    publications: u64,
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// The doors of the last publication.
    doors: BTreeSet<ListenerName>,
    /// How many hosts have appeared at each door since its first table.
    hosts_appeared: BTreeMap<ListenerName, u64>,
}

/// What a publication did.
pub(crate) struct Publication<'a> {
    /// What it changed, at which doors.
    pub(crate) changes: &'a [DoorChange],
    /// The doors that are configured.
    pub(crate) doors: BTreeSet<ListenerName>,
    /// What it was compiled from, and the one before.
    pub(crate) view: &'a ClusterView,
    pub(crate) before: Option<&'a ClusterView>,
    /// Who wrote what. What belongs to this publication is taken out.
    pub(crate) writes: &'a mut Writes,
    /// The file of the configuration, if another one went live.
    pub(crate) configuration: Option<&'a str>,
}

/// A part of the journal, as it is shown.
#[derive(Serialize)]
pub(crate) struct Page {
    now: String,
    started: String,
    complete_since: String,
    since: Option<String>,
    /// Whether nothing is missing of what was asked for.
    complete: bool,
    publications: u64,
    /// How many older ones were left out for the limit.
    omitted: usize,
    entries: Vec<Entry>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self::begun(Timestamp::now())
    }

    fn begun(now: Timestamp) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                started: now,
                complete_since: now,
                publications: 0,
                entries: VecDeque::new(),
                bytes: 0,
                doors: BTreeSet::new(),
                hosts_appeared: BTreeMap::new(),
            }),
            lines: Warnings::for_reasons(news::NAMESPACES),
        }))
    }

    /// Takes note of a publication that is live.
    pub(crate) fn note(&self, publication: Publication<'_>) {
        self.note_at(publication, Timestamp::now());
    }

    fn note_at(&self, publication: Publication<'_>, now: Timestamp) {
        let Publication {
            changes,
            doors,
            view,
            before,
            writes,
            configuration,
        } = publication;
        let known = changes.iter().filter(|change| doors.contains(&change.door));
        let mut entries: Vec<DoorEntry> = known.map(DoorEntry::of).collect();
        let closed: Vec<ListenerName> = {
            let mut state = self.lock();
            state.publications += 1;
            let earlier = std::mem::replace(&mut state.doors, doors);
            earlier.difference(&state.doors).cloned().collect()
        };
        entries.extend(closed.into_iter().map(DoorEntry::closed));
        if entries.is_empty() {
            return;
        }
        // The first view is no news either.
        let (causes, causes_omitted) = match before {
            Some(before) => causes(view, before, writes, configuration),
            None => Default::default(),
        };
        for door in &entries {
            news::tell(door, &causes, &self.0.lines);
        }
        let mut state = self.lock();
        let mut entry = Entry {
            number: state.publications,
            time: now,
            causes,
            causes_omitted,
            doors: entries,
        };
        entry.fit(MOST_BYTES_OF_ENTRY);
        // Together, so that whoever sees the count finds the entry.
        state.count(&entry.doors);
        state.keep(entry);
    }

    /// Bytes that it may yet take.
    pub(crate) fn room(&self) -> usize {
        MOST_BYTES.saturating_sub(self.lock().bytes)
    }

    /// The part of it that is asked for, oldest first.
    ///
    /// # Errors
    /// When a door is asked for that nobody knows.
    pub(crate) fn page(&self, query: &Query) -> Result<Page, String> {
        self.page_at(query, Timestamp::now())
    }

    fn page_at(&self, query: &Query, now: Timestamp) -> Result<Page, String> {
        // Whoever compiles must not wait for the page.
        let (mut found, started, complete_since, publications) = {
            let state = self.lock();
            if let Some(door) = query.door.as_deref().filter(|door| !state.knows(door)) {
                return Err(format!("no door is named `{}`", Shown(door)));
            }
            let asked = state.entries.iter().filter(|entry| query.admits(entry));
            let found: Vec<Arc<Entry>> = asked.cloned().collect();
            (found, state.started, state.complete_since, state.publications)
        };
        let omitted = found.len().saturating_sub(query.limit);
        let entries = found.drain(omitted..).map(|entry| query.part_of(&entry));
        Ok(Page {
            entries: entries.collect(),
            now: in_words(now),
            started: in_words(started),
            complete_since: in_words(complete_since),
            since: query.since.map(in_words),
            complete: omitted == 0 && query.since.unwrap_or(started) >= complete_since,
            publications,
            omitted,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, entries: &[DoorEntry]) {
        for entry in entries {
            let appeared = match entry.event {
                DoorEvent::Changed => entry.hosts.appeared as u64,
                DoorEvent::Opened | DoorEvent::Closed => 0,
            };
            *self.hosts_appeared.entry(entry.listener.0.clone()).or_default() += appeared;
        }
    }

    fn keep(&mut self, entry: Entry) {
        self.bytes += entry.bytes();
        self.entries.push_back(Arc::new(entry));
        while self.entries.len() > MOST_ENTRIES || self.bytes > MOST_BYTES {
            // Of the older half, what made a host appear stays longest: whoever wants to hide it would make any number of
            // other changes.
            let mut older = self.entries.iter().take(self.entries.len() / 2);
            let without_news = older.position(|entry| !entry.has_news());
            let Some(oldest) = self.entries.remove(without_news.unwrap_or(0)) else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
            self.complete_since = self.complete_since.max(oldest.time);
        }
    }

    fn knows(&self, door: &str) -> bool {
        self.doors.iter().any(|known| known.as_str() == door)
            || self.entries.iter().any(|entry| entry.concerns(door))
    }
}

impl Query {
    fn admits(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.time >= since)
            && self.after.is_none_or(|after| entry.number > after)
            && entry.doors.iter().any(|door| self.admits_door(door))
    }

    fn admits_door(&self, entry: &DoorEntry) -> bool {
        let is_asked = |door: &str| entry.listener.0.as_str() == door;
        self.door.as_deref().is_none_or(is_asked)
            && self
                .namespace
                .as_deref()
                .is_none_or(|namespace| entry.may_concern(namespace))
    }

    /// An entry without what is not asked for.
    fn part_of(&self, entry: &Entry) -> Entry {
        let mut part = entry.clone();
        part.doors.retain(|door| self.admits_door(door));
        if let Some(namespace) = &self.namespace {
            for door in &mut part.doors {
                door.keep_of(namespace);
            }
        }
        part
    }
}

impl Entry {
    fn concerns(&self, door: &str) -> bool {
        self.doors.iter().any(|entry| entry.listener.0.as_str() == door)
    }

    /// Whether a door answers a host that it did not answer before.
    fn has_news(&self) -> bool {
        let mut changes = self.doors.iter().flat_map(|door| &door.changes);
        changes.any(|change| change.new_host)
    }

    /// Leaves changes out until it takes no more than so many bytes. What made a host appear stays longest.
    fn fit(&mut self, most: usize) {
        while self.bytes() > most {
            let largest = self.doors.iter_mut().max_by_key(|door| door.changes.len());
            let Some(door) = largest.filter(|door| !door.changes.is_empty()) else {
                return;
            };
            let before = door.changes.len();
            let keep = before / 2;
            // A stable sort, so that both halves stay in order.
            door.changes.sort_by_key(|change| !change.new_host);
            door.changes.truncate(keep);
            door.changes
                .sort_by(|left, right| left.place().cmp(&right.place()));
            door.omitted += before - keep;
        }
    }
}

impl Collector for Journal {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let appeared = self.lock().hosts_appeared.clone();
        let mut family = encoder.encode_descriptor(
            "blastdoor_hosts_appeared",
            "Hosts that are new at the door since its first table: those that it did not answer before",
            None,
            MetricType::Counter,
        )?;
        for (listener, count) in &appeared {
            let labels = [("listener", listener.as_str())];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Journal").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
