//! How paths match, and what a backend sees of them.

use super::row::{Subject, closes, closes_except, ignored, ignored_except};
use super::value::OFF;

pub(super) const SUBJECT: Subject = Subject {
    title: "Paths",
    ingress: &[
        closes(
            "nginx.ingress.kubernetes.io/rewrite-target",
            "not supported yet; the backend would see another path",
        ),
        closes_except(OFF, "nginx.ingress.kubernetes.io/use-regex", "not supported yet"),
        ignored_except(
            &["true"],
            "nginx.ingress.kubernetes.io/preserve-trailing-slash",
            "the path is never changed",
        ),
        closes_except(
            &["PathPrefix"],
            "traefik.ingress.kubernetes.io/router.pathmatcher",
            "regular expressions are not supported yet",
        ),
        ignored(
            "traefik.ingress.kubernetes.io/router.priority",
            "the rules of Ingress v1 decide",
        ),
        ignored(
            "traefik.ingress.kubernetes.io/router.rulesyntax",
            "Ingresses have no rule expressions",
        ),
    ],
    service: &[],
    review: None,
};
