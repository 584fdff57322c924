//! Pages of a Service in place of errors.

use std::collections::BTreeMap;

use filter::error_page::{PageTarget, StatusRewrites};
use filter::statuses::StatusSet;
use http::HeaderName;
use serde::Deserialize;
use serde_json::Value;

use super::kind::{InvalidMiddleware, MiddlewareKind};
use super::reading::Reading;
use super::row::Form::{Any, NumberMap, Object, Port, Text, Texts};
use super::row::{FieldRow, KindEffect, KindRow, field};
use crate::error_pages::{ErrorPages, PageRequest, ServiceRef};
use crate::filter_spec::FilterSpec;
use crate::service_port::ServicePortRef;

pub(super) const ERRORS: KindRow = KindRow {
    name: "errors",
    meaning: "answers of the backend with these statuses, and the gateway's own 502 to 504, are replaced by a page of a \
              Service. What another middleware answers is never replaced",
    fields: &[
        field(
            "status",
            Texts,
            "required",
            "statuses and ranges, as in `404` or `500-599`",
        ),
        field(
            "statusRewrites",
            NumberMap,
            "none",
            "other statuses for the client, as in `500-503: 500`",
        ),
        field(
            "service",
            Object(SERVICE),
            "required",
            "the Service with the pages",
        ),
        field(
            "query",
            Text,
            "`/`",
            "the path of the page; `{status}`, `{originalStatus}` and `{url}` are replaced",
        ),
        field(
            "errorRequestHeaders",
            Texts,
            "all but `Authorization` and `Cookie`",
            "fields of the request that the Service gets",
        )
        .differs("`Authorization` and `Cookie` only where they are listed"),
    ],
    example: "\
errors:
  status: ['404', 500-599]
  service: {name: pages, port: 80}
  query: /{status}.html
",
    effect: KindEffect::Honoured(errors),
};

const ELSEWHERE: &str = "not supported here; the annotations of the Service say how it is called";

const SERVICE: &[FieldRow] = &[
    field("name", Text, "required", "its name"),
    field("namespace", Text, "that of the Middleware", "its namespace")
        .differs("another namespace than that of the Middleware closes"),
    field("kind", Text, "`Service`", "what it is").differs("anything but `Service` closes"),
    field("port", Port, "required", "its port, by number or by name"),
    field("scheme", Text, "by the Service", "").closes(ELSEWHERE),
    field("strategy", Text, "by the Service", "").closes(ELSEWHERE),
    field("sticky", Any, "none", "").closes(ELSEWHERE),
    field("passHostHeader", Any, "by the Service", "").closes(ELSEWHERE),
    field("responseForwarding", Any, "none", "").closes(ELSEWHERE),
    field("serversTransport", Text, "none", "").closes(ELSEWHERE),
    field("weight", Any, "none", "").closes(ELSEWHERE),
    field("nativeLB", Any, "`false`", "").closes(ELSEWHERE),
    field("nodePortLB", Any, "`false`", "").closes(ELSEWHERE),
    field("healthCheck", Any, "none", "").closes(ELSEWHERE),
    field("passiveHealthCheck", Any, "none", "").closes(ELSEWHERE),
    field("middlewares", Any, "none", "").closes(ELSEWHERE),
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Errors {
    pub(super) status: Vec<String>,
    pub(super) status_rewrites: BTreeMap<String, i64>,
    pub(super) service: Option<ServiceReference>,
    pub(super) query: Option<String>,
    pub(super) error_request_headers: Option<Vec<String>>,
}

/// Its other fields close.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceReference {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) port: Option<PortReference>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum PortReference {
    Number(u64),
    Name(String),
}

fn errors(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let raw: Errors = reading.raw(content)?;
    if raw.status.is_empty() {
        return Err(reading.refuse(
            "status",
            "it is missing; write statuses, as in `404` or `500-599`",
        ));
    }
    let mut statuses = StatusSet::default();
    for (index, written) in raw.status.iter().enumerate() {
        let set = StatusSet::parse(written);
        let set = set.map_err(|reason| reading.refuse(&format!("status[{index}]"), reason))?;
        statuses = statuses.union(&set);
    }
    if statuses.iter().next().is_some_and(|first| first < 200) {
        return Err(reading.refuse(
            "status",
            "an interim response is never replaced; write statuses from 200 to 599",
        ));
    }
    let mut rewrites = Vec::new();
    for (written, status) in &raw.status_rewrites {
        let field = format!("statusRewrites[{written}]");
        let set = StatusSet::parse(written).map_err(|reason| reading.refuse(&field, reason))?;
        let status = u16::try_from(*status)
            .ok()
            .filter(|status| (200..=599).contains(status));
        let status = status.ok_or_else(|| reading.refuse(&field, "write a status from 200 to 599"))?;
        if matches!(status, 204 | 205 | 304) {
            let reason = format!(
                "an answer with {status} has no body, so that no page can be sent with it; write another status"
            );
            return Err(reading.refuse(&field, reason));
        }
        rewrites.push((set, status));
    }
    let fields = match &raw.error_request_headers {
        None => None,
        Some(names) => {
            let names = names.iter().map(|name| {
                HeaderName::try_from(name.as_str()).map_err(|_| {
                    let reason = format!("`{name}` is not the name of a header field");
                    reading.refuse("errorRequestHeaders", reason)
                })
            });
            Some(names.collect::<Result<_, _>>()?)
        }
    };
    let target = PageTarget::parse(raw.query.as_deref().unwrap_or("/"));
    let target = target.map_err(|reason| reading.refuse("query", reason))?;
    let pages = ErrorPages {
        statuses,
        service: service(raw.service, reading)?,
        request: PageRequest::Target {
            target,
            rewrites: StatusRewrites(rewrites.into()),
            fields,
        },
    };
    Ok(MiddlewareKind::Filters(vec![FilterSpec::Errors(pages)]))
}

