//! Every difference that can be named was seen at the real gateway, in a case of `tests/differential`, or says why not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use migrate::{DifferenceKind, Evidence, evidence, evident_subjects};
use resource::{annotation_differences, manifest, middleware_differences};
use serde_json::Value;

/// What no case shows, so that nothing joins it unseen: the kind, and the subject where it has several.
const NOT_SEEN: &[&str] = &[
    "annotation-differs nginx.ingress.kubernetes.io/affinity",
    "annotation-differs nginx.ingress.kubernetes.io/affinity-mode",
    "annotation-differs nginx.ingress.kubernetes.io/allowlist-source-range",
    "annotation-differs nginx.ingress.kubernetes.io/auth-cache-key",
    "annotation-differs nginx.ingress.kubernetes.io/auth-type",
    "annotation-differs nginx.ingress.kubernetes.io/canary",
    "annotation-differs nginx.ingress.kubernetes.io/custom-headers",
    "annotation-differs nginx.ingress.kubernetes.io/denylist-source-range",
    "annotation-differs nginx.ingress.kubernetes.io/force-ssl-redirect",
    "annotation-differs nginx.ingress.kubernetes.io/from-to-www-redirect",
    "annotation-differs nginx.ingress.kubernetes.io/limit-rps",
    "annotation-differs nginx.ingress.kubernetes.io/load-balance",
    "annotation-differs nginx.ingress.kubernetes.io/server-alias",
    "annotation-differs nginx.ingress.kubernetes.io/ssl-redirect",
    "annotation-differs nginx.ingress.kubernetes.io/upstream-hash-by",
    "annotation-differs nginx.ingress.kubernetes.io/whitelist-source-range",
    "annotation-differs traefik.ingress.kubernetes.io/service.sticky.cookie",
    "annotation-ignored",
    "annotation-of-another-controller",
    "annotation-refused",
    "annotation-unknown",
    "backend-missing",
    "backend-refused",
    "body-size-default",
    "buffering-default",
    "certificate-by-cert-manager",
    "certificate-missing",
    "controller-setting",
    "hsts-default",
    "https-redirect-default",
    "middleware-differs chain.middlewares.name",
    "middleware-differs chain.middlewares.namespace",
    "middleware-differs errors.errorRequestHeaders",
    "middleware-differs errors.service.kind",
    "middleware-differs errors.service.namespace",
    "middleware-differs forwardAuth.address",
    "middleware-differs forwardAuth.maxResponseBodySize",
    "middleware-differs forwardAuth.tls",
    "middleware-differs forwardAuth.trustForwardHeader",
    "middleware-differs inFlightReq.sourceCriterion.ipStrategy.depth",
    "middleware-differs inFlightReq.sourceCriterion.ipStrategy.excludedIPs",
    "middleware-differs ipAllowList.ipStrategy.depth",
    "middleware-differs ipAllowList.ipStrategy.excludedIPs",
    "middleware-differs ipWhiteList.ipStrategy.depth",
    "middleware-differs ipWhiteList.ipStrategy.excludedIPs",
    "middleware-differs rateLimit.redis",
    "middleware-differs rateLimit.redis.readTimeout",
    "middleware-differs rateLimit.redis.writeTimeout",
    "middleware-differs rateLimit.sourceCriterion.ipStrategy.depth",
    "middleware-differs rateLimit.sourceCriterion.ipStrategy.excludedIPs",
    "middleware-differs redirectRegex.regex",
    "middleware-differs replacePathRegex.replacement",
    "middleware-differs stripPrefix.forceSlash",
    "middleware-ignored",
    "no-door",
    "no-endpoints",
    "object-without-counterpart",
    "other-controller",
    "path-normalisation",
    "path-regex-host-wide",
    "records-by-external-dns",
    "retries",
    "rule",
    "scheme-not-served ingress-nginx",
    "scheme-not-served traefik",
    "timeouts-default",
    "written-twice",
];

/// The cases of `tests/differential`, as they are written.
fn cases() -> BTreeMap<String, Value> {
    let mut cases = BTreeMap::new();
    for entry in std::fs::read_dir(folder().join("cases")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let [file]: [Value; 1] = manifest::values(&bytes).unwrap().try_into().unwrap();
        let peer = file["peer"].as_str().unwrap();
        for case in file["cases"].as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            cases.insert(format!("{peer}/{name}"), case.clone());
        }
    }
    assert!(cases.len() > 100, "{}", cases.len());
    cases
}

