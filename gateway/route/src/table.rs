//! The routing table of one door.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use crate::{HostPattern, PathPattern, RequestHost, RequestPath};

/// Up to this many prefixes of one host are compared one by one; more are found by hash.
const FEW: usize = 8;

/// Which action belongs to a host and path. Immutable; made by a [`TableBuilder`].
///
/// A precise host beats a wildcard, and that beats rules without a host; a host that matched does not fall through
/// to the next. Within a host an exact path beats every prefix, and the longest prefix wins.
#[derive(Debug, Clone, PartialEq)]
pub struct Table<A> {
    exact: HashMap<Box<str>, HostRoutes<A>, FixedState>,
    wildcard: HashMap<Box<str>, HostRoutes<A>, FixedState>,
    any: Option<Box<HostRoutes<A>>>,
    default: Option<A>,
    /// Every host pattern, in order.
    hosts: Vec<HostPattern>,
}

/// Collects rules in order of precedence: whoever comes first to a place keeps it.
#[derive(Debug)]
pub struct TableBuilder<A> {
    hosts: HashMap<HostPattern, HostRoutes<A>, FixedState>,
    default: Option<A>,
}

/// One entry of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<'t, A> {
    /// The host.
    pub host: &'t HostPattern,
    /// The path.
    pub path: RowPath<'t>,
    /// What belongs to it.
    pub action: &'t A,
}

/// The path of a [`Row`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowPath<'t> {
    /// A rule's path.
    Pattern(&'t PathPattern),
    /// Whatever no path of the host matched.
    HostDefault,
    /// Whatever no rule at all matched.
    Default,
}

/// The rules of one host.
#[derive(Debug, Clone, PartialEq)]
struct HostRoutes<A> {
    /// Sorted once built: exact paths first, then prefixes, longest first.
    rules: Vec<(PathPattern, A)>,
    exact_count: usize,
    default: Option<A>,
    /// By hash of the stem, for hosts with many prefixes.
    by_stem: Option<Box<StemIndex>>,
}

/// Finds prefixes by the hash of their stem, from the longest possible one down.
#[derive(Debug, Clone, PartialEq)]
struct StemIndex {
    rules: HashMap<u64, Vec<u32>, FixedState>,
    longest: usize,
}

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
            hosts: HashMap::default(),
            default: None,
        }
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// The action that already holds the place.
    pub fn insert(&mut self, host: HostPattern, path: PathPattern, action: A) -> Result<(), &A> {
        let routes = self.host(host);
        // Borrow twice: the early return of a reference defeats the borrow checker otherwise.
        match routes.rules.iter().position(|(held, _)| *held == path) {
            Some(index) => routes.rules.get(index).map_or(Ok(()), |(_, action)| Err(action)),
            None => {
                routes.rules.push((path, action));
                Ok(())
            }
        }
    }

    /// Sets what answers a host where none of its paths matched.
    ///
    /// # Errors
    /// The action that already does.
    pub fn set_host_default(&mut self, host: HostPattern, action: A) -> Result<(), &A> {
        set(&mut self.host(host).default, action)
    }

    /// Sets what answers when nothing else matched.
    ///
    /// # Errors
    /// The action that already does.
    pub fn set_default(&mut self, action: A) -> Result<(), &A> {
        set(&mut self.default, action)
    }

    /// The finished table.
    #[must_use]
    pub fn build(self) -> Table<A> {
        let mut table = Table {
            exact: HashMap::default(),
            wildcard: HashMap::default(),
            any: None,
            default: self.default,
            hosts: self.hosts.keys().cloned().collect(),
        };
        table.hosts.sort_unstable();
        for (host, mut routes) in self.hosts {
            routes.finish();
            match host {
                HostPattern::Any => table.any = Some(Box::new(routes)),
                HostPattern::Exact(host) => {
                    table.exact.insert(host.as_str().into(), routes);
                }
                HostPattern::Wildcard(suffix) => {
                    table.wildcard.insert(suffix.as_str().into(), routes);
                }
            }
        }
        table
    }

    fn host(&mut self, host: HostPattern) -> &mut HostRoutes<A> {
        self.hosts.entry(host).or_insert_with(|| HostRoutes {
            rules: Vec::with_capacity(1),
            exact_count: 0,
            default: None,
            by_stem: None,
        })
    }
}

fn set<A>(place: &mut Option<A>, action: A) -> Result<(), &A> {
    if place.is_none() {
        *place = Some(action);
        return Ok(());
    }
    place.as_ref().map_or(Ok(()), Err)
}

impl<A> Table<A> {
    /// The action for a request. `host` is `None` for an HTTP/1.0 request without `Host`.
    #[must_use]
    pub fn find(&self, host: Option<&RequestHost<'_>>, path: &RequestPath<'_>) -> Option<&A> {
        let routes = host.and_then(|host| self.named(host)).or(self.any.as_deref());
        routes
            .and_then(|routes| routes.find(path))
            .or(self.default.as_ref())
    }

    /// Whether some rule names this host, precisely or by a wildcard.
    #[must_use]
    pub fn knows_host(&self, host: &RequestHost<'_>) -> bool {
        self.named(host).is_some()
    }

    fn named(&self, host: &RequestHost<'_>) -> Option<&HostRoutes<A>> {
        if host.is_address() {
            return None;
        }
        let wildcard = || self.wildcard.get(host.parent()?);
        self.exact.get(host.as_str()).or_else(wildcard)
    }

