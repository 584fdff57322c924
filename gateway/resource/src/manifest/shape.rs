//! The forms that fields of Kubernetes objects have, and fitting a tree to them.
//!
//! Fitting reports everything that does not fit, with its field, and leaves it out. What remains converts to the API
//! types without error. What was left out is in [`UnreadableFields`], so that its absence is not taken for something that
//! the user meant.

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Map, Number, Value as Json};

use super::scalar::{Scalar, ScalarKind};
use super::tree::{Node, Value};
use crate::Severity;
use crate::reporter::UnreadableFields;
use crate::spelling::nearest;

/// The form of a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Text,
    /// 32 bits.
    Integer,
    /// 64 bits.
    Long,
    Boolean,
    /// A port that may be a number or a name.
    IntegerOrText,
    /// RFC 3339.
    Time,
    /// Base64.
    Bytes,
    /// A map with free keys.
    Free(FreeMap),
    List(&'static Shape),
    Object(&'static [Field]),
    /// Not read by the gateway; anything goes.
    Opaque,
    /// Taken as it is written: the type that reads it knows its form.
    Anything,
}

/// What the values of a free map are, and what happens to a value that is a number or a truth value where text is
/// wanted. A cluster refuses such an object as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FreeMap {
    /// Left out: a label that means nothing chooses no door.
    Labels,
    /// Taken as written: an annotation may ask for protection.
    Annotations,
    /// Left out.
    Texts,
    /// Base64 values.
    Bytes,
}

/// A field of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// Its absence means more than its presence: a rule without a host is one for every host. Beside an unknown
    /// field it therefore counts as unreadable, not as absent.
    narrows: bool,
}

pub(super) const fn field(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        narrows: false,
    }
}

pub(super) const fn narrowing(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        narrows: true,
    }
}

/// What fitting one object found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) unreadable: UnreadableFields,
    pub(super) problems: Vec<Finding>,
    /// The line of every field, in the order of the document.
    pub(super) lines: Vec<(Box<str>, u32)>,
}

#[derive(Debug)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) field: String,
    pub(super) message: String,
}

impl Findings {
    pub(super) fn reject(&mut self, field: &str, message: String) {
        self.unreadable.add(field);
        self.problems.push(Finding {
            severity: Severity::Error,
            field: field.to_owned(),
            message,
        });
    }

    fn warn(&mut self, field: String, message: String) {
        self.problems.push(Finding {
            severity: Severity::Warning,
            field,
            message,
        });
    }
}

impl Shape {
    /// Fits `node`. `None` when nothing is written there or nothing of it can be used.
    pub(super) fn fit(&self, node: &Node, field: &str, findings: &mut Findings) -> Option<Json> {
        if node.is_null() {
            return None;
        }
        if let Value::Unreadable { why, .. } = &node.value {
            findings.reject(field, format!("{why}; it is not used"));
            return None;
        }
        match self {
            Self::Opaque => None,
            Self::Anything => Some(anything(node, field, findings)),
            Self::Object(fields) => fit_object(fields, node, field, findings),
            Self::Free(kind) => kind.fit(node, field, findings),
            Self::List(item) => {
                let Value::List(nodes) = &node.value else {
                    return self.mismatch(node, field, findings);
                };
                Some(
                    nodes
                        .iter()
                        .enumerate()
                        .map(|(index, node)| item.fit_item(node, field, index, findings))
                        .collect(),
                )
            }
            Self::Text
            | Self::Integer
            | Self::Long
            | Self::Boolean
            | Self::IntegerOrText
            | Self::Time
            | Self::Bytes => match &node.value {
                Value::Scalar(scalar) => self
                    .fit_scalar(scalar)
                    .or_else(|| self.mismatch(node, field, findings)),
                Value::List(_) | Value::Map(_) | Value::Unreadable { .. } => {
                    self.mismatch(node, field, findings)
                }
            },
        }
    }

    /// An item that does not fit leaves a blank, so that its neighbours keep their positions.
    fn fit_item(&self, node: &Node, list: &str, index: usize, findings: &mut Findings) -> Json {
        let field = format!("{list}[{index}]");
        findings.lines.push((field.as_str().into(), node.line));
        if node.is_null() {
            findings.reject(&field, "the item is empty".to_owned());
        }
        self.fit(node, &field, findings).unwrap_or_else(|| self.blank())
    }

