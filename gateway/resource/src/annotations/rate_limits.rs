//! How much a client may ask for.

use std::collections::BTreeMap;
use std::time::Duration;

use filter::rate::Rate;
use filter::source::Source;
use route::ObjectKey;

use super::access_lists::NETWORKS;
use super::parsed::Annotations;
use super::rate_limit_parts::{NginxRateLimit, OwnRateLimit, RateLimitParts};
use super::row::{Setting, Stake, Subject, closes, honoured};
use super::value::{Form, field, local};
use crate::filter_spec::{Dialect, FilterSpec, WrittenFilter};
use crate::limit_spec::{CHOSEN, RateLimitSpec, Scope, StoreSpec};
use crate::reporter::Reporter;

pub(super) const SUBJECT: Subject = Subject {
    title: "Rate limits",
    ingress: &[
        honoured(
            RATE_LIMIT,
            "how many requests a client may make in a time, `100/1m`; further ones are answered 429 with `Retry-After`. \
             Counted per Ingress, by all workers of a door together",
            &Setting {
                value: &RATE,
                default: "no limit",
                stake: Stake::Protection,
                put: |parsed: &mut Annotations, rate, _| parsed.rate_limits.own.rate = Some(rate),
            },
        )
        .example("100/1m"),
        honoured(
            "blastdoor.dev/rate-limit-burst",
            "how many requests may come at once",
            &Setting {
                value: &COUNT,
                default: "the number in `rate-limit`",
                stake: Stake::Protection,
                put: |parsed, burst, _| parsed.rate_limits.own.burst = Some(burst),
            },
        ),
        honoured(
            "blastdoor.dev/rate-limit-by",
            "what is counted: the client (an IPv6 client by its /64), the host, the user that has logged in (without one, the \
             client), or the value of a header",
            &Setting {
                value: &SOURCE,
                default: "`client`",
                stake: Stake::Protection,
                put: |parsed, source, written| {
                    if source.is_chosen_by_clients() {
                        written.report(crate::Severity::Note, CHOSEN);
                    }
                    parsed.rate_limits.own.source = Some(source);
                },
            },
        ),
        honoured(
            "blastdoor.dev/rate-limit-except",
            "clients that are not counted",
            &Setting {
                value: &NETWORKS,
                default: "none",
                stake: Stake::Protection,
                put: |parsed, networks, _| parsed.rate_limits.own.except = Some(networks),
            },
        ),
        honoured(
            "blastdoor.dev/rate-limit-scope",
            "whether each replica of the gateway keeps the whole limit, or its share of it: the limit divided by the ready \
             endpoints of the Services in `[source] replicas`",
            &Setting {
                value: &SCOPE,
                default: "`replica`",
                stake: Stake::Protection,
                put: |parsed, scope, _| parsed.rate_limits.own.scope = Some(scope),
            },
        ),
        honoured(
            "blastdoor.dev/rate-limit-store",
            "a Secret that names a Redis or Valkey server, which counts for all replicas together: `address` (`host:port`), \
             and perhaps `username`, `password`, `db`, `tls` (`on`), `ca.crt`, `tls.crt` and `tls.key`. Where the server is \
             slow (50 ms) or away, each replica counts for itself",
            &Setting {
                value: &SECRET,
                default: "counted by the gateway",
                stake: Stake::Protection,
                put: |parsed, secret, _| parsed.rate_limits.own.store = Some(secret),
            },
        ),
        honoured(
            RPS,
            "requests of a client in a second; further ones are answered 429 with `Retry-After`. 0 is no limit",
            &Setting {
                value: &NATURAL,
                default: "no limit",
                stake: Stake::Protection,
                put: |parsed: &mut Annotations, rps, _| parsed.rate_limits.nginx.per_second = Some(rps),
            },
        )
        .differs(NGINX),
        honoured(
            RPM,
            "requests of a client in a minute; as `limit-rps`, and both apply",
            &Setting {
                value: &NATURAL,
                default: "no limit",
                stake: Stake::Protection,
                put: |parsed: &mut Annotations, rpm, _| parsed.rate_limits.nginx.per_minute = Some(rpm),
            },
        )
        .differs(NGINX),
        honoured(
            "nginx.ingress.kubernetes.io/limit-burst-multiplier",
            "how many times the limit may come at once, beyond the first request",
            &Setting {
                value: &NATURAL,
                default: "5",
                stake: Stake::Protection,
                put: |parsed, multiplier, _| parsed.rate_limits.nginx.multiplier = Some(multiplier),
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/limit-whitelist",
            "clients that `limit-rps` and `limit-rpm` do not count",
            &Setting {
                value: &NETWORKS,
                default: "none",
                stake: Stake::Protection,
                put: |parsed, networks, _| parsed.rate_limits.nginx.except = Some(networks),
            },
        ),
        closes(
            "nginx.ingress.kubernetes.io/limit-connections",
            "limits of requests under way are not supported yet; remove it, or use `limit-rps`",
        ),
        closes(
            "nginx.ingress.kubernetes.io/limit-rate",
            "limits of bandwidth are not supported; remove it",
        ),
        closes(
            "nginx.ingress.kubernetes.io/limit-rate-after",
            "limits of bandwidth are not supported; remove it",
        ),
    ],
    service: &[],
    review: Some(review),
};

const NGINX: &str = "429, there 503; an IPv6 client is its /64; counts survive reloads";

const RATE_LIMIT: &str = "blastdoor.dev/rate-limit";
const RPS: &str = "nginx.ingress.kubernetes.io/limit-rps";
const RPM: &str = "nginx.ingress.kubernetes.io/limit-rpm";

/// What ingress-nginx multiplies a limit by.
const MULTIPLIER: u64 = 5;

const RATE: Form<Rate> = Form {
    name: "requests per time, such as `100/1m`",
    parse: |written| Rate::parse(written.value, None),
};

const SOURCE: Form<Source> = Form {
    name: "`client`, `host`, `user` or `header:NAME`",
    parse: |written| Source::parse(written.value),
};

const SCOPE: Form<Scope> = Form {
    name: "`replica` or `cluster`",
    parse: |written| match written.value {
        "replica" => Ok(Scope::Replica),
        "cluster" => Ok(Scope::Cluster),
        other => Err(format!("`{other}` is neither `replica` nor `cluster`")),
    },
};

const SECRET: Form<ObjectKey> = Form {
    name: "the name of a Secret of the same namespace",
    parse: |written| {
        local(written.value, written.namespace)
            .ok_or_else(|| format!("`{}` is not the name of a Secret", written.value))
    },
};

/// A number of requests.
const COUNT: Form<u64> = Form {
    name: "a number from 1",
    parse: |written| match natural(written.value) {
        Some(number @ 1..) => Ok(number),
        Some(0) | None => Err(format!("`{}` is not a number from 1", written.value)),
    },
};

const NATURAL: Form<u64> = Form {
    name: "a number from 0",
    parse: |written| {
        natural(written.value).ok_or_else(|| format!("`{}` is not a number from 0", written.value))
    },
};

fn natural(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse::<u32>().ok()).flatten().map(u64::from)
}

