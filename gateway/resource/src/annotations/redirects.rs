//! Redirects that the gateway answers itself.

use std::collections::BTreeMap;

use filter::redirect::{Destination, Redirect};

use super::parsed::Annotations;
use super::row::{Setting, Stake, Subject, honoured};
use super::value::{Form, SWITCH, TRUTH, Written, field};
use crate::filter_kind::FilterKind;
use crate::filter_spec::{Dialect, FilterSpec, WrittenFilter};
use crate::problem::Severity;
use crate::reporter::Reporter;

pub(super) const SUBJECT: Subject = Subject {
    title: "Redirects",
    ingress: &[
        honoured(
            "blastdoor.dev/https-redirect",
            "requests over plain HTTP are redirected to https (308), but for those below `/.well-known/acme-challenge/`; it \
             has no effect at doors with `scheme = \"https\"`. The door's `redirect` is the usual way",
            &Setting {
                value: &SWITCH,
                default: "`off`",
                stake: Stake::Protection,
                put: https,
            },
        ),
        honoured(
            "blastdoor.dev/www-redirect",
            "the twin of each exact host (with or without `www.`) is redirected to the host (308), unless the door has rules \
             for the twin",
            &Setting {
                value: &SWITCH,
                default: "`off`",
                stake: Stake::Reliance,
                put: www,
            },
        ),
        honoured(
            "blastdoor.dev/redirect",
            "all requests are redirected there, without their query unless a variable puts it there; the Service need not \
             exist",
            &Setting {
                value: &DESTINATION,
                default: "none",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, destination, written| redirect(parsed, destination, 302, written),
            },
        )
        .example("https://new.example.com$request_uri"),
        honoured(
            "blastdoor.dev/redirect-status",
            "the status of `redirect`",
            &Setting {
                value: &STATUS,
                default: "`302`",
                stake: Stake::Reliance,
                put: status,
            },
        )
        .example("308"),
        honoured(
            "blastdoor.dev/app-root",
            "requests for `/` of its hosts are redirected there (302), unless the door has a rule for exactly `/`",
            &Setting {
                value: &APP_ROOT,
                default: "none",
                stake: Stake::Reliance,
                put: app_root,
            },
        )
        .example("/app"),
        honoured(
            "nginx.ingress.kubernetes.io/ssl-redirect",
            "as `https-redirect`",
            &Setting {
                value: &TRUTH,
                default: "`false`",
                stake: Stake::Reliance,
                put: https,
            },
        )
        .differs("acts only where it is written, not wherever there is a certificate; a trailing `/` is kept"),
        honoured(
            "nginx.ingress.kubernetes.io/force-ssl-redirect",
            "as `ssl-redirect`; either of the two is enough",
            &Setting {
                value: &TRUTH,
                default: "`false`",
                stake: Stake::Reliance,
                put: https,
            },
        )
        .differs("acts only at doors with `scheme = \"http\"`"),
        honoured(
            "nginx.ingress.kubernetes.io/app-root",
            "requests for `/` of its hosts are redirected there (302), unless the door has a rule for exactly `/`. Only a path \
             of the same host",
            &Setting {
                value: &APP_ROOT,
                default: "none",
                stake: Stake::Reliance,
                put: app_root,
            },
        )
        .differs("only a path; it yields to a rule for exactly `/`")
        .example("/app"),
        honoured(
            "nginx.ingress.kubernetes.io/from-to-www-redirect",
            "the twin of each exact host (with or without `www.`) is redirected to the host (308), unless the door has rules \
             for the twin",
            &Setting {
                value: &TRUTH,
                default: "`false`",
                stake: Stake::Reliance,
                put: www,
            },
        )
        .differs("with the scheme of the door"),
        honoured(
            "nginx.ingress.kubernetes.io/permanent-redirect",
            "all requests are redirected there, without their query unless a variable puts it there; the Service need not \
             exist. `temporal-redirect` beside it counts",
            &Setting {
                value: &DESTINATION,
                default: "none",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, destination, written| redirect(parsed, destination, 301, written),
            },
        )
        .differs("no open redirects: clients cannot choose the host; a path may not begin with `//`")
        .example("https://new.example.com$request_uri"),
        honoured(
            "nginx.ingress.kubernetes.io/permanent-redirect-code",
            "the status of `permanent-redirect`. 304 is none: it sends nobody anywhere",
            &Setting {
                value: &STATUS,
                default: "`301`",
                stake: Stake::Reliance,
                put: status,
            },
        )
        .example("308"),
        honoured(
            "nginx.ingress.kubernetes.io/temporal-redirect",
            "as `permanent-redirect`",
            &Setting {
                value: &DESTINATION,
                default: "none",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, destination, written| redirect(parsed, destination, 302, written),
            },
        )
        .differs("as `permanent-redirect`")
        .example("/maintenance"),
        honoured(
            "nginx.ingress.kubernetes.io/temporal-redirect-code",
            "the status of `temporal-redirect`. 304 is none: it sends nobody anywhere",
            &Setting {
                value: &STATUS,
                default: "`302`",
                stake: Stake::Reliance,
                put: status,
            },
        )
        .example("307"),
    ],
    service: &[],
    review: Some(review),
};