    /// Every entry, ordered by host and then by precedence of the path.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_, A>> {
        let rows = self.hosts.iter().flat_map(|host| {
            let routes = self.routes(host);
            let rules = routes.map(|routes| routes.rules.as_slice()).unwrap_or_default();
            let rules = rules.iter().map(move |(path, action)| Row {
                host,
                path: RowPath::Pattern(path),
                action,
            });
            let default = routes.and_then(|routes| routes.default.as_ref());
            rules.chain(default.map(|action| Row {
                host,
                path: RowPath::HostDefault,
                action,
            }))
        });
        let default = self.default.as_ref();
        rows.chain(default.map(|action| Row {
            host: &HostPattern::Any,
            path: RowPath::Default,
            action,
        }))
    }

    /// Every host pattern that has a rule, in order.
    pub fn hosts(&self) -> impl Iterator<Item = &HostPattern> {
        self.hosts.iter()
    }

    /// The same hosts and paths with other actions.
    #[must_use]
    pub fn map<B>(&self, change: impl Fn(&A) -> B) -> Table<B> {
        let routes = |routes: &HostRoutes<A>| HostRoutes {
            rules: routes
                .rules
                .iter()
                .map(|(path, action)| (path.clone(), change(action)))
                .collect(),
            exact_count: routes.exact_count,
            default: routes.default.as_ref().map(&change),
            by_stem: routes.by_stem.clone(),
        };
        Table {
            exact: self
                .exact
                .iter()
                .map(|(host, of)| (host.clone(), routes(of)))
                .collect(),
            wildcard: self
                .wildcard
                .iter()
                .map(|(host, of)| (host.clone(), routes(of)))
                .collect(),
            any: self.any.as_ref().map(|of| Box::new(routes(of))),
            default: self.default.as_ref().map(&change),
            hosts: self.hosts.clone(),
        }
    }

    fn routes(&self, host: &HostPattern) -> Option<&HostRoutes<A>> {
        match host {
            HostPattern::Any => self.any.as_deref(),
            HostPattern::Exact(host) => self.exact.get(host.as_str()),
            HostPattern::Wildcard(suffix) => self.wildcard.get(suffix.as_str()),
        }
    }
}

impl<A> HostRoutes<A> {
    fn finish(&mut self) {
        self.rules
            .sort_by(|(left, _), (right, _)| rank(right).cmp(&rank(left)).then_with(|| left.cmp(right)));
        self.rules.shrink_to_fit();
        self.exact_count = self
            .rules
            .iter()
            .filter(|(path, _)| matches!(path, PathPattern::Exact(_)))
            .count();
        let prefixes = self.rules.len() - self.exact_count;
        self.by_stem = (prefixes > FEW).then(|| Box::new(StemIndex::build(&self.rules)));
    }

    fn find(&self, path: &RequestPath<'_>) -> Option<&A> {
        let (exact, prefixes) = self.rules.split_at_checked(self.exact_count)?;
        let exact = if exact.len() <= FEW {
            exact.iter().find(|(pattern, _)| pattern.matches(path))
        } else {
            // Sorted by length, longest first, then by text.
            let bytes = path.as_bytes();
            let order = |pattern: &PathPattern| match pattern {
                PathPattern::Exact(text) => bytes
                    .len()
                    .cmp(&text.len())
                    .then_with(|| text.as_bytes().cmp(bytes)),
                PathPattern::Prefix { .. } => std::cmp::Ordering::Greater,
            };
            exact
                .binary_search_by(|(pattern, _)| order(pattern))
                .ok()
                .and_then(|index| exact.get(index))
        };
        let rule = exact.or_else(|| match &self.by_stem {
            None => prefixes.iter().find(|(pattern, _)| pattern.matches(path)),
            Some(index) => index.find(&self.rules, path),
        });
        rule.map(|(_, action)| action).or(self.default.as_ref())
    }
}

/// Exact before prefix, longer before shorter, `/foo/` before `/foo`.
fn rank(pattern: &PathPattern) -> (bool, usize, bool) {
    match pattern {
        PathPattern::Exact(path) => (true, path.len(), false),
        PathPattern::Prefix { stem, slash } => (false, stem.len(), *slash),
    }
}

impl StemIndex {
    fn build<A>(rules: &[(PathPattern, A)]) -> Self {
        let mut index = Self {
            rules: HashMap::default(),
            longest: 0,
        };
        for (position, (pattern, _)) in rules.iter().enumerate() {
            if let PathPattern::Prefix { stem, .. } = pattern
                && let Ok(position) = u32::try_from(position)
            {
                let mut hasher = FixedState::default().build_hasher();
                hasher.write(stem.as_bytes());
                index.rules.entry(hasher.finish()).or_default().push(position);
                index.longest = index.longest.max(stem.len());
            }
        }
        index
    }

    /// Tries the ends of the path's elements from the longest stem that any rule has, so that a path of many
    /// slashes costs no more than the rules are long.
    fn find<'r, A>(
        &self,
        rules: &'r [(PathPattern, A)],
        path: &RequestPath<'_>,
    ) -> Option<&'r (PathPattern, A)> {
        let bytes = path.as_bytes();
        let ends_here = |end: usize| matches!(bytes.get(end), None | Some(b'/'));
        (0..=bytes.len().min(self.longest))
            .rev()
            .filter(|end| ends_here(*end))
            .find_map(|end| {
                let mut hasher = FixedState::default().build_hasher();
                hasher.write(bytes.get(..end)?);
                let candidates = self.rules.get(&hasher.finish())?;
                candidates
                    .iter()
                    .filter_map(|position| rules.get(*position as usize))
                    .find(|(pattern, _)| {
                        matches!(pattern, PathPattern::Prefix { stem, .. } if stem.len() == end)
                            && pattern.matches(path)
                    })
            })
    }
}
