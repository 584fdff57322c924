//! Annotations of Ingresses and Services, parsed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use route::ObjectKey;

use super::backend::{AuthoritySource, BackendAnnotations, local};
use super::row::{AnnotationKind, AnnotationRow, annotation_table, service_annotation_table, split};
use crate::AppProtocol;
use crate::metadata::{Damage, Report};

/// What the annotations of an Ingress ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    /// Requests over plain HTTP are redirected to HTTPS (308): `ssl-redirect` or `force-ssl-redirect` of
    /// ingress-nginx is `"true"`.
    pub ssl_redirect: bool,
    /// The doors that Traefik's `router.entrypoints` names; empty when it is absent.
    pub entrypoints: Vec<Box<str>>,
    /// Timeouts and limits.
    pub tuning: IngressTuning,
    /// How backends are spoken to.
    pub backend: BackendAnnotations,
    /// TLS goes to the backend as it is (`ssl-passthrough` of ingress-nginx).
    pub ssl_passthrough: bool,
    /// What is asked for and cannot be honoured, although serving without it would be unsafe. Not empty: every
    /// rule of the Ingress answers 503.
    pub closes: Vec<ClosedBy>,
}

/// An annotation that closes its routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedBy {
    /// Its key.
    pub annotation: Box<str>,
    /// Why serving without it would be unsafe, and what to do.
    pub reason: Box<str>,
}

/// Timeouts and limits of an Ingress; `None` leaves the door's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IngressTuning {
    /// `proxy-connect-timeout`: to connect to a backend.
    pub connect_timeout: Option<Duration>,
    /// `proxy-read-timeout`: the longest gap between two reads from the backend.
    pub read_timeout: Option<Duration>,
    /// `proxy-send-timeout`: the longest gap between two writes to the backend.
    pub send_timeout: Option<Duration>,
    /// `proxy-body-size`: the largest request body, in bytes; `Some(0)` is unlimited.
    pub body_size: Option<u64>,
}

/// What the annotations of a Service ask for.
#[derive(Debug, Default)]
pub(crate) struct ServiceAnnotations {
    /// What every port speaks, whatever `appProtocol` says.
    pub(crate) scheme: Option<AppProtocol>,
    pub(crate) closes: Vec<ClosedBy>,
}

const IGNORE_SNIPPETS: &str = "blastdoor.dev/ignore-snippets";

/// What a request may wait for a connection at most, whatever its Ingress says.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads the annotations of an Ingress.
pub(crate) fn ingress_annotations(
    raw: &BTreeMap<String, String>,
    namespace: &str,
    report: &mut Report<'_>,
) -> Annotations {
    let ignore_snippets = raw
        .get(IGNORE_SNIPPETS)
        .is_some_and(|value| truth(value) == Some(true));
    let mut asked = Annotations::default();
    let mut closes = Vec::new();
    for (key, value) in raw {
        let honour = |report: &mut Report<'_>| asked.honour(key, value, namespace, report);
        let closed = weigh(key, value, annotation_table(), ignore_snippets, report, honour);
        closes.extend(closed);
    }
    asked.closes = closes;
    if asked.backend.is_silently_unverified() {
        let written =
            ["backend-protocol", "secure-backends"].map(|name| format!("nginx.ingress.kubernetes.io/{name}"));
        let key = written
            .iter()
            .find(|key| raw.contains_key(*key))
            .map_or("", |key| key);
        report.warning(
            &format!("metadata.annotations[{key}]"),
            "the backend's certificate is not verified, as in ingress-nginx: anyone on the way can pose as the backend; \
             set `blastdoor.dev/backend-tls-verify` to `on`, or to `off` to say that this is meant",
        );
    }
    asked
}

/// Reads the annotations of a Service.
pub(crate) fn service_annotations(
    raw: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> ServiceAnnotations {
    let mut scheme = None;
    let mut closes = Vec::new();
    for (key, value) in raw {
        // `service.serversscheme` is the only one that is honoured.
        let honour = |_: &mut Report<'_>| {
            scheme = Some(match value.trim().to_ascii_lowercase().as_str() {
                "http" => AppProtocol::Http,
                "https" => AppProtocol::Https,
                "h2c" => AppProtocol::H2c,
                _ => {
                    return Err(Unparsed::Closes(format!(
                        "`{value}` is not `http`, `https` or `h2c`"
                    )));
                }
            });
            Ok(())
        };
        closes.extend(weigh(
            key,
            value,
            service_annotation_table(),
            false,
            report,
            honour,
        ));
    }
    ServiceAnnotations { scheme, closes }
}

/// A value that does not parse.
enum Unparsed {
    /// The default stays.
    Ignored(String),
    /// It may have been meant to protect.
    Closes(String),
}

