//! Logs and traces.

use super::row::{Subject, ignored, ignored_except};

const TRACES: &str = "`[listeners.NAME.tracing]` of the door decides which requests are traced, and whose traces are continued";

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
            TRACES,
        ),
        ignored("nginx.ingress.kubernetes.io/opentelemetry-*", TRACES),
        ignored_except(
            &["false"],
            "nginx.ingress.kubernetes.io/enable-opentracing",
            TRACES,
        ),
        ignored(
            "traefik.ingress.kubernetes.io/router.observability.*",
            "`[log]` decides",
        ),
    ],
    service: &[],
    review: None,
};
