use gateway_tests::Backend;

use super::super::{DOOR, ask, gateway_with};
use super::{NAMED, middleware, trusting};

/// The status for a client at the end of this chain of proxies, over both versions.
#[track_caller]
fn status(gateway: &gateway_tests::Gateway, forwarded: &str) -> u16 {
    let fields: &[(&str, &str)] = match forwarded {
        "" => &[],
        chain => &[("x-forwarded-for", chain)],
    };
    ask(gateway.door(DOOR), "GET", "/", fields).status
}

#[test]
fn annotations_judge_the_client_that_the_door_resolves() {
    let backend = Backend::start("app");
    type Case<'c> = (&'c [(&'c str, &'c str)], &'c [(&'c str, u16)]);
    let table: &[Case<'_>] = &[
        (
            &[("blastdoor.dev/allow", "192.0.2.0/24, 2001:db8::/32")],
            &[
                ("192.0.2.7", 200),
                ("2001:db8::1", 200),
                ("::ffff:192.0.2.7", 200),
                ("192.0.3.7", 403),
                ("2001:db9::1", 403),
                // What a client writes itself stands on the left.
                ("192.0.2.7, 198.51.100.1", 403),
                ("", 403),
            ],
        ),
        (
            &[("blastdoor.dev/deny", "192.0.2.7")],
            &[("192.0.2.7", 403), ("192.0.2.8", 200), ("", 200)],
        ),
        (
            &[
                ("blastdoor.dev/allow", "192.0.2.0/24"),
                ("blastdoor.dev/deny", "192.0.2.7"),
            ],
            &[("192.0.2.7", 403), ("192.0.2.8", 200), ("192.0.3.1", 403)],
        ),
        (
            &[(
                "nginx.ingress.kubernetes.io/whitelist-source-range",
                "192.0.2.9/24",
            )],
            &[("192.0.2.7", 200), ("192.0.3.7", 403)],
        ),
        (
            &[(
                "nginx.ingress.kubernetes.io/allowlist-source-range",
                "192.0.2.0/24",
            )],
            &[("192.0.2.7", 200), ("192.0.3.7", 403)],
        ),
        (
            &[(
                "nginx.ingress.kubernetes.io/denylist-source-range",
                "192.0.2.0/24",
            )],
            &[("192.0.2.7", 403), ("192.0.3.7", 200)],
        ),
        (
            &[(
                "nginx.ingress.kubernetes.io/whitelist-source-range",
                "0.0.0.0/0,::/0",
            )],
            &[("192.0.2.7", 200), ("2001:db8::1", 200)],
        ),
        // One flaw, and nobody is let in by mistake.
        (
            &[(
                "nginx.ingress.kubernetes.io/whitelist-source-range",
                "192.0.2.0/24,",
            )],
            &[("192.0.2.7", 503), ("192.0.3.7", 503)],
        ),
        (&[("blastdoor.dev/deny", "")], &[("192.0.2.7", 503)]),
        // Ours beside that of ingress-nginx counts.
        (
            &[
                ("blastdoor.dev/allow", "192.0.2.0/24"),
                (
                    "nginx.ingress.kubernetes.io/whitelist-source-range",
                    "198.51.100.0/24",
                ),
            ],
            &[("192.0.2.7", 200), ("198.51.100.1", 403)],
        ),
    ];
    for (annotations, cases) in table {
        let gateway = trusting(&backend, annotations, "");
        for (chain, expected) in *cases {
            assert_eq!(status(&gateway, chain), *expected, "{annotations:?} {chain}");
        }
    }
}

