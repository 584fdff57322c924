//! One YAML document as a tree that remembers its lines.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, Span};

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
    /// It parses and has no one meaning: a key that is written twice, an unknown tag.
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

/// Why a document yields no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TreeError {
    #[error("not valid YAML: {info} (column {column}); the document is ignored")]
    Syntax { line: u32, column: usize, info: String },
    #[error("nested more than {MAX_DEPTH} levels deep; the document is ignored")]
    Depth { line: u32 },
    #[error(
        "anchors and aliases expand to too much (at most {MAX_COPIED_NODES} values); the document is ignored"
    )]
    Aliases { line: u32 },
    #[error("a list or map cannot be a key; the document is ignored")]
    Key { line: u32 },
}

/// Levels of lists and maps; Kubernetes objects of the kinds that are read here need 11.
const MAX_DEPTH: usize = 100;
/// Values that anchors and aliases may copy, against exponential expansion.
const MAX_COPIED_NODES: usize = 100_000;
/// Text that anchors and aliases may copy, in bytes.
const MAX_COPIED_BYTES: usize = 8 << 20;

impl TreeError {
    /// The line where it shows, counted from 1.
    pub(super) fn line(&self) -> u32 {
        match self {
            Self::Syntax { line, .. }
            | Self::Depth { line }
            | Self::Aliases { line }
            | Self::Key { line } => *line,
        }
    }
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

    fn count(&self) -> usize {
        self.children().map(Self::count).fold(1, usize::saturating_add)
    }
}

/// Parses one document that begins on `first_line` of its file. `None` when it is empty.
pub(super) fn tree(text: &str, first_line: u32) -> Result<Option<Node>, TreeError> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| TreeError::Syntax {
            line: line_of(error.marker().line(), first_line),
            column: error.marker().col().saturating_add(1),
            info: error.info().to_owned(),
        })?;
        if builder.root.is_some() && !matches!(event, Event::DocumentEnd | Event::StreamEnd | Event::Nothing)
        {
            break;
        }
        builder.take(event, line(&span, first_line))?;
    }
    Ok(builder.root.filter(|root| !root.is_null()))
}

fn line(span: &Span, first_line: u32) -> u32 {
    line_of(span.start.line(), first_line)
}

fn line_of(line_in_document: usize, first_line: u32) -> u32 {
    let above = u32::try_from(line_in_document)
        .unwrap_or(u32::MAX)
        .saturating_sub(1);
    first_line.saturating_add(above)
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    copied: Copied,
}

/// How much anchors and aliases have copied.
#[derive(Default)]
struct Copied {
    nodes: usize,
    bytes: usize,
}

struct Open {
    line: u32,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        key: Option<(String, u32)>,
    },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: u32) -> Result<(), TreeError> {
        match event {
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::Alias(anchor) => {
                // There is none only where the node is not finished: it would contain itself.
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(TreeError::Aliases { line });
                };
                self.copied.add(node, line)?;
                let node = Node {
                    line,
                    value: node.value.clone(),
                };
                self.place(node, 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = match Scalar::read(text.into_owned(), style, tag.as_deref()) {
                    Some(scalar) => Value::Scalar(scalar),
                    None => Value::Unreadable {
                        why: "the value does not fit its YAML tag".to_owned(),
                        parts: Vec::new(),
                    },
                };
                self.place(Node { line, value }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.open(line, anchor, Content::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.open(
                line,
                anchor,
                Content::Map {
                    entries: Vec::new(),
                    key: None,
                },
            ),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
        }
    }

    fn open(&mut self, line: u32, anchor: usize, content: Content) -> Result<(), TreeError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(TreeError::Depth { line });
        }
        if let Some(Open {
            content: Content::Map { key: None, .. },
            ..
        }) = self.open.last()
        {
            return Err(TreeError::Key { line });
        }
        self.open.push(Open {
            line,
            anchor,
            content,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), TreeError> {
        let Some(Open {
            line,
            anchor,
            content,
        }) = self.open.pop()
        else {
            return Ok(());
        };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map { entries, .. } => Value::Map(settle(entries)),
        };
        self.place(Node { line, value }, anchor)
    }

    /// Puts a finished node where it belongs. Anchor 0 is none.
    fn place(&mut self, node: Node, anchor: usize) -> Result<(), TreeError> {
        if anchor != 0 {
            self.copied.add(&node, node.line)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open {
                content: Content::List(items),
                ..
            }) => items.push(node),
            Some(Open {
                content: Content::Map { entries, key },
                ..
            }) => match key.take() {
                Some((key, line)) => entries.push(Entry { key, line, node }),
                None => match node.value {
                    Value::Scalar(scalar) => *key = Some((scalar.text, node.line)),
                    Value::List(_) | Value::Map(_) | Value::Unreadable { .. } => {
                        return Err(TreeError::Key { line: node.line });
                    }
                },
            },
        }
        Ok(())
    }
}

