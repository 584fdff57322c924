//! The routing table of one door.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::ops::Range;

use foldhash::fast::RandomState;

use crate::host::RequestHost;
use crate::host_pattern::HostPattern;
use crate::host_set::HostSet;
use crate::path::RequestPath;
use crate::path_pattern::{PathPattern, by_element, shared_length};

/// How many regular expressions one host should have at most.
pub const MOST_REGEXES: usize = 100;

/// The action for each host and path. Immutable; made by a [`TableBuilder`].
///
/// A precise host beats a wildcard, and a wildcard beats rules without a host. A host that matched does not fall through
/// to the next. Within a host an exact path beats every prefix, and the longest prefix wins; `/foo/` beats `/foo`. A
/// regular expression ranks among the prefixes by the length of its text, after a prefix of equal length; of several the
/// longest that matches wins, then the first by text. Where no path of the host matches, the host's own default answers,
/// then the table's.
#[derive(Debug, Clone)]
pub struct Table<A> {
    /// In order, hence the rules without a host first.
    hosts: Vec<HostRules<A>>,
    /// Every host's rules, one host after the other.
    rules: Vec<Rule<A>>,
    default: Option<A>,
    /// Positions in `hosts`.
    index: HostSet,
}

/// Collects rules in order of precedence: the first rule for a place keeps it.
#[derive(Debug)]
pub struct TableBuilder<A> {
    /// By host and path; without a path, the host's default.
    places: HashMap<(HostPattern, Option<PathPattern>), A, RandomState>,
    /// How many of them are regular expressions, by host.
    regexes: HashMap<HostPattern, usize, RandomState>,
    default: Option<A>,
}

/// One entry of a table.
#[derive(Debug, PartialEq)]
pub struct Row<'t, A> {
    /// The host.
    pub host: &'t HostPattern,
    /// The path.
    pub path: RowPath<'t>,
    /// What belongs to it.
    pub action: &'t A,
}

/// The path of a [`Row`], ordered as the rows of a host are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowPath<'t> {
    /// A rule's path.
    Pattern(&'t PathPattern),
    /// Whatever no path of the host matched.
    HostDefault,
    /// Whatever no rule at all matched.
    Default,
}

/// One host and where its rules are: exact paths from `start`, prefixes from `prefixes`, regular expressions from `regexes`
/// to `end`.
#[derive(Debug, Clone, PartialEq)]
struct HostRules<A> {
    pattern: HostPattern,
    start: usize,
    prefixes: usize,
    regexes: usize,
    end: usize,
    default: Option<A>,
}

#[derive(Debug, Clone, PartialEq)]
struct Rule<A> {
    path: PathPattern,
    /// How far before a prefix stands the longest one that is above it.
    above: Option<NonZeroUsize>,
    action: A,
}

impl<A> Table<A> {
    /// The action for a request. `host` is `None` for an HTTP/1.0 request without `Host`.
    #[must_use]
    pub fn find(&self, host: Option<&RequestHost<'_>>, path: &RequestPath<'_>) -> Option<&A> {
        let host = host.and_then(|host| self.named(host)).or_else(|| self.hostless());
        host.and_then(|host| self.find_path(host, path.as_bytes()))
            .or(self.default.as_ref())
    }

