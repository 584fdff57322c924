//! Canaries: a second Ingress that gets a share of the requests.

use super::row::{Subject, closes_except, ignored};
use super::value::OFF;

pub(super) const SUBJECT: Subject = Subject {
    title: "Canaries",
    ingress: &[
        closes_except(
            OFF,
            "nginx.ingress.kubernetes.io/canary",
            "not supported yet; all requests would go to the canary",
        ),
        ignored(
            "nginx.ingress.kubernetes.io/canary-*",
            "without effect while `canary` is not set",
        ),
    ],
    service: &[],
    review: None,
};
