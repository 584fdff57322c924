//! How much clients may ask for, and who they may be.
#![allow(
    dead_code,
    reason = "the conversion of each kind follows; remove this with the last of them"
)]

use serde::Deserialize;
use serde_json::Value;

use super::duration::GoDuration;
use super::kind::{InvalidMiddleware, MiddlewareKind};
use super::reading::Reading;
use super::row::Form::{Duration, Integer, Natural, Object, Text, Texts, Truth};
use super::row::{FieldRow, KindEffect, KindRow, field};

pub(super) const RATE_LIMIT: KindRow = KindRow {
    name: "rateLimit",
    meaning: "how many requests a source may make: a bucket of `burst` requests, which gains one each `period` / `average`; \
              further ones are answered 429 with `Retry-After`",
    fields: &[
        field("average", Natural, "0: no limit", "requests in each `period`"),
        field("period", Duration, "`1s`", "the time for `average` requests"),
        field("burst", Natural, "1", "requests that may come at once"),
        field(
            "sourceCriterion",
            Object(SOURCE_CRITERION),
            "the address of the client",
            "what counts as one source; one of its fields alone",
        )
        .differs("by default the client that the door resolves, not the peer of the connection"),
        field(
            "redis",
            Object(REDIS),
            "counted in this process",
            "counts on a Redis or Valkey server, for all replicas together",
        )
        .differs(
            "where the server is slow (50 ms) or away, each replica counts for itself, and no request fails",
        ),
    ],
    example: "\
rateLimit:
  average: 100
  period: 1m
  burst: 200
",
    effect: KindEffect::Honoured(rate_limit),
};

pub(super) const IN_FLIGHT_REQ: KindRow = KindRow {
    name: "inFlightReq",
    meaning: "how many requests of a source may be under way at once; further ones are answered 429",
    fields: &[
        field("amount", Natural, "required", "requests at once, from 1"),
        field(
            "sourceCriterion",
            Object(SOURCE_CRITERION),
            "`requestHost`",
            "what counts as one source; one of its fields alone",
        ),
    ],
    example: "\
inFlightReq:
  amount: 10
",
    effect: KindEffect::Closes(
        "limits of requests in flight are not supported yet; remove this Middleware, or use `rateLimit`",
    ),
};

pub(super) const IP_ALLOW_LIST: KindRow = KindRow {
    name: "ipAllowList",
    meaning: "who may make requests, by address; others are answered 403",
    fields: &[
        SOURCE_RANGE,
        IP_STRATEGY_FIELD,
        field(
            "rejectStatusCode",
            Natural,
            "403",
            "the status for everybody else",
        ),
    ],
    example: "\
ipAllowList:
  sourceRange: [192.0.2.0/24, 2001:db8::/32]
",
    effect: KindEffect::Honoured(ip_allow_list),
};

pub(super) const IP_WHITE_LIST: KindRow = KindRow {
    name: "ipWhiteList",
    meaning: "the old name of `ipAllowList`",
    fields: &[SOURCE_RANGE, IP_STRATEGY_FIELD],
    example: "\
ipWhiteList:
  sourceRange: [192.0.2.0/24]
",
    effect: KindEffect::Honoured(ip_white_list),
};

const SOURCE_RANGE: FieldRow = field(
    "sourceRange",
    Texts,
    "required",
    "addresses, and networks such as `192.0.2.0/24`",
);

const IP_STRATEGY_FIELD: FieldRow = field(
    "ipStrategy",
    Object(IP_STRATEGY),
    "the peer of the connection",
    "which address counts",
);

const IP_STRATEGY: &[FieldRow] = &[
    field(
        "depth",
        Integer,
        "0: not used",
        "the n-th address of `X-Forwarded-For`, from the right",
    )
    .differs("nobody is let in on the word of a peer that the door does not trust"),
    field(
        "excludedIPs",
        Texts,
        "none",
        "the first address of `X-Forwarded-For`, from the right, that is not one of these; not used beside `depth`",
    )
    .differs("nobody is let in on the word of a peer that the door does not trust"),
    field(
        "ipv6Subnet",
        Natural,
        "128",
        "the length of the IPv6 networks that count as one address, 1 to 128",
    ),
];

