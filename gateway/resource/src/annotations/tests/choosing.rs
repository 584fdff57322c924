//! Canaries, sticky sessions, the choice of endpoints, and error pages.

use std::collections::BTreeMap;
use std::time::Duration;

use filter::canary::{CanaryRules, HeaderMatch};
use filter::cookie::{SameSite, SetCookie};
use filter::statuses::StatusSet;

use super::{nginx, read};
use crate::annotations::service_annotations;
use crate::choosing::{Balance, ServiceChoosing, Sticky, StickyPath};
use crate::error_pages::{PageRequest, ServiceRef};
use crate::filter_spec::FilterSpec;
use crate::reporter::{Reporter, UnreadableFields};

fn all_nginx(pairs: &[(&str, &str)]) -> (crate::Annotations, Vec<String>) {
    let keys: Vec<String> = pairs
        .iter()
        .map(|(name, _)| format!("nginx.ingress.kubernetes.io/{name}"))
        .collect();
    let pairs: Vec<(&str, &str)> = keys
        .iter()
        .zip(pairs)
        .map(|(key, (_, value))| (key.as_str(), *value))
        .collect();
    read(&pairs)
}

fn own(pairs: &[(&str, &str)]) -> (crate::Annotations, Vec<String>) {
    let keys: Vec<String> = pairs
        .iter()
        .map(|(name, _)| format!("blastdoor.dev/{name}"))
        .collect();
    let pairs: Vec<(&str, &str)> = keys
        .iter()
        .zip(pairs)
        .map(|(key, (_, value))| (key.as_str(), *value))
        .collect();
    read(&pairs)
}

fn service(pairs: &[(&str, &str)]) -> (ServiceChoosing, Vec<String>) {
    let raw: BTreeMap<String, String> = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let (unreadable, mut problems) = (UnreadableFields::default(), Vec::new());
    let object = crate::ObjectRef::global(crate::Kind::Service, "x");
    let mut report = Reporter::new(object, &unreadable, &mut problems);
    let parsed = service_annotations(&raw, &route::ObjectKey::new("shop", "web"), &mut report);
    (
        parsed.choosing,
        problems.into_iter().map(|problem| problem.message).collect(),
    )
}

fn rules(pairs: &[(&str, &str)]) -> CanaryRules {
    let (annotations, reported) = all_nginx(pairs);
    assert_eq!(reported, Vec::<String>::new());
    annotations.choosing.canary.unwrap().rules
}

#[test]
fn canaries_are_read_in_both_spellings() {
    let by_header = rules(&[("canary", "true"), ("canary-by-header", "X-Canary")]);
    let header = by_header.header.unwrap();
    assert_eq!(
        (header.name.as_str(), &header.matches),
        ("x-canary", &HeaderMatch::Words)
    );
    let by_value = rules(&[
        ("canary", "true"),
        ("canary-by-header", "X"),
        ("canary-by-header-value", "eu"),
        ("canary-by-header-pattern", "u[0-9]"),
    ]);
    assert_eq!(
        by_value.header.unwrap().matches,
        HeaderMatch::Value("eu".into()),
        "a value takes precedence"
    );
    let by_pattern = rules(&[
        ("canary", "true"),
        ("canary-by-header", "X"),
        ("canary-by-header-value", ""),
        ("canary-by-header-pattern", "u[0-9]"),
    ]);
    assert!(matches!(
        by_pattern.header.unwrap().matches,
        HeaderMatch::Pattern(_)
    ));
    let by_cookie = rules(&[("canary", "true"), ("canary-by-cookie", "c")]);
    assert_eq!(by_cookie.cookie.unwrap().as_str(), "c");
    for (total, expected) in [("1000", 1000), ("50", 100), ("0", 100)] {
        let weighed = rules(&[
            ("canary", "true"),
            ("canary-weight", "30"),
            ("canary-weight-total", total),
        ]);
        assert_eq!((weighed.weight, weighed.total), (30, expected));
    }
    let (annotations, reported) = own(&[
        ("canary", "on"),
        ("canary-header", "x"),
        ("canary-value", "v"),
        ("canary-cookie", "c"),
        ("canary-weight", "3"),
        ("canary-total", "10"),
    ]);
    assert_eq!(reported, Vec::<String>::new());
    let rules = annotations.choosing.canary.unwrap().rules;
    assert_eq!((rules.weight, rules.total), (3, 10));
    assert_eq!(rules.header.unwrap().matches, HeaderMatch::Value("v".into()));
    assert!(
        own(&[("canary", "on"), ("canary-header", "x"), ("canary-pattern", "^a")])
            .0
            .choosing
            .canary
            .is_some()
    );
}

