//! Kinds that this version reads and cannot honour.

use super::row::Form::{Duration, Natural, Object, Text, Texts, Truth};
use super::row::{FieldRow, KindEffect, KindRow, field};

pub(super) const BUFFERING: KindRow = KindRow {
    name: "buffering",
    meaning: "limits bodies, and gathers them before they are passed on",
    fields: &[
        field(
            "maxRequestBodyBytes",
            Natural,
            "0: no limit",
            "the largest request body",
        ),
        field(
            "memRequestBodyBytes",
            Natural,
            "1048576",
            "what of it is kept in memory",
        ),
        field(
            "maxResponseBodyBytes",
            Natural,
            "0: no limit",
            "the largest response body",
        ),
        field(
            "memResponseBodyBytes",
            Natural,
            "1048576",
            "what of it is kept in memory",
        ),
        field("retryExpression", Text, "none", "when a request is made again"),
    ],
    example: "\
buffering:
  maxRequestBodyBytes: 1048576
",
    effect: KindEffect::Closes(
        "gathering bodies is not supported yet; limit request bodies with \
         `nginx.ingress.kubernetes.io/proxy-body-size`, and remove this Middleware",
    ),
};

pub(super) const CIRCUIT_BREAKER: KindRow = KindRow {
    name: "circuitBreaker",
    meaning: "stops calling a backend while it fails",
    fields: &[
        field("expression", Text, "required", "when it trips"),
        field(
            "checkPeriod",
            Duration,
            "`100ms`",
            "how often the expression is looked at",
        ),
        field("fallbackDuration", Duration, "`10s`", "how long it stays open"),
        field(
            "recoveryDuration",
            Duration,
            "`10s`",
            "how long it takes to close again",
        ),
        field("responseCode", Natural, "503", "the status while it is open"),
    ],
    example: "\
circuitBreaker:
  expression: ResponseCodeRatio(500, 600, 0, 600) > 0.25
",
    effect: KindEffect::Closes(
        "circuit breakers are not supported yet; endpoints that fail are left out by themselves; remove this Middleware",
    ),
};

pub(super) const COMPRESS: KindRow = KindRow {
    name: "compress",
    meaning: "compresses responses",
    fields: &[
        field(
            "excludedContentTypes",
            Texts,
            "none",
            "media types that are left as they are",
        ),
        field(
            "includedContentTypes",
            Texts,
            "all",
            "media types that are compressed, and no others",
        ),
        field(
            "minResponseBodyBytes",
            Natural,
            "1024",
            "smaller ones are left as they are",
        ),
        field(
            "encodings",
            Texts,
            "`gzip`, `br`, `zstd`",
            "the codings, best first",
        ),
        field(
            "defaultEncoding",
            Text,
            "none",
            "the coding for clients that do not say",
        ),
    ],
    example: "\
compress: {}
",
    effect: KindEffect::Closes(
        "compression is not supported yet; remove this Middleware, or compress in the backend",
    ),
};

pub(super) const CONTENT_TYPE: KindRow = KindRow {
    name: "contentType",
    meaning: "finds the media type of responses that do not say",
    fields: &[field("autoDetect", Truth, "`true`", "whether it does")],
    example: "\
contentType: {}
",
    effect: KindEffect::Closes(
        "finding media types is not supported yet; remove this Middleware, or send `Content-Type` from the backend",
    ),
};

pub(super) const GRPC_WEB: KindRow = KindRow {
    name: "grpcWeb",
    meaning: "translates gRPC-Web to gRPC",
    fields: &[field(
        "allowOrigins",
        Texts,
        "none",
        "origins whose pages may make requests, or `*`",
    )],
    example: "\
grpcWeb:
  allowOrigins: ['https://app.example.com']
",
    effect: KindEffect::Closes(
        "gRPC-Web is not supported yet; remove this Middleware, or translate in the backend",
    ),
};

pub(super) const PASS_TLS_CLIENT_CERT: KindRow = KindRow {
    name: "passTLSClientCert",
    meaning: "tells the backend the certificate of the client",
    fields: &[
        field(
            "pem",
            Truth,
            "`false`",
            "the certificate, in `X-Forwarded-Tls-Client-Cert`",
        ),
        field(
            "info",
            Object(CERTIFICATE),
            "none",
            "parts of it, in `X-Forwarded-Tls-Client-Cert-Info`",
        ),
    ],
    example: "\
passTLSClientCert:
  pem: true
",
    effect: KindEffect::Closes(
        "passing certificates of clients on is not supported yet; a backend that relies on it would see none; remove \
         this Middleware",
    ),
};

