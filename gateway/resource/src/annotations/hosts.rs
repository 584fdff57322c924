//! Host names: those of an Ingress beside its rules, and the one that a backend sees.

use super::row::{Subject, closes, closes_except, ignored};
use super::value::ON;

pub(super) const SUBJECT: Subject = Subject {
    title: "Host names",
    ingress: &[
        ignored(
            "nginx.ingress.kubernetes.io/server-alias",
            "not supported yet; name the hosts in `spec.rules`",
        ),
        closes(
            "nginx.ingress.kubernetes.io/upstream-vhost",
            "not supported yet; the backend would see another host",
        ),
    ],
    service: &[closes_except(
        ON,
        "traefik.ingress.kubernetes.io/service.passhostheader",
        "the backend would see another host",
    )],
    review: None,
};
