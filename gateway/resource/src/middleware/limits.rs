//! How much clients may ask for, and who they may be.

use std::time::Duration;

use filter::access::{Allow, RejectStatus, Whose};
use filter::caller::IpStrategy;
use filter::cidr::Networks;
use filter::rate::Rate;
use filter::source::Source;
use filter::store::host_and_port;
use serde::Deserialize;
use serde_json::Value;

use super::duration::GoDuration;
use super::kind::{InvalidMiddleware, MiddlewareKind};
use super::reading::Reading;
use super::row::Form::{self, Integer, Natural, Object, Text, Texts, Truth};
use super::row::{FieldRow, KindEffect, KindRow, field};
use crate::filter_spec::FilterSpec;
use crate::limit_spec::{CHOSEN, RateLimitSpec, Scope, StoreHost, StoreSpec, StoreTlsSpec, WrittenStore};

pub(super) const RATE_LIMIT: KindRow = KindRow {
    name: "rateLimit",
    meaning: "how many requests a source may make: a bucket of `burst` requests, which gains one each `period` / `average`; \
              further ones are answered 429 with `Retry-After`",
    fields: &[
        field("average", Natural, "0: no limit", "requests in each `period`"),
        field(
            "period",
            Form::Duration,
            "`1s`",
            "the time for `average` requests",
        ),
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
        "`127.0.0.1:6379`",
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
    field("readTimeout", Form::Duration, "`3s`", "to read an answer")
        .differs("a request waits 50 ms at most, whatever is written here"),
    field("writeTimeout", Form::Duration, "`3s`", "to write a command")
        .differs("a request waits 50 ms at most, whatever is written here"),
    field("dialTimeout", Form::Duration, "`5s`", "to connect"),
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
pub(super) struct IpAllowList {
    pub(super) source_range: Vec<String>,
    pub(super) ip_strategy: Option<RawStrategy>,
    pub(super) reject_status_code: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct IpWhiteList {
    pub(super) source_range: Vec<String>,
    pub(super) ip_strategy: Option<RawStrategy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawStrategy {
    pub(super) depth: Option<i64>,
    #[serde(rename = "excludedIPs")]
    pub(super) excluded_ips: Vec<String>,
    #[serde(rename = "ipv6Subnet")]
    pub(super) ipv6_subnet: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct SourceCriterion {
    pub(super) ip_strategy: Option<RawStrategy>,
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

/// What Traefik waits for a connection and for an answer.
const DIAL: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(3);

fn rate_limit(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let raw: RateLimit = reading.raw(content)?;
    let source = source(
        raw.source_criterion.unwrap_or_default(),
        Source::default(),
        reading,
    )?;
    let scope = match raw.redis {
        Some(redis) => Scope::Store(store(redis, reading)?),
        None => Scope::Replica,
    };
    let average = raw.average.unwrap_or_default();
    if average == 0 {
        reading.warn(
            "average",
            "without requests in each `period` there is no limit; write a number",
        );
        return Ok(MiddlewareKind::Filters(Vec::new()));
    }
    let period = raw
        .period
        .map_or(Duration::from_secs(1), |GoDuration(period)| period);
    let burst = raw.burst.unwrap_or(1).max(1);
    let rate = Rate::new(average, period, burst).map_err(|error| reading.refuse("", error))?;
    Ok(MiddlewareKind::Filters(vec![FilterSpec::RateLimit(
        RateLimitSpec {
            rates: vec![rate],
            source,
            except: None,
            scope,
        },
    )]))
}

fn ip_allow_list(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let raw: IpAllowList = reading.raw(content)?;
    allow(raw, reading)
}

fn ip_white_list(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let IpWhiteList {
        source_range,
        ip_strategy,
    } = reading.raw(content)?;
    let raw = IpAllowList {
        source_range,
        ip_strategy,
        reject_status_code: None,
    };
    allow(raw, reading)
}

fn allow(raw: IpAllowList, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let networks = Networks::of(raw.source_range.iter().map(String::as_str))
        .map_err(|error| reading.refuse("sourceRange", error.to_string()))?;
    let strategy = strategy(&raw.ip_strategy.unwrap_or_default(), "ipStrategy", reading)?;
    let code = i64::try_from(raw.reject_status_code.unwrap_or_default()).unwrap_or(i64::MAX);
    let status = RejectStatus::new(code).map_err(|error| reading.refuse("rejectStatusCode", error))?;
    Ok(MiddlewareKind::Filters(vec![FilterSpec::Allow(Allow {
        networks,
        whose: Whose::Strategy(strategy),
        status,
    })]))
}

fn strategy(
    raw: &RawStrategy,
    field: &str,
    reading: &Reading<'_, '_>,
) -> Result<IpStrategy, InvalidMiddleware> {
    let subnet = raw
        .ipv6_subnet
        .map(|bits| i64::try_from(bits).unwrap_or(i64::MAX));
    let excluded = raw.excluded_ips.iter().map(String::as_str);
    IpStrategy::of(raw.depth, excluded, subnet).map_err(|error| reading.refuse(field, error))
}

/// What counts as one source: what is written, or `default`.
fn source(
    raw: SourceCriterion,
    default: Source,
    reading: &mut Reading<'_, '_>,
) -> Result<Source, InvalidMiddleware> {
    const FIELD: &str = "sourceCriterion";
    let name = raw.request_header_name.filter(|name| !name.is_empty());
    match (raw.ip_strategy, name, raw.request_host) {
        (None, None, false) => Ok(default),
        (Some(by_address), None, false) => {
            let by_address = strategy(&by_address, "sourceCriterion.ipStrategy", reading)?;
            Ok(Source::of_strategy(by_address))
        }
        (None, Some(name), false) => {
            const FIELD: &str = "sourceCriterion.requestHeaderName";
            let source = Source::field(&name).map_err(|error| reading.refuse(FIELD, error))?;
            reading.note(FIELD, CHOSEN);
            Ok(source)
        }
        (None, None, true) => Ok(Source::Host),
        _ => Err(reading.refuse(
            FIELD,
            "it names more than one criterion; write one of `ipStrategy`, `requestHeaderName` and `requestHost`",
        )),
    }
}

fn store(raw: Redis, reading: &mut Reading<'_, '_>) -> Result<StoreSpec, InvalidMiddleware> {
    let mut hosts = Vec::new();
    for (index, endpoint) in raw.endpoints.iter().enumerate() {
        let read = host_and_port(endpoint);
        let read = read.and_then(|(host, port)| StoreHost::new(host, port, reading.namespace()));
        hosts.push(read.map_err(|error| reading.refuse(&format!("redis.endpoints[{index}]"), error))?);
    }
    if hosts.is_empty() {
        let own = StoreHost::new("127.0.0.1", 6379, reading.namespace());
        hosts.push(own.map_err(|error| reading.refuse("redis.endpoints", error))?);
    }
    for (field, number) in [
        ("poolSize", raw.pool_size),
        ("minIdleConns", raw.min_idle_conns),
        ("maxActiveConns", raw.max_active_conns),
    ] {
        if number > 0 {
            let message = "without effect: each door has one connection, which all its requests share";
            reading.note(&format!("redis.{field}"), message);
        }
    }
    let db = u32::try_from(raw.db).map_err(|_| reading.refuse("redis.db", "there is no such database"))?;
    if raw.tls.as_ref().is_some_and(|tls| tls.insecure_skip_verify) {
        let message = "whoever answers at that address counts, and learns the password: its certificate is not verified";
        reading.warn("redis.tls.insecureSkipVerify", message);
    }
    let secret = |name: Option<String>, field: &str| {
        let name = name.filter(|name| !name.is_empty());
        name.map(|name| reading.local(field, &name)).transpose()
    };
    let login = secret(raw.secret, "redis.secret")?;
    let tls = match raw.tls {
        None => None,
        Some(tls) => Some(StoreTlsSpec {
            authorities: secret(tls.ca_secret, "redis.tls.caSecret")?,
            identity: secret(tls.cert_secret, "redis.tls.certSecret")?,
            unverified: tls.insecure_skip_verify,
        }),
    };
    let time = |written: Option<GoDuration>, default| {
        let written = written.map(|GoDuration(time)| time);
        written.filter(|time| !time.is_zero()).unwrap_or(default)
    };
    Ok(StoreSpec::Written(Box::new(WrittenStore {
        hosts,
        login,
        db,
        tls,
        connect: time(raw.dial_timeout, DIAL),
        answer: time(raw.read_timeout, ANSWER).min(time(raw.write_timeout, ANSWER)),
    })))
}
