//! How much a client may ask for.

use super::row::{Subject, closes};

pub(super) const SUBJECT: Subject = Subject {
    title: "Rate limits",
    ingress: &[closes(
        "nginx.ingress.kubernetes.io/limit-*",
        "rate limits are not supported yet",
    )],
    service: &[],
    review: None,
};
