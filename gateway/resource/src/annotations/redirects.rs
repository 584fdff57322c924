//! Redirects that the gateway answers itself.

use super::parsed::Annotations;
use super::row::{Setting, Stake, Subject, closes, closes_except, honoured};
use super::value::{OFF, TRUTH};

pub(super) const SUBJECT: Subject = Subject {
    title: "Redirects",
    ingress: &[
        honoured(
            "nginx.ingress.kubernetes.io/ssl-redirect",
            "acts only where written; a door's `redirect` is the usual way",
            SSL_REDIRECT,
        ),
        honoured(
            "nginx.ingress.kubernetes.io/force-ssl-redirect",
            "as `ssl-redirect`",
            SSL_REDIRECT,
        ),
        closes("nginx.ingress.kubernetes.io/app-root", "not supported yet"),
        closes_except(
            OFF,
            "nginx.ingress.kubernetes.io/from-to-www-redirect",
            "not supported yet",
        ),
        closes(
            "nginx.ingress.kubernetes.io/permanent-redirect*",
            "not supported yet",
        ),
        closes(
            "nginx.ingress.kubernetes.io/temporal-redirect*",
            "not supported yet",
        ),
    ],
    service: &[],
    review: None,
};

/// Either of the two is enough.
const SSL_REDIRECT: &Setting<Annotations, bool> = &Setting {
    value: &TRUTH,
    default: "`false`",
    stake: Stake::Reliance,
    put: |parsed, redirect, _| parsed.ssl_redirect |= redirect,
};
