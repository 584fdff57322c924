//! Which client addresses are served.

use super::row::{Subject, closes, closes_except};

/// What cert-manager writes on each Ingress of a challenge.
const EVERYBODY: &[&str] = &["0.0.0.0/0,::/0"];

pub(super) const SUBJECT: Subject = Subject {
    title: "Allow and deny lists",
    ingress: &[
        closes_except(
            EVERYBODY,
            "nginx.ingress.kubernetes.io/whitelist-source-range",
            "allow lists are not supported yet",
        ),
        closes_except(
            EVERYBODY,
            "nginx.ingress.kubernetes.io/allowlist-source-range",
            "allow lists are not supported yet",
        ),
        closes(
            "nginx.ingress.kubernetes.io/denylist-source-range",
            "deny lists are not supported yet",
        ),
    ],
    service: &[],
    review: None,
};