#[test]
fn what_is_wrong_with_a_canary_is_told() {
    let (annotations, reported) = all_nginx(&[
        ("canary", "true"),
        ("enable-cors", "true"),
        ("canary-weight", "1"),
    ]);
    let canary = annotations.choosing.canary.unwrap();
    assert_eq!(
        *canary.without_effect,
        ["nginx.ingress.kubernetes.io/enable-cors".into()]
    );
    assert_eq!(reported, Vec::<String>::new(), "told where it is compiled");
    let warned = |pairs: &[(&str, &str)], expected: &str| {
        let (_, reported) = all_nginx(pairs);
        assert!(
            reported.iter().any(|message| message.contains(expected)),
            "{pairs:?}: {reported:?}"
        );
    };
    warned(&[("canary-weight", "10")], "without effect while");
    warned(
        &[("canary", "false"), ("canary-weight", "10")],
        "without effect while",
    );
    warned(&[("canary", "true")], "takes no requests");
    warned(
        &[
            ("canary", "true"),
            ("canary-weight", "1"),
            ("canary-by-header-value", "x"),
        ],
        "names no header",
    );
    for (name, value) in [
        ("canary-weight", "-1"),
        ("canary-weight", "x"),
        ("canary-by-cookie", "a b"),
        ("canary-by-header", "a b"),
    ] {
        let (annotations, _) = all_nginx(&[("canary", "true"), (name, value)]);
        assert_eq!(annotations.closes.len(), 1, "{name}: {value}");
    }
    assert!(nginx("canary", "false").0.choosing.canary.is_none());
}

#[test]
fn sticky_sessions_of_ingress_nginx() {
    let (annotations, reported) = all_nginx(&[("affinity", "cookie")]);
    assert_eq!(reported, Vec::<String>::new());
    let sticky = annotations.choosing.sticky.unwrap();
    assert_eq!(sticky.cookie.name.as_str(), "INGRESSCOOKIE");
    assert!(sticky.cookie.http_only && sticky.decides_canary && !sticky.change_on_failure);
    assert_eq!((sticky.path, sticky.secure), (StickyPath::Rule, None));
    let (annotations, reported) = all_nginx(&[
        ("affinity", "cookie"),
        ("affinity-mode", "persistent"),
        ("affinity-canary-behavior", "legacy"),
        ("session-cookie-name", "route"),
        ("session-cookie-path", "/x"),
        ("session-cookie-domain", "a.test"),
        ("session-cookie-max-age", "10"),
        ("session-cookie-expires", "20"),
        ("session-cookie-samesite", "None"),
        ("session-cookie-conditional-samesite-none", "true"),
        ("session-cookie-secure", "false"),
        ("session-cookie-change-on-failure", "true"),
    ]);
    assert_eq!(reported, Vec::<String>::new());
    let sticky = annotations.choosing.sticky.unwrap();
    let Sticky { cookie, .. } = &sticky;
    assert_eq!(cookie.name.as_str(), "route");
    assert_eq!(cookie.path.as_ref().unwrap().as_str(), "/x");
    assert_eq!(cookie.domain.as_ref().unwrap().as_str(), "a.test");
    assert_eq!(
        (cookie.max_age, cookie.expires),
        (Some(10), Some(Duration::from_secs(20)))
    );
    assert_eq!(cookie.same_site, Some(SameSite::None));
    assert_eq!((sticky.path, sticky.secure), (StickyPath::Cookie, Some(false)));
    assert!(sticky.change_on_failure && sticky.same_site_none_is_conditional && !sticky.decides_canary);
    let (_, reported) = all_nginx(&[("session-cookie-name", "x")]);
    assert!(reported[0].contains("without effect while"), "{reported:?}");
}

#[test]
fn sticky_sessions_of_services() {
    let traefik = "traefik.ingress.kubernetes.io/service.sticky.cookie";
    let of = |pairs: &[(&str, &str)]| {
        let keys: Vec<String> = pairs.iter().map(|(name, _)| format!("{traefik}{name}")).collect();
        let pairs: Vec<(&str, &str)> = keys
            .iter()
            .zip(pairs)
            .map(|(key, (_, value))| (key.as_str(), *value))
            .collect();
        service(&pairs)
    };
    let (choosing, reported) = of(&[("", "true")]);
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert!(reported[0].contains("cookies have other values"), "{reported:?}");
    let sticky = choosing.sticky.unwrap();
    assert!(sticky.cookie.name.as_str().starts_with('_'));
    assert_eq!(sticky.cookie.path.as_ref().unwrap().as_str(), "/");
    assert_eq!((sticky.secure, sticky.cookie.http_only), (Some(false), false));
    let (choosing, reported) = of(&[
        (".name", "s"),
        (".secure", "true"),
        (".httponly", "true"),
        (".samesite", "lax"),
        (".maxage", "5"),
        (".path", "/p"),
        (".domain", "a.test"),
    ]);
    assert_eq!(reported, Vec::<String>::new());
    let sticky = choosing.sticky.expect("each of them turns it on");
    let SetCookie {
        name,
        same_site,
        max_age,
        ..
    } = &sticky.cookie;
    assert_eq!(
        (name.as_str(), *same_site, *max_age),
        ("s", Some(SameSite::Lax), Some(5))
    );
    assert_eq!(sticky.secure, Some(true));
    assert!(of(&[("", "false"), (".name", "s")]).0.sticky.is_none());
    let (choosing, _) = service(&[
        ("blastdoor.dev/sticky", "mine"),
        ("blastdoor.dev/sticky-max-age", "1h"),
        (traefik, "true"),
    ]);
    let sticky = choosing.sticky.unwrap();
    assert_eq!(
        (sticky.cookie.name.as_str(), sticky.cookie.max_age),
        ("mine", Some(3600))
    );
    assert_eq!(
        service(&[("blastdoor.dev/balance", "round-robin")]).0.balance,
        Some(Balance::RoundRobin)
    );
    let passes = |value| {
        service(&[("traefik.ingress.kubernetes.io/service.passhostheader", value)])
            .0
            .names_endpoint
    };
    assert_eq!(["true", "false"].map(passes), [false, true]);
}

