//! Asking a service whether a request may pass.

use std::collections::BTreeMap;
use std::time::Duration;

use filter::call::CallUrl;
use filter::fields::{self, Message};
use filter::forward_auth::{
    CacheRule, Cookies, ForwardAuth, HeaderName, MOST, Manner, Method, Sends, Signin,
};
use filter::redirect::{Destination, HttpScheme};
use filter::template::Template;
use route::ObjectKey;

use super::auth_drafts::ForwardAuthDraft;
use super::parsed::{Annotations, ClosedBy};
use super::row::{Setting, Stake, Subject, honoured, ignored, ignored_except};
use super::value::{Form, NAMES, OFF, SIZE, TRUTH, field, local};
use crate::backend_annotations::{AuthoritySource, BackendAnnotations};
use crate::callee::Callee;
use crate::filter_spec::{Dialect, FilterSpec, ForwardAuthSpec, WrittenFilter};
use crate::protocol::AppProtocol;
use crate::reporter::Reporter;

const OWN: &str = "blastdoor.dev/forward-auth";
const NGINX: &str = "nginx.ingress.kubernetes.io/auth-url";

const KEPT: &str = "connections to the service are kept as those to backends are";

pub(super) const SUBJECT: Subject = Subject {
    title: "Forward auth",
    ingress: &[
        honoured(
            OWN,
            "each request is described to this service: 2xx lets it pass, 401 and 403 are answered to the client, anything \
             else is a failure (503). Services of other namespaces must allow it (`blastdoor.dev/allow-calls-from`)",
            &Setting {
                value: &URL,
                default: "none is asked",
                stake: Stake::Protection,
                put: |parsed: &mut Annotations, url, written| {
                    let (dialect, place) = written.place();
                    let callee = Callee::of(&url, written.namespace);
                    parsed.forward_auth.own.url = Some((url, callee, dialect, place));
                },
            },
        ),
        honoured(
            "blastdoor.dev/forward-auth-headers",
            "fields of a good answer that the backend gets; a client's own fields of these names never pass",
            &Setting {
                value: &FIELDS,
                default: "none",
                stake: Stake::Protection,
                put: |parsed, fields, _| parsed.forward_auth.own.copies = fields,
            },
        ),
        honoured(
            "blastdoor.dev/forward-auth-send",
            "fields of the request that the service gets",
            &Setting {
                value: &FIELDS,
                default: "all",
                stake: Stake::Protection,
                put: |parsed, fields, _| parsed.forward_auth.own.sends = Some(Sends::These(fields)),
            },
        ),
        honoured(
            "blastdoor.dev/forward-auth-method",
            "the method of the question; `request` is that of the request",
            &Setting {
                value: &METHOD,
                default: "`GET`",
                stake: Stake::Protection,
                put: |parsed, method, _| parsed.forward_auth.own.method = Some(method),
            },
        ),
        honoured(
            "blastdoor.dev/forward-auth-signin",
            "where clients go (302) when the answer is 401; the page gets the URL of the request in the parameter `rd`",
            &Setting {
                value: &PAGE,
                default: "the 401 is answered",
                stake: Stake::Protection,
                put: |parsed, page, _| parsed.forward_auth.own.signin = Some(page),
            },
        ),
        honoured(
            "blastdoor.dev/forward-auth-cookies",
            "cookies of the answer that the client gets, in place of the backend's of the same names",
            &Setting {
                value: &NAMES,
                default: "none",
                stake: Stake::Protection,
                put: |parsed, names, _| parsed.forward_auth.own.cookies = Some(Cookies::Named(names)),
            },
        ),
        honoured(
            "blastdoor.dev/forward-auth-body",
            "the service gets the body of the request, up to this size; a larger one is answered 413. At most 1m",
            &Setting {
                value: &BODY,
                default: "no body",
                stake: Stake::Protection,
                put: |parsed, size, _| parsed.forward_auth.own.body = Some(size),
            },
        ),
        honoured(
            "blastdoor.dev/forward-auth-ca",
            "the authorities that may have signed the certificate of the service; it is always verified",
            &Setting {
                value: &AUTHORITIES,
                default: "the platform's",
                stake: Stake::Protection,
                put: |parsed, authorities, _| parsed.forward_auth.own.authorities = Some(authorities),
            },
        ),
        honoured(
            "blastdoor.dev/forward-auth-cache",
            "answers 2xx and 401 are kept for as long, for the same method, host, target, client, cookies and credentials",
            &Setting {
                value: &TIME,
                default: "none is kept",
                stake: Stake::Protection,
                put: |parsed, time, _| {
                    let statuses = (200..300).chain([401]);
                    parsed.forward_auth.own.cache_times =
                        Some(statuses.map(|status| (status, time)).collect());
                },
            },
        ),
        honoured(
            NGINX,
            "each request is described to this URL: 2xx lets it pass, 401 and 403 are answered to the client, anything else is \
             a failure (503; ingress-nginx: 500). No variables in the scheme or the host. Services of other namespaces must \
             allow it (`blastdoor.dev/allow-calls-from`), and names outside of the cluster the platform",
            &Setting {
                value: &URL,
                default: "none is asked",
                stake: Stake::Protection,
                put: |parsed: &mut Annotations, url, written| {
                    let (dialect, place) = written.place();
                    let callee = Callee::of(&url, written.namespace);
                    parsed.forward_auth.nginx.url = Some((url, callee, dialect, place));
                },
            },
        )
        .differs("an answer that is none of 2xx, 401 and 403, or none at all, is answered 503, not 500"),
        honoured(
            "nginx.ingress.kubernetes.io/auth-method",
            "the method of the question",
            &Setting {
                value: &METHOD,
                default: "`GET`",
                stake: Stake::Protection,
                put: |parsed, method, _| parsed.forward_auth.nginx.method = Some(method),
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/auth-signin",
            "where clients go (302) when the answer is 401; the page gets the URL of the request in a parameter, unless its \
             query has that already",
            &Setting {
                value: &PAGE,
                default: "the 401 is answered",
                stake: Stake::Protection,
                put: |parsed: &mut Annotations, page, _| parsed.forward_auth.nginx.signin = Some(page),
            },
        )
        .differs("the URL in the parameter is escaped as a whole, its scheme and its host too"),
        honoured(
            "nginx.ingress.kubernetes.io/auth-signin-redirect-param",
            "the name of that parameter",
            &Setting {
                value: &PARAMETER,
                default: "`rd`",
                stake: Stake::Protection,
                put: |parsed: &mut Annotations, name, _| parsed.forward_auth.nginx.signin_parameter = Some(name),
            },
        )
        .differs("as `auth-signin`"),
        honoured(
            "nginx.ingress.kubernetes.io/auth-response-headers",
            "fields of a good answer that the backend gets; a client's own fields of these names, in any spelling that some \
             server takes for them, never pass",
            &Setting {
                value: &FIELDS,
                default: "none",
                stake: Stake::Protection,
                put: |parsed, fields, _| parsed.forward_auth.nginx.copies = fields,
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/auth-request-redirect",
            "`X-Auth-Request-Redirect` of the question",
            &Setting {
                value: &TEMPLATE,
                default: "path and query of the request",
                stake: Stake::Protection,
                put: |parsed, redirect, _| parsed.forward_auth.nginx.redirect = Some(redirect),
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/auth-always-set-cookie",
            "cookies of the answer come with responses of every status, not only with those of success and redirects",
            &Setting {
                value: &TRUTH,
                default: "`false`",
                stake: Stake::Protection,
                put: |parsed, always, _| {
                    parsed.forward_auth.nginx.cookies = Some(Cookies::All { always });
                },
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/auth-proxy-set-headers",
            "fields of the question, each an entry of this ConfigMap; in their values, variables are understood",
            &Setting {
                value: &CONFIG_MAP,
                default: "none",
                stake: Stake::Protection,
                put: |parsed, map, _| parsed.forward_auth.nginx.adds = Some(map),
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/auth-cache-key",
            "answers are kept, for requests for which this is the same. `Cookie` and `Authorization` always count as well, \
             unlike in ingress-nginx: nobody gets the answer that was meant for somebody else",
            &Setting {
                value: &TEMPLATE,
                default: "none is kept",
                stake: Stake::Protection,
                put: |parsed: &mut Annotations, key, _| parsed.forward_auth.nginx.cache_key = Some(key),
            },
        )
        .differs("`Cookie` and `Authorization` always count as well"),
        honoured(
            "nginx.ingress.kubernetes.io/auth-cache-duration",
            "how long answers are kept, by status",
            &Setting {
                value: &TIMES,
                default: "`200 202 401 5m`",
                stake: Stake::Protection,
                put: |parsed, times, _| parsed.forward_auth.nginx.cache_times = Some(times),
            },
        ),
        ignored("nginx.ingress.kubernetes.io/auth-keepalive", KEPT),
        ignored("nginx.ingress.kubernetes.io/auth-keepalive-share-vars", KEPT),
        ignored("nginx.ingress.kubernetes.io/auth-keepalive-requests", KEPT),
        ignored("nginx.ingress.kubernetes.io/auth-keepalive-timeout", KEPT),
        ignored_except(
            OFF,
            "nginx.ingress.kubernetes.io/enable-global-auth",
            "there is no question that is asked for all Ingresses; write `auth-url` here",
        ),
    ],
    service: &[honoured(
        "blastdoor.dev/allow-calls-from",
        "namespaces whose filters may call the Service: its owner's consent to be asked by forward auth",
        &Setting {
            value: &NAMESPACES,
            default: "its own namespace",
            stake: Stake::Convenience,
            put: |parsed, namespaces, _| parsed.allow_calls_from = namespaces,
        },
    )],
    review: Some(review),
};

const URL: Form<CallUrl> = Form {
    name: "an http(s) URL; its path and query may have variables",
    parse: |written| CallUrl::parse(written.value),
};

const BODY: Form<u64> = Form {
    name: SIZE.name,
    parse: |written| match (SIZE.parse)(written)? {
        size if size > MOST => Err(format!("`{}` is more than 1m, which is the most", written.value)),
        size => Ok(size),
    },
};

const FIELDS: Form<Vec<HeaderName>> = Form {
    name: "names of header fields, separated by commas",
    parse: |written| header_names(written.value.split(',')),
};

const METHOD: Form<Method> = Form {
    name: "a method, such as `POST`",
    parse: |written| match written.value {
        // Nothing has such a name: it stands for that of the request.
        "request" => Method::from_bytes(OF_REQUEST.as_bytes()).map_err(|error| error.to_string()),
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => {
            Method::from_bytes(written.value.as_bytes()).map_err(|error| error.to_string())
        }
        other => Err(format!(
            "`{other}` is not a method; write GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS"
        )),
    },
};

/// Stands for the method of the request.
const OF_REQUEST: &str = "request";

const PAGE: Form<(Destination, Box<str>)> = Form {
    name: "an http(s) URL or a path; variables are understood",
    parse: |written| Ok((Destination::parse(written.value)?, written.value.into())),
};

const PARAMETER: Form<Box<str>> = Form {
    name: "the name of a parameter",
    parse: |written| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        match written.value {
            name if !name.is_empty() && name.bytes().all(fits) => Ok(name.into()),
            other => Err(format!("`{other}` is not the name of a parameter")),
        }
    },
};

const TEMPLATE: Form<Template> = Form {
    name: "a text; variables are understood",
    parse: |written| Template::parse(written.value),
};

const TIME: Form<Duration> = Form {
    name: "a time such as `5m`",
    parse: |written| filter::duration::parse_duration(written.value),
};

const TIMES: Form<Vec<(u16, Duration)>> = Form {
    name: "statuses and times, such as `200 202 10m, 401 5m`",
    parse: |written| CacheRule::parse_times(written.value),
};

/// In the namespace of the Ingress.
const CONFIG_MAP: Form<ObjectKey> = Form {
    name: "the name of a ConfigMap, or `namespace/name`",
    parse: |written| {
        let (value, namespace) = (written.value, written.namespace);
        let name = match value.split_once('/') {
            None => value,
            Some((own, name)) if own == namespace => name,
            Some((foreign, _)) => {
                return Err(format!(
                    "the ConfigMap is in namespace `{foreign}`; only those of the Ingress's own namespace `{namespace}` are \
                     read"
                ));
            }
        };
        local(name, namespace).ok_or_else(|| format!("`{value}` is not the name of a ConfigMap"))
    },
};

/// In the namespace of the Ingress.
const AUTHORITIES: Form<(bool, ObjectKey)> = Form {
    name: "`secret/NAME` or `configmap/NAME`",
    parse: |written| {
        let of = |(kind, name): (&str, &str)| {
            let key = local(name, written.namespace)?;
            match kind {
                "secret" => Some((false, key)),
                "configmap" => Some((true, key)),
                _ => None,
            }
        };
        written.value.split_once('/').and_then(of).ok_or_else(|| {
            format!(
                "`{}` is not `secret/NAME` or `configmap/NAME` in the namespace of the Ingress",
                written.value
            )
        })
    },
};

const NAMESPACES: Form<Vec<Box<str>>> = Form {
    name: "namespaces, separated by commas, with `*` for any run of characters",
    parse: |written| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-*".contains(&byte);
        let names = written.value.split(',').map(str::trim);
        let mut namespaces: Vec<Box<str>> = Vec::new();
        for name in names.filter(|name| !name.is_empty()) {
            if !name.bytes().all(fits) {
                return Err(format!("`{name}` is not a namespace or a pattern for namespaces"));
            }
            namespaces.push(name.into());
        }
        Ok(namespaces)
    },
};

/// Names of fields that a filter may set; empty ones do not count.
pub(crate) fn header_names<'n>(names: impl Iterator<Item = &'n str>) -> Result<Vec<HeaderName>, String> {
    let names = names.map(str::trim).filter(|name| !name.is_empty());
    let names = names.map(|name| fields::name(name, Message::Request));
    names.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// Puts together what the annotations of each spelling say.
fn review(parsed: &mut Annotations, raw: &BTreeMap<String, String>, report: &mut Reporter<'_>) {
    let drafts = std::mem::take(&mut parsed.forward_auth);
    let nginx = |key: &str| {
        let option = key.strip_prefix("nginx.ingress.kubernetes.io/auth-");
        option.is_some_and(|option| NGINX_OPTIONS.contains(&option))
    };
    let own = |key: &str| key.starts_with("blastdoor.dev/forward-auth-");
    let spellings = [
        (drafts.own, OWN, &own as &dyn Fn(&str) -> bool),
        (drafts.nginx, NGINX, &nginx),
    ];
    for (draft, main, is_option) in spellings {
        if draft.url.is_some() {
            if let Some(written) = complete(draft) {
                parsed.filters.push(written);
            }
            continue;
        }
        // Options alone protect nothing, and were written for protection. A main annotation that cannot be read closes
        // already.
        if raw.contains_key(main) {
            continue;
        }
        for key in raw.keys().filter(|key| is_option(key)) {
            let reason = format!("`{main}`, to which it belongs, is missing");
            report.error(&field(key), format!("{reason}; closed (503)"));
            parsed.closes.push(ClosedBy {
                annotation: key.as_str().into(),
                reason: reason.into(),
            });
        }
    }
}

/// What belongs to `auth-url`, and to nothing else.
const NGINX_OPTIONS: [&str; 9] = [
    "method",
    "signin",
    "signin-redirect-param",
    "response-headers",
    "request-redirect",
    "always-set-cookie",
    "proxy-set-headers",
    "cache-key",
    "cache-duration",
];

fn complete(draft: ForwardAuthDraft) -> Option<WrittenFilter> {
    let (url, callee, dialect, field) = draft.url?;
    let is_own = dialect == Dialect::Own;
    let connection = connection(&url, draft.authorities);
    let cache_times = draft.cache_times;
    let cache = if is_own {
        let key = Template::parse("$request_method $scheme://$http_host$request_uri $remote_addr").ok()?;
        cache_times.map(|times| CacheRule { key, times })
    } else {
        let times = match cache_times {
            Some(times) => times,
            None => CacheRule::parse_times("200 202 401 5m").ok()?,
        };
        draft.cache_key.map(|key| CacheRule { key, times })
    };
    let signin = draft.signin.map(|(page, text)| {
        let parameter = draft.signin_parameter.unwrap_or_else(|| "rd".into());
        let query = text.split_once('?').map_or("", |(_, query)| query);
        let has_it = query
            .split('&')
            .any(|pair| pair.split('=').next() == Some(&parameter));
        Signin {
            page,
            parameter: (!has_it).then_some(parameter),
        }
    });
    let cookies = match is_own {
        true => Cookies::Named(Vec::new()),
        false => Cookies::All { always: false },
    };
    let method = match draft.method {
        Some(method) if method.as_str() == OF_REQUEST => None,
        Some(method) => Some(method),
        None => Some(Method::GET),
    };
    let rule = ForwardAuth {
        url,
        manner: match is_own {
            true => Manner::Own,
            false => Manner::Nginx {
                redirect: draft.redirect,
            },
        },
        method,
        sends: draft.sends.unwrap_or(Sends::All),
        adds: Vec::new(),
        copies: draft.copies,
        copies_matching: None,
        cookies: draft.cookies.unwrap_or(cookies),
        signin,
        body: draft.body.map(|size| size.min(MOST)),
        most_answer: MOST,
        trusts_forwarded: false,
        keeps_location: false,
        user: None,
        cache,
    };
    Some(WrittenFilter {
        spec: FilterSpec::ForwardAuth(Box::new(ForwardAuthSpec {
            rule,
            callee,
            connection,
            adds: draft.adds,
        })),
        dialect,
        field,
    })
}

/// How the service at a URL is spoken to.
pub(crate) fn connection(url: &CallUrl, authorities: Option<(bool, ObjectKey)>) -> BackendAnnotations {
    let authorities = authorities.map(|(is_config_map, key)| match is_config_map {
        true => AuthoritySource::ConfigMap(key),
        false => AuthoritySource::Secret(key),
    });
    BackendAnnotations {
        // Without TLS the port of a Service may say that it speaks HTTP/2.
        protocol: (url.scheme() == HttpScheme::Https).then_some(AppProtocol::Https),
        verify: Some(true),
        authorities,
        name: Some(url.host().to_string().trim_matches(['[', ']']).into()),
        ..BackendAnnotations::default()
    }
}