    /// The entry whose action [`find`](Self::find) returns, for whoever explains it: it looks at all entries of the host.
    #[must_use]
    pub fn row(&self, host: Option<&RequestHost<'_>>, path: &RequestPath<'_>) -> Option<Row<'_, A>> {
        let action = self.find(host, path)?;
        let is_it = |other: &A| std::ptr::eq(other, action);
        let named = host.and_then(|host| self.named(host)).or_else(|| self.hostless());
        let row = |host, path| Row { host, path, action };
        let Some(rules) = named.filter(|_| !self.default.as_ref().is_some_and(is_it)) else {
            return Some(row(&HostPattern::Any, RowPath::Default));
        };
        let rule = self.rules_of(rules).iter().find(|rule| is_it(&rule.action));
        let path = rule.map_or(RowPath::HostDefault, |rule| RowPath::Pattern(&rule.path));
        Some(row(&rules.pattern, path))
    }

    /// Whether some rule names this host, precisely or by a wildcard.
    #[must_use]
    pub fn knows_host(&self, host: &RequestHost<'_>) -> bool {
        self.named(host).is_some()
    }

    /// Every entry, ordered by host; within a host exact paths, prefixes, regular expressions, and the host's default; the
    /// table's default last. Equal tables have equal rows in equal order, whatever the order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_, A>> {
        let rows = self.hosts.iter().flat_map(|host| self.rows_in(host));
        rows.chain(self.default_row())
    }

    /// The entries of one host, in the order of [`iter`](Self::iter). The table's default belongs to the rules without a
    /// host.
    pub fn rows_of(&self, host: &HostPattern) -> impl Iterator<Item = Row<'_, A>> + use<'_, A> {
        let place = self.position(host).and_then(|position| self.hosts.get(position));
        let default = self.default_row().filter(|_| *host == HostPattern::Any);
        place
            .into_iter()
            .flat_map(|host| self.rows_in(host))
            .chain(default)
    }

    fn rows_in<'t>(&'t self, host: &'t HostRules<A>) -> impl Iterator<Item = Row<'t, A>> {
        let row = |path, action| Row {
            host: &host.pattern,
            path,
            action,
        };
        let rules = self.rules_of(host).iter();
        let rules = rules.map(move |rule| row(RowPath::Pattern(&rule.path), &rule.action));
        let default = host.default.iter();
        rules.chain(default.map(move |action| row(RowPath::HostDefault, action)))
    }

    fn default_row(&self) -> Option<Row<'_, A>> {
        self.default.as_ref().map(|action| Row {
            host: &HostPattern::Any,
            path: RowPath::Default,
            action,
        })
    }

    /// Every host pattern that has a rule or a default of its own, in order.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = &HostPattern> {
        self.hosts.iter().map(|host| &host.pattern)
    }

    /// The same as [`hosts`](Self::hosts), for readers that must not see the rules.
    #[must_use]
    pub fn host_set(&self) -> &HostSet {
        &self.index
    }

    /// Whether the pattern is one of the [`hosts`](Self::hosts).
    #[must_use]
    pub fn has_host(&self, host: &HostPattern) -> bool {
        self.position(host).is_some()
    }

    /// What answers for one of the [`hosts`](Self::hosts): its rules, and its default.
    pub fn of_host(&self, host: &HostPattern) -> impl Iterator<Item = &A> {
        let host = self.position(host).and_then(|position| self.hosts.get(position));
        host.into_iter().flat_map(|host| {
            let rules = self.rules_of(host).iter().map(|rule| &rule.action);
            rules.chain(&host.default)
        })
    }

    /// What answers where no rule matches.
    #[must_use]
    pub fn fallback(&self) -> Option<&A> {
        self.default.as_ref()
    }

    /// The number of entries, defaults included.
    #[must_use]
    pub fn len(&self) -> usize {
        let host_defaults = self.hosts.iter().filter(|host| host.default.is_some()).count();
        self.rules.len() + host_defaults + usize::from(self.default.is_some())
    }

    /// Whether the table has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same hosts and paths with other actions.
    #[must_use]
    pub fn map<B>(&self, mut change: impl FnMut(&A) -> B) -> Table<B> {
        let rules = self.rules.iter().map(|rule| Rule {
            path: rule.path.clone(),
            above: rule.above,
            action: change(&rule.action),
        });
        let rules = rules.collect();
        let hosts = self.hosts.iter().map(|host| HostRules {
            pattern: host.pattern.clone(),
            start: host.start,
            prefixes: host.prefixes,
            regexes: host.regexes,
            end: host.end,
            default: host.default.as_ref().map(&mut change),
        });
        Table {
            hosts: hosts.collect(),
            rules,
            default: self.default.as_ref().map(&mut change),
            index: self.index.clone(),
        }
    }

    fn named(&self, host: &RequestHost<'_>) -> Option<&HostRules<A>> {
        if host.is_address() {
            return None;
        }
        let exact = steps::taken(self.index.named(host));
        let wildcard = || steps::taken(self.index.covered(host));
        exact
            .or_else(wildcard)
            .and_then(|position| self.hosts.get(position))
    }

    fn hostless(&self) -> Option<&HostRules<A>> {
        self.hosts.first().filter(|host| host.pattern == HostPattern::Any)
    }

    fn position(&self, host: &HostPattern) -> Option<usize> {
        match host {
            HostPattern::Any => self.hostless().map(|_| 0),
            HostPattern::Exact(_) | HostPattern::Wildcard(_) => self.index.position(host),
        }
    }

    fn rules_of(&self, host: &HostRules<A>) -> &[Rule<A>] {
        self.rules.get(host.start..host.end).unwrap_or_default()
    }

    fn find_path<'t>(&'t self, host: &'t HostRules<A>, path: &[u8]) -> Option<&'t A> {
        let exact = self.rules.get(host.start..host.prefixes).unwrap_or_default();
        let prefixes = self.rules.get(host.prefixes..host.regexes).unwrap_or_default();
        find_exact(exact, path)
            .or_else(|| {
                let prefix = longest_prefix(prefixes, path);
                if host.regexes == host.end {
                    prefix
                } else {
                    self.longer_regex(host, prefix, path).or(prefix)
                }
            })
            .map(|rule| &rule.action)
            .or(host.default.as_ref())
    }

    /// The first regular expression that matches, of those that beat the prefix.
    #[inline(never)]
    fn longer_regex(&self, host: &HostRules<A>, prefix: Option<&Rule<A>>, path: &[u8]) -> Option<&Rule<A>> {
        let beaten = prefix.map_or(0, |rule| rule.path.rank());
        let regexes = self.rules.get(host.regexes..host.end).unwrap_or_default();
        regexes
            .iter()
            .take_while(|rule| rule.path.rank() > beaten)
            .find(|rule| steps::taken(rule.path.matches_bytes(path)))
    }
}

