//! Objects as the API server sends them, each parsed separately, so that a malformed one does not affect the others.
//!
//! An API server accepts objects that no client can parse, for example with a five-digit year in `managedFields`. If a
//! page was parsed as a whole, one such object would hide all the others on it.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::kinds::WatchedKind;

/// One object, whether it could be parsed or not.
#[derive(Debug, Clone)]
pub(crate) struct RawObject<K> {
    /// Namespace, name and version. The rest is in `content`.
    meta: ObjectMeta,
    pub(crate) content: Content<K>,
}

#[derive(Debug, Clone)]
pub(crate) enum Content<K> {
    /// As the API describes it.
    Typed(Box<K>),
    /// As JSON without `managedFields`, and why it could not be parsed.
    Untyped(Value, String),
}

impl<'de, K: WatchedKind> Deserialize<'de> for RawObject<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut json = Value::deserialize(deserializer)?;
        let text = |field| Some(json.get("metadata")?.get(field)?.as_str()?.to_owned());
        let meta = ObjectMeta {
            namespace: text("namespace"),
            name: text("name"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        let content = match K::deserialize(&json) {
            Ok(object) => Content::Typed(Box::new(object)),
            Err(error) => {
                if let Some(metadata) = json.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.remove("managedFields");
                }
                match K::deserialize(&json) {
                    Ok(object) => Content::Typed(Box::new(object)),
                    Err(_) => Content::Untyped(json, error.to_string()),
                }
            }
        };
        Ok(Self { meta, content })
    }
}

/// Its API is that of its content.
impl<K: WatchedKind> kube::Resource for RawObject<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}
