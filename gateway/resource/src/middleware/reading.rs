//! A Middleware while its content is converted.

use route::ObjectKey;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::kind::InvalidMiddleware;
use crate::metadata::is_label;
use crate::problem::{Severity, Topic};
use crate::reporter::Reporter;

/// What conversions know of the Middleware, and where they put what is wrong with it.
pub(super) struct Reading<'a, 'r> {
    /// Namespace and name.
    key: &'a ObjectKey,
    /// As in `spec.rateLimit`.
    at: String,
    reporter: &'a mut Reporter<'r>,
}

impl<'a, 'r> Reading<'a, 'r> {
    pub(super) fn new(key: &'a ObjectKey, kind: &str, reporter: &'a mut Reporter<'r>) -> Self {
        Self {
            key,
            at: format!("spec.{kind}"),
            reporter,
        }
    }

    /// The content as its raw type. Whether every field fits its row has been checked before.
    pub(super) fn raw<R: DeserializeOwned>(&self, content: Value) -> Result<R, InvalidMiddleware> {
        serde_json::from_value(content).map_err(|error| self.refuse("", error.to_string()))
    }

    /// The Middleware cannot be used because of a field below its kind, as in `sourceCriterion.requestHost`; an empty one
    /// is the kind as a whole.
    pub(super) fn refuse(&self, field: &str, reason: impl Into<Box<str>>) -> InvalidMiddleware {
        InvalidMiddleware {
            field: self.field(field).into(),
            reason: reason.into(),
        }
    }

    /// Something is ignored, and the writer may have counted on it.
    pub(super) fn warn(&mut self, field: &str, message: impl Into<String>) {
        let field = self.field(field);
        self.reporter.warning(&field, message);
    }

    /// Something means another thing here than in Traefik.
    pub(super) fn note(&mut self, field: &str, message: impl Into<String>) {
        let field = self.field(field);
        self.reporter
            .report_about(Topic::FilterDiffers, Severity::Note, &field, message);
    }

    /// The namespace of the Middleware.
    pub(super) fn namespace(&self) -> &str {
        self.key.namespace()
    }

    /// The object of this name in the namespace of the Middleware: nothing of another namespace is ever used.
    pub(super) fn local(&self, field: &str, name: &str) -> Result<ObjectKey, InvalidMiddleware> {
        let is_name = name.len() <= 253 && name.split('.').all(is_label);
        if is_name {
            return Ok(ObjectKey::new(self.key.namespace(), name));
        }
        Err(self.refuse(
            field,
            if name.is_empty() {
                "it is missing; write the name of an object in the namespace of the Middleware".to_owned()
            } else {
                format!("`{name}` is not the name of an object in the namespace of the Middleware")
            },
        ))
    }

    fn field(&self, below: &str) -> String {
        if below.is_empty() {
            self.at.clone()
        } else {
            format!("{}.{below}", self.at)
        }
    }
}
