//! Header fields that are added or changed.

use super::row::{Subject, closes, ignored};

pub(super) const SUBJECT: Subject = Subject {
    title: "Header fields",
    ingress: &[
        closes("nginx.ingress.kubernetes.io/custom-headers", "not supported yet"),
        closes(
            "nginx.ingress.kubernetes.io/x-forwarded-prefix",
            "not supported yet",
        ),
        closes(
            "nginx.ingress.kubernetes.io/proxy-redirect-*",
            "not supported yet",
        ),
        closes("nginx.ingress.kubernetes.io/proxy-cookie-*", "not supported yet"),
        ignored(
            "nginx.ingress.kubernetes.io/connection-proxy-header",
            "the gateway sets hop-by-hop fields itself",
        ),
        ignored(
            "nginx.ingress.kubernetes.io/use-forwarded-headers",
            "a global setting in ingress-nginx; here it is `trusted_proxies` of the door",
        ),
        ignored(
            "nginx.ingress.kubernetes.io/http2-push-preload",
            "no client supports it any more",
        ),
    ],
    service: &[],
    review: None,
};