#[test]
fn balances() {
    let table = [
        ("p2c", true),
        ("round-robin", true),
        ("hash:$request_uri", true),
        ("hash:${remote_addr}$host", true),
        ("hash:", false),
        ("hash:constant", false),
        ("hash:$nothing", false),
        ("least_conn", false),
    ];
    for (value, is_fine) in table {
        let (annotations, reported) = own(&[("balance", value)]);
        assert_eq!(annotations.choosing.balance.is_some(), is_fine, "{value}");
        assert_eq!(reported.len(), usize::from(!is_fine), "{value}: {reported:?}");
        assert_eq!(annotations.closes.len(), usize::from(!is_fine), "{value}");
    }
    let balance = |pairs: &[(&str, &str)]| all_nginx(pairs).0.choosing.balance;
    assert_eq!(
        balance(&[("load-balance", "round_robin")]),
        Some(Balance::RoundRobin)
    );
    assert_eq!(balance(&[("load-balance", "ewma")]), Some(Balance::PowerOfTwo));
    let hashed = balance(&[
        ("load-balance", "round_robin"),
        ("upstream-hash-by", "$request_uri"),
    ]);
    assert!(matches!(hashed, Some(Balance::Hash(_))));
    let subset = all_nginx(&[("upstream-hash-by", "$host"), ("upstream-hash-by-subset", "true")]);
    assert_eq!(subset.0.closes.len(), 1);
}

#[test]
fn error_pages_and_fallbacks() {
    let web = |name: &str| ServiceRef {
        service: route::ObjectKey::new("shop", name),
        port: None,
    };
    let specs = |annotations: &crate::Annotations| -> Vec<FilterSpec> {
        annotations
            .filters
            .iter()
            .map(|written| written.spec.clone())
            .collect()
    };
    let (annotations, reported) = all_nginx(&[
        ("custom-http-errors", "404,500-503"),
        ("default-backend", "pages"),
    ]);
    assert_eq!(reported, Vec::<String>::new());
    let [FilterSpec::Errors(pages), FilterSpec::Fallback(fallback)] = &*specs(&annotations) else {
        panic!("{annotations:?}");
    };
    assert_eq!(pages.statuses, StatusSet::parse("404,500-503").unwrap());
    assert_eq!(
        (&pages.service, &pages.request),
        (&web("pages"), &PageRequest::Fields)
    );
    assert_eq!(*fallback, web("pages"));
    let (annotations, reported) = all_nginx(&[("custom-http-errors", "404")]);
    assert!(annotations.filters.is_empty());
    assert!(
        reported[0].contains("has no default backend of its own"),
        "{reported:?}"
    );
    let disabled = all_nginx(&[
        ("custom-http-errors", "404"),
        ("default-backend", "pages"),
        ("disable-proxy-intercept-errors", "true"),
    ]);
    assert!(matches!(&*specs(&disabled.0), [FilterSpec::Fallback(_)]));
    let (annotations, reported) = own(&[
        ("errors", "404"),
        ("errors-service", "pages:http"),
        ("errors-path", "e/{status}"),
    ]);
    assert_eq!(reported, Vec::<String>::new());
    let [FilterSpec::Errors(pages)] = &*specs(&annotations) else {
        panic!("{annotations:?}");
    };
    assert_eq!(
        pages.service.port,
        Some(crate::ServicePortRef::Name("http".into()))
    );
    assert!(matches!(pages.request, PageRequest::Target { fields: None, .. }));
    let (annotations, _) = own(&[("errors", "404"), ("fallback", "spare:8080")]);
    assert!(matches!(
        &*specs(&annotations),
        [FilterSpec::Errors(_), FilterSpec::Fallback(_)]
    ));
    assert!(own(&[("errors", "404")]).1[0].contains("without effect while neither"));
    assert!(own(&[("errors-path", "/x")]).1[0].contains("without effect while"));
    for value in ["pages/", "a b", "other/pages", "pages:", "pages:0", ""] {
        assert_eq!(own(&[("fallback", value)]).0.closes.len(), 1, "{value:?}");
    }
}
