//! Objects as the API server sends them, each parsed separately, so that a malformed one does not affect the others.
//!
//! An API server accepts objects that no client can parse, for example with a five-digit year in `managedFields`. If a
//! page was parsed as a whole, one such object would hide all the others on it; so would one that is nested too deep. Each is reduced at once to what the gateway
//! keeps, so that a page of whole objects is never in memory.

use std::borrow::Cow;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::kinds::WatchedKind;
use super::observed::{Content, Observed};
use crate::cluster::shallow::Shallow;

/// One object of the API server, whether it could be parsed or not.
#[derive(Debug, Clone)]
pub(crate) struct ReceivedObject<K> {
    /// Namespace, name and version, for the library.
    meta: ObjectMeta,
    observed: Observed,
    kind: PhantomData<K>,
}

impl<K> ReceivedObject<K> {
    pub(crate) fn into_observed(self) -> Observed {
        self.observed
    }
}

impl<'de, K: WatchedKind> Deserialize<'de> for ReceivedObject<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Shallow { json, is_too_deep } = Shallow::deserialize(deserializer)?;
        let text = |field| Some(json.get("metadata")?.get(field)?.as_str()?.to_owned());
        let meta = ObjectMeta {
            namespace: text("namespace"),
            name: text("name"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        let content = if is_too_deep {
            Content::Untyped(json, Shallow::TOO_DEEP.to_owned())
        } else {
            content::<K>(json)
        };
        Ok(Self {
            observed: Observed::new(&meta, content),
            meta,
            kind: PhantomData,
        })
    }
}

/// Parses what is of interest of an object.
fn content<K: WatchedKind>(mut json: Value) -> Content<K> {
    forget_fields(&mut json);
    match K::deserialize(&json) {
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
    }
}

/// Leaves of `metadata.managedFields[].fieldsV1` only who owns the status. The rest is most of an object, nobody asks for it,
/// and a page of it would be in memory twice.
fn forget_fields(json: &mut Value) {
    let entries = json.pointer_mut("/metadata/managedFields");
    for entry in entries.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(fields) = entry.get_mut("fieldsV1").and_then(Value::as_object_mut) {
            fields.retain(|name, _| name == "f:status");
        }
    }
}

/// Its API is that of its content.
impl<K: WatchedKind> kube::Resource for ReceivedObject<K> {
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

#[cfg(test)]
mod tests {
    use k8s_openapi::api::networking::v1::Ingress;
    use serde_json::json;

    use super::*;

    #[test]
    fn of_managed_fields_only_those_of_the_status_are_kept() {
        let sent = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "name": "app", "namespace": "shop", "managedFields": [
                { "manager": "helm", "time": "2026-11-27T10:00:00Z",
                  "fieldsV1": { "f:metadata": { "f:labels": {} }, "f:spec": { "f:ports": {} } } },
                { "manager": "cloud", "time": "2026-11-27T11:00:00Z", "subresource": "status",
                  "fieldsV1": { "f:status": { "f:loadBalancer": { "f:ingress": {} } } } },
                { "manager": "odd", "fieldsV1": {} },
            ] },
            "status": { "loadBalancer": { "ingress": [{ "hostname": "lb.test" }] } },
        });
        let Content::Typed(ingress) = content::<Ingress>(sent.clone()) else {
            panic!("it is as the API describes it");
        };
        let kept = serde_json::to_value(ingress.metadata.managed_fields).unwrap();
        assert_eq!(
            kept,
            json!([
                { "manager": "helm", "time": "2026-11-27T10:00:00Z", "fieldsV1": {} },
                { "manager": "cloud", "time": "2026-11-27T11:00:00Z", "subresource": "status",
                  "fieldsV1": { "f:status": { "f:loadBalancer": { "f:ingress": {} } } } },
                { "manager": "odd", "fieldsV1": {} },
            ])
        );
        let observed = ReceivedObject::<Ingress>::deserialize(sent)
            .unwrap()
            .into_observed();
        assert_eq!(observed.status.writer.as_deref(), Some("cloud"));
        assert_eq!(observed.write.manager.as_deref(), Some("helm"));
    }
}
