//! Whether a difference was seen at the real gateway.
//!
//! `cargo xtask differential` sends the same requests to this gateway, to Traefik and to nginx with the configuration that the
//! controller of ingress-nginx writes. What differs is listed there, by cases. A difference that this crate names refers to
//! such a case, or says why there is none. `tests/evidence.rs` holds these tables against the cases.

use serde::Serialize;

use crate::kind::DifferenceKind as Is;

/// Whether a difference was seen at the real gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// In these cases of `tests/differential`.
    Cases(&'static [&'static str]),
    /// It was not, for this reason.
    NotChecked(&'static str),
}

const THIS_GATEWAY: Evidence = Evidence::NotChecked("it is about this gateway alone");
const NO_CONTROLLER: Evidence = Evidence::NotChecked(
    "the controller of ingress-nginx does not run here; known from its documentation and source",
);
const NO_SECOND: Evidence = Evidence::NotChecked(
    "plain nginx stands in for ingress-nginx, with one Ingress for a host: what several do to each other is known from its source",
);
const NOT_TRIED: Evidence = Evidence::NotChecked("no case of tests/differential shows it");
const UNSUPPORTED: Evidence = Evidence::NotChecked("it does nothing here, so there is nothing to compare");

/// Whether a kind of difference was seen. `subject` is the annotation, the field of a Middleware, or the gateway that it is
/// about, where the kind has several.
#[must_use]
pub fn evidence(kind: Is, subject: &str) -> Evidence {
    let of_subject = |table: &[(&str, Evidence)]| {
        let found = table.iter().find(|(known, _)| *known == subject);
        found.map_or(NOT_TRIED, |(_, evidence)| *evidence)
    };
    match kind {
        Is::AnnotationDiffers => of_subject(ANNOTATIONS),
        Is::MiddlewareDiffers => of_subject(FIELDS),
        Is::MiddlewareRefused => Evidence::Cases(&["traefik/broken-middleware"]),
        Is::ReferenceMissing => Evidence::Cases(&["traefik/missing-middleware"]),
        Is::RulePriority => Evidence::Cases(&["traefik/prefixes"]),
        Is::HostFallthrough => Evidence::Cases(&["traefik/fallthrough"]),
        Is::DefaultBackendBesideRules => Evidence::Cases(&["traefik/default-backend"]),
        Is::PathCharacters | Is::PathTrailingSlash | Is::ForwardedFields | Is::SchemeNotServed => of_subject(
            BY_CONTROLLER
                .iter()
                .find(|(known, _)| *known == kind)
                .map_or(&[], |(_, table)| *table),
        ),
        Is::HttpsRedirectDefault
        | Is::HstsDefault
        | Is::BodySizeDefault
        | Is::TimeoutsDefault
        | Is::BufferingDefault
        | Is::PathNormalisation
        | Is::Retries
        | Is::ControllerSetting => NO_CONTROLLER,
        Is::PathRegexHostWide => NO_SECOND,
        Is::AllEntrypoints => NOT_TRIED,
        Is::AnnotationRefused | Is::AnnotationIgnored | Is::AnnotationUnknown | Is::MiddlewareIgnored => {
            UNSUPPORTED
        }
        Is::NoDoor
        | Is::AnnotationOfAnother
        | Is::BackendMissing
        | Is::BackendRefused
        | Is::NoEndpoints
        | Is::CertificateMissing
        | Is::CertificateByCertManager
        | Is::RecordsByExternalDns
        | Is::Rule
        | Is::WrittenTwice
        | Is::OtherController
        | Is::ObjectWithoutCounterpart => THIS_GATEWAY,
    }
}

