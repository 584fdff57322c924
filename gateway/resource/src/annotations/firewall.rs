//! The web application firewall of ingress-nginx.

use super::row::{Subject, closes, closes_except};
use super::value::OFF;

pub(super) const SUBJECT: Subject = Subject {
    title: "Web application firewall",
    ingress: &[
        closes_except(
            OFF,
            "nginx.ingress.kubernetes.io/enable-modsecurity",
            "not supported",
        ),
        closes_except(
            OFF,
            "nginx.ingress.kubernetes.io/enable-owasp-core-rules",
            "not supported",
        ),
        closes("nginx.ingress.kubernetes.io/modsecurity-*", "not supported"),
        closes(
            "nginx.ingress.kubernetes.io/modsecurity-snippet",
            "the web application firewall is not supported",
        ),
    ],
    service: &[],
    review: None,
};