/// Which cases differ, as the list there says: patterns with `*` at the end.
fn different() -> Vec<String> {
    let list = std::fs::read_to_string(folder().join("differences.toml")).unwrap();
    // Each entry has them in one line: `cases = ["traefik/plain", "nginx/n-*"]`.
    let lines = list.lines().filter_map(|line| line.strip_prefix("cases = ["));
    let cases = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
    let cases: Vec<String> = cases.map(str::to_owned).collect();
    assert!(cases.len() > 20, "{cases:?}");
    cases
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/differential")
}

/// Whether a case writes an annotation, or a field of a Middleware.
fn writes(case: &Value, kind: DifferenceKind, subject: &str) -> bool {
    if kind == DifferenceKind::AnnotationDiffers {
        let (_, short) = subject.split_once('/').unwrap();
        return has_key(case, &[short]) || has_key(case, &[subject]);
    }
    let path: Vec<&str> = subject.split('.').collect();
    kind != DifferenceKind::MiddlewareDiffers || has_key(case, &path)
}

/// Whether these keys stand below one another, anywhere.
fn has_key(value: &Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    match value {
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            name == first && (rest.is_empty() || has_key(value, rest)) || has_key(value, path)
        }),
        Value::Array(items) => items.iter().any(|item| has_key(item, path)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[test]
fn every_difference_was_seen_or_says_why_not() {
    let (cases, different) = (cases(), different());
    let differs = |case: &str| {
        different.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => case.starts_with(start),
            None => pattern == case,
        })
    };
    let mut seen = 0;
    let mut not_seen = BTreeSet::new();
    // What a subject is told that no table has: a reason that says nothing of it.
    let unlisted = evidence(DifferenceKind::MiddlewareDiffers, "no.such.field");
    for (kind, subject, found) in evident_subjects() {
        assert_ne!(found, unlisted, "{kind:?} {subject}");
        match found {
            Evidence::NotChecked(why) => {
                assert!(why.len() > 10, "{kind:?} {subject}");
                not_seen.insert(format!("{} {subject}", kind.as_str()).trim_end().to_owned());
            }
            Evidence::Cases(named) => {
                assert!(!named.is_empty(), "{kind:?} {subject}");
                for name in named {
                    let case = cases
                        .get(*name)
                        .unwrap_or_else(|| panic!("{kind:?} {subject}: no case {name}"));
                    assert!(differs(name), "{kind:?} {subject}: nothing differs in {name}");
                    assert!(writes(case, kind, subject), "{name} does not write {subject}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen >= 15, "{seen}");
    let expected: BTreeSet<String> = NOT_SEEN.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(
        not_seen, expected,
        "write a case for what is new here, or list it with its own reason"
    );
}

/// What the tables of annotations and of Middlewares call different is in the table of what was seen, and nothing else is.
#[test]
fn every_row_that_differs_is_listed() {
    let listed = |kind| {
        let subjects = evident_subjects()
            .into_iter()
            .filter(move |(known, ..)| *known == kind);
        subjects
            .map(|(_, subject, _)| subject.to_owned())
            .collect::<BTreeSet<_>>()
    };
    let annotations: BTreeSet<String> = annotation_differences().map(|(key, _)| key.to_owned()).collect();
    // What depends on the value is told where it is read, and has no entry in the table.
    let by_value =
        ["load-balance", "affinity-mode"].map(|name| format!("nginx.ingress.kubernetes.io/{name}"));
    let expected: BTreeSet<String> = annotations.into_iter().chain(by_value).collect();
    assert_eq!(listed(DifferenceKind::AnnotationDiffers), expected);

    let fields: BTreeSet<String> = middleware_differences()
        .into_iter()
        .map(|(field, _)| field)
        .collect();
    assert_eq!(listed(DifferenceKind::MiddlewareDiffers), fields);
}

#[test]
fn every_kind_has_evidence_and_a_meaning() {
    for kind in DifferenceKind::ALL {
        assert_eq!(DifferenceKind::named(kind.as_str()), Some(*kind));
        assert!(kind.meaning().ends_with('.'), "{kind:?}");
        match evidence(*kind, "") {
            Evidence::Cases(cases) => assert!(!cases.is_empty()),
            Evidence::NotChecked(why) => assert!(!why.is_empty()),
        }
    }
}
