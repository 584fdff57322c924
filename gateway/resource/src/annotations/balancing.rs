//! Which endpoint of a Service gets a request.

use super::row::{Subject, closes, ignored, ignored_except};

const ENDPOINTS: &str = "endpoints are always used";

pub(super) const SUBJECT: Subject = Subject {
    title: "Load balancing",
    ingress: &[
        ignored(
            "nginx.ingress.kubernetes.io/load-balance",
            "power of two choices is always used",
        ),
        closes(
            "nginx.ingress.kubernetes.io/upstream-hash-by*",
            "not supported yet",
        ),
        ignored_except(
            &["false"],
            "nginx.ingress.kubernetes.io/service-upstream",
            ENDPOINTS,
        ),
    ],
    service: &[
        ignored_except(
            &["false"],
            "traefik.ingress.kubernetes.io/service.nativelb",
            ENDPOINTS,
        ),
        ignored_except(
            &["false"],
            "traefik.ingress.kubernetes.io/service.nodeportlb",
            ENDPOINTS,
        ),
    ],
    review: None,
};
