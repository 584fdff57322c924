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
const NO_CACHE: Evidence = Evidence::NotChecked(
    "plain nginx stands in for ingress-nginx without the cache of answers that the controller sets up",
);
const FEW_WRONG_PASSWORDS: Evidence =
    Evidence::NotChecked("the cases send fewer wrong passwords than it takes to be answered 429");
const BY_THE_SECOND: Evidence = Evidence::NotChecked(
    "what passes in a second depends on the speed of the machine; `nginx/n-limit-rpm` shows the same by the minute",
);
const COOKIES_MASKED: Evidence = Evidence::NotChecked(
    "the cases do not compare the values of cookies; `traefik/sticky` compares all else of them",
);
const SCHEME_ALIKE: Evidence = Evidence::NotChecked(
    "nothing differs in `traefik/redirect-regex-proto`, where a trusted peer says another scheme",
);
const SAME_TRUST: Evidence = Evidence::NotChecked(
    "the entry points of the cases trust the same peers as the doors; it takes one that trusts more",
);
const NO_REDIS: Evidence = Evidence::NotChecked("no Redis server runs in the cases");
const IN_FLIGHT: Evidence = Evidence::NotChecked("`inFlightReq` closes here, whatever its fields say");
const SMALL_ANSWERS: Evidence =
    Evidence::NotChecked("the service that the cases ask answers less than 1 MiB");
const SLASH_ALIKE: Evidence =
    Evidence::NotChecked("nothing differs in `traefik/strip-prefix-no-slash`: Traefik forwards `/` as well");
const WHERE_ABSENT: Evidence = Evidence::NotChecked(
    "it differs where the field is absent, as `traefik/errors` shows; with an empty list nothing differs",
);
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
        Is::AllEntrypoints => Evidence::Cases(&["traefik/all-entrypoints"]),
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
    ("nginx.ingress.kubernetes.io/auth-cache-key", NO_CACHE),
    ("nginx.ingress.kubernetes.io/auth-type", FEW_WRONG_PASSWORDS),
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
    (
        "nginx.ingress.kubernetes.io/permanent-redirect",
        Evidence::Cases(&["nginx/n-permanent-path"]),
    ),
    (
        "nginx.ingress.kubernetes.io/temporal-redirect",
        Evidence::Cases(&["nginx/n-temporal-path"]),
    ),
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
    ("nginx.ingress.kubernetes.io/limit-rps", BY_THE_SECOND),
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
    (
        "traefik.ingress.kubernetes.io/router.pathmatcher",
        Evidence::Cases(&["traefik/path-matcher-prefix"]),
    ),
    (
        "traefik.ingress.kubernetes.io/service.sticky.cookie",
        COOKIES_MASKED,
    ),
];

/// Fields of Middlewares that differ. What only closes a Middleware is told when it does.
const FIELDS: &[(&str, Evidence)] = &[
    ("redirectRegex.regex", SCHEME_ALIKE),
    (
        "redirectRegex.replacement",
        Evidence::Cases(&["traefik/redirect-regex-scheme"]),
    ),
    ("ipAllowList.ipStrategy.depth", SAME_TRUST),
    ("ipAllowList.ipStrategy.excludedIPs", SAME_TRUST),
    ("ipWhiteList.ipStrategy.depth", SAME_TRUST),
    ("ipWhiteList.ipStrategy.excludedIPs", SAME_TRUST),
    (
        "rateLimit.sourceCriterion",
        Evidence::Cases(&["traefik/rate-limit-client"]),
    ),
    ("rateLimit.sourceCriterion.ipStrategy.depth", SAME_TRUST),
    ("rateLimit.sourceCriterion.ipStrategy.excludedIPs", SAME_TRUST),
    ("rateLimit.redis", NO_REDIS),
    ("rateLimit.redis.readTimeout", NO_REDIS),
    ("rateLimit.redis.writeTimeout", NO_REDIS),
    ("inFlightReq.sourceCriterion.ipStrategy.depth", IN_FLIGHT),
    ("inFlightReq.sourceCriterion.ipStrategy.excludedIPs", IN_FLIGHT),
    ("basicAuth.secret", Evidence::Cases(&["traefik/basic-auth-twice"])),
    ("forwardAuth.address", THIS_GATEWAY),
    ("forwardAuth.trustForwardHeader", SAME_TRUST),
    ("forwardAuth.tls", THIS_GATEWAY),
    ("forwardAuth.maxResponseBodySize", SMALL_ANSWERS),
    (
        "forwardAuth.maxBodySize",
        Evidence::Cases(&["traefik/forward-auth-body-limit"]),
    ),
    ("stripPrefix.prefixes", Evidence::Cases(&["traefik/strip-prefix"])),
    ("stripPrefix.forceSlash", SLASH_ALIKE),
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
    (
        "headers.addVaryHeader",
        Evidence::Cases(&["traefik/headers-cors-no-vary"]),
    ),
    (
        "headers.allowedHosts",
        Evidence::Cases(&["traefik/headers-allowed-hosts"]),
    ),
    ("errors.service.namespace", THIS_GATEWAY),
    ("errors.service.kind", THIS_GATEWAY),
    ("errors.errorRequestHeaders", WHERE_ABSENT),
    ("chain.middlewares.name", THIS_GATEWAY),
    ("chain.middlewares.namespace", THIS_GATEWAY),
];