impl Entry {
    /// Neither value counts.
    fn conflict_with(&mut self, duplicate: Self) {
        if let Value::Unreadable { parts, .. } = &mut self.node.value {
            parts.push(duplicate.node);
            return;
        }
        let why = format!(
            "`{}` is written twice, on lines {} and {}",
            self.key, self.line, duplicate.line
        );
        let value = Value::Unreadable {
            why,
            parts: Vec::new(),
        };
        let first = std::mem::replace(
            &mut self.node,
            Node {
                line: duplicate.line,
                value,
            },
        );
        if let Value::Unreadable { parts, .. } = &mut self.node.value {
            parts.extend([first, duplicate.node]);
        }
    }
}

impl Copied {
    fn add(&mut self, node: &Node, line: u32) -> Result<(), TreeError> {
        self.nodes = self.nodes.saturating_add(node.count());
        self.bytes = self.bytes.saturating_add(node.text_size());
        if self.nodes > MAX_COPIED_NODES || self.bytes > MAX_COPIED_BYTES {
            return Err(TreeError::Aliases { line });
        }
        Ok(())
    }
}

/// Resolves merge keys (`<<: *defaults`) and marks keys that are written twice.
fn settle(mut entries: Vec<Entry>) -> Vec<Entry> {
    if entries.iter().any(|entry| entry.key == "<<") {
        entries = merge(entries);
    }
    let mut first: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
    let mut twice: Vec<(usize, usize)> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        match first.get(entry.key.as_str()) {
            Some(original) => twice.push((*original, index)),
            None => {
                first.insert(&entry.key, index);
            }
        }
    }
    for (original, again) in twice.into_iter().rev() {
        let duplicate = entries.remove(again);
        if let Some(entry) = entries.get_mut(original) {
            entry.conflict_with(duplicate);
        }
    }
    entries
}

fn merge(entries: Vec<Entry>) -> Vec<Entry> {
    let (sources, mut own): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| entry.key == "<<");
    let maps = sources.into_iter().flat_map(|source| match source.node.value {
        Value::List(items) => items,
        value @ (Value::Scalar(_) | Value::Map(_) | Value::Unreadable { .. }) => {
            vec![Node {
                line: source.node.line,
                value,
            }]
        }
    });
    let mut known: HashSet<String> = own.iter().map(|entry| entry.key.clone()).collect();
    for map in maps {
        let Value::Map(inherited) = map.value else {
            continue;
        };
        own.extend(
            inherited
                .into_iter()
                .filter(|entry| known.insert(entry.key.clone())),
        );
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_tags_decide() {
        let kind = |text: &str| match tree(&format!("a: {text}"), 1)
            .unwrap()
            .unwrap()
            .field("a")
            .unwrap()
            .value
        {
            Value::Scalar(Scalar { kind, .. }) => Some(kind),
            Value::List(_) | Value::Map(_) | Value::Unreadable { .. } => None,
        };
        let table = [
            ("'80'", Some(ScalarKind::Text)),
            ("\"true\"", Some(ScalarKind::Text)),
            ("|\n  80", Some(ScalarKind::Text)),
            ("!!str 80", Some(ScalarKind::Text)),
            ("! 80", Some(ScalarKind::Text)),
            ("!!int '80'", Some(ScalarKind::Integer(80))),
            ("!!int x", None),
            ("!mine 80", None),
        ];
        for (text, expected) in table {
            assert_eq!(kind(text), expected, "{text}");
        }
    }
}
