use gateway_tests::{Backend, Gateway};

use super::super::{DOOR, Got, ask, ask_http1, gateway_with};
use super::{NAMED, middleware, trusting};

const OWN: &str = "blastdoor.dev/rate-limit";
const BURST: &str = "blastdoor.dev/rate-limit-burst";

/// How many of some requests with this field pass, each over both versions.
#[track_caller]
fn passing(gateway: &Gateway, pairs: usize, fields: &[(&str, &str)]) -> usize {
    let answers = (0..pairs).map(|_| ask(gateway.door(DOOR), "GET", "/", fields).status);
    answers.filter(|status| *status == 200).count() * 2
}

#[test]
fn a_bucket_is_as_large_as_each_spelling_says() {
    let backend = Backend::start("app");
    type Case<'c> = (&'c [(&'c str, &'c str)], &'c str, usize);
    let table: &[Case<'_>] = &[
        (&[(OWN, "4/1h")], "", 4),
        (&[(OWN, "4/h")], "", 4),
        (&[(OWN, "1/1h30m"), (BURST, "6")], "", 6),
        (&[("nginx.ingress.kubernetes.io/limit-rpm", "1")], "", 6),
        (
            &[
                ("nginx.ingress.kubernetes.io/limit-rpm", "1"),
                ("nginx.ingress.kubernetes.io/limit-burst-multiplier", "3"),
            ],
            "",
            4,
        ),
        // Both apply, and the smaller bucket is empty first.
        (
            &[
                ("nginx.ingress.kubernetes.io/limit-rps", "100"),
                ("nginx.ingress.kubernetes.io/limit-rpm", "1"),
                ("nginx.ingress.kubernetes.io/limit-burst-multiplier", "1"),
            ],
            "",
            2,
        ),
        // Ours beside that of ingress-nginx counts.
        (
            &[(OWN, "4/1h"), ("nginx.ingress.kubernetes.io/limit-rpm", "1")],
            "",
            4,
        ),
        (&[NAMED], "average: 1, period: 1h, burst: 4", 4),
        (&[NAMED], "average: 1, period: 3600, burst: 2", 2),
        // One limit of ours and one of a Middleware: both apply.
        (&[NAMED, (OWN, "2/1h")], "average: 1, period: 1h, burst: 4", 2),
    ];
    for (annotations, fields, expected) in table {
        let gateway = gateway_with(&backend, annotations, &middleware("rateLimit", fields));
        assert_eq!(passing(&gateway, 5, &[]), *expected, "{annotations:?} {fields}");
    }
}

#[test]
fn no_limit_is_none_and_a_broken_one_closes() {
    let backend = Backend::start("app");
    type Case<'c> = (&'c [(&'c str, &'c str)], &'c str, u16);
    let table: &[Case<'_>] = &[
        (&[("nginx.ingress.kubernetes.io/limit-rpm", "0")], "", 200),
        (&[NAMED], "burst: 1", 200),
        (&[NAMED], "average: 0", 200),
        (&[(OWN, "many")], "", 503),
        (&[(OWN, "5/s"), ("blastdoor.dev/rate-limit-by", "moon")], "", 503),
        // How many replicas there are is not known here.
        (
            &[(OWN, "5/s"), ("blastdoor.dev/rate-limit-scope", "cluster")],
            "",
            503,
        ),
        (&[("nginx.ingress.kubernetes.io/limit-connections", "5")], "", 503),
        (&[("nginx.ingress.kubernetes.io/limit-rate", "5")], "", 503),
        (&[NAMED], "average: 1, period: 0s", 503),
        (&[NAMED], "average: 1, unknown: 1", 503),
        (
            &[NAMED],
            "average: 1, sourceCriterion: {requestHost: true, requestHeaderName: X}",
            503,
        ),
        (
            &[NAMED],
            "average: 1, sourceCriterion: {requestHeaderName: \"a b\"}",
            503,
        ),
    ];
    for (annotations, fields, expected) in table {
        let gateway = gateway_with(&backend, annotations, &middleware("rateLimit", fields));
        for _ in 0..3 {
            let got = ask(gateway.door(DOOR), "GET", "/", &[]);
            assert_eq!(got.status, *expected, "{annotations:?} {fields}");
        }
    }
}

