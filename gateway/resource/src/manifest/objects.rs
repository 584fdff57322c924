//! From a document's tree to typed objects.

use std::convert::Infallible;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::reader::{Placed, Reader, line_of};
use super::schema;
use super::shape::{Field, Findings, Shape};
use super::tree::{Node, Value};
use crate::metadata::global_name;
use crate::reporter::UnreadableFields;
use crate::{
    ConfigMap, EndpointSlice, Ingress, IngressClass, Kind, Middleware, Object, ObjectRef, Problem, Secret,
    Service, Severity, Source,
};

/// Bytes of text in one object. A cluster stores no larger one (etcd's default request limit).
const MAX_OBJECT_BYTES: usize = 1_572_864;

/// The type that a document or an item of a list gives for itself.
struct Type<'a> {
    api_version: Option<&'a str>,
    kind: &'a str,
}

/// What to do with an object of some type.
enum Recognised {
    /// Read it.
    Known(Kind),
    /// Ignore it with a note: the gateway has no use for it.
    Foreign,
    /// Ignore it with an error that gives advice: it is nearly a type that the gateway reads.
    Mistaken(String),
}

impl Reader {
    /// The root of a document: one object, or a list of objects.
    pub(super) fn root(&mut self, root: &Node) {
        let Some(kind) = root.field("kind").and_then(Node::text) else {
            let message = match root.value {
                Value::Map(_) => "the document has no `kind` and is ignored",
                Value::List(_) => {
                    "the document is a list and is ignored; write one object per document, or `kind: List` with `items`"
                }
                Value::Scalar(_) | Value::Unreadable { .. } => {
                    "the document is not a Kubernetes object and is ignored"
                }
            };
            return self.ignored(root.line, message);
        };
        let this = Type {
            api_version: root.field("apiVersion").and_then(Node::text),
            kind,
        };
        match kind.strip_suffix("List") {
            Some(item_kind) if root.field("items").is_some() => {
                self.list(
                    root,
                    (!item_kind.is_empty()).then_some(&Type {
                        kind: item_kind,
                        ..this
                    }),
                );
            }
            _ => self.object(root, &this),
        }
    }

    /// The items of a list. Those of a typed list need not name their kind.
    fn list(&mut self, root: &Node, item_type: Option<&Type<'_>>) {
        let items = match root.field("items") {
            Some(Node {
                value: Value::List(items),
                ..
            }) => items,
            Some(items) if items.is_null() => return,
            _ => {
                return self.ignored(
                    line_of(root, "items"),
                    "`items` is not a list; the document is ignored",
                );
            }
        };
        for item in items {
            let kind = item
                .field("kind")
                .and_then(Node::text)
                .or(item_type.map(|inherited| inherited.kind));
            let api_version = item
                .field("apiVersion")
                .and_then(Node::text)
                .or(item_type.and_then(|inherited| inherited.api_version));
            match kind {
                Some(kind) => self.object(item, &Type { api_version, kind }),
                None => self.ignored(item.line, "the item has no `kind` and is ignored"),
            }
        }
    }

