//! The catalogue of findings: one module per subject, one rule per finding.

mod host_ports;
mod objects;
mod policies;
mod rollout;
mod target_groups;

use crate::rule::Rule;

/// Everything that is looked for, in order of the names.
pub fn catalogue() -> impl Iterator<Item = &'static Rule> {
    [
        policies::RULES,
        target_groups::RULES,
        host_ports::RULES,
        rollout::RULES,
        objects::RULES,
    ]
    .into_iter()
    .flatten()
}
