//! When a request is tried again.

use super::row::{Subject, ignored};

pub(super) const SUBJECT: Subject = Subject {
    title: "Retries",
    ingress: &[ignored(
        "nginx.ingress.kubernetes.io/proxy-next-upstream*",
        "one retry, where nothing can have been processed",
    )],
    service: &[],
    review: None,
};