    fn object(&mut self, node: &Node, this: &Type<'_>) {
        let kind = match this.recognise() {
            Recognised::Known(kind) => kind,
            Recognised::Foreign => {
                let advice = if this.is_former_middleware() {
                    format!("; write apiVersion: {}", Kind::Middleware.api_version())
                } else {
                    String::new()
                };
                let message = format!(
                    "{} is not a kind that the gateway reads; the object is ignored{advice}",
                    this.describe()
                );
                let object = ObjectRef::global(Kind::File, &self.file);
                return self.report(Severity::Note, object, "kind", line_of(node, "kind"), message);
            }
            Recognised::Mistaken(message) => {
                let object = match Kind::ALL.iter().find(|kind| kind.as_str() == this.kind) {
                    Some(kind) => reference(*kind, node),
                    None => ObjectRef::global(Kind::File, &self.file),
                };
                return self.report(
                    Severity::Error,
                    object,
                    "apiVersion",
                    line_of(node, "apiVersion"),
                    message,
                );
            }
        };
        if node.text_size() > MAX_OBJECT_BYTES {
            let message = "larger than 1.5 MiB, which no cluster would store; the object is ignored";
            return self.report(Severity::Error, reference(kind, node), "", node.line, message);
        }
        let object = match kind {
            Kind::Ingress => self.read(kind, node, schema::INGRESS, |raw, unreadable, problems| {
                let mut ingress = Ingress::read(raw, unreadable, problems)?;
                ingress.close_hosts(lost_hosts(node, unreadable));
                Some(ingress)
            }),
            Kind::IngressClass => self.read(kind, node, schema::INGRESS_CLASS, |raw, _, problems| {
                IngressClass::from_api(raw, problems)
            }),
            Kind::Service => self.read(kind, node, schema::SERVICE, Service::read),
            Kind::EndpointSlice => self.read(kind, node, schema::ENDPOINT_SLICE, EndpointSlice::read),
            Kind::Secret => self.read(kind, node, schema::SECRET, |raw, _, problems| {
                Secret::from_api(raw, problems)
            }),
            Kind::ConfigMap => self.read(kind, node, schema::CONFIG_MAP, |raw, _, problems| {
                ConfigMap::from_api(raw, problems)
            }),
            Kind::Namespace => self.read(kind, node, schema::NAMESPACE, |raw: Namespace, _, problems| {
                // A well-formed one is fine and not kept: nothing depends on it.
                let _name = global_name(kind, raw.metadata.name, problems);
                None::<Infallible>
            }),
            Kind::Middleware => self.read(kind, node, schema::MIDDLEWARE, Middleware::read),
            Kind::File | Kind::Cluster | Kind::Variable => None,
        };
        if let Some(object) = object {
            let at = self.at(node.line);
            self.manifest.objects.push(Placed { object, at });
        }
    }

    /// Fits the tree to the schema, converts it to the API type and that to ours, and gives every problem its line.
    fn read<R: DeserializeOwned, T: Placeable>(
        &mut self,
        kind: Kind,
        node: &Node,
        fields: &'static [Field],
        convert: impl FnOnce(R, &UnreadableFields, &mut Vec<Problem>) -> Option<T>,
    ) -> Option<Object> {
        let mut findings = Findings::default();
        let fitted = Shape::Object(fields)
            .fit(node, "", &mut findings)
            .unwrap_or(Json::Null);
        let Findings {
            unreadable,
            problems,
            mut lines,
        } = findings;
        lines.sort_unstable();
        let source = Source {
            file: Arc::clone(&self.file),
            line: node.line,
            fields: lines.into(),
        };
        let whose = reference(kind, node);
        for finding in problems {
            let problem = Problem::of(
                whose.clone(),
                Some(&source),
                finding.severity,
                &finding.field,
                finding.message,
            );
            self.manifest.problems.push(problem);
        }
        let raw = match serde_json::from_value::<R>(fitted) {
            Ok(raw) => raw,
            Err(_) => {
                let message = "cannot be read; the object is ignored";
                self.report(Severity::Error, whose, "", node.line, message);
                return None;
            }
        };
        let first = self.manifest.problems.len();
        let typed = convert(raw, &unreadable, &mut self.manifest.problems);
        for problem in self.manifest.problems.iter_mut().skip(first) {
            problem.source = Some(source.at(&problem.field));
        }
        typed.map(|typed| typed.placed(source))
    }
}

/// An object that may remember where it is written.
trait Placeable: Sized {
    fn placed(self, source: Source) -> Object;
}

impl Placeable for Ingress {
    fn placed(self, source: Source) -> Object {
        Object::Ingress(Arc::new(Self {
            source: Some(Arc::new(source)),
            ..self
        }))
    }
}

impl Placeable for Service {
    fn placed(self, source: Source) -> Object {
        Object::Service(Arc::new(Self {
            source: Some(Arc::new(source)),
            ..self
        }))
    }
}

impl Placeable for EndpointSlice {
    fn placed(self, mut source: Source) -> Object {
        // Slices are long; a problem that is found later concerns one as a whole.
        source.fields = source
            .fields
            .into_iter()
            .filter(|(field, _)| !field.contains('['))
            .collect();
        Object::EndpointSlice(Arc::new(Self {
            source: Some(Arc::new(source)),
            ..self
        }))
    }
}

impl Placeable for IngressClass {
    fn placed(self, source: Source) -> Object {
        Object::IngressClass(Arc::new(Self {
            source: Some(Arc::new(source)),
            ..self
        }))
    }
}

