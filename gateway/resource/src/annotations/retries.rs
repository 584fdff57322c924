//! When a request is tried again, and when it is not tried at all.

use super::row::{Subject, closes, ignored};

pub(super) const SUBJECT: Subject = Subject {
    title: "Retries and overload",
    ingress: &[
        closes("blastdoor.dev/retry*", "not supported yet"),
        closes("blastdoor.dev/breaker*", "not supported yet"),
        closes("blastdoor.dev/in-flight*", "not supported yet"),
        ignored(
            "nginx.ingress.kubernetes.io/proxy-next-upstream*",
            "one retry, where nothing can have been processed",
        ),
    ],
    service: &[],
    review: None,
};
