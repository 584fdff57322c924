//! What is answered in place of errors of the backend.

use std::sync::{Arc, LazyLock};

use filter::statuses::StatusSet;
use resource::{BackendAnnotations, PageRequest, ServicePortRef, ServiceRef};

use super::Context;
use crate::backend::{Upstream, Upstreams};
use crate::rule::{BackendProtocol, BackendRef, ObjectReport};

/// Pages in place of errors.
#[derive(Debug, PartialEq)]
pub struct ErrorPages {
    /// Which statuses are replaced.
    pub statuses: StatusSet,
    /// What has the pages.
    pub upstream: Arc<Upstream>,
    /// How it is asked.
    pub request: PageRequest,
}

impl ErrorPages {
    pub(super) fn compile(
        context: &Context<'_>,
        written: &resource::ErrorPages,
        upstreams: &mut Upstreams<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Result<Self, String> {
        Ok(Self {
            statuses: written.statuses,
            upstream: service(context, &written.service, upstreams, report)?,
            request: written.request.clone(),
        })
    }
}

/// The upstream of a Service that a filter names.
pub(super) fn service(
    context: &Context<'_>,
    named: &ServiceRef,
    upstreams: &mut Upstreams<'_>,
    report: &mut ObjectReport<'_>,
) -> Result<Arc<Upstream>, String> {
    /// Its Service alone says how it is called.
    static NOTHING: LazyLock<BackendAnnotations> = LazyLock::new(BackendAnnotations::default);
    let service = &named.service;
    let first = || {
        let ports = &context.view.service(service)?.ports;
        ports.first().map(|port| ServicePortRef::Number(port.port))
    };
    let port = match &named.port {
        Some(port) => port.clone(),
        None => first().ok_or_else(|| format!("Service `{service}` does not exist, or has no port"))?,
    };
    let backend = BackendRef {
        service,
        port: &port,
        protocol: BackendProtocol::Http(&NOTHING),
    };
    let (upstream, _doubt) = upstreams.find(backend, &mut report.problems);
    upstream.map_err(|refused| {
        let why = refused.message;
        why.strip_suffix("; the rule answers 503")
            .map_or(why.clone(), str::to_owned)
    })
}