impl<A: Clone + PartialEq> Table<A> {
    /// This table with the rules of `hosts` taken from `other`, which must have rules for no other hosts; `None` when
    /// they are the same there. The table's default belongs to the rules without a host.
    #[must_use]
    pub fn with_hosts(&self, hosts: &BTreeSet<HostPattern>, other: &Self) -> Option<Self> {
        let same = hosts
            .iter()
            .all(|host| match (self.block(host), other.block(host)) {
                (None, None) => true,
                (Some((ours, our_rules)), Some((theirs, their_rules))) => {
                    ours.default == theirs.default && our_rules == their_rules
                }
                (Some(_), None) | (None, Some(_)) => false,
            });
        let takes_default = hosts.contains(&HostPattern::Any);
        if same && (!takes_default || self.default == other.default) {
            return None;
        }
        let default = if takes_default {
            &other.default
        } else {
            &self.default
        };
        let mut merged = Self {
            hosts: Vec::with_capacity(self.hosts.len() + other.hosts.len()),
            rules: Vec::with_capacity(self.rules.len() + other.rules.len()),
            default: default.clone(),
            index: self.index.clone(),
        };
        let (mut moved, mut copied) = (false, 0);
        for host in hosts {
            let (place, there) = match self.hosts.binary_search_by(|old| old.pattern.cmp(host)) {
                Ok(place) => (place, true),
                Err(place) => (place, false),
            };
            merged.append(self, copied..place);
            copied = place + usize::from(there);
            let new = other.position(host);
            if let Some(new) = new {
                merged.append(other, new..new + 1);
            }
            moved |= there != new.is_some();
        }
        merged.append(self, copied..self.hosts.len());
        if moved {
            merged.index = merged.hosts().collect();
        }
        Some(merged)
    }

