//! Hosts without rules: what one door may know about another.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::host::{Host, RequestHost};
use crate::host_pattern::HostPattern;

/// The hosts that have rules, without the rules. A clone shares them.
#[derive(Debug, Clone, Default)]
pub struct HostSet {
    exact: Arc<Positions>,
    /// By suffix.
    wildcard: Arc<Positions>,
}

/// Where the rules of each host are, for the table that has them.
type Positions = HashMap<Host, usize, RandomState>;

impl HostSet {
    /// Whether the host is named precisely.
    #[must_use]
    pub fn names(&self, host: &RequestHost<'_>) -> bool {
        self.named(host).is_some()
    }

    /// Whether a wildcard covers the host.
    #[must_use]
    pub fn covers(&self, host: &RequestHost<'_>) -> bool {
        self.covered(host).is_some()
    }

    /// Every host and wildcard, in order.
    #[must_use]
    pub fn patterns(&self) -> Vec<HostPattern> {
        let exact = self.exact.keys().cloned().map(HostPattern::Exact);
        let mut patterns: Vec<_> = exact
            .chain(self.wildcard.keys().cloned().map(HostPattern::Wildcard))
            .collect();
        patterns.sort_unstable();
        patterns
    }

    /// The position of a host that is named precisely. An address is never a key.
    pub(crate) fn named(&self, host: &RequestHost<'_>) -> Option<usize> {
        self.exact.get(host.as_str()).copied()
    }

    /// The position of the wildcard for a host.
    pub(crate) fn covered(&self, host: &RequestHost<'_>) -> Option<usize> {
        self.wildcard.get(host.parent()?).copied()
    }

    /// The position of a pattern; none for rules without a host.
    pub(crate) fn position(&self, pattern: &HostPattern) -> Option<usize> {
        match pattern {
            HostPattern::Any => None,
            HostPattern::Exact(host) => self.exact.get(host).copied(),
            HostPattern::Wildcard(suffix) => self.wildcard.get(suffix).copied(),
        }
    }
}

/// In the order of their positions. Rules without a host are left out, because they match every host.
impl<'p> FromIterator<&'p HostPattern> for HostSet {
    fn from_iter<T: IntoIterator<Item = &'p HostPattern>>(patterns: T) -> Self {
        let (mut exact, mut wildcard) = (Vec::new(), Vec::new());
        for (at, pattern) in patterns.into_iter().enumerate() {
            match pattern {
                HostPattern::Any => {}
                HostPattern::Exact(host) => exact.push((host.clone(), at)),
                HostPattern::Wildcard(suffix) => wildcard.push((suffix.clone(), at)),
            }
        }
        // From a vector, so that the maps are no larger than necessary.
        let positions = |found: Vec<(Host, usize)>| Arc::new(found.into_iter().collect());
        Self {
            exact: positions(exact),
            wildcard: positions(wildcard),
        }
    }
}

/// The same hosts, wherever their rules are.
impl PartialEq for HostSet {
    fn eq(&self, other: &Self) -> bool {
        let same = |left: &Arc<Positions>, right: &Arc<Positions>| {
            Arc::ptr_eq(left, right)
                || (left.len() == right.len() && left.keys().all(|host| right.contains_key(host)))
        };
        same(&self.exact, &other.exact) && same(&self.wildcard, &other.wildcard)
    }
}
