//! What every object has: `metadata`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use route::ObjectKey;

use crate::labels::Labels;
use crate::problem::{Kind, ObjectRef, Problem, Severity};

/// The parts of `metadata` that the gateway reads.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) key: ObjectKey,
    pub(crate) generation: Option<i64>,
    pub(crate) uid: Option<Box<str>>,
    pub(crate) created: Option<Timestamp>,
    pub(crate) labels: Labels,
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Metadata {
    /// Reads the metadata of a namespaced object. Without a usable name there is no object: `None`, and a problem.
    pub(crate) fn namespaced(kind: Kind, meta: ObjectMeta, problems: &mut Vec<Problem>) -> Option<Self> {
        let namespace = meta.namespace.unwrap_or_else(|| "default".to_owned());
        let name = meta.name.unwrap_or_default();
        let key = ObjectKey::new(namespace, name);
        let object = ObjectRef::namespaced(kind, &key);
        if let Some(message) = unusable_name(key.name()) {
            problems.push(Problem::of(
                object,
                None,
                Severity::Error,
                "metadata.name",
                message,
            ));
            return None;
        }
        if !is_label(key.namespace()) {
            let message = format!(
                "`{}` is not a namespace; allowed: at most 63 lower-case letters, digits and `-`; the object is ignored",
                key.namespace()
            );
            problems.push(Problem::of(
                object,
                None,
                Severity::Error,
                "metadata.namespace",
                message,
            ));
            return None;
        }
        Some(Self {
            key,
            generation: meta.generation,
            uid: meta.uid.map(Into::into),
            created: meta.creation_timestamp.map(|time| time.0),
            labels: meta.labels.unwrap_or_default().into_iter().collect(),
            annotations: meta.annotations.unwrap_or_default(),
        })
    }
}

/// Reads the name of a cluster-scoped object. Without a usable name there is no object: `None`, and a problem.
pub(crate) fn global_name(kind: Kind, name: Option<String>, problems: &mut Vec<Problem>) -> Option<Box<str>> {
    let name = name.unwrap_or_default();
    match unusable_name(&name) {
        None => Some(name.into()),
        Some(message) => {
            let object = ObjectRef::global(kind, &name);
            problems.push(Problem::of(
                object,
                None,
                Severity::Error,
                "metadata.name",
                message,
            ));
            None
        }
    }
}

fn unusable_name(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("the object has no name and is ignored; write `metadata.name`".to_owned());
    }
    let usable = name.len() <= 253 && name.split('.').all(|label| is_name_part(label.as_bytes()));
    (!usable).then(|| {
        format!(
            "`{name}` is not an object name; allowed: at most 253 lower-case letters, digits, `-` and `.`; \
             the object is ignored"
        )
    })
}

/// An RFC 1123 label: the form of namespaces and Service names.
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_name_part(text.as_bytes())
}

fn is_name_part(part: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    part.first().is_some_and(plain)
        && part.last().is_some_and(plain)
        && part.iter().all(|byte| plain(byte) || *byte == b'-')
}
