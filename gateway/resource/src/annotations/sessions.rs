//! Sticky sessions.

use super::row::{Subject, closes, ignored};

const NO_AFFINITY: &str = "without effect while `affinity` is not set";

pub(super) const SUBJECT: Subject = Subject {
    title: "Sticky sessions",
    ingress: &[
        closes(
            "nginx.ingress.kubernetes.io/affinity",
            "sticky sessions are not supported yet",
        ),
        ignored("nginx.ingress.kubernetes.io/affinity-*", NO_AFFINITY),
        ignored("nginx.ingress.kubernetes.io/session-cookie-*", NO_AFFINITY),
        ignored(
            "nginx.ingress.kubernetes.io/session-cookie-hash",
            "no such annotation exists any more",
        ),
    ],
    service: &[ignored(
        "traefik.ingress.kubernetes.io/service.sticky.*",
        "sticky sessions are not supported yet",
    )],
    review: None,
};
