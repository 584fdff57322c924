//! What a report is made of.

use std::sync::Arc;

use resource::{ClusterView, Kind, ObjectRef, ProblemLists};
use route::ObjectKey;
use serde_json::Value;

use crate::controller::Controller;
use crate::facts::DoorFacts;
use crate::placing::Places;
use crate::report::Unreadable;

/// What a report is made of.
#[derive(Debug)]
pub struct Given<'a> {
    /// The objects, with the labels that are to be added.
    pub view: &'a ClusterView,
    /// What reading and compiling them has found.
    pub problems: &'a ProblemLists,
    /// The doors.
    pub doors: &'a [DoorFacts<'a>],
    /// The objects as they are written, of all kinds.
    pub raw: &'a [RawObject],
    /// Where each Ingress lands.
    pub places: &'a Places,
    /// What could not be read.
    pub unreadable: &'a [Unreadable],
    /// Whose Ingresses are, where nothing says it.
    pub from: Option<Controller>,
}

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

fn gather(mut document: Value, file: Option<&Arc<str>>, depth: usize, found: &mut Vec<RawObject>) {
    let text = |document: &Value, pointer: &str| {
        let value = document.pointer(pointer).and_then(Value::as_str);
        value.map(str::to_owned)
    };
    let kind = text(&document, "/kind").unwrap_or_default();
    if kind.ends_with("List")
        && let Some(Value::Array(items)) = document.get_mut("items").map(Value::take)
    {
        if depth > 0 {
            for item in items {
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

impl Given<'_> {
    /// Whether objects of a kind are among what was read: where none is, a missing one says nothing.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        match kind {
            Kind::Service => self.view.services().len() > 0,
            Kind::Secret => self.view.secrets().len() > 0,
            Kind::ConfigMap => self.view.config_maps().len() > 0,
            Kind::Middleware => self.view.middlewares().len() > 0,
            Kind::EndpointSlice => self.view.all_endpoint_slices().len() > 0,
            Kind::Ingress
            | Kind::IngressClass
            | Kind::Namespace
            | Kind::File
            | Kind::Cluster
            | Kind::Variable => true,
        }
    }

    /// The Middlewares that an Ingress passes through, chains followed, as far as they are there.
    pub(crate) fn middlewares_of(&self, ingress: &ObjectKey) -> Vec<ObjectKey> {
        let start = ObjectRef::namespaced(Kind::Ingress, ingress);
        let mut found: Vec<ObjectKey> = Vec::new();
        let mut next = vec![start];
        while let Some(object) = next.pop() {
            let Some(object) = self.view.object(&object) else {
                continue;
            };
            for named in door::objects_of(&object) {
                let key = ObjectKey::new(named.namespace.as_deref().unwrap_or_default(), &*named.name);
                if named.kind == Kind::Middleware && !found.contains(&key) {
                    found.push(key);
                    next.push(named);
                }
            }
        }
        found.retain(|key| self.view.middleware(key).is_some());
        found
    }
}
