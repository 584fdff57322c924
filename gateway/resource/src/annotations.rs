//! Annotations of Ingresses and Services, parsed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::AppProtocol;
use crate::metadata::Report;

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
    pub(crate) scheme: Option<AppProtocol>,
    pub(crate) closes: Vec<ClosedBy>,
}

pub(crate) fn ingress_annotations(_raw: &BTreeMap<String, String>, _report: &mut Report<'_>) -> Annotations {
    Annotations::default()
}

pub(crate) fn service_annotations(
    _raw: &BTreeMap<String, String>,
    _report: &mut Report<'_>,
) -> ServiceAnnotations {
    ServiceAnnotations::default()
}
