//! The object.

use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use route::ObjectKey;
use serde::Deserialize;
use serde_json::Value;

use super::check::{fit, unknown};
use super::kind::{InvalidMiddleware, MiddlewareKind};
use super::reading::Reading;
use super::row::KindEffect;
use super::table::KINDS;
use crate::metadata::Metadata;
use crate::reporter::{Reporter, UnreadableFields};
use crate::{Kind, ObjectRef, Problem, Severity, Source};

/// A `traefik.io/v1alpha1` Middleware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Middleware {
    /// Namespace and name.
    pub key: ObjectKey,
    /// What it asks for, or why it cannot be used.
    pub kind: Result<MiddlewareKind, InvalidMiddleware>,
    /// Where it is written, when it comes from a file.
    pub source: Option<Arc<Source>>,
}

/// A Middleware as the API has it. What is below `spec` is read by the table of kinds.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RawMiddleware {
    /// `metadata`
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// `spec`
    #[serde(default)]
    pub spec: Value,
}

impl k8s_openapi::Resource for RawMiddleware {
    const API_VERSION: &'static str = "traefik.io/v1alpha1";
    const GROUP: &'static str = "traefik.io";
    const KIND: &'static str = "Middleware";
    const VERSION: &'static str = "v1alpha1";
    const URL_PATH_SEGMENT: &'static str = "middlewares";
    type Scope = NamespaceResourceScope;
}

impl k8s_openapi::Metadata for RawMiddleware {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Middleware {
    /// Reads a Middleware; `None` when it has no usable name.
    #[must_use]
    pub fn from_api(object: RawMiddleware, problems: &mut Vec<Problem>) -> Option<Self> {
        Self::read(object, &UnreadableFields::default(), problems)
    }

    pub(crate) fn read(
        object: RawMiddleware,
        unreadable: &UnreadableFields,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let meta = Metadata::namespaced(Kind::Middleware, object.metadata, problems)?;
        let reference = ObjectRef::namespaced(Kind::Middleware, &meta.key);
        let mut reporter = Reporter::new(reference, unreadable, problems);
        let kind = match unreadable.first_below("spec") {
            Some(field) => Err(InvalidMiddleware {
                field: field.into(),
                reason: "it cannot be read".into(),
            }),
            None => read_spec(&meta.key, object.spec, &mut reporter),
        };
        if let Err(InvalidMiddleware { field, reason }) = &kind {
            // A cluster may have any number of Middlewares that no Ingress of ours names. One that does is told as an error.
            let message = format!("{reason}; Ingresses that name this Middleware answer 503");
            reporter.note(field, message);
        }
        Some(Self {
            key: meta.key,
            kind,
            source: None,
        })
    }

    /// A problem of this Middleware.
    #[must_use]
    pub fn problem(&self, severity: Severity, field: &str, message: impl Into<String>) -> Problem {
        let object = ObjectRef::namespaced(Kind::Middleware, &self.key);
        Problem::of(object, self.source.as_deref(), severity, field, message)
    }
}

/// Reads the one kind below `spec`.
fn read_spec(
    key: &ObjectKey,
    spec: Value,
    reporter: &mut Reporter<'_>,
) -> Result<MiddlewareKind, InvalidMiddleware> {
    let wrong = |field: &str, reason: String| InvalidMiddleware {
        field: field.into(),
        reason: reason.into(),
    };
    let written = match spec {
        Value::Object(written) => written,
        Value::Null => serde_json::Map::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err(wrong(
                "spec",
                "expected a map with one kind of middleware".to_owned(),
            ));
        }
    };
    let mut kinds = written.into_iter().filter(|(_, content)| !content.is_null());
    let Some((name, content)) = kinds.next() else {
        let reason = "it names no kind of middleware; write one, such as `rateLimit`";
        return Err(wrong("spec", reason.to_owned()));
    };
    let at = format!("spec.{name}");
    let Some(row) = KINDS.iter().find(|row| row.name == name) else {
        return Err(unknown(&name, KINDS.iter().map(|row| row.name), &at));
    };
    if let Some((other, _)) = kinds.next() {
        let reason = format!("it is the second kind beside `{name}`; write one Middleware for each");
        return Err(wrong(&format!("spec.{other}"), reason));
    }
    let content = if row.fields.is_empty() {
        content
    } else {
        fit(row.fields, content, &at, reporter)?
    };
    match row.effect {
        KindEffect::Honoured(convert) => convert(content, &mut Reading::new(key, row.name, reporter)),
        KindEffect::Closes(reason) => Err(wrong(&at, reason.to_owned())),
    }
}
