use std::time::Duration;

use filter::access::{Allow, Deny};
use filter::cidr::Networks;
use filter::rate::Rate;
use filter::source::Source;
use route::ObjectKey;

use super::read;
use crate::filter_spec::{Dialect, FilterSpec, WrittenFilter};
use crate::limit_spec::{RateLimitSpec, Scope, StoreSpec};

const NGINX: &str = "nginx.ingress.kubernetes.io/";

fn networks(list: &str) -> Networks {
    Networks::parse(list).unwrap()
}

fn rate(average: u64, seconds: u64, burst: u64) -> Rate {
    Rate::new(average, Duration::from_secs(seconds), burst).unwrap()
}

fn written(key: &str, spec: FilterSpec) -> WrittenFilter {
    WrittenFilter {
        spec,
        dialect: if key.starts_with(NGINX) {
            Dialect::Nginx
        } else {
            Dialect::Own
        },
        field: format!("metadata.annotations[{key}]").into(),
    }
}

fn limit(rates: &[Rate]) -> RateLimitSpec {
    RateLimitSpec {
        rates: rates.to_vec(),
        source: Source::default(),
        except: None,
        scope: Scope::Replica,
    }
}

#[test]
fn lists_in_every_spelling() {
    let allow = |list| FilterSpec::Allow(Allow::clients(networks(list)));
    let deny = |list| {
        FilterSpec::Deny(Deny {
            networks: networks(list),
        })
    };
    let table = [
        ("blastdoor.dev/allow", "10.0.0.0/8, ::1", allow("10.0.0.0/8,::1")),
        ("blastdoor.dev/deny", "192.0.2.7", deny("192.0.2.7/32")),
        (
            "nginx.ingress.kubernetes.io/whitelist-source-range",
            "10.1.2.3/8",
            allow("10.0.0.0/8"),
        ),
        (
            "nginx.ingress.kubernetes.io/allowlist-source-range",
            "0.0.0.0/0",
            allow("0.0.0.0/0"),
        ),
        (
            "nginx.ingress.kubernetes.io/denylist-source-range",
            "0.0.0.0/0,::/0",
            deny("0.0.0.0/0,::/0"),
        ),
    ];
    for (key, value, spec) in table {
        let (annotations, reported) = read(&[(key, value)]);
        assert_eq!(annotations.filters, [written(key, spec)], "{key}");
        assert_eq!(reported, Vec::<String>::new(), "{key}");
    }
}

#[test]
fn a_list_that_cannot_be_read_closes_in_every_spelling() {
    for key in [
        "blastdoor.dev/allow",
        "blastdoor.dev/deny",
        "nginx.ingress.kubernetes.io/whitelist-source-range",
        "nginx.ingress.kubernetes.io/allowlist-source-range",
        "nginx.ingress.kubernetes.io/denylist-source-range",
        "nginx.ingress.kubernetes.io/limit-whitelist",
        "blastdoor.dev/rate-limit-except",
    ] {
        for value in [
            "",
            "10.0.0.0/8,",
            "10.0.0.0/33",
            "localhost",
            "10.0.0.0/8 10.1.0.0/16",
        ] {
            let (annotations, _) = read(&[(key, value)]);
            assert_eq!(annotations.closes.len(), 1, "{key}: {value}");
            assert_eq!(annotations.filters, [], "{key}: {value}");
        }
    }
}

#[test]
fn both_names_of_an_allow_list_are_one() {
    let both = |old, new| {
        read(&[
            ("nginx.ingress.kubernetes.io/whitelist-source-range", old),
            ("nginx.ingress.kubernetes.io/allowlist-source-range", new),
        ])
    };
    let (same, reported) = both("10.0.0.0/8", "10.2.3.4/8");
    assert_eq!((same.filters.len(), reported.len()), (1, 0));
    let (differing, reported) = both("10.0.0.0/8", "10.0.0.0/9");
    assert_eq!(differing.closes.len(), 1, "{reported:?}");
}