    fn fit_scalar(&self, scalar: &Scalar) -> Option<Json> {
        match (self, scalar.kind) {
            (Self::Text | Self::IntegerOrText, ScalarKind::Text) => Some(Json::String(scalar.text.clone())),
            (Self::Integer | Self::IntegerOrText, ScalarKind::Integer(number)) => i32::try_from(number)
                .ok()
                .map(|number| Json::Number(number.into())),
            (Self::Long, ScalarKind::Integer(number)) => Some(Json::Number(number.into())),
            (Self::Boolean, ScalarKind::Boolean(truth)) => Some(Json::Bool(truth)),
            (Self::Time, ScalarKind::Text) => checked::<Time>(&scalar.text),
            (Self::Bytes, ScalarKind::Text) => checked::<ByteString>(&in_one_line(&scalar.text)),
            _ => None,
        }
    }

    fn mismatch(&self, node: &Node, field: &str, findings: &mut Findings) -> Option<Json> {
        let mut message = format!("expected {}, found {}", self.expected(), found(node));
        if let Some(advice) = self.advice(node, field) {
            message.push_str("; ");
            message.push_str(advice);
        }
        findings.reject(field, message);
        None
    }

    fn expected(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "a whole number of 32 bits",
            Self::Long => "a whole number",
            Self::Boolean => "`true` or `false`",
            Self::IntegerOrText => "a number or text",
            Self::Time => "a time such as 2026-01-31T12:00:00Z",
            Self::Bytes => "base64",
            Self::Free(_) | Self::Object(_) => "a map",
            Self::List(_) => "a list",
            Self::Opaque | Self::Anything => "anything",
        }
    }

    fn advice(&self, node: &Node, field: &str) -> Option<&'static str> {
        let Value::Scalar(scalar) = &node.value else {
            let dash = matches!((self, &node.value), (Self::List(_), Value::Map(_)));
            return dash.then_some("write `- ` before its first line");
        };
        match (self, scalar.kind) {
            (Self::Object(_), _) if field.ends_with("service.port") => Some("write `port: {number: …}`"),
            (Self::Integer | Self::Long, ScalarKind::Text) if scalar.text.parse::<i64>().is_ok() => {
                Some("write it without quotes")
            }
            (Self::Boolean, ScalarKind::Text) if matches!(scalar.text.as_str(), "true" | "false") => {
                Some("write it without quotes")
            }
            (Self::Text, ScalarKind::Integer(_)) if field.ends_with("service.port.name") => {
                Some("write it as `number`")
            }
            (Self::Text, ScalarKind::Integer(_) | ScalarKind::Float | ScalarKind::Boolean(_)) => {
                Some("write it in quotes")
            }
            (Self::Bytes, ScalarKind::Text) => Some("encode it, or write it as it is under `stringData`"),
            _ => None,
        }
    }

    fn blank(&self) -> Json {
        match self {
            Self::Object(_) | Self::Free(_) => Json::Object(Map::new()),
            Self::List(_) => Json::Array(Vec::new()),
            Self::Text | Self::IntegerOrText | Self::Bytes => Json::String(String::new()),
            Self::Integer | Self::Long => Json::Number(Number::from(0)),
            Self::Boolean => Json::Bool(false),
            Self::Time | Self::Opaque | Self::Anything => Json::Null,
        }
    }
}

impl FreeMap {
    fn fit(self, node: &Node, field: &str, findings: &mut Findings) -> Option<Json> {
        let Value::Map(entries) = &node.value else {
            return Shape::Free(self).mismatch(node, field, findings);
        };
        let mut map = Map::new();
        for entry in entries {
            let field = format!("{field}[{}]", entry.key);
            findings.lines.push((field.as_str().into(), entry.line));
            if let Some(value) = self.fit_value(&entry.node, &field, findings) {
                map.insert(entry.key.clone(), value);
            }
        }
        Some(Json::Object(map))
    }

    fn fit_value(self, node: &Node, field: &str, findings: &mut Findings) -> Option<Json> {
        if node.is_null() {
            return Some(Json::String(String::new()));
        }
        match (self, &node.value) {
            (Self::Bytes, _) => Shape::Bytes.fit(node, field, findings),
            (Self::Annotations, Value::Scalar(Scalar { text, kind })) if *kind != ScalarKind::Text => {
                let message = "a value must be text; write it in quotes";
                findings.problems.push(Finding {
                    severity: Severity::Error,
                    field: field.to_owned(),
                    message: message.to_owned(),
                });
                Some(Json::String(text.clone()))
            }
            (Self::Labels | Self::Annotations | Self::Texts, _) => Shape::Text.fit(node, field, findings),
        }
    }
}

