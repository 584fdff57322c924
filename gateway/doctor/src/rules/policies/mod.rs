//! GW1xx: traffic policies of Services, judged by what stands in front of them.

mod blind_nodes;
mod changed;
mod hidden_clients;
mod internal;
mod local;
mod uneven;

use crate::rule::Rule;

/// In order of the names.
pub(super) const RULES: &[Rule] = &[
    blind_nodes::RULE,
    hidden_clients::RULE,
    local::RED_TARGETS,
    local::RED_BY_DESIGN,
    local::NOBODY,
    uneven::RULE,
    changed::RULE,
    internal::RULE,
];
