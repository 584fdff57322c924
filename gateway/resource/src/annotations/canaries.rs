//! Canaries: a second Ingress that gets a share of the requests.

use std::collections::BTreeMap;

use filter::canary::{CanaryRules, HeaderMatch, HeaderRule};
use filter::cookie::CookieName;
use filter::pattern::{Case, Pattern};
use http::HeaderName;

use super::drafts::{CanaryParts, CanarySpellings};
use super::keys::is_ours;
use super::parsed::Annotations;
use super::row::{Setting, Stake, Subject, honoured};
use super::value::{Form, SWITCH, TRUTH, Written, field};
use crate::choosing::Canary;
use crate::problem::Severity;
use crate::reporter::Reporter;

const NGINX: &str = "nginx.ingress.kubernetes.io/canary";
const OWN: &str = "blastdoor.dev/canary";

pub(super) const SUBJECT: Subject = Subject {
    title: "Canaries",
    ingress: &[
        honoured(
            "blastdoor.dev/canary",
            "as `canary` of ingress-nginx, which must not be written beside it",
            &Setting {
                value: &SWITCH,
                default: "`off`",
                stake: Stake::Protection,
                put: |parsed, on, written| parts(parsed, written).on = Some(on),
            },
        )
        .example("on"),
        honoured("blastdoor.dev/canary-header", HEADER_NOTE, HEADER),
        honoured("blastdoor.dev/canary-value", VALUE_NOTE, VALUE),
        honoured("blastdoor.dev/canary-pattern", PATTERN_NOTE, PATTERN),
        honoured("blastdoor.dev/canary-cookie", COOKIE_NOTE, COOKIE),
        honoured("blastdoor.dev/canary-weight", WEIGHT_NOTE, WEIGHT),
        honoured(
            "blastdoor.dev/canary-total",
            "what the weight is a part of",
            TOTAL,
        ),
        honoured(
            "nginx.ingress.kubernetes.io/canary",
            "the Ingress has no places of its own: at each door that admits both, it joins the Ingress of the same \
             namespace with the same host, path and path type, and takes the requests that its rules say; without one it \
             is not served; of two the older counts; its other annotations have no effect",
            &Setting {
                value: &TRUTH,
                default: "`false`",
                stake: Stake::Protection,
                put: |parsed, on, written| parts(parsed, written).on = Some(on),
            },
        )
        .differs("an Ingress of another namespace never gets a canary, so that no stranger takes its requests")
        .example("true"),
        honoured(
            "nginx.ingress.kubernetes.io/canary-by-header",
            HEADER_NOTE,
            HEADER,
        ),
        honoured(
            "nginx.ingress.kubernetes.io/canary-by-header-value",
            VALUE_NOTE,
            VALUE,
        ),
        honoured(
            "nginx.ingress.kubernetes.io/canary-by-header-pattern",
            PATTERN_NOTE,
            PATTERN,
        ),
        honoured(
            "nginx.ingress.kubernetes.io/canary-by-cookie",
            COOKIE_NOTE,
            COOKIE,
        ),
        honoured("nginx.ingress.kubernetes.io/canary-weight", WEIGHT_NOTE, WEIGHT),
        honoured(
            "nginx.ingress.kubernetes.io/canary-weight-total",
            "what the weight is a part of; less than 100 counts as 100",
            TOTAL,
        ),
    ],
    service: &[],
    review: Some(review),
};

const HEADER_NOTE: &str =
    "`always` goes to the canary, `never` does not; other values leave it to the cookie";
const VALUE_NOTE: &str = "this value of the header goes to the canary, instead of `always`";
const PATTERN_NOTE: &str = "values of the header that this matches somewhere go to the canary, instead of `always`; a value takes precedence";
const COOKIE_NOTE: &str =
    "`always` goes to the canary, `never` does not; other values leave it to the weight";
const WEIGHT_NOTE: &str = "so many of the total, by chance";

const HEADER: &Setting<Annotations, HeaderName> = &Setting {
    value: &Form {
        name: "name of a header field",
        parse: |written| {
            HeaderName::try_from(written.value)
                .map_err(|_| format!("`{}` is not the name of a header field", written.value))
        },
    },
    default: "none",
    stake: Stake::Reliance,
    put: |parsed, name, written| parts(parsed, written).header = Some(name),
};

const VALUE: &Setting<Annotations, Box<str>> = &Setting {
    value: &Form {
        name: "text",
        parse: |written| Ok(written.value.into()),
    },
    default: "`always`",
    stake: Stake::Reliance,
    // An empty value is none (ingress-nginx).
    put: |parsed, value, written| {
        parts(parsed, written).value = Some(value).filter(|value| !value.is_empty());
    },
};

