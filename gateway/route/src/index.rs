//! Which parties know a host: the cross-door alarm's view of the other doors.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::{Host, HostPattern, RequestHost};

/// Hosts and the parties that know them; no routes.
///
/// Made for many hosts and few parties: each combination of parties is kept once, however many hosts share it.
#[derive(Debug, Clone, PartialEq)]
pub struct HostIndex<T> {
    /// Positions in `combinations`.
    exact: HashMap<Host, usize, RandomState>,
    wildcard: HashMap<Host, usize, RandomState>,
    combinations: Vec<Box<[T]>>,
}

impl<T: Clone + PartialEq> HostIndex<T> {
    /// An index of these pairs. Rules without a host are left out: they know every host, which says nothing.
    pub fn build(pairs: impl IntoIterator<Item = (HostPattern, T)>) -> Self {
        let mut index = Self {
            exact: HashMap::default(),
            wildcard: HashMap::default(),
            combinations: Vec::new(),
        };
        for (pattern, party) in pairs {
            let (hosts, host) = match pattern {
                HostPattern::Any => continue,
                HostPattern::Exact(host) => (&mut index.exact, host),
                HostPattern::Wildcard(suffix) => (&mut index.wildcard, suffix),
            };
            let known = hosts.get(&host).copied();
            hosts.insert(host, with_party(&mut index.combinations, known, party));
        }
        index
    }

    /// The parties that know a host, those who name it precisely first, then those who have a wildcard for it.
    pub fn find(&self, host: &RequestHost<'_>) -> impl Iterator<Item = &T> {
        // An address is no key of either map.
        let exact = self.exact.get(host.as_str());
        let wildcard = host.parent().and_then(|parent| self.wildcard.get(parent));
        let parties = |position: &usize| self.combinations.get(*position).map(|parties| &**parties);
        exact.into_iter().chain(wildcard).filter_map(parties).flatten()
    }
}

/// The position of the combination that is `known` and `party`.
fn with_party<T: Clone + PartialEq>(
    combinations: &mut Vec<Box<[T]>>,
    known: Option<usize>,
    party: T,
) -> usize {
    let known = known
        .and_then(|position| combinations.get(position))
        .map(|parties| &**parties)
        .unwrap_or_default();
    let wanted = if known.contains(&party) {
        known.to_vec()
    } else {
        [known, &[party]].concat()
    };
    if let Some(position) = combinations.iter().position(|parties| **parties == *wanted) {
        return position;
    }
    combinations.push(wanted.into());
    combinations.len() - 1
}
