//! ConfigMaps: named texts.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap as RawConfigMap;
use route::ObjectKey;

use crate::metadata::Metadata;
use crate::problem::{Kind, Problem};

/// A `v1` ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMap {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `data`; `binaryData` is not read.
    pub data: BTreeMap<Box<str>, Box<str>>,
}

impl ConfigMap {
    /// Reads a ConfigMap; `None` when it has no usable name.
    #[must_use]
    pub fn from_api(object: RawConfigMap, problems: &mut Vec<Problem>) -> Option<Self> {
        let meta = Metadata::namespaced(Kind::ConfigMap, object.metadata, problems)?;
        let data = object.data.unwrap_or_default().into_iter();
        Some(Self {
            key: meta.key,
            data: data.map(|(name, text)| (name.into(), text.into())).collect(),
        })
    }
}