const PATTERN: &Setting<Annotations, Pattern> = &Setting {
    value: &Form {
        name: "regular expression",
        parse: |written| Pattern::new(written.value, Case::Sensitive).map_err(|error| error.to_string()),
    },
    default: "none",
    stake: Stake::Reliance,
    put: |parsed, pattern, written| parts(parsed, written).pattern = Some(pattern),
};

const COOKIE: &Setting<Annotations, CookieName> = &Setting {
    value: &Form {
        name: "name of a cookie",
        parse: |written| CookieName::parse(written.value),
    },
    default: "none",
    stake: Stake::Reliance,
    put: |parsed, name, written| parts(parsed, written).cookie = Some(name),
};

const WEIGHT: &Setting<Annotations, u32> = &Setting {
    value: &NUMBER,
    default: "`0`",
    stake: Stake::Reliance,
    put: |parsed, weight, written| parts(parsed, written).weight = Some(weight),
};

const TOTAL: &Setting<Annotations, u32> = &Setting {
    value: &NUMBER,
    default: "`100`",
    stake: Stake::Reliance,
    put: |parsed, total, written| parts(parsed, written).total = Some(total),
};

const NUMBER: Form<u32> = Form {
    name: "number from 0 to 1000000000",
    parse: |written| {
        let number = super::value::digits(written.value).filter(|number| *number <= 1_000_000_000);
        number.ok_or_else(|| format!("`{}` is not a number from 0 to 1000000000", written.value))
    },
};

fn parts<'p>(parsed: &'p mut Annotations, written: &Written<'_, '_>) -> &'p mut CanaryParts {
    if written.key.starts_with(OWN) {
        &mut parsed.pending.canary.own
    } else {
        &mut parsed.pending.canary.nginx
    }
}

fn review(parsed: &mut Annotations, raw: &BTreeMap<String, String>, report: &mut Reporter<'_>) {
    let CanarySpellings { own, nginx } = std::mem::take(&mut parsed.pending.canary);
    for (key, parts) in [(OWN, &own), (NGINX, &nginx)] {
        let is_on = parts.on == Some(true);
        for written in raw.keys().filter(|written| is_option(written, key)) {
            if !is_on && !parsed.closes.iter().any(|closed| *closed.annotation == *key) {
                report.report(
                    Severity::Warning,
                    &field(written),
                    format!("without effect while `{key}` is not set"),
                );
            }
        }
    }
    let (key, parts) = match (own.on, nginx.on) {
        (Some(true), Some(true)) => {
            report.report(
                Severity::Note,
                &field(NGINX),
                format!("`{OWN}` is written too, and counts with its options alone"),
            );
            (OWN, own)
        }
        (Some(true), _) => (OWN, own),
        (_, Some(true)) => (NGINX, nginx),
        (_, _) => return,
    };
    if parts.header.is_none() && (parts.value.is_some() || parts.pattern.is_some()) {
        let message = "the canary names no header, so that its value and pattern have no effect";
        report.report(Severity::Warning, &field(key), message);
    }
    if parts.header.is_none() && parts.cookie.is_none() && parts.weight.unwrap_or(0) == 0 {
        let message = "the canary has no header, no cookie and no weight, and takes no requests";
        report.report(Severity::Warning, &field(key), message);
    }
    let least = if key == NGINX { 100 } else { 1 };
    let header = parts.header.map(|name| HeaderRule {
        name,
        matches: match (parts.value, parts.pattern) {
            (Some(value), _) => HeaderMatch::Value(value),
            (None, Some(pattern)) => HeaderMatch::Pattern(pattern),
            (None, None) => HeaderMatch::Words,
        },
    });
    let without_effect = raw
        .keys()
        .filter(|key| is_ours(key) && !is_of_canary(key))
        .map(|key| key.as_str().into())
        .collect();
    parsed.choosing.canary = Some(Canary {
        rules: CanaryRules {
            header,
            cookie: parts.cookie,
            weight: parts.weight.unwrap_or(0),
            total: parts.total.unwrap_or(100).max(least),
        },
        field: field(key).into(),
        without_effect,
    });
}

/// Whether an annotation is an option of a canary.
fn is_option(written: &str, key: &str) -> bool {
    written
        .strip_prefix(key)
        .is_some_and(|rest| rest.starts_with('-'))
}

fn is_of_canary(written: &str) -> bool {
    [OWN, NGINX]
        .into_iter()
        .any(|key| written == key || is_option(written, key))
}