/// The Service with the pages.
fn service(
    written: Option<ServiceReference>,
    reading: &Reading<'_, '_>,
) -> Result<ServiceRef, InvalidMiddleware> {
    let written =
        written.ok_or_else(|| reading.refuse("service", "it is missing; write its name and port"))?;
    if written.kind.as_deref().is_some_and(|kind| kind != "Service") {
        return Err(reading.refuse("service.kind", "only a Service can have the pages"));
    }
    if written
        .namespace
        .as_deref()
        .is_some_and(|namespace| namespace != reading.namespace())
    {
        let reason = "only a Service in the namespace of the Middleware can have the pages";
        return Err(reading.refuse("service.namespace", reason));
    }
    let service = reading.local("service.name", &written.name)?;
    let port = match written.port {
        Some(PortReference::Number(number)) => {
            let number = u16::try_from(number).ok().filter(|number| *number > 0);
            number.map(ServicePortRef::Number)
        }
        Some(PortReference::Name(name)) => match name.parse() {
            Ok(0) => None,
            Ok(number) => Some(ServicePortRef::Number(number)),
            Err(_) => Some(ServicePortRef::Name(name.into())),
        },
        None => return Err(reading.refuse("service.port", "it is missing; write its number or its name")),
    };
    let port = port
        .ok_or_else(|| reading.refuse("service.port", "it is not a port; write a number from 1 to 65535"))?;
    Ok(ServiceRef {
        service,
        port: Some(port),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::reporter::{Reporter, UnreadableFields};

    fn read(content: Value) -> Result<ErrorPages, String> {
        let (unreadable, mut problems) = (UnreadableFields::default(), Vec::new());
        let object = crate::ObjectRef::global(crate::Kind::Middleware, "pages");
        let mut reporter = Reporter::new(object, &unreadable, &mut problems);
        let key = route::ObjectKey::new("shop", "pages");
        let mut reading = Reading::new(&key, "errors", &mut reporter);
        match errors(content, &mut reading) {
            Ok(MiddlewareKind::Filters(filters)) => match filters.into_iter().next() {
                Some(FilterSpec::Errors(pages)) => Ok(pages),
                other => panic!("{other:?}"),
            },
            Ok(other) => panic!("{other:?}"),
            Err(invalid) => Err(invalid.to_string()),
        }
    }

    #[test]
    fn every_field_is_read() {
        let pages = read(json!({
            "status": ["404", "500-503,418"],
            "statusRewrites": {"418": 404, "500-502": 500},
            "service": {"name": "pages", "port": "http", "namespace": "shop", "kind": "Service"},
            "query": "/{status}.html",
            "errorRequestHeaders": ["Cookie"],
        }));
        let pages = pages.unwrap();
        assert_eq!(pages.statuses, StatusSet::parse("404,418,500-503").unwrap());
        assert_eq!(pages.service.service, route::ObjectKey::new("shop", "pages"));
        assert_eq!(pages.service.port, Some(ServicePortRef::Name("http".into())));
        let PageRequest::Target {
            target,
            rewrites,
            fields,
        } = pages.request
        else {
            panic!("{pages:?}");
        };
        assert_eq!(target.fill(404, 418, b"/"), "/404.html");
        assert_eq!(
            [418, 501, 503].map(|status| rewrites.of(status)),
            [Some(404), Some(500), None]
        );
        assert_eq!(fields.unwrap().as_ref(), ["cookie"]);
        let least = read(json!({"status": ["500"], "service": {"name": "pages", "port": 80}})).unwrap();
        assert!(matches!(least.request, PageRequest::Target { fields: None, .. }));
    }

    #[test]
    fn what_cannot_be_done_closes() {
        let table = [
            (
                json!({"service": {"name": "p", "port": 80}}),
                "spec.errors.status: it is missing",
            ),
            (
                json!({"status": ["9"], "service": {"name": "p", "port": 80}}),
                "spec.errors.status[0]",
            ),
            (
                json!({"status": ["100-199"], "service": {"name": "p", "port": 80}}),
                "interim",
            ),
            (json!({"status": ["404"]}), "spec.errors.service: it is missing"),
            (
                json!({"status": ["404"], "service": {"name": "p"}}),
                "spec.errors.service.port: it is missing",
            ),
            (
                json!({"status": ["404"], "service": {"name": "p", "port": 0}}),
                "spec.errors.service.port",
            ),
            (
                json!({"status": ["404"], "service": {"name": "p", "port": 80, "namespace": "other"}}),
                "service.namespace",
            ),
            (
                json!({"status": ["404"], "service": {"name": "p", "port": 80, "kind": "TraefikService"}}),
                "service.kind",
            ),
            (
                json!({"status": ["404"], "statusRewrites": {"404": 99}, "service": {"name": "p", "port": 80}}),
                "statusRewrites[404]",
            ),
            (
                json!({"status": ["404"], "statusRewrites": {"404": 204}, "service": {"name": "p", "port": 80}}),
                "statusRewrites[404]: an answer with 204 has no body",
            ),
            (
                json!({"status": ["404"], "statusRewrites": {"404": 304}, "service": {"name": "p", "port": 80}}),
                "has no body",
            ),
            (
                json!({"status": ["404"], "statusRewrites": {"404": 205}, "service": {"name": "p", "port": 80}}),
                "has no body",
            ),
            (
                json!({"status": ["404"], "query": "/a b", "service": {"name": "p", "port": 80}}),
                "spec.errors.query",
            ),
        ];
        for (content, expected) in table {
            let refused = read(content.clone()).unwrap_err();
            assert!(refused.contains(expected), "{content}: {refused}");
        }
    }
}
