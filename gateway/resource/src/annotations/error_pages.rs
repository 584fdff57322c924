//! What is answered in place of errors.

use std::collections::BTreeMap;

use filter::error_page::{PageTarget, StatusRewrites};
use filter::statuses::StatusSet;

use super::parsed::Annotations;
use super::row::{Setting, Stake, Subject, honoured};
use super::value::{Form, TRUTH, field};
use crate::error_pages::{ErrorPages, PageRequest, ServiceRef};
use crate::filter_spec::FilterSpec;
use crate::problem::Severity;
use crate::reporter::Reporter;

const OWN: &str = "blastdoor.dev/errors";
const OWN_SERVICE: &str = "blastdoor.dev/errors-service";
const OWN_PATH: &str = "blastdoor.dev/errors-path";
const FALLBACK: &str = "blastdoor.dev/fallback";
const CODES: &str = "nginx.ingress.kubernetes.io/custom-http-errors";
const DEFAULT: &str = "nginx.ingress.kubernetes.io/default-backend";

pub(super) const SUBJECT: Subject = Subject {
    title: "Error pages",
    ingress: &[
        honoured(
            "blastdoor.dev/errors",
            "these statuses of the backend, and of the gateway where the backend fails (502, 503, 504), are answered with a \
             page of `errors-service`, as the `errors` Middleware of Traefik does; never for gRPC",
            &Setting {
                value: &STATUSES,
                default: "none",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, statuses, _| parsed.pending.errors.own = Some(statuses),
            },
        )
        .example("404, 500-599"),
        honoured(
            "blastdoor.dev/errors-service",
            "the Service that has the pages, in the namespace of the Ingress",
            &Setting {
                value: &SERVICE,
                default: "that of `fallback`",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, service, _| parsed.pending.errors.own_service = Some(service),
            },
        ),
        honoured(
            "blastdoor.dev/errors-path",
            "its path, with `{status}`, `{originalStatus}` and `{url}`",
            &Setting {
                value: &Form {
                    name: "path",
                    parse: |written| PageTarget::parse(written.value),
                },
                default: "`/{status}.html`",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, target, _| parsed.pending.errors.own_path = Some(target),
            },
        ),
        honoured(
            "blastdoor.dev/fallback",
            "the Service that gets the requests while the backend has no endpoint",
            &Setting {
                value: &SERVICE,
                default: "none: 503",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, service, _| parsed.pending.errors.fallback = Some(service),
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/custom-http-errors",
            "these statuses of the backend, and of the gateway where the backend fails (502, 503, 504), are answered by \
             `default-backend`, with the fields `X-Code`, `X-Format`, `X-Original-URI`, `X-Namespace`, `X-Ingress-Name`, \
             `X-Service-Name`, `X-Service-Port` and `X-Request-ID` in the request; the client gets its status; never for \
             gRPC",
            &Setting {
                value: &STATUSES,
                default: "none",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, statuses, _| parsed.pending.errors.codes = Some(statuses),
            },
        )
        .differs(
            "what a filter answers, such as 401 or 403, is never replaced; the page is asked for at `/`, with GET and without a \
             body",
        )
        .example("404,503"),
        honoured(
            "nginx.ingress.kubernetes.io/default-backend",
            "its first port answers `custom-http-errors`, and gets the requests while the backend has no endpoint",
            &Setting {
                value: &SERVICE,
                default: "none",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, service, _| {
                    parsed.pending.errors.default_backend = Some(service);
                },
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/disable-proxy-intercept-errors",
            "`true`: `custom-http-errors` has no effect",
            &Setting {
                value: &TRUTH,
                default: "`false`",
                stake: Stake::Convenience,
                put: |parsed: &mut Annotations, disabled, _| parsed.pending.errors.disabled = disabled,
            },
        ),
    ],
    service: &[],
    review: Some(review),
};

const STATUSES: Form<StatusSet> = Form {
    name: "statuses and ranges of them, separated by commas",
    parse: |written| {
        let set = StatusSet::parse(written.value)?;
        match set.iter().next() {
            Some(first) if first < 300 => Err(format!("{first} is no error; write statuses from 300 to 599")),
            _ => Ok(set),
        }
    },
};

const SERVICE: Form<ServiceRef> = Form {
    name: "name of a Service, or `NAME:PORT`",
    parse: |written| ServiceRef::parse(written.value, written.namespace),
};

fn review(parsed: &mut Annotations, raw: &BTreeMap<String, String>, report: &mut Reporter<'_>) {
    let parts = std::mem::take(&mut parsed.pending.errors);
    let is_closed = |key: &str| parsed.closes.iter().any(|closed| *closed.annotation == *key);
    if parts.own.is_none() && !is_closed(OWN) {
        for key in [OWN_SERVICE, OWN_PATH]
            .into_iter()
            .filter(|key| raw.contains_key(*key))
        {
            let message = format!("without effect while `{OWN}` is not set");
            report.report(Severity::Warning, &field(key), message);
        }
    }
    let own_service = parts.own_service.or_else(|| parts.fallback.clone());
    let mut errors = None;
    if let Some(statuses) = parts.own {
        match own_service.or_else(|| parts.default_backend.clone()) {
            Some(service) => {
                let target = parts
                    .own_path
                    .map_or_else(|| PageTarget::parse("/{status}.html").ok(), Some);
                errors = target.map(|target| {
                    let request = PageRequest::Target {
                        target,
                        rewrites: StatusRewrites::default(),
                        fields: None,
                    };
                    (
                        OWN,
                        ErrorPages {
                            statuses,
                            service,
                            request,
                        },
                    )
                });
            }
            None => {
                let message = format!("without effect while neither `{OWN_SERVICE}` nor `{FALLBACK}` is set");
                report.report(Severity::Warning, &field(OWN), message);
            }
        }
    }
    match (parts.codes, &parts.default_backend) {
        (Some(_), _) if parts.disabled => {}
        (Some(_), _) if errors.is_some() => {
            let message = format!("`{OWN}` is written too, and counts");
            report.report(Severity::Note, &field(CODES), message);
        }
        (Some(statuses), Some(service)) => {
            let (service, request) = (service.clone(), PageRequest::Fields);
            errors = Some((
                CODES,
                ErrorPages {
                    statuses,
                    service,
                    request,
                },
            ));
        }
        (Some(_), None) if !is_closed(DEFAULT) => {
            let message = format!(
                "without effect while `{DEFAULT}` is not set: this gateway has no default backend of its own"
            );
            report.report(Severity::Warning, &field(CODES), message);
        }
        (_, _) => {}
    }
    let fallback = match (parts.fallback, parts.default_backend) {
        (Some(own), Some(_)) => {
            let message =
                format!("`{FALLBACK}` is written too, and counts where the backend has no endpoint");
            report.report(Severity::Note, &field(DEFAULT), message);
            Some((FALLBACK, own))
        }
        (Some(own), None) => Some((FALLBACK, own)),
        (None, Some(nginx)) => Some((DEFAULT, nginx)),
        (None, None) => None,
    };
    let errors = errors.map(|(key, pages)| (key, FilterSpec::Errors(pages)));
    let fallback = fallback.map(|(key, service)| (key, FilterSpec::Fallback(service)));
    for (key, spec) in errors.into_iter().chain(fallback) {
        parsed.filters.push(super::value::written_filter(key, spec));
    }
}
