//! Which parties know a host: the cross-door alarm's view of the other doors.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::{HostPattern, RequestHost};

/// Hosts and the parties that know them; no routes.
#[derive(Debug, Clone, PartialEq)]
pub struct HostIndex<T> {
    exact: HashMap<Box<str>, Vec<T>, FixedState>,
    wildcard: HashMap<Box<str>, Vec<T>, FixedState>,
}

impl<T: PartialEq> HostIndex<T> {
    /// An index of these pairs. Rules without a host are left out: they know every host, which says nothing.
    pub fn build(pairs: impl Iterator<Item = (HostPattern, T)>) -> Self {
        let mut index = Self {
            exact: HashMap::default(),
            wildcard: HashMap::default(),
        };
        for (pattern, party) in pairs {
            let parties = match &pattern {
                HostPattern::Any => continue,
                HostPattern::Exact(host) => index.exact.entry(host.as_str().into()),
                HostPattern::Wildcard(suffix) => index.wildcard.entry(suffix.as_str().into()),
            }
            .or_default();
            if !parties.contains(&party) {
                parties.push(party);
            }
        }
        index
    }

    /// The parties that know a host, those who name it precisely first.
    pub fn find(&self, host: &RequestHost<'_>) -> impl Iterator<Item = &T> {
        let wildcard = host.parent().and_then(|parent| self.wildcard.get(parent));
        self.exact
            .get(host.as_str())
            .into_iter()
            .chain(wildcard)
            .flatten()
    }
}