#[test]
fn middlewares_judge_the_peer_or_what_their_strategy_finds() {
    let backend = Backend::start("app");
    let table: &[(&str, &str, &[(&str, u16)])] = &[
        // The peer, whatever it says.
        (
            "ipAllowList",
            "sourceRange: [127.0.0.0/8]",
            &[("192.0.2.7", 200), ("", 200)],
        ),
        (
            "ipAllowList",
            "sourceRange: [192.0.2.0/24]",
            &[("192.0.2.7", 403), ("", 403)],
        ),
        ("ipWhiteList", "sourceRange: [127.0.0.1]", &[("192.0.2.7", 200)]),
        (
            "ipWhiteList",
            "sourceRange: [192.0.2.0/24]",
            &[("192.0.2.7", 403)],
        ),
        (
            "ipAllowList",
            "sourceRange: [192.0.2.0/24], ipStrategy: {depth: 2}",
            &[
                ("192.0.2.7, 198.51.100.1", 200),
                ("203.0.113.1, 192.0.2.7, 198.51.100.1", 200),
                ("192.0.2.7, 203.0.113.1, 198.51.100.1", 403),
                ("192.0.2.7", 403),
                ("", 403),
            ],
        ),
        (
            "ipAllowList",
            "sourceRange: [192.0.2.0/24], ipStrategy: {excludedIPs: [198.51.100.0/24, 203.0.113.1]}",
            &[
                ("192.0.2.7, 198.51.100.1, 203.0.113.1", 200),
                ("192.0.2.7, 203.0.113.9", 403),
                ("198.51.100.1", 403),
                ("", 403),
            ],
        ),
        (
            "ipAllowList",
            "sourceRange: [\"2001:db8:1::\"], ipStrategy: {depth: 1, ipv6Subnet: 48}",
            &[("2001:db8:1:2::3", 200), ("2001:db8:2::1", 403)],
        ),
        (
            "ipAllowList",
            "sourceRange: [192.0.2.0/24], rejectStatusCode: 404",
            &[("192.0.2.7", 404)],
        ),
        // What cannot be honoured closes.
        ("ipAllowList", "sourceRange: []", &[("", 503)]),
        ("ipAllowList", "{}", &[("", 503)]),
        ("ipAllowList", "sourceRange: [nonsense]", &[("", 503)]),
        (
            "ipAllowList",
            "sourceRange: [127.0.0.1], rejectStatusCode: 999",
            &[("", 503)],
        ),
        (
            "ipAllowList",
            "sourceRange: [127.0.0.1], ipStrategy: {depth: -1}",
            &[("", 503)],
        ),
        (
            "ipAllowList",
            "sourceRange: [127.0.0.1], ipStrategy: {ipv6Subnet: 129}",
            &[("", 503)],
        ),
        ("ipAllowList", "sourceRanges: [127.0.0.1]", &[("", 503)]),
    ];
    for (kind, fields, cases) in table {
        let fields = fields.trim_matches(|c| c == '{' || c == '}' && fields.starts_with('{'));
        let gateway = trusting(&backend, &[NAMED], &middleware(kind, fields));
        for (chain, expected) in *cases {
            assert_eq!(status(&gateway, chain), *expected, "{kind} {fields} {chain}");
        }
    }
}

#[test]
fn nobody_is_let_in_on_the_word_of_a_stranger() {
    let backend = Backend::start("app");
    for strategy in ["depth: 1", "excludedIPs: [198.51.100.1]"] {
        let fields = format!("sourceRange: [192.0.2.0/24, 127.0.0.0/8], ipStrategy: {{{strategy}}}");
        let gateway = gateway_with(&backend, &[NAMED], &middleware("ipAllowList", &fields));
        assert_eq!(status(&gateway, "192.0.2.7"), 403, "{strategy}");
    }
}

#[test]
fn a_refusal_is_told_and_counted() {
    let backend = Backend::start("app");
    let gateway = trusting(
        &backend,
        &[
            ("blastdoor.dev/allow", "192.0.2.0/24"),
            ("blastdoor.dev/deny", "192.0.2.7"),
        ],
        "",
    );
    let got = ask(gateway.door(DOOR), "GET", "/", &[]);
    assert_eq!((got.status, &*got.body), (403, "Forbidden\n"));
    assert_eq!(status(&gateway, "192.0.2.7"), 403);
    assert_eq!(backend.requests(), 0);
    let labels = |kind| [("listener", DOOR), ("kind", kind)];
    gateway.counts("blastdoor_filter_refusals_total", &labels("allow"), 2.0);
    gateway.counts("blastdoor_filter_refusals_total", &labels("deny"), 2.0);
    let reason = [("listener", DOOR), ("reason", "access_denied")];
    gateway.counts("blastdoor_refusals_total", &reason, 4.0);
}