/// Decides what becomes of one annotation, tells of it, and says whether it closes the object's routes.
fn weigh(
    key: &str,
    value: &str,
    table: &'static [AnnotationRow],
    ignore_snippets: bool,
    report: &mut Report<'_>,
    honour: impl FnOnce(&mut Report<'_>) -> Result<(), Unparsed>,
) -> Option<ClosedBy> {
    split(key)?;
    let field = format!("metadata.annotations[{key}]");
    let close = |report: &mut Report<'_>, reason: String| {
        report.error(&field, format!("{reason}; closed (503)"));
        Some(ClosedBy {
            annotation: key.into(),
            reason: reason.into(),
        })
    };
    let Some(row) = AnnotationRow::of(key, table) else {
        return match AnnotationRow::nearest(key, table) {
            // A misspelt protection must not be a missing one.
            Some(meant) if meant.protects() => close(
                report,
                format!(
                    "unknown annotation, which may stand for the protection `{}`",
                    meant.key
                ),
            ),
            Some(meant) => {
                report.warning(
                    &field,
                    format!(
                        "unknown annotation, which is ignored; did you mean `{}`?",
                        meant.key
                    ),
                );
                None
            }
            None => {
                report.warning(&field, "unknown annotation; it is ignored");
                None
            }
        };
    };
    let written = elements(value);
    let says = |values: &[&str]| values.iter().any(|usual| elements(usual) == written);
    match row.kind {
        AnnotationKind::Honoured => match honour(report) {
            Ok(()) => None,
            Err(Unparsed::Closes(reason)) => close(report, reason),
            Err(Unparsed::Ignored(reason)) => {
                report.error(&field, format!("{reason}; it is ignored"));
                None
            }
        },
        AnnotationKind::Default(values) | AnnotationKind::Usual(values) if says(values) => None,
        AnnotationKind::Snippet if ignore_snippets => {
            report.note(
                &field,
                format!("the snippet is ignored, as `{IGNORE_SNIPPETS}` demands"),
            );
            None
        }
        AnnotationKind::Snippet => close(
            report,
            format!(
                "{}, which this gateway does not run; remove it, or set `{IGNORE_SNIPPETS}: \"true\"`",
                row.note
            ),
        ),
        AnnotationKind::Default(values) => close(
            report,
            format!("{} (without effect and allowed: {})", row.note, listed(values)),
        ),
        AnnotationKind::Closes => close(report, row.note.to_owned()),
        AnnotationKind::Usual(_) | AnnotationKind::Ignored => {
            report.warning(&field, format!("ignored: {}", row.note));
            None
        }
    }
}

/// What a list of words says, whatever their order.
fn elements(value: &str) -> BTreeSet<String> {
    value
        .split(',')
        .map(|element| element.trim().to_ascii_lowercase())
        .collect()
}

