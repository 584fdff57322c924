//! A document as a tree that remembers its lines.

use super::scalar::{Scalar, ScalarKind};

/// A node and the line of the file where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) line: u32,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// It parses, but its meaning is unclear: a key that is written twice, an unknown tag.
    Unreadable {
        why: String,
        /// What is written there.
        parts: Vec<Node>,
    },
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// The line of the key.
    pub(super) line: u32,
    pub(super) node: Node,
}

impl Node {
    /// The value of `key` in a map.
    pub(super) fn field(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.node),
            Value::Scalar(_) | Value::List(_) | Value::Unreadable { .. } => None,
        }
    }

    /// The text of a text scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Scalar {
                text,
                kind: ScalarKind::Text,
            }) => Some(text),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) | Value::Unreadable { .. } => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(
            self.value,
            Value::Scalar(Scalar {
                kind: ScalarKind::Null,
                ..
            })
        )
    }

    /// The nodes directly below.
    pub(super) fn children(&self) -> Box<dyn Iterator<Item = &Node> + '_> {
        match &self.value {
            Value::Scalar(_) => Box::new(std::iter::empty()),
            Value::List(items) | Value::Unreadable { parts: items, .. } => Box::new(items.iter()),
            Value::Map(entries) => Box::new(entries.iter().map(|entry| &entry.node)),
        }
    }

    /// Bytes of text in it, keys included.
    pub(super) fn text_size(&self) -> usize {
        let own = match &self.value {
            Value::Scalar(scalar) => scalar.text.len(),
            Value::Map(entries) => entries.iter().map(|entry| entry.key.len()).sum(),
            Value::List(_) | Value::Unreadable { .. } => 0,
        };
        self.children()
            .map(Self::text_size)
            .fold(own, usize::saturating_add)
    }

    /// A tree without lines of its own; for JSON that is no YAML.
    pub(super) fn from_json(json: serde_json::Value, line: u32) -> Self {
        use serde_json::Value as Json;
        let scalar = |text: String, kind| Value::Scalar(Scalar { text, kind });
        let value = match json {
            Json::Null => scalar(String::new(), ScalarKind::Null),
            Json::Bool(truth) => scalar(truth.to_string(), ScalarKind::Boolean(truth)),
            Json::Number(number) => {
                let kind = number.as_i64().map_or(ScalarKind::Float, ScalarKind::Integer);
                scalar(number.to_string(), kind)
            }
            Json::String(text) => scalar(text, ScalarKind::Text),
            Json::Array(items) => Value::List(
                items
                    .into_iter()
                    .map(|item| Self::from_json(item, line))
                    .collect(),
            ),
            Json::Object(map) => {
                let entry = |(key, json)| Entry {
                    key,
                    line,
                    node: Self::from_json(json, line),
                };
                Value::Map(map.into_iter().map(entry).collect())
            }
        };
        Self { line, value }
    }

    /// The same as JSON, or the line of what has no meaning, and why.
    pub(super) fn into_json(self) -> Result<serde_json::Value, (u32, String)> {
        use serde_json::Value as Json;
        let line = self.line;
        Ok(match self.value {
            Value::Scalar(Scalar { text, kind }) => match kind {
                ScalarKind::Null => Json::Null,
                ScalarKind::Boolean(truth) => Json::Bool(truth),
                ScalarKind::Integer(number) => number.into(),
                ScalarKind::Float => text.parse::<f64>().map_or(Json::String(text), Json::from),
                ScalarKind::Text => Json::String(text),
            },
            Value::List(items) => items.into_iter().map(Self::into_json).collect::<Result<_, _>>()?,
            Value::Map(entries) => entries
                .into_iter()
                .map(|entry| Ok((entry.key, entry.node.into_json()?)))
                .collect::<Result<_, _>>()?,
            Value::Unreadable { why, .. } => return Err((line, why)),
        })
    }

    /// How many nodes it has, itself included.
    pub(super) fn count(&self) -> usize {
        self.children().map(Self::count).fold(1, usize::saturating_add)
    }
}
