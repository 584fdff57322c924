//! Redirects that the gateway answers itself.

use super::parsed::Annotations;
use super::row::{Setting, Stake, Subject, closes, closes_except, honoured};
use super::value::{OFF, SWITCH, TRUTH};
use crate::filter_spec::FilterSpec;

pub(super) const SUBJECT: Subject = Subject {
    title: "Redirects",
    ingress: &[
        honoured(
            "blastdoor.dev/https-redirect",
            "requests over plain HTTP are redirected to https (308)",
            &Setting {
                value: &SWITCH,
                default: "`off`",
                stake: Stake::Protection,
                put: |parsed, redirect, written| {
                    if redirect {
                        parsed.filters.push(written.filter(FilterSpec::HttpsRedirect));
                    }
                },
            },
        ),
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
