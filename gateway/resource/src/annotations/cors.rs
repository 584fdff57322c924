//! Cross-origin resource sharing.

use std::collections::BTreeMap;

use filter::cors::{Cors, CorsList, Manner, OriginRule};
use filter::duration::parse_duration;

use super::parsed::{Annotations, CorsDraft};
use super::row::{Setting, Stake, Subject, honoured};
use super::value::{Form, SWITCH, TRUTH, field};
use crate::filter_kind::{FilterKind, NoFilter};
use crate::filter_spec::{FilterSpec, WrittenFilter};
use crate::reporter::Reporter;

const OWN: &str = "blastdoor.dev/cors";
const NGINX: &str = "nginx.ingress.kubernetes.io/enable-cors";

pub(super) const SUBJECT: Subject = Subject {
    title: "CORS",
    ingress: &[
        honoured(
            OWN,
            "the origins whose scripts may read responses; `*.` stands for one label, `*` for all origins, to which \
             browsers send no credentials. Preflights are answered here (204), and fields of CORS that the backend sends \
             are replaced",
            &Setting {
                value: &ORIGINS,
                default: "no CORS",
                stake: Stake::Reliance,
                put: |parsed, origins, written| {
                    parsed.cors.own.origins = Some(origins);
                    parsed.cors.own.main = Some(written.place());
                },
            },
        ),
        honoured(
            "blastdoor.dev/cors-methods",
            "the methods that scripts may use",
            &Setting {
                value: &LIST,
                default: METHODS,
                stake: Stake::Reliance,
                put: |parsed, methods, _| parsed.cors.own.methods = Some(methods),
            },
        ),
        honoured(
            "blastdoor.dev/cors-headers",
            "the request's fields that scripts may set",
            &Setting {
                value: &LIST,
                default: HEADERS,
                stake: Stake::Reliance,
                put: |parsed, headers, _| parsed.cors.own.headers = Some(headers),
            },
        ),
        honoured(
            "blastdoor.dev/cors-expose",
            "the response's fields that scripts may see",
            &Setting {
                value: &LIST,
                default: "those that browsers always show",
                stake: Stake::Reliance,
                put: |parsed, exposed, _| parsed.cors.own.exposed = Some(exposed),
            },
        ),
        honoured(
            "blastdoor.dev/cors-credentials",
            "whether scripts may send cookies and credentials",
            &Setting {
                value: &SWITCH,
                default: "`off`",
                stake: Stake::Reliance,
                put: |parsed, credentials, _| parsed.cors.own.credentials = Some(credentials),
            },
        ),
        honoured(
            "blastdoor.dev/cors-max-age",
            "how long browsers may remember the answer to a preflight",
            &Setting {
                value: &AGE,
                default: "20 days, of which browsers take a day at most",
                stake: Stake::Reliance,
                put: |parsed, age, _| parsed.cors.own.max_age = Some(age),
            },
        ),
        honoured(
            NGINX,
            "preflights (OPTIONS with `Origin` and `Access-Control-Request-Method`) are answered here (204), and fields of \
             CORS that the backend sends are replaced",
            &Setting {
                value: &TRUTH,
                default: "`false`",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, enabled, written| {
                    parsed.cors.nginx.main = enabled.then(|| written.place());
                    parsed.cors.nginx.off = !enabled;
                },
            },
        )
        .differs(
            "OPTIONS requests that are no preflights go to the backend; `Access-Control-Allow-Methods` and \
             `Access-Control-Allow-Headers` come with answers to preflights alone",
        ),
        honoured(
            "nginx.ingress.kubernetes.io/cors-allow-origin",
            "the origins whose scripts may read responses; `*.` stands for one label. `*` is answered as `*` and never with \
             the origin of the request, so that browsers send it no credentials",
            &Setting {
                value: &ORIGINS,
                default: "`*`",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, origins, _| parsed.cors.nginx.origins = Some(origins),
            },
        )
        .differs(
            "an element that is no origin closes; it is not skipped; a preflight of another origin is answered, and does not go \
             to the backend",
        ),
        honoured(
            "nginx.ingress.kubernetes.io/cors-allow-methods",
            "the methods that scripts may use",
            &Setting {
                value: &LIST,
                default: METHODS,
                stake: Stake::Reliance,
                put: |parsed, methods, _| parsed.cors.nginx.methods = Some(methods),
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/cors-allow-headers",
            "the request's fields that scripts may set",
            &Setting {
                value: &LIST,
                default: HEADERS,
                stake: Stake::Reliance,
                put: |parsed, headers, _| parsed.cors.nginx.headers = Some(headers),
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/cors-expose-headers",
            "the response's fields that scripts may see",
            &Setting {
                value: &LIST,
                default: "those that browsers always show",
                stake: Stake::Reliance,
                put: |parsed, exposed, _| parsed.cors.nginx.exposed = Some(exposed),
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/cors-allow-credentials",
            "whether scripts may send cookies and credentials",
            &Setting {
                value: &TRUTH,
                default: "`true`",
                stake: Stake::Reliance,
                put: |parsed, credentials, _| parsed.cors.nginx.credentials = Some(credentials),
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/cors-max-age",
            "how long browsers may remember the answer to a preflight",
            &Setting {
                value: &WHOLE_SECONDS,
                default: "1728000: 20 days",
                stake: Stake::Reliance,
                put: |parsed, age, _| parsed.cors.nginx.max_age = Some(age),
            },
        ),
    ],
    service: &[],
    review: Some(review),
};

const METHODS: &str = "`GET, PUT, POST, DELETE, PATCH, OPTIONS`";
const HEADERS: &str = "`DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,\
                       Authorization`";

const ORIGINS: Form<Vec<OriginRule>> = Form {
    name: "origins such as `https://app.example.com`, separated by commas, or `*`",
    parse: |written| OriginRule::list(written.value).map_err(|error| error.to_string()),
};

const LIST: Form<CorsList> = Form {
    name: "names, separated by commas, or `*`",
    parse: |written| CorsList::parse(written.value).map_err(|error| error.to_string()),
};

const AGE: Form<u64> = Form {
    name: "a time such as `10m`",
    parse: |written| parse_duration(written.value).map(|age| age.as_secs()),
};

const WHOLE_SECONDS: Form<u64> = Form {
    name: "seconds",
    parse: |written| {
        let seconds = super::value::digits::<u32>(written.value).map(u64::from);
        seconds.ok_or_else(|| format!("`{}` is not a number of seconds", written.value))
    },
};

/// Puts what several annotations say together.
fn review(parsed: &mut Annotations, raw: &BTreeMap<String, String>, report: &mut Reporter<'_>) {
    let drafts = std::mem::take(&mut parsed.cors);
    for (draft, main, options, credentials) in [
        (drafts.own, OWN, "blastdoor.dev/cors-", false),
        (drafts.nginx, NGINX, "nginx.ingress.kubernetes.io/cors-", true),
    ] {
        let keys = || raw.keys().filter(|key| key.starts_with(options));
        let Some((dialect, place)) = draft.main.clone() else {
            if draft.off && main == OWN {
                parsed.none.push(NoFilter {
                    kind: FilterKind::Cors,
                    annotation: OWN.into(),
                });
            }
            for key in keys().filter(|_| !draft.off) {
                report.warning(&field(key), format!("without effect while `{main}` is not set"));
            }
            continue;
        };
        let cors = complete(draft, credentials);
        if cors.credentials
            && cors.origins == [OriginRule::Any]
            && keys().any(|key| key.ends_with("-credentials"))
        {
            let message = "browsers send no credentials where `*` is answered: list the origins that may send them, or \
                           switch credentials off";
            report.warning(&place, message);
        }
        parsed.filters.push(WrittenFilter {
            spec: FilterSpec::Cors(Box::new(cors)),
            dialect,
            field: place,
        });
    }
}

/// With the defaults of ingress-nginx for what is not written. `credentials`: whether these are allowed then.
fn complete(draft: CorsDraft, credentials: bool) -> Cors {
    Cors {
        origins: draft.origins.unwrap_or_else(|| vec![OriginRule::Any]),
        methods: draft.methods.or_else(|| CorsList::parse(Cors::METHODS).ok()),
        headers: draft.headers.or_else(|| CorsList::parse(Cors::HEADERS).ok()),
        exposed: draft.exposed,
        credentials: draft.credentials.unwrap_or(credentials),
        max_age: Some(draft.max_age.unwrap_or(Cors::MAX_AGE)),
        vary: false,
        manner: Manner::Whole,
    }
}
