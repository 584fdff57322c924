//! GW5xx: what the gateway may read, and what Ingresses do at its doors.

mod admission;
mod certificates;
mod challenges;
mod rights;

use crate::rule::Rule;

/// In order of the names.
pub(super) const RULES: &[Rule] = &[
    rights::RULE,
    admission::RULE,
    certificates::RULE,
    challenges::RULE,
];