const SOURCE_CRITERION: &[FieldRow] = &[
    field("ipStrategy", Object(IP_STRATEGY), "absent", "by address"),
    field("requestHeaderName", Text, "absent", "by the value of this field"),
    field("requestHost", Truth, "`false`", "by host"),
];

const REDIS: &[FieldRow] = &[
    field(
        "endpoints",
        Texts,
        "`localhost:6379`",
        "addresses, as `host:port`; a Service as `name.namespace:port`",
    ),
    field("tls", Object(CLIENT_TLS), "without TLS", "TLS to the server"),
    field("secret", Text, "none", "a Secret with `username` and `password`"),
    field("db", Natural, "0", "the number of the database"),
    field(
        "poolSize",
        Natural,
        "0: by the gateway",
        "connections that are kept",
    ),
    field(
        "minIdleConns",
        Natural,
        "0",
        "connections that are kept idle at least",
    ),
    field("maxActiveConns", Natural, "0: no limit", "connections at most"),
    field("readTimeout", Duration, "`3s`", "to read an answer")
        .differs("a request waits 50 ms at most, whatever is written here"),
    field("writeTimeout", Duration, "`3s`", "to write a command")
        .differs("a request waits 50 ms at most, whatever is written here"),
    field("dialTimeout", Duration, "`5s`", "to connect"),
];

/// TLS of connections that a middleware makes.
pub(super) const CLIENT_TLS: &[FieldRow] = &[
    field(
        "caSecret",
        Text,
        "the platform's authorities",
        "a Secret with authorities under `tls.ca` or `ca.crt`",
    ),
    field(
        "certSecret",
        Text,
        "none",
        "a Secret with the certificate to show, under `tls.crt` and `tls.key`",
    ),
    field(
        "insecureSkipVerify",
        Truth,
        "`false`",
        "whether the certificate of the other side is not verified",
    ),
    field("caOptional", Truth, "`false`", "has no effect in Traefik either").told(
        "`caOptional` has no effect: whether servers ask for certificates is for them to say; remove it",
    ),
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RateLimit {
    pub(super) average: Option<u64>,
    pub(super) period: Option<GoDuration>,
    pub(super) burst: Option<u64>,
    pub(super) source_criterion: Option<SourceCriterion>,
    pub(super) redis: Option<Redis>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct InFlightReq {
    pub(super) amount: Option<u64>,
    pub(super) source_criterion: Option<SourceCriterion>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct IpAllowList {
    pub(super) source_range: Vec<String>,
    pub(super) ip_strategy: Option<IpStrategy>,
    pub(super) reject_status_code: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct IpWhiteList {
    pub(super) source_range: Vec<String>,
    pub(super) ip_strategy: Option<IpStrategy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct IpStrategy {
    pub(super) depth: Option<i64>,
    #[serde(rename = "excludedIPs")]
    pub(super) excluded_ips: Vec<String>,
    #[serde(rename = "ipv6Subnet")]
    pub(super) ipv6_subnet: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct SourceCriterion {
    pub(super) ip_strategy: Option<IpStrategy>,
    pub(super) request_header_name: Option<String>,
    pub(super) request_host: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Redis {
    pub(super) endpoints: Vec<String>,
    pub(super) tls: Option<ClientTls>,
    pub(super) secret: Option<String>,
    pub(super) db: u64,
    pub(super) pool_size: u64,
    pub(super) min_idle_conns: u64,
    pub(super) max_active_conns: u64,
    pub(super) read_timeout: Option<GoDuration>,
    pub(super) write_timeout: Option<GoDuration>,
    pub(super) dial_timeout: Option<GoDuration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ClientTls {
    pub(super) ca_secret: Option<String>,
    pub(super) cert_secret: Option<String>,
    pub(super) insecure_skip_verify: bool,
    /// Without effect.
    pub(super) ca_optional: bool,
}

fn rate_limit(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let _raw: RateLimit = reading.raw(content)?;
    Err(reading.refuse("", "not supported yet"))
}

fn ip_allow_list(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let _raw: IpAllowList = reading.raw(content)?;
    Err(reading.refuse("", "not supported yet"))
}

fn ip_white_list(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let _raw: IpWhiteList = reading.raw(content)?;
    Err(reading.refuse("", "not supported yet"))
}
