//! Objects as the API server sends them, each read by itself: one that cannot be read harms no other.
//!
//! Whoever may write objects can write some that the API server accepts and that no client reads (a year of five
//! digits in `managedFields` is one). Read as a page, such an object would hide all the others.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::kinds::WatchedKind;

/// One object, read or not.
#[derive(Debug, Clone)]
pub(crate) struct RawObject<K> {
    /// Namespace, name and version; of an object that is read, the rest is in it.
    meta: ObjectMeta,
    pub(crate) content: Content<K>,
}

#[derive(Debug, Clone)]
pub(crate) enum Content<K> {
    /// As the API describes it.
    Typed(Box<K>),
    /// As JSON without what concerns nobody here, and why it is not as the API describes it.
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

/// At the same place as what is in it.
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
