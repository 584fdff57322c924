//! What is answered in place of a backend's error.

use super::row::{Subject, closes, ignored};

pub(super) const SUBJECT: Subject = Subject {
    title: "Error pages",
    ingress: &[
        closes(
            "nginx.ingress.kubernetes.io/custom-http-errors",
            "not supported yet",
        ),
        closes("nginx.ingress.kubernetes.io/default-backend", "not supported yet"),
        ignored(
            "nginx.ingress.kubernetes.io/disable-proxy-intercept-errors",
            "errors of the backend are never replaced",
        ),
    ],
    service: &[],
    review: None,
};