    /// Appends hosts of another table, with their rules.
    fn append(&mut self, from: &Self, hosts: Range<usize>) {
        let hosts = from.hosts.get(hosts).unwrap_or_default();
        let (Some(first), Some(last)) = (hosts.first(), hosts.last()) else {
            return;
        };
        let (before, after) = (first.start, self.rules.len());
        self.rules
            .extend_from_slice(from.rules.get(before..last.end).unwrap_or_default());
        self.hosts.extend(hosts.iter().map(|host| HostRules {
            pattern: host.pattern.clone(),
            start: host.start - before + after,
            prefixes: host.prefixes - before + after,
            regexes: host.regexes - before + after,
            end: host.end - before + after,
            default: host.default.clone(),
        }));
    }

    fn block(&self, host: &HostPattern) -> Option<(&HostRules<A>, &[Rule<A>])> {
        let host = self.hosts.get(self.position(host)?)?;
        Some((host, self.rules_of(host)))
    }
}

impl<A: Eq> Eq for Table<A> {}

/// By content: hosts, paths and actions.
impl<A: PartialEq> PartialEq for Table<A> {
    fn eq(&self, other: &Self) -> bool {
        // The index follows from the hosts.
        self.hosts == other.hosts && self.rules == other.rules && self.default == other.default
    }
}

fn find_exact<'t, A>(rules: &'t [Rule<A>], path: &[u8]) -> Option<&'t Rule<A>> {
    let position = rules
        .binary_search_by(|rule| steps::taken(rule.path.text().cmp(path)))
        .ok()?;
    rules.get(position)
}

/// The longest of the prefixes that cover `path`.
///
/// In the order of elements, everything between a prefix and what it covers is covered too. So every prefix that covers
/// `path` is the last one that does not come after it, or is above that one. A binary search finds it, and a walk upwards
/// the rest.
fn longest_prefix<'t, A>(rules: &'t [Rule<A>], path: &[u8]) -> Option<&'t Rule<A>> {
    let after = rules.partition_point(|rule| steps::taken(by_element(rule.path.text(), path).is_le()));
    let mut position = after.checked_sub(1)?;
    let mut rule = rules.get(position)?;
    let shared = shared_length(rule.path.text(), path);
    loop {
        let length = steps::taken(rule.path.text().len());
        if length <= shared && matches!(path.get(length), None | Some(b'/')) {
            return Some(rule);
        }
        position = position.checked_sub(rule.above?.get())?;
        rule = rules.get(position)?;
    }
}

impl<A> Clone for Row<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Row<'_, A> {}

