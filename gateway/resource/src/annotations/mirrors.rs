//! Copies of requests to another backend.

use super::row::{Subject, closes, ignored};

pub(super) const SUBJECT: Subject = Subject {
    title: "Mirrors",
    ingress: &[
        closes("blastdoor.dev/mirror*", "not supported yet"),
        ignored("nginx.ingress.kubernetes.io/mirror-*", "not supported"),
    ],
    service: &[],
    review: None,
};
