//! GW3xx: doors on the ports of nodes.

mod cloudflare;
mod coverage;
mod names;
mod ports;
mod privileged;
mod surge;
mod taken;

use crate::rule::Rule;

/// In order of the names.
pub(super) const RULES: &[Rule] = &[
    surge::RULE,
    names::RULE,
    privileged::RULE,
    taken::RULE,
    coverage::RULE,
    cloudflare::RULE,
];
