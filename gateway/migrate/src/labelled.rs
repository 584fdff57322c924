//! Copies of Ingresses with the labels that they lack.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use route::ObjectKey;
use serde_json::{Map, Value};

use crate::given::Given;
use crate::placing::By;
use crate::raw::RawObject;
use crate::yaml;

/// An Ingress with the labels that it lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// `NAMESPACE.NAME.yaml`; if that is too long, its beginning and a hash of it.
    pub file_name: String,
    /// The object in YAML.
    pub text: String,
}

/// What an API server adds, and what is of no use in a manifest.
const SERVER_FIELDS: &[&str] = &[
    "managedFields",
    "resourceVersion",
    "uid",
    "generation",
    "creationTimestamp",
    "selfLink",
];
/// Bytes of a file name without its extension: file systems take 255 with it.
const LONGEST_NAME: usize = 250;
/// Of these, what comes before a hash.
const LONGEST_BEGINNING: usize = 230;
/// The whole object once more, without the labels.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A copy of each Ingress that is to have labels that somebody has asked for. What is only guessed is left out, and so is
/// what needs no label.
#[must_use]
pub fn copies(given: &Given<'_>) -> Vec<Copy> {
    let mut copies = Vec::new();
    for raw in given.raw.iter().filter(|raw| raw.is_ingress()) {
        let Some(place) = given.places.get(&raw.key()) else {
            continue;
        };
        if place.by == By::Asked && !place.labels.is_empty() {
            copies.push(copy(raw, &place.labels));
        }
    }
    copies.sort_by(|left: &Copy, right| left.file_name.cmp(&right.file_name));
    copies.dedup_by(|later, first| later.file_name == first.file_name);
    copies
}

fn copy(raw: &RawObject, labels: &[(String, String)]) -> Copy {
    let mut object = raw.value.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
        let metadata = fields
            .entry("metadata")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(metadata) = metadata.as_object_mut() {
            for field in SERVER_FIELDS {
                metadata.remove(*field);
            }
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove(LAST_APPLIED);
            }
            let written = metadata.entry("labels").or_insert(Value::Null);
            if !written.is_object() {
                *written = Value::Object(Map::new());
            }
            if let Some(written) = written.as_object_mut() {
                for (key, value) in labels {
                    written.insert(key.clone(), Value::String(value.clone()));
                }
            }
        }
    }
    Copy {
        file_name: file_name(&raw.key()),
        text: yaml::document(&object),
    }
}

fn file_name(key: &ObjectKey) -> String {
    let name = format!("{}.{}", key.namespace(), key.name());
    if name.len() <= LONGEST_NAME {
        return format!("{name}.yaml");
    }
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let beginning = name.get(..name.floor_char_boundary(LONGEST_BEGINNING));
    format!("{}~{:016x}.yaml", beginning.unwrap_or_default(), hasher.finish())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::raw::objects_of;

    /// File systems take 255 bytes; a namespace and a name may have 316.
    #[test]
    fn long_names_give_short_file_names_that_differ() {
        let copy = |name: &str| {
            let written = json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": {"name": name, "namespace": "n".repeat(63)},
            });
            copy(&objects_of(written, None)[0], &[])
        };
        let long = "x".repeat(252);
        let (first, second) = (copy(&format!("{long}a")), copy(&format!("{long}b")));
        assert!(first.file_name.len() <= 255, "{}", first.file_name);
        assert!(first.file_name.ends_with(".yaml"), "{}", first.file_name);
        assert_ne!(first.file_name, second.file_name);
        assert_eq!(first, copy(&format!("{long}a")), "the same each time");
    }

    /// Whatever was written is there again when the copy is read, but for what the API server adds.
    #[test]
    fn a_copy_keeps_everything_but_what_the_api_server_adds() {
        let spec = json!({
            "rules": [{"host": "a.test", "http": {"paths": [{"path": "/", "pathType": "Prefix"}]}}],
            "tls": [{"hosts": ["*.a.test", "yes"], "secretName": "a"}],
        });
        let annotations = json!({
            "nginx.ingress.kubernetes.io/configuration-snippet": "more_set_headers \"X: y\";\n  # a: b\n",
            "empty": "", "number": "8", "truth": "true", "date": "2026-11-27", "colon": "a: b", "hash": "a #b", "tab": "\ta",
            "unicode": "é\u{202e}x\u{0}", "null": "null", "dash": "- a", "star": "*a", "quote": "it's \"so\"", "long": "x".repeat(300),
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        });
        let written = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "1", "resourceVersion": "2", "generation": 3,
                "creationTimestamp": "2020-01-01T00:00:00Z", "managedFields": [{}], "finalizers": ["x/y"],
                "labels": {"app": "web"}, "annotations": annotations,
            },
            "spec": spec, "status": {"loadBalancer": {}}, "unknown": [[], {}, [1, [2.5, true]]],
        });
        let raw = objects_of(written, None);
        let copy = copy(&raw[0], &[("expose".to_owned(), "a".to_owned())]);
        assert_eq!(copy.file_name, "shop.web.yaml");
        let read = resource::manifest::values(copy.text.as_bytes()).unwrap();
        let mut kept = annotations;
        kept.as_object_mut().unwrap().remove(LAST_APPLIED);
        let expected = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {
                "name": "web", "namespace": "shop", "finalizers": ["x/y"],
                "labels": {"app": "web", "expose": "a"}, "annotations": kept,
            },
            "spec": spec, "unknown": [[], {}, [1, [2.5, true]]],
        });
        assert_eq!(read, [expected], "{}", copy.text);
    }
}
