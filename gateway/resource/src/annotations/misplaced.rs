//! Annotations that belong on the other kind of object.

use super::row::{Subject, ignored};

pub(super) const SUBJECT: Subject = Subject {
    title: "On the wrong object",
    ingress: &[ignored(
        "traefik.ingress.kubernetes.io/service.*",
        "belongs on the Service",
    )],
    service: &[
        ignored("traefik.ingress.kubernetes.io/router.*", "belongs on the Ingress"),
        ignored("nginx.ingress.kubernetes.io/*", "belongs on the Ingress"),
    ],
    review: None,
};
