//! Sticky sessions.

use std::collections::BTreeMap;
use std::time::Duration;

use filter::cookie::{AttributeValue, CookieName, SameSite, SetCookie};
use filter::duration::parse_duration;
use route::ObjectKey;

use super::drafts::{CookieParts, StickyParts};
use super::parsed::{Annotations, ServiceAnnotations};
use super::row::{Setting, Stake, Subject, closes_except, honoured, ignored};
use super::value::{Form, SWITCH, TRUTH, Written, field};
use crate::choosing::{Sticky, StickyPath};
use crate::problem::{Severity, Topic};
use crate::reporter::Reporter;

const OWN: &str = "blastdoor.dev/sticky";
const NGINX: &str = "nginx.ingress.kubernetes.io/affinity";

pub(super) const SUBJECT: Subject = Subject {
    title: "Sticky sessions",
    ingress: &[
        honoured(
            "blastdoor.dev/sticky",
            "a cookie of this name keeps a client at its endpoint; takes precedence over the Service, and over the \
             annotations of ingress-nginx",
            &Setting {
                value: &NAME,
                default: "none",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, name, _| parsed.pending.sticky.own.name = Some(name),
            },
        )
        .example("shop-session"),
        honoured("blastdoor.dev/sticky-max-age", OWN_AGE, &own_age::<Annotations>()),
        honoured(
            "blastdoor.dev/sticky-path",
            "`Path` of the cookie",
            &path::<Annotations>("the path of the rule"),
        ),
        honoured(
            "blastdoor.dev/sticky-domain",
            "`Domain` of the cookie",
            &domain::<Annotations>(),
        ),
        honoured(
            "blastdoor.dev/sticky-same-site",
            "`SameSite` of the cookie",
            &same_site::<Annotations>(),
        ),
        honoured(
            "blastdoor.dev/sticky-secure",
            "`Secure` of the cookie",
            &secure::<Annotations>(&SWITCH, "at doors for https"),
        ),
        honoured(
            "nginx.ingress.kubernetes.io/affinity",
            "a cookie keeps a client at its endpoint, with `HttpOnly`; its value names the endpoint at this door, and means \
             nothing at another",
            &Setting {
                value: &Form {
                    name: "`cookie`",
                    parse: |written| match written.value {
                        "cookie" => Ok(()),
                        other => Err(format!("`{other}` is not `cookie`")),
                    },
                },
                default: "none",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, (), _| parsed.pending.sticky.affinity = true,
            },
        )
        .differs("cookies have other values than those of ingress-nginx, so that clients are distributed anew once")
        .example("cookie"),
        honoured(
            "nginx.ingress.kubernetes.io/affinity-mode",
            "`balanced` is done as `persistent`: new endpoints get new clients alone, where ingress-nginx moves some \
             of the others to them",
            &Setting {
                value: &Form {
                    name: "`balanced` or `persistent`",
                    parse: |written| match written.value {
                        "balanced" => Ok(false),
                        "persistent" => Ok(true),
                        other => Err(format!("`{other}` is not `balanced` or `persistent`")),
                    },
                },
                default: "`persistent`",
                stake: Stake::Convenience,
                put: |_: &mut Annotations, persistent, written| {
                    if !persistent {
                        let message =
                            "means something else here: clients stay where they are, as with `persistent`";
                        written.report_about(Topic::FilterDiffers, Severity::Note, message);
                    }
                },
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/affinity-canary-behavior",
            "`sticky`: the cookie decides between an Ingress and its canary before the rules of the canary do; `legacy`: \
             the rules decide alone",
            &Setting {
                value: &Form {
                    name: "`sticky` or `legacy`",
                    parse: |written| match written.value {
                        "sticky" => Ok(true),
                        "legacy" => Ok(false),
                        other => Err(format!("`{other}` is not `sticky` or `legacy`")),
                    },
                },
                default: "`sticky`",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, sticky, _| parsed.pending.sticky.legacy_canary = !sticky,
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/session-cookie-name",
            "the name of the cookie",
            &Setting {
                value: &NAME,
                default: "`INGRESSCOOKIE`",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, name, _| parsed.pending.sticky.nginx.name = Some(name),
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/session-cookie-path",
            "`Path` of the cookie",
            &path::<Annotations>("the path of the rule; `/` for a regular expression"),
        ),
        honoured(
            "nginx.ingress.kubernetes.io/session-cookie-domain",
            "`Domain` of the cookie",
            &domain::<Annotations>(),
        ),
        honoured(
            "nginx.ingress.kubernetes.io/session-cookie-max-age",
            "`Max-Age` of the cookie",
            &max_age::<Annotations>(),
        ),
        honoured(
            "nginx.ingress.kubernetes.io/session-cookie-expires",
            "`Expires` of the cookie, from the moment at which it is set",
            &Setting {
                value: &AGE,
                default: "none: until the browser is closed",
                stake: Stake::Convenience,
                put: |parsed: &mut Annotations, seconds, _| {
                    let seconds = u64::try_from(seconds).unwrap_or(0);
                    parsed.pending.sticky.nginx.expires = Some(Duration::from_secs(seconds));
                },
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/session-cookie-samesite",
            "`SameSite` of the cookie",
            &same_site::<Annotations>(),
        ),
        honoured(
            "nginx.ingress.kubernetes.io/session-cookie-conditional-samesite-none",
            "browsers that misread `SameSite=None` get no `SameSite`",
            &Setting {
                value: &TRUTH,
                default: "`false`",
                stake: Stake::Convenience,
                put: |parsed: &mut Annotations, on, _| parsed.pending.sticky.conditional = on,
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/session-cookie-secure",
            "`Secure` of the cookie",
            &secure::<Annotations>(&TRUTH, "at doors for https"),
        ),
        honoured(
            "nginx.ingress.kubernetes.io/session-cookie-change-on-failure",
            "a client whose endpoint fails or is ejected gets the cookie of another one; otherwise its cookie stays, and it \
             returns",
            &Setting {
                value: &TRUTH,
                default: "`false`",
                stake: Stake::Convenience,
                put: |parsed: &mut Annotations, on, _| parsed.pending.sticky.change_on_failure = on,
            },
        ),
        ignored(
            "nginx.ingress.kubernetes.io/session-cookie-hash",
            "no such annotation exists any more",
        ),
    ],
    service: &[
        honoured(
            "blastdoor.dev/sticky",
            "for every Ingress that says nothing else",
            &Setting {
                value: &NAME,
                default: "none",
                stake: Stake::Reliance,
                put: |parsed: &mut ServiceAnnotations, name, _| parsed.pending.sticky.own.name = Some(name),
            },
        ),
        honoured(
            "blastdoor.dev/sticky-max-age",
            OWN_AGE,
            &own_age::<ServiceAnnotations>(),
        ),
        honoured(
            "blastdoor.dev/sticky-path",
            "`Path` of the cookie",
            &path::<ServiceAnnotations>("`/`"),
        ),
        honoured(
            "blastdoor.dev/sticky-domain",
            "`Domain` of the cookie",
            &domain::<ServiceAnnotations>(),
        ),
        honoured(
            "blastdoor.dev/sticky-same-site",
            "`SameSite` of the cookie",
            &same_site::<ServiceAnnotations>(),
        ),
        honoured(
            "blastdoor.dev/sticky-secure",
            "`Secure` of the cookie",
            &secure::<ServiceAnnotations>(&SWITCH, "at doors for https"),
        ),
        honoured(
            "traefik.ingress.kubernetes.io/service.sticky.cookie",
            "a cookie keeps clients at their endpoints; each of the annotations below turns it on too",
            &Setting {
                value: &TRUTH,
                default: "`false`",
                stake: Stake::Reliance,
                put: |parsed: &mut ServiceAnnotations, on, _| parsed.pending.sticky.traefik_on = Some(on),
            },
        )
        .differs("cookies have other values than those of Traefik, so that clients are distributed anew once"),
        honoured(
            "traefik.ingress.kubernetes.io/service.sticky.cookie.name",
            "the name of the cookie",
            &Setting {
                value: &NAME,
                default: "`_` and five hexadecimal digits of a hash of the Service's name",
                stake: Stake::Reliance,
                put: |parsed: &mut ServiceAnnotations, name, _| {
                    parsed.pending.sticky.traefik.name = Some(name);
                },
            },
        ),
        honoured(
            "traefik.ingress.kubernetes.io/service.sticky.cookie.secure",
            "`Secure` of the cookie",
            &secure::<ServiceAnnotations>(&TRUTH, "`false`"),
        ),
        honoured(
            "traefik.ingress.kubernetes.io/service.sticky.cookie.httponly",
            "`HttpOnly` of the cookie",
            &Setting {
                value: &TRUTH,
                default: "`false`",
                stake: Stake::Reliance,
                put: |parsed: &mut ServiceAnnotations, on, _| parsed.pending.sticky.http_only = on,
            },
        ),
        honoured(
            "traefik.ingress.kubernetes.io/service.sticky.cookie.samesite",
            "`SameSite` of the cookie",
            &same_site::<ServiceAnnotations>(),
        ),
        honoured(
            "traefik.ingress.kubernetes.io/service.sticky.cookie.maxage",
            "`Max-Age` of the cookie",
            &max_age::<ServiceAnnotations>(),
        ),
        honoured(
            "traefik.ingress.kubernetes.io/service.sticky.cookie.path",
            "`Path` of the cookie",
            &path::<ServiceAnnotations>("`/`"),
        ),
        honoured(
            "traefik.ingress.kubernetes.io/service.sticky.cookie.domain",
            "`Domain` of the cookie",
            &domain::<ServiceAnnotations>(),
        ),
        closes_except(
            &[],
            "traefik.ingress.kubernetes.io/service.sticky.*",
            "only sticky sessions by a cookie are supported",
        ),
    ],
    review: Some(review),
};

const OWN_AGE: &str = "`Max-Age` of the cookie";

const NAME: Form<CookieName> = Form {
    name: "name of a cookie",
    parse: |written| CookieName::parse(written.value),
};

const AGE: Form<i64> = Form {
    name: "seconds",
    parse: |written| {
        let seconds = written.value.parse::<i32>().map(i64::from);
        seconds.map_err(|_| format!("`{}` is not a number of seconds", written.value))
    },
};

const OWN_TIME: Form<i64> = Form {
    name: "time, such as `24h`",
    parse: |written| {
        let time = parse_duration(written.value)?;
        Ok(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
    },
};

const PATH: Form<AttributeValue> = Form {
    name: "path",
    parse: |written| AttributeValue::path(written.value),
};

const DOMAIN: Form<AttributeValue> = Form {
    name: "domain",
    parse: |written| AttributeValue::domain(written.value),
};

const SAME_SITE: Form<SameSite> = Form {
    name: "`Strict`, `Lax` or `None`",
    parse: |written| SameSite::parse(written.value),
};

/// What has these parts while it is read.
pub(super) trait HasSticky: 'static {
    fn sticky(&mut self) -> &mut StickyParts;
}

impl HasSticky for Annotations {
    fn sticky(&mut self) -> &mut StickyParts {
        &mut self.pending.sticky
    }
}

impl HasSticky for ServiceAnnotations {
    fn sticky(&mut self) -> &mut StickyParts {
        &mut self.pending.sticky
    }
}

fn cookie<'p, T: HasSticky>(parsed: &'p mut T, written: &Written<'_, '_>) -> &'p mut CookieParts {
    let sticky = parsed.sticky();
    if written.key.starts_with("blastdoor.dev/") {
        &mut sticky.own
    } else if written.key.starts_with("traefik.ingress.kubernetes.io/") {
        &mut sticky.traefik
    } else {
        &mut sticky.nginx
    }
}

const fn own_age<T: HasSticky>() -> Setting<T, i64> {
    Setting {
        value: &OWN_TIME,
        default: "none: until the browser is closed",
        stake: Stake::Convenience,
        put: |parsed, seconds, written| cookie(parsed, written).max_age = Some(seconds),
    }
}

const fn max_age<T: HasSticky>() -> Setting<T, i64> {
    Setting {
        value: &AGE,
        default: "none: until the browser is closed",
        stake: Stake::Convenience,
        put: |parsed, seconds, written| cookie(parsed, written).max_age = Some(seconds),
    }
}

const fn path<T: HasSticky>(default: &'static str) -> Setting<T, AttributeValue> {
    Setting {
        value: &PATH,
        default,
        stake: Stake::Reliance,
        put: |parsed, path, written| cookie(parsed, written).path = Some(path),
    }
}

const fn domain<T: HasSticky>() -> Setting<T, AttributeValue> {
    Setting {
        value: &DOMAIN,
        default: "none: the host of the request",
        stake: Stake::Reliance,
        put: |parsed, domain, written| cookie(parsed, written).domain = Some(domain),
    }
}

const fn same_site<T: HasSticky>() -> Setting<T, SameSite> {
    Setting {
        value: &SAME_SITE,
        default: "none",
        stake: Stake::Reliance,
        put: |parsed, same_site, written| cookie(parsed, written).same_site = Some(same_site),
    }
}

const fn secure<T: HasSticky>(value: &'static Form<bool>, default: &'static str) -> Setting<T, bool> {
    Setting {
        value,
        default,
        stake: Stake::Reliance,
        put: |parsed, secure, written| cookie(parsed, written).secure = Some(secure),
    }
}

impl CookieParts {
    fn named(self, name: CookieName, http_only: bool) -> Sticky {
        Sticky {
            path: if self.path.is_some() {
                StickyPath::Cookie
            } else {
                StickyPath::Rule
            },
            secure: self.secure,
            cookie: SetCookie {
                name,
                path: self.path,
                domain: self.domain,
                max_age: self.max_age,
                expires: self.expires,
                same_site: self.same_site,
                secure: false,
                http_only,
            },
            change_on_failure: false,
            same_site_none_is_conditional: false,
            decides_canary: true,
        }
    }
}

fn review(parsed: &mut Annotations, raw: &BTreeMap<String, String>, report: &mut Reporter<'_>) {
    let mut parts = std::mem::take(&mut parsed.pending.sticky);
    let own = parts.own.name.take();
    let is_closed = |key: &str| parsed.closes.iter().any(|closed| *closed.annotation == *key);
    let mut warn = |main: &str, is_option: fn(&str) -> bool| {
        for key in raw.keys().filter(|key| is_option(key) && !is_closed(main)) {
            let message = format!("without effect while `{main}` is not set");
            report.report(Severity::Warning, &field(key), message);
        }
    };
    if own.is_none() {
        warn(OWN, |key| key.starts_with("blastdoor.dev/sticky-"));
    }
    if !parts.affinity {
        warn(NGINX, |key| {
            let key = key
                .strip_prefix("nginx.ingress.kubernetes.io/")
                .unwrap_or_default();
            (key.starts_with("affinity-") || key.starts_with("session-cookie-"))
                && key != "session-cookie-hash"
        });
    }
    parsed.choosing.sticky = match (own, parts.affinity) {
        (Some(name), affinity) => {
            if affinity {
                let message = format!("`{OWN}` is written too, and counts with its options alone");
                report.report(Severity::Note, &field(NGINX), message);
            }
            Some(parts.own.named(name, true))
        }
        (None, true) => {
            let name = parts
                .nginx
                .name
                .take()
                .map_or_else(|| CookieName::parse("INGRESSCOOKIE").ok(), Some);
            name.map(|name| Sticky {
                change_on_failure: parts.change_on_failure,
                same_site_none_is_conditional: parts.conditional,
                decides_canary: !parts.legacy_canary,
                ..parts.nginx.named(name, true)
            })
        }
        (None, false) => None,
    };
}

/// What the annotations of a Service say together.
pub(super) fn of_service(parsed: &mut ServiceAnnotations, service: &ObjectKey) {
    let mut parts = std::mem::take(&mut parsed.pending.sticky);
    let is_on = parts
        .traefik_on
        .unwrap_or(parts.traefik != CookieParts::default() || parts.http_only);
    let whole = |sticky: Sticky| Sticky {
        cookie: SetCookie {
            path: sticky.cookie.path.or_else(|| AttributeValue::path("/").ok()),
            ..sticky.cookie
        },
        path: StickyPath::Cookie,
        ..sticky
    };
    parsed.choosing.sticky = match parts.own.name.take() {
        Some(name) => Some(whole(parts.own.named(name, true))),
        None if is_on => {
            let name = parts
                .traefik
                .name
                .take()
                .unwrap_or_else(|| CookieName::of_service(&service.to_string()));
            let secure = parts.traefik.secure.or(Some(false));
            Some(Sticky {
                secure,
                ..whole(parts.traefik.named(name, parts.http_only))
            })
        }
        None => None,
    };
}