/// Makes one limit of each spelling.
fn review(parsed: &mut Annotations, raw: &BTreeMap<String, String>, report: &mut Reporter<'_>) {
    let RateLimitParts { own, nginx } = std::mem::take(&mut parsed.rate_limits);
    review_own(own, parsed, raw, report);
    review_nginx(nginx, parsed, raw, report);
}

fn review_own(
    own: OwnRateLimit,
    parsed: &mut Annotations,
    raw: &BTreeMap<String, String>,
    report: &mut Reporter<'_>,
) {
    let Some(rate) = own.rate else {
        if !raw.contains_key(RATE_LIMIT) {
            warn_of_options(
                "blastdoor.dev/rate-limit-",
                &format!("`{RATE_LIMIT}`"),
                raw,
                report,
            );
        }
        return;
    };
    let rate = match own.burst {
        Some(burst) => Rate::new(rate.average(), rate.period(), burst),
        None => Ok(rate),
    };
    let scope = match (own.scope, own.store) {
        (scope, None) => scope.unwrap_or(Scope::Replica),
        (None, Some(secret)) => Scope::Store(StoreSpec::Secret(secret)),
        (Some(_), Some(_)) => {
            let reason =
                "contradicts `rate-limit-store`, with which the server counts for all; remove one of them";
            parsed.close("blastdoor.dev/rate-limit-scope", reason, report);
            return;
        }
    };
    match rate {
        Ok(rate) => push(
            RATE_LIMIT,
            Dialect::Own,
            RateLimitSpec {
                rates: vec![rate],
                source: own.source.unwrap_or_default(),
                except: own.except,
                scope,
            },
            parsed,
        ),
        Err(error) => parsed.close("blastdoor.dev/rate-limit-burst", &error, report),
    }
}

fn review_nginx(
    nginx: NginxRateLimit,
    parsed: &mut Annotations,
    raw: &BTreeMap<String, String>,
    report: &mut Reporter<'_>,
) {
    let multiplier = nginx.multiplier.unwrap_or(MULTIPLIER);
    let mut rates = Vec::new();
    let mut main = None;
    for (key, limit, period) in [(RPS, nginx.per_second, 1), (RPM, nginx.per_minute, 60)] {
        let Some(limit) = limit.filter(|limit| *limit > 0) else {
            continue;
        };
        // What nginx calls burst is what may wait beside the one that is served.
        let burst = limit.saturating_mul(multiplier).saturating_add(1);
        match Rate::new(limit, Duration::from_secs(period), burst) {
            Ok(rate) => {
                rates.push(rate);
                main.get_or_insert(key);
            }
            Err(error) => parsed.close(key, &error, report),
        }
    }
    match main {
        Some(main) => push(
            main,
            Dialect::Nginx,
            RateLimitSpec {
                rates,
                source: Source::default(),
                except: nginx.except,
                scope: Scope::Replica,
            },
            parsed,
        ),
        None if !raw.contains_key(RPS) && !raw.contains_key(RPM) => {
            for option in ["burst-multiplier", "whitelist"] {
                let prefix = format!("nginx.ingress.kubernetes.io/limit-{option}");
                warn_of_options(&prefix, "`limit-rps` or `limit-rpm`", raw, report);
            }
        }
        None => {}
    }
}

fn push(key: &str, dialect: Dialect, spec: RateLimitSpec, parsed: &mut Annotations) {
    parsed.filters.push(WrittenFilter {
        spec: FilterSpec::RateLimit(spec),
        dialect,
        field: field(key).into(),
    });
}

/// Says of options that there is nothing for them to say anything of.
fn warn_of_options(prefix: &str, main: &str, raw: &BTreeMap<String, String>, report: &mut Reporter<'_>) {
    for key in raw.keys().filter(|key| key.starts_with(prefix)) {
        report.warning(&field(key), format!("ignored: without effect without {main}"));
    }
}