const CERTIFICATE: &[FieldRow] = &[
    field("notAfter", Truth, "`false`", "the end of its validity"),
    field("notBefore", Truth, "`false`", "the beginning of its validity"),
    field("sans", Truth, "`false`", "its alternative names"),
    field("serialNumber", Truth, "`false`", "its serial number"),
    field("subject", Object(SUBJECT), "none", "parts of its subject"),
    field("issuer", Object(ISSUER), "none", "parts of its issuer"),
];

const SUBJECT: &[FieldRow] = &[
    field("country", Truth, "`false`", "`C`"),
    field("province", Truth, "`false`", "`ST`"),
    field("locality", Truth, "`false`", "`L`"),
    field("organization", Truth, "`false`", "`O`"),
    field("organizationalUnit", Truth, "`false`", "`OU`"),
    field("commonName", Truth, "`false`", "`CN`"),
    field("serialNumber", Truth, "`false`", "`SN`"),
    field("domainComponent", Truth, "`false`", "`DC`"),
];

const ISSUER: &[FieldRow] = &[
    field("country", Truth, "`false`", "`C`"),
    field("province", Truth, "`false`", "`ST`"),
    field("locality", Truth, "`false`", "`L`"),
    field("organization", Truth, "`false`", "`O`"),
    field("commonName", Truth, "`false`", "`CN`"),
    field("serialNumber", Truth, "`false`", "`SN`"),
    field("domainComponent", Truth, "`false`", "`DC`"),
];

pub(super) const RETRY: KindRow = KindRow {
    name: "retry",
    meaning: "makes a request again when it fails",
    fields: &[
        field(
            "attempts",
            Natural,
            "required",
            "how often, the first time included",
        ),
        field("timeout", Duration, "none", "for all attempts together"),
        field(
            "initialInterval",
            Duration,
            "0",
            "the first pause; each further one is longer",
        ),
        field(
            "maxRequestBodyBytes",
            Natural,
            "2097152",
            "the largest body that is sent again",
        ),
        field(
            "status",
            Texts,
            "none",
            "statuses that count as failures, as in `502` or `500-599`",
        ),
        field(
            "disableRetryOnNetworkError",
            Truth,
            "`false`",
            "whether only statuses count",
        ),
        field(
            "retryNonIdempotentMethod",
            Truth,
            "`false`",
            "whether POST, PATCH and LOCK are made again too",
        ),
    ],
    example: "\
retry:
  attempts: 3
",
    effect: KindEffect::Closes(
        "retries as configured here are not supported yet; a request that no endpoint has seen is always tried again; \
         remove this Middleware",
    ),
};

pub(super) const ENCODED_CHARACTERS: KindRow = KindRow {
    name: "encodedCharacters",
    meaning: "which characters may be percent-encoded in a path",
    fields: &[
        field("allowEncodedSlash", Truth, "`false`", "`%2F`"),
        field("allowEncodedBackSlash", Truth, "`false`", "`%5C`"),
        field("allowEncodedNullCharacter", Truth, "`false`", "`%00`"),
        field("allowEncodedSemicolon", Truth, "`false`", "`%3B`"),
        field("allowEncodedPercent", Truth, "`false`", "`%25`"),
        field("allowEncodedQuestionMark", Truth, "`false`", "`%3F`"),
        field("allowEncodedHash", Truth, "`false`", "`%23`"),
    ],
    example: "\
encodedCharacters:
  allowEncodedSlash: true
",
    effect: KindEffect::Closes(
        "which paths are taken is the same for all routes of the gateway; remove this Middleware",
    ),
};

pub(super) const PLUGIN: KindRow = KindRow {
    name: "plugin",
    meaning: "code that is loaded into Traefik",
    fields: &[],
    example: "\
plugin:
  example: {}
",
    effect: KindEffect::Closes("plugins of Traefik cannot run here; remove this Middleware"),
};
