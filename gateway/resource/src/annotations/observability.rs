//! Logs and traces.

use super::row::{Subject, ignored, ignored_except};

const NO_TRACES: &str = "traces are not supported yet";

pub(super) const SUBJECT: Subject = Subject {
    title: "Logs and traces",
    ingress: &[
        ignored_except(
            &["true"],
            "nginx.ingress.kubernetes.io/enable-access-log",
            "`[log] access` of the gateway decides",
        ),
        ignored_except(
            &["false"],
            "nginx.ingress.kubernetes.io/enable-rewrite-log",
            "there is no such log",
        ),
        ignored_except(
            &["false"],
            "nginx.ingress.kubernetes.io/enable-opentelemetry",
            NO_TRACES,
        ),
        ignored("nginx.ingress.kubernetes.io/opentelemetry-*", NO_TRACES),
        ignored_except(
            &["false"],
            "nginx.ingress.kubernetes.io/enable-opentracing",
            NO_TRACES,
        ),
        ignored(
            "traefik.ingress.kubernetes.io/router.observability.*",
            "`[log]` decides",
        ),
    ],
    service: &[],
    review: None,
};
