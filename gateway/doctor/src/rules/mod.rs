//! The catalogue of findings: one module per subject, one rule per finding.

mod policies;

use crate::rule::Rule;

/// Everything that is looked for, in order of the names.
pub fn catalogue() -> impl Iterator<Item = &'static Rule> {
    [policies::RULES].into_iter().flatten()
}
