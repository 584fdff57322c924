//! Objects as they are written.

use std::sync::Arc;

use route::ObjectKey;
use serde_json::Value;

/// An object as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct RawObject {
    /// `apiVersion`
    pub api_version: String,
    /// `kind`
    pub kind: String,
    /// `metadata.namespace`, if it is written.
    pub namespace: Option<String>,
    /// `metadata.name`
    pub name: String,
    /// All of it.
    pub value: Value,
    /// The file it comes from; `None`: from an API server.
    pub file: Option<Arc<str>>,
}

/// Objects of one list are at most this deep in lists of lists.
const MOST_LISTS: usize = 8;

/// The objects of a document; those of a list one by one.
#[must_use]
pub fn objects_of(document: Value, file: Option<&Arc<str>>) -> Vec<RawObject> {
    let mut found = Vec::new();
    gather(document, file, MOST_LISTS, &mut found);
    found
}

fn text(document: &Value, pointer: &str) -> Option<String> {
    let value = document.pointer(pointer).and_then(Value::as_str);
    value.map(str::to_owned)
}

fn gather(mut document: Value, file: Option<&Arc<str>>, depth: usize, found: &mut Vec<RawObject>) {
    let kind = text(&document, "/kind").unwrap_or_default();
    if let Some(item_kind) = kind.strip_suffix("List")
        && let Some(Value::Array(items)) = document.get_mut("items").map(Value::take)
    {
        let version = text(&document, "/apiVersion");
        if depth > 0 {
            for mut item in items {
                if !item_kind.is_empty() {
                    inherit(&mut item, item_kind, version.as_deref());
                }
                gather(item, file, depth - 1, found);
            }
        }
        return;
    }
    let Some(name) = text(&document, "/metadata/name") else {
        return;
    };
    found.push(RawObject {
        api_version: text(&document, "/apiVersion").unwrap_or_default(),
        namespace: text(&document, "/metadata/namespace"),
        kind,
        name,
        value: document,
        file: file.cloned(),
    });
}

/// Items of a typed list, as of an IngressList, need not say what they are.
fn inherit(item: &mut Value, kind: &str, version: Option<&str>) {
    let inherited = [("kind", Some(kind)), ("apiVersion", version)];
    for (name, value) in inherited {
        if item.get(name).and_then(Value::as_str).is_none()
            && let (Some(fields), Some(value)) = (item.as_object_mut(), value)
        {
            fields.insert(name.to_owned(), value.into());
        }
    }
}

impl RawObject {
    /// Its group and kind, as in `traefik.io/IngressRoute`.
    pub(crate) fn group_kind(&self) -> String {
        let group = self.api_version.split_once('/').map_or("", |(group, _)| group);
        format!("{group}/{}", self.kind)
    }

    /// Namespace and name, if it has a namespace or stands in the default one.
    pub(crate) fn key(&self) -> ObjectKey {
        ObjectKey::new(self.namespace.as_deref().unwrap_or("default"), self.name.as_str())
    }

    /// Whether it is an Ingress of the version that is read here.
    pub(crate) fn is_ingress(&self) -> bool {
        self.kind == "Ingress" && self.api_version == "networking.k8s.io/v1"
    }

    /// Whether it is a Middleware of the version that is read here.
    pub(crate) fn is_middleware(&self) -> bool {
        self.kind == "Middleware" && self.api_version == "traefik.io/v1alpha1"
    }

    /// Its annotations.
    pub(crate) fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self
            .value
            .pointer("/metadata/annotations")
            .and_then(Value::as_object);
        all.into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }

    /// The value of an annotation.
    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| value)
    }

    /// Its entry of `metadata.labels`.
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        let labels = self.value.pointer("/metadata/labels")?;
        labels.get(key)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::objects_of;

    /// As an API server writes them.
    #[test]
    fn items_of_a_typed_list_inherit_kind_and_version() {
        let item = |name: &str| json!({"metadata": {"name": name}});
        let list = |kind: &str, items: Vec<serde_json::Value>| json!({"apiVersion": "networking.k8s.io/v1", "kind": kind, "items": items});
        let own = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "own"}});
        let found = objects_of(list("IngressList", vec![item("a"), own.clone()]), None);
        assert!(found[0].is_ingress(), "{found:?}");
        let complete =
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "a"}});
        assert_eq!((&found[0].value, &found[1].value), (&complete, &own));

        let found = objects_of(list("List", vec![item("a")]), None);
        assert_eq!((&*found[0].kind, &*found[0].api_version), ("", ""));
    }
}