impl Placeable for Middleware {
    fn placed(self, source: Source) -> Object {
        Object::Middleware(Arc::new(Self {
            source: Some(Arc::new(source)),
            ..self
        }))
    }
}

impl Placeable for Secret {
    fn placed(self, _: Source) -> Object {
        Object::Secret(Arc::new(self))
    }
}

impl Placeable for ConfigMap {
    fn placed(self, _: Source) -> Object {
        Object::ConfigMap(Arc::new(self))
    }
}

impl Placeable for Infallible {
    fn placed(self, _: Source) -> Object {
        match self {}
    }
}

impl Type<'_> {
    fn recognise(&self) -> Recognised {
        let Some(kind) = Kind::ALL
            .iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(self.kind))
        else {
            return Recognised::Foreign;
        };
        let wanted = kind.api_version();
        let (group, _) = wanted.rsplit_once('/').unwrap_or(("", wanted));
        let Some(written) = self.api_version else {
            return Recognised::Mistaken(format!(
                "`apiVersion` is missing; write `{wanted}`; the object is ignored"
            ));
        };
        let (written_group, _) = written.rsplit_once('/').unwrap_or(("", written));
        let legacy = *kind == Kind::Ingress && matches!(written_group, "extensions" | "");
        if written_group != group && !legacy {
            return Recognised::Foreign;
        }
        if written != wanted {
            return Recognised::Mistaken(format!(
                "`{written}` is not served by any cluster; write `{wanted}` and its fields; the object is ignored"
            ));
        }
        if kind.as_str() != self.kind {
            let meant = kind.as_str();
            return Recognised::Mistaken(format!(
                "kind `{}` is written `{meant}`; the object is ignored",
                self.kind
            ));
        }
        Recognised::Known(*kind)
    }

    /// Whether it is a Middleware of the group that Traefik had before version 3.
    fn is_former_middleware(&self) -> bool {
        let is_former = |version: &str| version.starts_with("traefik.containo.us/");
        self.kind == Kind::Middleware.as_str() && self.api_version.is_some_and(is_former)
    }

    fn describe(&self) -> String {
        match self.api_version {
            Some(api_version) => format!("`{}` ({api_version})", self.kind),
            None => format!("`{}`", self.kind),
        }
    }
}

/// Whose problem it is, read from a tree that may be wrong everywhere.
fn reference(kind: Kind, node: &Node) -> ObjectRef {
    let metadata = node.field("metadata");
    let text = |key| {
        metadata
            .and_then(|metadata| metadata.field(key))
            .and_then(Node::text)
    };
    ObjectRef {
        kind,
        namespace: kind
            .is_namespaced()
            .then(|| text("namespace").unwrap_or("default").into()),
        name: text("name").unwrap_or_default().into(),
    }
}

/// The hosts that were written in parts of an Ingress that could not be read.
fn lost_hosts<'n>(ingress: &'n Node, unreadable: &UnreadableFields) -> Vec<&'n str> {
    let mut hosts = Vec::new();
    let Some(spec) = ingress.field("spec") else {
        return hosts;
    };
    if unreadable.contains("spec") || unreadable.contains("spec.rules") {
        hosts_below(
            if unreadable.contains("spec") {
                spec
            } else {
                spec.field("rules").unwrap_or(spec)
            },
            &mut hosts,
        );
        return hosts;
    }
    let Some(Node {
        value: Value::List(rules),
        ..
    }) = spec.field("rules")
    else {
        return hosts;
    };
    for (index, rule) in rules.iter().enumerate() {
        let field = format!("spec.rules[{index}]");
        if unreadable.contains(&field) || unreadable.contains(&format!("{field}.host")) {
            hosts_below(rule, &mut hosts);
        }
    }
    hosts
}

fn hosts_below<'n>(node: &'n Node, hosts: &mut Vec<&'n str>) {
    for key in ["host", "hosts"] {
        let written = node.field(key);
        hosts.extend(written.and_then(Node::text));
        hosts.extend(
            written
                .into_iter()
                .flat_map(Node::children)
                .filter_map(Node::text),
        );
    }
    for child in node.children() {
        hosts_below(child, hosts);
    }
}
