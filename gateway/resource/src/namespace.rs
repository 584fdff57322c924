//! Namespaces, for their labels.

use k8s_openapi::api::core::v1::Namespace as RawNamespace;

use crate::labels::Labels;
use crate::metadata::global_name;
use crate::problem::{Kind, Problem};

/// A `v1` Namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// `metadata.name`
    pub name: Box<str>,
    /// `metadata.labels`
    pub labels: Labels,
}

impl Namespace {
    /// Reads a Namespace; `None` when it has no usable name.
    #[must_use]
    pub fn from_api(object: RawNamespace, problems: &mut Vec<Problem>) -> Option<Self> {
        let name = global_name(Kind::Namespace, object.metadata.name, problems)?;
        Some(Self {
            name,
            labels: object.metadata.labels.unwrap_or_default().into_iter().collect(),
        })
    }
}