/// Requests that share a source share a bucket of two, which the same request over both versions empties.
#[test]
fn requests_are_counted_by_what_the_limit_says() {
    let backend = Backend::start("app");
    type Field<'f> = (&'f str, &'f str);
    // What a limit is by, two requests that share a bucket, and one that does not.
    type Case<'c> = (&'c [Field<'c>], &'c str, Field<'c>, Field<'c>, Option<Field<'c>>);
    let by = |what| [(OWN, "2/1h"), ("blastdoor.dev/rate-limit-by", what)];
    let middleware_by = |what| format!("average: 2, period: 1h, burst: 2, sourceCriterion: {{{what}}}");
    let chain = |value| ("x-forwarded-for", value);
    let table: &[Case<'_>] = &[
        (
            &[(OWN, "2/1h")],
            "",
            chain("192.0.2.1"),
            chain("::ffff:192.0.2.1"),
            Some(chain("192.0.2.2")),
        ),
        (
            &by("client"),
            "",
            chain("2001:db8:1:2::1"),
            chain("2001:db8:1:2:3:4:5:6"),
            Some(chain("2001:db8:1:3::1")),
        ),
        (&by("host"), "", chain("192.0.2.1"), chain("192.0.2.2"), None),
        (
            &by("user"),
            "",
            chain("192.0.2.1"),
            chain("192.0.2.1"),
            Some(chain("192.0.2.2")),
        ),
        (
            &by("header:X-Key"),
            "",
            ("x-key", "a"),
            ("X-Key", "a"),
            Some(("x-key", "b")),
        ),
        (
            &[NAMED],
            "",
            chain("192.0.2.1"),
            chain("192.0.2.1"),
            Some(chain("192.0.2.2")),
        ),
        (
            &[NAMED],
            "ipStrategy: {depth: 2}",
            chain("192.0.2.1, 198.51.100.1"),
            chain("192.0.2.1, 198.51.100.2"),
            Some(chain("192.0.2.2, 198.51.100.1")),
        ),
        (
            &[NAMED],
            "ipStrategy: {excludedIPs: [198.51.100.0/24]}",
            chain("192.0.2.1, 198.51.100.1"),
            chain("192.0.2.1, 198.51.100.2"),
            Some(chain("192.0.2.2, 198.51.100.1")),
        ),
        (
            &[NAMED],
            "ipStrategy: {ipv6Subnet: 48}",
            chain("2001:db8:1:2::1"),
            chain("2001:db8:1:3::1"),
            Some(chain("2001:db8:2::1")),
        ),
        (
            &[NAMED],
            "requestHeaderName: X-Key",
            ("x-key", "a"),
            ("x-key", "a"),
            Some(("x-key", "b")),
        ),
        (
            &[NAMED],
            "requestHost: true",
            chain("192.0.2.1"),
            chain("192.0.2.2"),
            None,
        ),
    ];
    for (annotations, source, first, same, other) in table {
        let others = middleware("rateLimit", &middleware_by(source));
        let gateway = trusting(&backend, annotations, &others);
        assert_eq!(passing(&gateway, 1, &[*first]), 2, "{annotations:?} {source}");
        assert_eq!(passing(&gateway, 1, &[*same]), 0, "{annotations:?} {source}");
        if let Some(other) = other {
            assert_eq!(passing(&gateway, 1, &[*other]), 2, "{annotations:?} {source}");
        }
    }
}

#[test]
fn some_clients_are_not_counted() {
    let backend = Backend::start("app");
    let own = [(OWN, "2/1h"), ("blastdoor.dev/rate-limit-except", "192.0.2.0/24")];
    let nginx = [
        ("nginx.ingress.kubernetes.io/limit-rpm", "1"),
        ("nginx.ingress.kubernetes.io/limit-burst-multiplier", "1"),
        ("nginx.ingress.kubernetes.io/limit-whitelist", "192.0.2.0/24"),
    ];
    for annotations in [&own[..], &nginx[..]] {
        let gateway = trusting(&backend, annotations, "");
        assert_eq!(passing(&gateway, 5, &[("x-forwarded-for", "192.0.2.1")]), 10);
        assert_eq!(passing(&gateway, 5, &[("x-forwarded-for", "192.0.3.1")]), 2);
    }
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let backend = Backend::start("app");
    let gateway = gateway_with(&backend, &[(OWN, "1/10h"), (BURST, "2")], "");
    let door = gateway.door(DOOR);
    assert_eq!(ask(door, "GET", "/", &[]).status, 200);
    let got: Got = ask_http1(door, "GET", "/", &[]);
    assert_eq!((got.status, &*got.body), (429, "Too Many Requests\n"));
    let seconds: u64 = got.field("retry-after").unwrap().parse().unwrap();
    assert!((35_000..=36_000).contains(&seconds), "{seconds}");
    assert_eq!(backend.requests(), 2);
    let labels = [("listener", DOOR), ("kind", "rate_limit")];
    gateway.counts("blastdoor_filter_refusals_total", &labels, 1.0);
    let labels = [("listener", DOOR), ("reason", "rate_limited")];
    gateway.counts("blastdoor_refusals_total", &labels, 1.0);
}

/// Who is refused by address uses up nobody's tokens, and neither do requests of another Ingress.
#[test]
fn only_what_passes_is_counted() {
    let backend = Backend::start("app");
    let annotations = [
        (OWN, "2/1h"),
        ("blastdoor.dev/rate-limit-by", "host"),
        ("blastdoor.dev/deny", "192.0.2.7"),
    ];
    let gateway = trusting(&backend, &annotations, "");
    assert_eq!(passing(&gateway, 3, &[("x-forwarded-for", "192.0.2.7")]), 0);
    assert_eq!(passing(&gateway, 3, &[("x-forwarded-for", "192.0.2.8")]), 2);
}

/// Each user has a bucket, wherever the requests come from. Who has no password uses up nobody's.
#[test]
fn users_are_counted_once_they_are_known() {
    let backend = Backend::start("app");
    let annotations = [
        (OWN, "2/1h"),
        ("blastdoor.dev/rate-limit-by", "user"),
        ("blastdoor.dev/basic-auth", "users"),
    ];
    // `secret`, for both.
    let users = "apiVersion: v1\nkind: Secret\nmetadata: {name: users, namespace: test}\nstringData:\n  auth: |\n    \
                 ada:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n    bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
    let gateway = gateway_with(&backend, &annotations, users);
    let (ada, bob) = ("Basic YWRhOnNlY3JldA==", "Basic Ym9iOnNlY3JldA==");
    let door = gateway.door(DOOR);
    assert_eq!(ask(door, "GET", "/", &[]).status, 401);
    assert_eq!(passing(&gateway, 2, &[("authorization", ada)]), 2);
    assert_eq!(passing(&gateway, 2, &[("authorization", bob)]), 2);
    assert_eq!(ask(door, "GET", "/", &[("authorization", ada)]).status, 429);
}
