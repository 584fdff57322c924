//! Traefik's middlewares, by name.

use super::row::{Subject, closes};

pub(super) const SUBJECT: Subject = Subject {
    title: "Middlewares",
    ingress: &[closes(
        "traefik.ingress.kubernetes.io/router.middlewares",
        "middlewares are not supported yet",
    )],
    service: &[],
    review: None,
};
