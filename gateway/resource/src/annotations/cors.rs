//! Cross-origin resource sharing.

use super::row::{Subject, closes_except, ignored};
use super::value::OFF;

pub(super) const SUBJECT: Subject = Subject {
    title: "CORS",
    ingress: &[
        closes_except(
            OFF,
            "nginx.ingress.kubernetes.io/enable-cors",
            "not supported yet",
        ),
        ignored(
            "nginx.ingress.kubernetes.io/cors-*",
            "without effect while `enable-cors` is not set",
        ),
    ],
    service: &[],
    review: None,
};
