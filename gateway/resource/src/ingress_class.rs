//! IngressClasses: which controller serves which Ingresses.

use std::sync::Arc;

use k8s_openapi::api::networking::v1::IngressClass as RawIngressClass;
use k8s_openapi::jiff::Timestamp;

use crate::metadata::global_name;
use crate::problem::{Kind, ObjectRef, Problem, Severity, Source};

/// A `networking.k8s.io/v1` IngressClass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressClass {
    /// `metadata.name`
    pub name: Box<str>,
    /// `spec.controller`
    pub controller: Option<Box<str>>,
    /// Whether Ingresses without a class belong to it: the annotation
    /// `ingressclass.kubernetes.io/is-default-class` is `"true"`.
    pub is_default: bool,
    /// `metadata.creationTimestamp`; absent counts as newest.
    pub created: Option<Timestamp>,
    /// Where it is written, when it comes from a file.
    pub source: Option<Arc<Source>>,
}

const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";

impl IngressClass {
    /// What a class of ours names in `spec.controller`.
    pub const CONTROLLER: &str = "blastdoor.dev/gateway";

    /// Reads an IngressClass; `None` when it has no usable name.
    #[must_use]
    pub fn from_api(object: RawIngressClass, problems: &mut Vec<Problem>) -> Option<Self> {
        let annotations = object.metadata.annotations.unwrap_or_default();
        let name = global_name(Kind::IngressClass, object.metadata.name, problems)?;
        let is_default = match annotations.get(DEFAULT_CLASS).map(String::as_str) {
            Some("true") => true,
            None | Some("false") => false,
            Some(other) => {
                problems.push(Problem::of(
                    ObjectRef::global(Kind::IngressClass, &name),
                    None,
                    Severity::Error,
                    &format!("metadata.annotations[{DEFAULT_CLASS}]"),
                    format!("`{other}` is neither `true` nor `false`; the class is not the default"),
                ));
                false
            }
        };
        let created = object.metadata.creation_timestamp.map(|time| time.0);
        let controller = object.spec.and_then(|spec| spec.controller).map(Into::into);
        Some(Self {
            name,
            controller,
            is_default,
            created,
            source: None,
        })
    }

    /// A problem of this class.
    #[must_use]
    pub fn problem(&self, severity: Severity, field: &str, message: impl Into<String>) -> Problem {
        let object = ObjectRef::global(Kind::IngressClass, &self.name);
        Problem::of(object, self.source.as_deref(), severity, field, message)
    }
}