fn fit_object(fields: &'static [Field], node: &Node, around: &str, findings: &mut Findings) -> Option<Json> {
    let Value::Map(entries) = &node.value else {
        return Shape::Object(fields).mismatch(node, around, findings);
    };
    let is_missing = |known: &&Field| known.narrows && entries.iter().all(|entry| entry.key != known.name);
    let missing: Vec<&str> = fields.iter().filter(is_missing).map(|known| known.name).collect();
    let mut map = Map::new();
    for entry in entries {
        let field = join(around, &entry.key);
        findings.lines.push((field.as_str().into(), entry.line));
        match fields.iter().find(|known| known.name == entry.key) {
            Some(known) => {
                if let Some(value) = known.shape.fit(&entry.node, &field, findings) {
                    map.insert(entry.key.clone(), value);
                }
            }
            None => unknown(fields, &missing, &entry.key, around, findings),
        }
    }
    Some(Json::Object(map))
}

/// Reports an unknown field. `missing` are the narrowing fields that are absent beside it.
fn unknown(fields: &'static [Field], missing: &[&str], key: &str, around: &str, findings: &mut Findings) {
    let meant = match key {
        "serviceName" | "servicePort" if around.ends_with("ackend") => Some("service"),
        "backend" if around == "spec" => Some("defaultBackend"),
        _ => nearest(key, fields.iter().map(|known| known.name)),
    };
    let question = meant.map(|meant| format!("; did you mean `{meant}`?"));
    let question = question.as_deref().unwrap_or_default();
    let field = join(around, key);
    let Some(first) = missing.first() else {
        return findings.warn(field, format!("unknown field, which is ignored{question}"));
    };
    // It may be one of the missing ones, misspelt.
    for missing in missing {
        findings.unreadable.add(join(around, missing));
    }
    findings.reject(
        &field,
        format!(
            "unknown field, and `{first}` is missing, without which the Ingress would match more requests: closed{question}"
        ),
    );
}

/// What is written, and its lines. What cannot be read is reported and left out.
fn anything(node: &Node, around: &str, findings: &mut Findings) -> Json {
    match &node.value {
        Value::Unreadable { why, .. } => {
            findings.reject(around, format!("{why}; it is not used"));
            Json::Null
        }
        Value::Scalar(scalar) => scalar_as_json(scalar),
        Value::List(nodes) => {
            let items = nodes.iter().enumerate();
            items
                .map(|(index, node)| {
                    let field = format!("{around}[{index}]");
                    findings.lines.push((field.as_str().into(), node.line));
                    anything(node, &field, findings)
                })
                .collect()
        }
        Value::Map(entries) => {
            let entries = entries.iter().map(|entry| {
                let field = join(around, &entry.key);
                findings.lines.push((field.as_str().into(), entry.line));
                (entry.key.clone(), anything(&entry.node, &field, findings))
            });
            Json::Object(entries.collect())
        }
    }
}

fn scalar_as_json(scalar: &Scalar) -> Json {
    match scalar.kind {
        ScalarKind::Null => Json::Null,
        ScalarKind::Boolean(truth) => Json::Bool(truth),
        ScalarKind::Integer(number) => Json::Number(number.into()),
        ScalarKind::Float => scalar
            .text
            .parse()
            .ok()
            .and_then(Number::from_f64)
            .map_or_else(|| Json::String(scalar.text.clone()), Json::Number),
        ScalarKind::Text => Json::String(scalar.text.clone()),
    }
}

fn join(around: &str, key: &str) -> String {
    if around.is_empty() {
        key.to_owned()
    } else {
        format!("{around}.{key}")
    }
}

/// What kind of value is written, without its content, which may be secret.
fn found(node: &Node) -> &'static str {
    match &node.value {
        Value::Map(_) => "a map",
        Value::List(_) => "a list",
        Value::Unreadable { .. } => "something unreadable",
        Value::Scalar(scalar) => match scalar.kind {
            ScalarKind::Null => "nothing",
            ScalarKind::Boolean(_) => "a truth value",
            ScalarKind::Integer(_) => "a whole number",
            ScalarKind::Float => "a fraction",
            ScalarKind::Text => "text",
        },
    }
}

/// Base64 as `base64` prints it is broken into lines, and a cluster reads it so. YAML makes spaces of the breaks of a
/// plain scalar.
fn in_one_line(base64: &str) -> String {
    base64.split_ascii_whitespace().collect()
}

fn checked<T: serde::de::DeserializeOwned>(text: &str) -> Option<Json> {
    let json = Json::String(text.to_owned());
    serde_json::from_value::<T>(json.clone()).is_ok().then_some(json)
}