const DESTINATION: Form<Destination> = Form {
    name: "an http(s) URL or a path, with variables",
    parse: |written| Destination::parse(written.value),
};

const APP_ROOT: Form<Destination> = Form {
    name: "a path",
    parse: |written| Destination::path(written.value),
};

const STATUS: Form<u16> = Form {
    name: "300 to 308, but not 304",
    parse: |written| match super::value::digits(written.value) {
        Some(status @ (300..=303 | 305..=308)) => Ok(status),
        Some(304) => Err("`304` is no redirect; write a status from 300 to 308".to_owned()),
        Some(_) | None => Err(format!(
            "`{}` is not the status of a redirect; write one from 300 to 308",
            written.value
        )),
    },
};

fn https(parsed: &mut Annotations, redirects: bool, written: &mut Written<'_, '_>) {
    if !redirects {
        parsed.none.extend(written.no_filter(FilterKind::HttpsRedirect));
    }
    let filter = written.filter(FilterSpec::HttpsRedirect);
    // Both keys of ingress-nginx say the same.
    let is_said = |other: &WrittenFilter| other.dialect == filter.dialect && other.spec == filter.spec;
    if redirects && !parsed.filters.iter().any(is_said) {
        parsed.filters.push(filter);
    }
}

fn www(parsed: &mut Annotations, redirects: bool, written: &mut Written<'_, '_>) {
    if redirects {
        parsed.www_redirect = Some(if written.key.starts_with("blastdoor.dev/") {
            "metadata.annotations[blastdoor.dev/www-redirect]"
        } else {
            "metadata.annotations[nginx.ingress.kubernetes.io/from-to-www-redirect]"
        });
    }
}

fn app_root(parsed: &mut Annotations, root: Destination, written: &mut Written<'_, '_>) {
    parsed.filters.push(written.filter(FilterSpec::AppRoot(root)));
}

fn redirect(parsed: &mut Annotations, destination: Destination, status: u16, written: &mut Written<'_, '_>) {
    let redirect = Redirect::To { destination, status };
    parsed
        .filters
        .push(written.filter(FilterSpec::Redirect(redirect)));
}

/// The annotation beside which this one stands comes first in the order of keys.
fn status(parsed: &mut Annotations, status: u16, written: &mut Written<'_, '_>) {
    let main = written
        .key
        .strip_suffix("-code")
        .or_else(|| written.key.strip_suffix("-status"))
        .unwrap_or(written.key);
    let at = field(main);
    let filter = parsed.filters.iter_mut().find(|filter| *filter.field == *at);
    match filter.map(|filter| &mut filter.spec) {
        Some(FilterSpec::Redirect(Redirect::To { status: of_main, .. })) => *of_main = status,
        _ => written.report(Severity::Warning, format!("it has no effect without `{main}`")),
    }
}

const PERMANENT: &str = "nginx.ingress.kubernetes.io/permanent-redirect";
const TEMPORAL: &str = "nginx.ingress.kubernetes.io/temporal-redirect";

/// Where both are written ingress-nginx obeys `temporal-redirect`.
fn review(parsed: &mut Annotations, _raw: &BTreeMap<String, String>, report: &mut Reporter<'_>) {
    let (permanent, temporal) = (field(PERMANENT), field(TEMPORAL));
    let has = |at: &str| parsed.filters.iter().any(|filter| *filter.field == *at);
    if has(&permanent) && has(&temporal) {
        report.warning(&permanent, format!("it has no effect beside `{TEMPORAL}`"));
        parsed
            .filters
            .retain(|filter| filter.dialect != Dialect::Nginx || *filter.field != *permanent);
    }
}
