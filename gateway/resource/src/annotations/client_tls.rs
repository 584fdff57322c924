//! TLS with clients. The door decides over it, not the Ingress.

use super::row::{Setting, Stake, Subject, closes, closes_except, honoured, ignored};
use super::value::{ON, TRUTH};

pub(super) const SUBJECT: Subject = Subject {
    title: "TLS with clients",
    ingress: &[
        honoured(
            "nginx.ingress.kubernetes.io/ssl-passthrough",
            "at a door that ends TLS and passes it through (`passthrough`): connections for the hosts go to the \
             backend of the first path as they are; at any other door it closes the Ingress",
            &Setting {
                value: &TRUTH,
                default: "`false`",
                stake: Stake::Protection,
                put: |parsed, passthrough, _| parsed.ssl_passthrough = passthrough,
            },
        ),
        closes(
            "nginx.ingress.kubernetes.io/ssl-*",
            "the door decides about TLS; configure it there",
        ),
        closes_except(
            ON,
            "traefik.ingress.kubernetes.io/router.tls",
            "the door decides whether it speaks TLS",
        ),
        closes(
            "traefik.ingress.kubernetes.io/router.tls.options",
            "not supported yet",
        ),
        ignored(
            "traefik.ingress.kubernetes.io/router.tls.*",
            "certificates come from `spec.tls`",
        ),
    ],
    service: &[],
    review: None,
};
