//! Pages of a Service in place of errors.
#![allow(
    dead_code,
    reason = "the conversion of each kind follows; remove this with the last of them"
)]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::kind::{InvalidMiddleware, MiddlewareKind};
use super::reading::Reading;
use super::row::Form::{Any, NumberMap, Object, Port, Text, Texts};
use super::row::{FieldRow, KindEffect, KindRow, field};

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
    let _raw: Errors = reading.raw(content)?;
    Err(reading.refuse("", "not supported yet"))
}
