//! GW1xx: traffic policies of Services, judged by what stands in front of them.

mod blind_nodes;

use crate::rule::Rule;

/// In order of the names.
pub(super) const RULES: &[Rule] = &[blind_nodes::RULE];
