//! GW4xx: what happens when a pod or a node goes away.

mod disruption;
mod grace;
mod placement;
mod profile;
mod wait;

use crate::rule::Rule;

/// In order of the names.
pub(super) const RULES: &[Rule] = &[grace::RULE, wait::RULE, placement::RULE, disruption::RULE];