impl<A> Default for TableBuilder<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A> TableBuilder<A> {
    /// No rules yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            places: HashMap::default(),
            regexes: HashMap::default(),
            default: None,
        }
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// The action that already holds the place.
    pub fn insert(&mut self, host: HostPattern, path: PathPattern, action: A) -> Result<(), &A> {
        let counted = matches!(path, PathPattern::Regex(_)).then(|| host.clone());
        match self.places.entry((host, Some(path))) {
            Entry::Vacant(place) => {
                place.insert(action);
                if let Some(host) = counted {
                    *self.regexes.entry(host).or_default() += 1;
                }
                Ok(())
            }
            Entry::Occupied(place) => Err(place.into_mut()),
        }
    }

    /// The hosts that have a place, as often as they have one.
    pub fn hosts(&self) -> impl Iterator<Item = &HostPattern> {
        self.places.keys().map(|(host, _)| host)
    }

    /// Every place but the table's default, in no order. A host's default has no path.
    pub fn places(&self) -> impl Iterator<Item = (&HostPattern, Option<&PathPattern>, &A)> {
        let places = self.places.iter();
        places.map(|((host, path), action)| (host, path.as_ref(), action))
    }

    /// How many regular expressions a host has. Each costs every request for the host up to one match, so a caller bounds
    /// them: [`MOST_REGEXES`] are meant.
    #[must_use]
    pub fn regexes(&self, host: &HostPattern) -> usize {
        self.regexes.get(host).copied().unwrap_or_default()
    }

    /// Sets what answers a host where none of its paths matched.
    ///
    /// # Errors
    /// The action that already does.
    pub fn set_host_default(&mut self, host: HostPattern, action: A) -> Result<(), &A> {
        match self.places.entry((host, None)) {
            Entry::Vacant(place) => {
                place.insert(action);
                Ok(())
            }
            Entry::Occupied(place) => Err(place.into_mut()),
        }
    }

    /// Sets what answers when nothing else matched.
    ///
    /// # Errors
    /// The action that already does.
    pub fn set_default(&mut self, action: A) -> Result<(), &A> {
        match self.default {
            Some(ref held) => Err(held),
            None => {
                self.default = Some(action);
                Ok(())
            }
        }
    }

    /// The finished table.
    #[must_use]
    pub fn build(self) -> Table<A> {
        let mut places: Vec<_> = self.places.into_iter().collect();
        places.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        let mut hosts: Vec<HostRules<A>> = Vec::new();
        let mut rules: Vec<Rule<A>> = Vec::with_capacity(places.len());
        // The prefixes above the current one, longest last.
        let mut open: Vec<usize> = Vec::new();
        for ((pattern, path), action) in places {
            let at = rules.len();
            let host = match hosts.pop_if(|host| host.pattern == pattern) {
                Some(host) => host,
                None => {
                    open.clear();
                    HostRules {
                        pattern,
                        start: at,
                        prefixes: at,
                        regexes: at,
                        end: at,
                        default: None,
                    }
                }
            };
            hosts.push(match path {
                None => HostRules {
                    default: Some(action),
                    ..host
                },
                Some(path @ PathPattern::Exact(_)) => {
                    let above = None;
                    rules.push(Rule { path, above, action });
                    HostRules {
                        prefixes: at + 1,
                        regexes: at + 1,
                        end: at + 1,
                        ..host
                    }
                }
                Some(path @ PathPattern::Prefix(_)) => {
                    let covers =
                        |above: &mut usize| rules.get(*above).is_some_and(|it| it.path.is_above(&path));
                    while open.pop_if(|above| !covers(above)).is_some() {}
                    let above = open.last().and_then(|above| NonZeroUsize::new(at - above));
                    open.push(at);
                    rules.push(Rule { path, above, action });
                    HostRules {
                        regexes: at + 1,
                        end: at + 1,
                        ..host
                    }
                }
                Some(path @ PathPattern::Regex(_)) => {
                    let above = None;
                    rules.push(Rule { path, above, action });
                    HostRules { end: at + 1, ..host }
                }
            });
        }
        hosts.shrink_to_fit();
        rules.shrink_to_fit();
        Table {
            index: hosts.iter().map(|host| &host.pattern).collect(),
            hosts,
            rules,
            default: self.default,
        }
    }
}

/// Counts the comparisons and hash lookups of the current thread in tests, and nothing otherwise.
mod steps {
    #[cfg(test)]
    thread_local! {
        static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    /// Passes the result of a step on.
    pub(super) fn taken<T>(result: T) -> T {
        #[cfg(test)]
        STEPS.set(STEPS.get() + 1);
        result
    }

    /// What `lookup` yields, and the steps that it took.
    #[cfg(test)]
    pub(super) fn count<T>(lookup: impl FnOnce() -> T) -> (T, usize) {
        let before = STEPS.get();
        let found = lookup();
        (found, STEPS.get() - before)
    }
}

#[cfg(test)]
mod tests;
