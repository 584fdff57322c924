//! Which endpoint of a Service gets a request.

use std::collections::BTreeMap;

use filter::template::Template;

use super::parsed::{Annotations, ServiceAnnotations};
use super::row::{Setting, Stake, Subject, closes_except, honoured, ignored, ignored_except};
use super::value::{Form, TRUTH};
use crate::choosing::Balance;
use crate::problem::{Severity, Topic};
use crate::reporter::Reporter;

const ENDPOINTS: &str = "endpoints are always used";

pub(super) const SUBJECT: Subject = Subject {
    title: "Load balancing",
    ingress: &[
        honoured(
            "blastdoor.dev/balance",
            "`p2c`: of two endpoints drawn at random the one with fewer requests under way; `hash:` and variables as in \
             `upstream-hash-by`; takes precedence over the Service, and over the annotations of ingress-nginx",
            &Setting {
                value: &BALANCE,
                default: "`p2c`",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, balance, _| parsed.choosing.balance = Some(balance),
            },
        )
        .example("hash:$cookie_user"),
        honoured(
            "nginx.ingress.kubernetes.io/load-balance",
            "`round_robin` is done; for `ewma` power of two choices is used, which evens the load out as well",
            &Setting {
                value: &LOAD_BALANCE,
                default: "power of two choices",
                stake: Stake::Convenience,
                put: |parsed: &mut Annotations, balance, written| {
                    if balance == Balance::PowerOfTwo {
                        let message = "means something else here: power of two choices is used";
                        written.report_about(Topic::FilterDiffers, Severity::Note, message);
                    }
                    parsed.pending.load_balance = Some(balance);
                },
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/upstream-hash-by",
            "rendezvous hashing: an endpoint that comes or goes moves only its own keys; takes precedence over \
             `load-balance`",
            &Setting {
                value: &HASH_BY,
                default: "none",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, text, _| parsed.pending.hash_by = Some(Balance::Hash(text)),
            },
        )
        .differs("keys go to other endpoints than with ingress-nginx")
        .example("$request_uri"),
        closes_except(
            &["false"],
            "nginx.ingress.kubernetes.io/upstream-hash-by-subset",
            "subsets of endpoints are not supported",
        ),
        ignored(
            "nginx.ingress.kubernetes.io/upstream-hash-by-subset-size",
            "subsets of endpoints are not supported",
        ),
        ignored_except(
            &["false"],
            "nginx.ingress.kubernetes.io/service-upstream",
            ENDPOINTS,
        ),
    ],
    service: &[
        honoured(
            "blastdoor.dev/balance",
            "for every Ingress that says nothing else",
            &Setting {
                value: &BALANCE,
                default: "`p2c`",
                stake: Stake::Reliance,
                put: |parsed: &mut ServiceAnnotations, balance, _| parsed.choosing.balance = Some(balance),
            },
        ),
        honoured(
            "traefik.ingress.kubernetes.io/service.passhostheader",
            "`false`: `Host` is the address and port of the endpoint, or the name of an ExternalName Service",
            &Setting {
                value: &TRUTH,
                default: "`true`",
                stake: Stake::Reliance,
                put: |parsed: &mut ServiceAnnotations, passes, _| parsed.choosing.names_endpoint = !passes,
            },
        ),
        ignored_except(
            &["false"],
            "traefik.ingress.kubernetes.io/service.nativelb",
            ENDPOINTS,
        ),
        ignored_except(
            &["false"],
            "traefik.ingress.kubernetes.io/service.nodeportlb",
            ENDPOINTS,
        ),
    ],
    review: Some(review),
};

const BALANCE: Form<Balance> = Form {
    name: "`p2c`, `round-robin` or `hash:` with variables such as `$request_uri`",
    parse: |written| match written.value.split_once(':') {
        Some(("hash", text)) => hashed(text).map(Balance::Hash),
        _ if written.value == "p2c" => Ok(Balance::PowerOfTwo),
        _ if written.value == "round-robin" => Ok(Balance::RoundRobin),
        _ => Err(format!(
            "`{}` is not `p2c`, `round-robin` or `hash:` with variables such as `$request_uri`",
            written.value
        )),
    },
};

const LOAD_BALANCE: Form<Balance> = Form {
    name: "`round_robin` or `ewma`",
    parse: |written| match written.value {
        "round_robin" => Ok(Balance::RoundRobin),
        "ewma" => Ok(Balance::PowerOfTwo),
        other => Err(format!("`{other}` is not `round_robin` or `ewma`")),
    },
};

const HASH_BY: Form<Template> = Form {
    name: "text with variables such as `$request_uri`",
    parse: |written| hashed(written.value),
};

fn hashed(text: &str) -> Result<Template, String> {
    let template = Template::parse(text)?;
    match template.literal() {
        Some(_) => Err(format!(
            "`{text}` has no variables, so that all requests would go to one endpoint"
        )),
        None => Ok(template),
    }
}

fn review(parsed: &mut Annotations, _: &BTreeMap<String, String>, _: &mut Reporter<'_>) {
    let load_balance = parsed.pending.load_balance.take();
    let nginx = parsed.pending.hash_by.take().or(load_balance);
    if parsed.choosing.balance.is_none() {
        parsed.choosing.balance = nginx;
    }
}