fn listed(values: &[&str]) -> String {
    values
        .iter()
        .map(|value| format!("`{value}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

impl Annotations {
    /// Reads an annotation of the kind [`AnnotationKind::Honoured`].
    fn honour(
        &mut self,
        key: &str,
        value: &str,
        namespace: &str,
        report: &mut Report<'_>,
    ) -> Result<(), Unparsed> {
        match split(key).map_or(key, |(_, name)| name) {
            "ssl-redirect" | "force-ssl-redirect" => {
                let redirect = truth(value).ok_or_else(|| Unparsed::Closes(not_a_truth_value(value)))?;
                self.ssl_redirect |= redirect;
            }
            "ignore-snippets" => {
                truth(value).ok_or_else(|| Unparsed::Ignored(not_a_truth_value(value)))?;
            }
            "router.entrypoints" => {
                let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
                self.entrypoints = names.map(Box::from).collect();
                if self.entrypoints.is_empty() {
                    report.warning(
                        &format!("metadata.annotations[{key}]"),
                        "names no door; it is ignored",
                    );
                }
            }
            "proxy-connect-timeout" => {
                let asked = seconds(value)?;
                self.tuning.connect_timeout = Some(asked.min(CONNECT_TIMEOUT));
                if asked > CONNECT_TIMEOUT {
                    report.warning(
                        &format!("metadata.annotations[{key}]"),
                        format!(
                            "`{value}` is more than a request may wait for a connection; {} s count",
                            CONNECT_TIMEOUT.as_secs()
                        ),
                    );
                }
            }
            "proxy-read-timeout" => self.tuning.read_timeout = Some(seconds(value)?),
            "proxy-send-timeout" => self.tuning.send_timeout = Some(seconds(value)?),
            "proxy-body-size" => self.tuning.body_size = Some(size(value)?),
            "ssl-passthrough" => {
                self.ssl_passthrough =
                    truth(value).ok_or_else(|| Unparsed::Closes(not_a_truth_value(value)))?;
            }
            name => return self.honour_backend(name, value.trim(), namespace),
        }
        Ok(())
    }

    /// Reads an annotation on how backends are spoken to. The gateway's own come first in the order of keys, so what
    /// is there already counts.
    fn honour_backend(&mut self, name: &str, value: &str, namespace: &str) -> Result<(), Unparsed> {
        let backend = &mut self.backend;
        match name {
            "backend-protocol" => {
                backend.protocol.get_or_insert(protocol(value)?);
            }
            "secure-backends" => {
                let secure = truth(value).ok_or_else(|| Unparsed::Closes(not_a_truth_value(value)))?;
                if secure {
                    backend.protocol.get_or_insert(AppProtocol::Https);
                }
            }
            "backend-tls-verify" | "proxy-ssl-verify" => {
                backend.verify.get_or_insert(switch(value)?);
            }
            "backend-tls-ca" => {
                let source = AuthoritySource::parse(value, namespace).ok_or_else(|| {
                    Unparsed::Closes(format!(
                        "`{value}` is not `secret/NAME` or `configmap/NAME` in the namespace of the Ingress"
                    ))
                })?;
                backend.authorities = Some(source);
            }
            "backend-tls-client-certificate" => {
                backend.client_certificate = Some(local(value, namespace).ok_or_else(|| {
                    Unparsed::Closes(format!(
                        "`{value}` is not the name of a Secret in the namespace of the Ingress"
                    ))
                })?);
            }
            "proxy-ssl-secret" => backend.secret = Some(own_secret(value, namespace)?),
            "backend-tls-name" | "proxy-ssl-name" => {
                if value.is_empty() {
                    return Err(Unparsed::Closes("the name is empty".to_owned()));
                }
                backend.name.get_or_insert(value.into());
            }
            "proxy-ssl-server-name" => backend.send_name = Some(switch(value)?),
            _ => return Err(Unparsed::Closes("not implemented".to_owned())),
        }
        Ok(())
    }

    /// Annotations that were written and could not be read may have asked for protection.
    pub(crate) fn close_unreadable(&mut self, damage: &Damage) {
        let whole = ["metadata", "metadata.annotations"]
            .into_iter()
            .filter(|field| damage.hit(field));
        let single = damage
            .keys_of("metadata.annotations")
            .filter(|key| split(key).is_some());
        self.closes.extend(whole.chain(single).map(|annotation| ClosedBy {
            annotation: annotation.into(),
            reason: "it cannot be read, and it may ask for protection".into(),
        }));
    }
}

/// `backend-protocol` of ingress-nginx.
fn protocol(value: &str) -> Result<AppProtocol, Unparsed> {
    match value.to_ascii_uppercase().as_str() {
        "HTTP" => Ok(AppProtocol::Http),
        "HTTPS" => Ok(AppProtocol::Https),
        "GRPC" => Ok(AppProtocol::Grpc),
        "GRPCS" => Ok(AppProtocol::Grpcs),
        _ => Err(Unparsed::Closes(format!(
            "`{value}` is not spoken to backends; write `HTTP`, `HTTPS`, `GRPC` or `GRPCS`"
        ))),
    }
}

/// `on` or `off`; truth values are understood too.
fn switch(value: &str) -> Result<bool, Unparsed> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        other => truth(other).ok_or_else(|| Unparsed::Closes(format!("`{other}` is neither `on` nor `off`"))),
    }
}

/// `namespace/name` of a Secret, which must be the Ingress's own namespace: a Secret of someone else's is not lent.
fn own_secret(value: &str, namespace: &str) -> Result<ObjectKey, Unparsed> {
    let name = match value.split_once('/') {
        None => value,
        Some((written, name)) if written == namespace => name,
        Some((written, _)) => {
            return Err(Unparsed::Closes(format!(
                "the Secret is in namespace `{written}`; only Secrets of the Ingress's own namespace `{namespace}` are read"
            )));
        }
    };
    local(name, namespace)
        .ok_or_else(|| Unparsed::Closes(format!("`{value}` is not `namespace/name` of a Secret")))
}

/// Truth values as ingress-nginx reads them (Go, `strconv.ParseBool`).
fn truth(value: &str) -> Option<bool> {
    match value.trim() {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

fn not_a_truth_value(value: &str) -> String {
    format!("`{value}` is neither `true` nor `false`")
}

fn seconds(value: &str) -> Result<Duration, Unparsed> {
    match value.trim().parse::<u32>() {
        Ok(0) | Err(_) => Err(Unparsed::Ignored(format!(
            "`{value}` is not a number of seconds from 1"
        ))),
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
    }
}

/// Sizes as nginx writes them: bytes, or with `k`, `m` or `g`, powers of 1024.
fn size(value: &str) -> Result<u64, Unparsed> {
    let text = value.trim().to_ascii_lowercase();
    let (digits, shift) = match text.strip_suffix(['b', 'k', 'm', 'g']) {
        Some(digits) if text.ends_with('k') => (digits, 10),
        Some(digits) if text.ends_with('m') => (digits, 20),
        Some(digits) if text.ends_with('g') => (digits, 30),
        Some(digits) => (digits, 0),
        None => (text.as_str(), 0),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = digits
        .parse::<u64>()
        .ok()
        .filter(|_| plain)
        .and_then(|number| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| Unparsed::Ignored(format!("`{value}` is not a size such as `8m`")))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
#[path = "backend_tests.rs"]
mod backend_tests;
