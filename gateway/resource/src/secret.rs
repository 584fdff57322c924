//! Secrets: certificates, keys and passwords, as named bytes.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::Secret as RawSecret;
use route::ObjectKey;

use crate::metadata::Metadata;
use crate::problem::{Kind, Problem};

/// A `v1` Secret. Its `Debug` names the entries and shows none of their contents.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `type`, as in `kubernetes.io/tls`; `Opaque` when absent.
    pub kind: Box<str>,
    /// `data`, decoded; what is in `stringData` counts instead.
    pub data: BTreeMap<Box<str>, Box<[u8]>>,
}

impl Secret {
    /// Reads a Secret; `None` when it has no usable name.
    #[must_use]
    pub fn from_api(object: RawSecret, problems: &mut Vec<Problem>) -> Option<Self> {
        let meta = Metadata::namespaced(Kind::Secret, object.metadata, problems)?;
        let decoded = object
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(name, bytes)| (name, bytes.0));
        let plain = object
            .string_data
            .unwrap_or_default()
            .into_iter()
            .map(|(name, text)| (name, text.into_bytes()));
        Some(Self {
            key: meta.key,
            kind: object.type_.unwrap_or_else(|| "Opaque".to_owned()).into(),
            data: decoded
                .chain(plain)
                .map(|(name, bytes)| (name.into(), bytes.into()))
                .collect(),
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: Vec<&str> = self.data.keys().map(|name| &**name).collect();
        out.debug_struct("Secret")
            .field("key", &self.key)
            .field("kind", &self.kind)
            .field("data", &entries)
            .finish_non_exhaustive()
    }
}