#[test]
fn limits_in_every_spelling() {
    const OWN: &str = "blastdoor.dev/rate-limit";
    const RPS: &str = "nginx.ingress.kubernetes.io/limit-rps";
    const RPM: &str = "nginx.ingress.kubernetes.io/limit-rpm";
    let spec = |key, spec| written(key, FilterSpec::RateLimit(spec));
    let table: &[(&[(&str, &str)], WrittenFilter)] = &[
        (&[(OWN, "100/1m")], spec(OWN, limit(&[rate(100, 60, 100)]))),
        (
            &[(OWN, "100/1m"), ("blastdoor.dev/rate-limit-burst", "200")],
            spec(OWN, limit(&[rate(100, 60, 200)])),
        ),
        (
            &[(OWN, "5/s"), ("blastdoor.dev/rate-limit-by", "host")],
            spec(
                OWN,
                RateLimitSpec {
                    source: Source::Host,
                    ..limit(&[rate(5, 1, 5)])
                },
            ),
        ),
        (
            &[(OWN, "5/s"), ("blastdoor.dev/rate-limit-by", "user")],
            spec(
                OWN,
                RateLimitSpec {
                    source: Source::User,
                    ..limit(&[rate(5, 1, 5)])
                },
            ),
        ),
        (
            &[
                (OWN, "5/s"),
                ("blastdoor.dev/rate-limit-except", "10.0.0.0/8"),
                ("blastdoor.dev/rate-limit-scope", "cluster"),
            ],
            spec(
                OWN,
                RateLimitSpec {
                    except: Some(networks("10.0.0.0/8")),
                    scope: Scope::Cluster,
                    ..limit(&[rate(5, 1, 5)])
                },
            ),
        ),
        (
            &[(OWN, "5/s"), ("blastdoor.dev/rate-limit-store", "counts")],
            spec(
                OWN,
                RateLimitSpec {
                    scope: Scope::Store(StoreSpec::Secret(ObjectKey::new("shop", "counts"))),
                    ..limit(&[rate(5, 1, 5)])
                },
            ),
        ),
        (&[(RPS, "5")], spec(RPS, limit(&[rate(5, 1, 26)]))),
        (&[(RPM, "30")], spec(RPM, limit(&[rate(30, 60, 151)]))),
        (
            &[
                (RPS, "5"),
                (RPM, "30"),
                ("nginx.ingress.kubernetes.io/limit-burst-multiplier", "2"),
                ("nginx.ingress.kubernetes.io/limit-whitelist", "10.0.0.0/8,::1"),
            ],
            spec(
                RPS,
                RateLimitSpec {
                    except: Some(networks("10.0.0.0/8,::1")),
                    ..limit(&[rate(5, 1, 11), rate(30, 60, 61)])
                },
            ),
        ),
        (
            &[
                (RPS, "0"),
                (RPM, "30"),
                ("nginx.ingress.kubernetes.io/limit-burst-multiplier", "0"),
            ],
            spec(RPM, limit(&[rate(30, 60, 1)])),
        ),
    ];
    for (pairs, filter) in table {
        let (annotations, reported) = read(pairs);
        assert_eq!(annotations.filters, std::slice::from_ref(filter), "{pairs:?}");
        assert_eq!(reported, Vec::<String>::new(), "{pairs:?}");
        assert_eq!(annotations.closes, [], "{pairs:?}");
    }
}

#[test]
fn a_limit_by_header_is_told_to_be_a_weak_one() {
    let pairs = [
        ("blastdoor.dev/rate-limit", "5/s"),
        ("blastdoor.dev/rate-limit-by", "header:X-Api-Key"),
    ];
    let (annotations, reported) = read(&pairs);
    assert_eq!(annotations.filters.len(), 1);
    assert!(
        reported[0].starts_with("note: clients choose the value"),
        "{reported:?}"
    );
}

#[test]
fn no_limit_is_none() {
    for (key, value) in [("limit-rps", "0"), ("limit-rpm", "0")] {
        let (annotations, reported) = read(&[(&format!("{NGINX}{key}"), value)]);
        assert_eq!((annotations.filters.len(), reported.len()), (0, 0), "{key}");
    }
}

#[test]
fn limits_that_cannot_be_honoured_close() {
    const OWN: (&str, &str) = ("blastdoor.dev/rate-limit", "5/s");
    let table: &[&[(&str, &str)]] = &[
        &[("blastdoor.dev/rate-limit", "5")],
        &[("blastdoor.dev/rate-limit", "0/s")],
        &[("blastdoor.dev/rate-limits", "5/s")],
        &[OWN, ("blastdoor.dev/rate-limit-burst", "0")],
        &[OWN, ("blastdoor.dev/rate-limit-by", "cookie")],
        &[OWN, ("blastdoor.dev/rate-limit-scope", "world")],
        &[OWN, ("blastdoor.dev/rate-limit-store", "other/name")],
        &[
            OWN,
            ("blastdoor.dev/rate-limit-store", "counts"),
            ("blastdoor.dev/rate-limit-scope", "cluster"),
        ],
        &[
            ("blastdoor.dev/rate-limit", "1/87600h"),
            ("blastdoor.dev/rate-limit-burst", "99"),
        ],
        &[("nginx.ingress.kubernetes.io/limit-rps", "five")],
        &[("nginx.ingress.kubernetes.io/limit-rps", "-1")],
        &[("nginx.ingress.kubernetes.io/limit-rpm", "1.5")],
        &[("nginx.ingress.kubernetes.io/limit-rate", "1024")],
        &[("nginx.ingress.kubernetes.io/limit-connections", "5")],
        &[("nginx.ingress.kubernetes.io/limit-rp", "5")],
    ];
    for pairs in table {
        let (annotations, reported) = read(pairs);
        assert_eq!(annotations.closes.len(), 1, "{pairs:?}");
        assert!(
            reported
                .iter()
                .any(|line| line.starts_with("error: ") && line.ends_with("; closed (503)")),
            "{reported:?}"
        );
    }
}

#[test]
fn options_of_no_limit_are_told() {
    for (key, value) in [
        ("blastdoor.dev/rate-limit-burst", "5"),
        ("nginx.ingress.kubernetes.io/limit-burst-multiplier", "5"),
        ("nginx.ingress.kubernetes.io/limit-whitelist", "10.0.0.0/8"),
    ] {
        let (annotations, reported) = read(&[(key, value)]);
        assert_eq!(
            (annotations.filters.len(), annotations.closes.len()),
            (0, 0),
            "{key}"
        );
        assert!(
            reported[0].starts_with("warning: ignored: without effect without"),
            "{reported:?}"
        );
    }
}
