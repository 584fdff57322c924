//! All names that are followed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use resource::{NameFault, Resolution, Resolutions};
use route::Host;
use tokio::time::Instant;

use super::entry::NameEntry;
use super::lookup::Reply;

/// Names that are followed. Each costs two queries per TTL.
pub(super) const MOST_NAMES: usize = 1_000;

/// Concurrent queries. At most half of them are for names without an answer.
pub(super) const MOST_AT_ONCE: usize = 64;

/// The names that are followed, and those beyond the bound.
#[derive(Debug, Default)]
pub(super) struct NameTable {
    entries: BTreeMap<Host, NameEntry>,
    left_out: BTreeSet<Host>,
    /// Something has changed that has not been reported.
    has_changed: bool,
}

impl NameTable {
    /// Follows these names and no others; the first ones, if they are too many.
    pub(super) fn follow(&mut self, names: &[Host]) {
        let (followed, left_out) = names.split_at(names.len().min(MOST_NAMES));
        let followed: BTreeSet<&Host> = followed.iter().collect();
        let known = self.entries.len();
        self.entries.retain(|name, _| followed.contains(name));
        self.has_changed |= self.entries.len() != known;
        let now = Instant::now();
        for name in followed {
            self.entries
                .entry(name.clone())
                .or_insert_with(|| NameEntry::new(now));
        }
        let left_out: BTreeSet<Host> = left_out.iter().cloned().collect();
        self.has_changed |= left_out != self.left_out;
        self.left_out = left_out;
    }

    /// The next name to query, if one is due; its query is then under way. Names with addresses come first, and those
    /// without wait for each other: a name that does not resolve does not delay the others.
    pub(super) fn next(&mut self, now: Instant) -> Option<Host> {
        let room = self.has_room();
        let due = self.entries.iter_mut().filter_map(|(name, entry)| {
            let next = entry.next().filter(|next| *next <= now)?;
            (entry.holds() || room).then_some(((!entry.holds(), next), name, entry))
        });
        let (_, name, entry) = due.min_by_key(|(order, _, _)| *order)?;
        entry.begin();
        Some(name.clone())
    }

    /// Whether another name without an answer may be queried.
    fn has_room(&self) -> bool {
        let waiting = self.entries.values().filter(|entry| entry.is_waiting());
        waiting.count() < MOST_AT_ONCE / 2
    }

    /// Takes a reply in. A reply for a name that is no longer followed is dropped.
    pub(super) fn take(&mut self, name: &Host, reply: Reply, now: Instant) {
        if let Some(entry) = self.entries.get_mut(name) {
            self.has_changed |= entry.take(reply, now);
        }
    }

    /// Drops answers that have expired.
    pub(super) fn expire(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            self.has_changed |= entry.expire(now);
        }
    }

    /// When there is something to do: a query, if more `may_begin`, or an answer that expires.
    pub(super) fn due(&self, may_begin: bool) -> Option<Instant> {
        let room = self.has_room();
        let dues = self.entries.values().flat_map(|entry| {
            let may_begin = may_begin && (entry.holds() || room);
            [entry.next().filter(|_| may_begin), entry.ends()]
        });
        dues.flatten().min()
    }

    /// Everything that is known, if it has changed since the last call.
    pub(super) fn take_changed(&mut self) -> Option<Resolutions> {
        if !std::mem::take(&mut self.has_changed) {
            return None;
        }
        let answered = self.entries.iter().filter_map(|(name, entry)| {
            let shown = entry.shown()?;
            Some((name.clone(), Arc::clone(shown)))
        });
        let too_many = Arc::new(Resolution {
            fault: Some(NameFault::TooMany(MOST_NAMES)),
            ..Resolution::default()
        });
        let left_out = self.left_out.iter();
        let left_out = left_out.map(|name| (name.clone(), Arc::clone(&too_many)));
        Some(Arc::new(answered.chain(left_out).collect()))
    }
}