/// What the tables here know: kind, subject, evidence. For the test that holds them against the cases.
#[must_use]
pub fn evident_subjects() -> Vec<(Is, &'static str, Evidence)> {
    let of = |kind, table: &[(&'static str, Evidence)]| {
        table
            .iter()
            .map(move |(subject, evidence)| (kind, *subject, *evidence))
            .collect::<Vec<_>>()
    };
    let mut all = of(Is::AnnotationDiffers, ANNOTATIONS);
    all.extend(of(Is::MiddlewareDiffers, FIELDS));
    for (kind, table) in BY_CONTROLLER {
        all.extend(of(*kind, table));
    }
    let tabled: Vec<Is> = all.iter().map(|(kind, ..)| *kind).collect();
    let plain = Is::ALL.iter().filter(|kind| !tabled.contains(kind));
    all.extend(plain.map(|kind| (*kind, "", evidence(*kind, ""))));
    all
}

/// Kinds that both gateways have, each in its own way.
const BY_CONTROLLER: &[(Is, &[(&str, Evidence)])] = &[
    (
        Is::PathCharacters,
        &[
            ("ingress-nginx", Evidence::Cases(&["nginx/n-prefixes"])),
            ("traefik", Evidence::Cases(&["traefik/prefixes"])),
        ],
    ),
    (
        Is::PathTrailingSlash,
        &[
            ("ingress-nginx", Evidence::Cases(&["nginx/n-trailing-slash"])),
            ("traefik", Evidence::Cases(&["traefik/trailing-slash"])),
        ],
    ),
    (
        Is::ForwardedFields,
        &[
            ("ingress-nginx", Evidence::Cases(&["nginx/n-plain"])),
            ("traefik", Evidence::Cases(&["traefik/plain"])),
        ],
    ),
    (
        Is::SchemeNotServed,
        &[("ingress-nginx", THIS_GATEWAY), ("traefik", THIS_GATEWAY)],
    ),
];

/// Annotations that differ.
const ANNOTATIONS: &[(&str, Evidence)] = &[
    ("nginx.ingress.kubernetes.io/server-alias", NO_SECOND),
    (
        "nginx.ingress.kubernetes.io/rewrite-target",
        Evidence::Cases(&["nginx/n-rewrite"]),
    ),
    (
        "nginx.ingress.kubernetes.io/auth-url",
        Evidence::Cases(&["nginx/n-auth-url", "nginx/n-auth-silent"]),
    ),
    (
        "nginx.ingress.kubernetes.io/auth-signin",
        Evidence::Cases(&["nginx/n-auth-signin"]),
    ),
    (
        "nginx.ingress.kubernetes.io/auth-signin-redirect-param",
        Evidence::Cases(&["nginx/n-auth-signin-param"]),
    ),
    ("nginx.ingress.kubernetes.io/auth-cache-key", NOT_TRIED),
    ("nginx.ingress.kubernetes.io/auth-type", NOT_TRIED),
    (
        "nginx.ingress.kubernetes.io/auth-secret",
        Evidence::Cases(&["nginx/n-basic"]),
    ),
    (
        "nginx.ingress.kubernetes.io/use-regex",
        Evidence::Cases(&["nginx/n-use-regex-prefixes"]),
    ),
    (
        "nginx.ingress.kubernetes.io/x-forwarded-prefix",
        Evidence::Cases(&["nginx/n-forwarded-prefix-alone"]),
    ),
    ("nginx.ingress.kubernetes.io/ssl-redirect", NO_CONTROLLER),
    ("nginx.ingress.kubernetes.io/force-ssl-redirect", NO_CONTROLLER),
    (
        "nginx.ingress.kubernetes.io/app-root",
        Evidence::Cases(&["nginx/n-app-root"]),
    ),
    ("nginx.ingress.kubernetes.io/from-to-www-redirect", NO_CONTROLLER),
    ("nginx.ingress.kubernetes.io/permanent-redirect", NOT_TRIED),
    ("nginx.ingress.kubernetes.io/temporal-redirect", NOT_TRIED),
    ("nginx.ingress.kubernetes.io/upstream-hash-by", NO_CONTROLLER),
    ("nginx.ingress.kubernetes.io/load-balance", NO_CONTROLLER),
    ("nginx.ingress.kubernetes.io/affinity", NO_CONTROLLER),
    ("nginx.ingress.kubernetes.io/affinity-mode", NO_CONTROLLER),
    ("nginx.ingress.kubernetes.io/canary", NO_SECOND),
    (
        "nginx.ingress.kubernetes.io/whitelist-source-range",
        NO_CONTROLLER,
    ),
    (
        "nginx.ingress.kubernetes.io/allowlist-source-range",
        NO_CONTROLLER,
    ),
    ("nginx.ingress.kubernetes.io/denylist-source-range", NO_CONTROLLER),
    ("nginx.ingress.kubernetes.io/limit-rps", NOT_TRIED),
    (
        "nginx.ingress.kubernetes.io/limit-rpm",
        Evidence::Cases(&["nginx/n-limit-rpm"]),
    ),
    (
        "nginx.ingress.kubernetes.io/enable-cors",
        Evidence::Cases(&["nginx/n-cors"]),
    ),
    (
        "nginx.ingress.kubernetes.io/cors-allow-origin",
        Evidence::Cases(&["nginx/n-cors-list"]),
    ),
    ("nginx.ingress.kubernetes.io/custom-headers", NO_CONTROLLER),
    (
        "nginx.ingress.kubernetes.io/custom-http-errors",
        Evidence::Cases(&["nginx/n-errors"]),
    ),
    ("traefik.ingress.kubernetes.io/router.pathmatcher", NOT_TRIED),
    ("traefik.ingress.kubernetes.io/service.sticky.cookie", NOT_TRIED),
];

/// Fields of Middlewares that differ. What only closes a Middleware is told when it does.
const FIELDS: &[(&str, Evidence)] = &[
    ("redirectRegex.regex", NOT_TRIED),
    ("redirectRegex.replacement", NOT_TRIED),
    ("ipAllowList.ipStrategy.depth", NOT_TRIED),
    ("ipAllowList.ipStrategy.excludedIPs", NOT_TRIED),
    ("ipWhiteList.ipStrategy.depth", NOT_TRIED),
    ("ipWhiteList.ipStrategy.excludedIPs", NOT_TRIED),
    ("rateLimit.sourceCriterion", NOT_TRIED),
    ("rateLimit.sourceCriterion.ipStrategy.depth", NOT_TRIED),
    ("rateLimit.sourceCriterion.ipStrategy.excludedIPs", NOT_TRIED),
    ("rateLimit.redis", NOT_TRIED),
    ("rateLimit.redis.readTimeout", NOT_TRIED),
    ("rateLimit.redis.writeTimeout", NOT_TRIED),
    ("inFlightReq.sourceCriterion.ipStrategy.depth", NOT_TRIED),
    ("inFlightReq.sourceCriterion.ipStrategy.excludedIPs", NOT_TRIED),
    ("basicAuth.secret", NOT_TRIED),
    ("forwardAuth.address", THIS_GATEWAY),
    ("forwardAuth.trustForwardHeader", NOT_TRIED),
    ("forwardAuth.tls", THIS_GATEWAY),
    ("forwardAuth.maxResponseBodySize", NOT_TRIED),
    (
        "forwardAuth.maxBodySize",
        Evidence::Cases(&["traefik/forward-auth-body-limit"]),
    ),
    ("stripPrefix.prefixes", Evidence::Cases(&["traefik/strip-prefix"])),
    ("stripPrefix.forceSlash", NOT_TRIED),
    (
        "stripPrefixRegex.regex",
        Evidence::Cases(&["traefik/strip-prefix-regex"]),
    ),
    ("replacePathRegex.replacement", THIS_GATEWAY),
    (
        "headers.accessControlAllowOriginList",
        Evidence::Cases(&["traefik/headers-cors-any-credentials"]),
    ),
    (
        "headers.accessControlAllowOriginListRegex",
        Evidence::Cases(&["traefik/headers-cors-regex"]),
    ),
    ("headers.addVaryHeader", NOT_TRIED),
    (
        "headers.allowedHosts",
        Evidence::Cases(&["traefik/headers-allowed-hosts"]),
    ),
    ("errors.service.namespace", THIS_GATEWAY),
    ("errors.service.kind", THIS_GATEWAY),
    ("errors.errorRequestHeaders", NOT_TRIED),
    ("chain.middlewares.name", THIS_GATEWAY),
    ("chain.middlewares.namespace", THIS_GATEWAY),
];
