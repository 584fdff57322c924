//! Copies of requests to another backend.

use super::row::{Subject, ignored};

pub(super) const SUBJECT: Subject = Subject {
    title: "Mirrors",
    ingress: &[ignored("nginx.ingress.kubernetes.io/mirror-*", "not supported")],
    service: &[],
    review: None,
};
