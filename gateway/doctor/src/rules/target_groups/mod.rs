//! GW2xx: target groups that the AWS Load Balancer Controller binds to Services of the gateway.

mod bound;
mod probes;
mod proxy_protocol;
mod readiness;
mod sharing;
mod wiring;

use crate::rule::Rule;

/// In order of the names.
pub(super) const RULES: &[Rule] = &[
    wiring::CLUSTER_IP,
    wiring::MISWIRED,
    readiness::RULE,
    probes::NETWORKING,
    sharing::ONE_GROUP,
    sharing::ONE_SECURITY_GROUP,
    proxy_protocol::RULE,
    probes::TARGET_TYPE,
];
