//! Parsing one YAML document into a tree.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, Span};

use super::keys::settle;
use super::scalar::Scalar;
use super::tree::{Entry, Node, Value};

/// Why a document yields no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum YamlError {
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

impl YamlError {
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

/// Parses one document that begins on `first_line` of its file. `None` when it is empty.
pub(super) fn parse_yaml(text: &str, first_line: u32) -> Result<Option<Node>, YamlError> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| YamlError::Syntax {
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
    fn take(&mut self, event: Event<'_>, line: u32) -> Result<(), YamlError> {
        match event {
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::Alias(anchor) => {
                // There is none only where the node is not finished: it would contain itself.
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(YamlError::Aliases { line });
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

    fn open(&mut self, line: u32, anchor: usize, content: Content) -> Result<(), YamlError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(YamlError::Depth { line });
        }
        if let Some(Open {
            content: Content::Map { key: None, .. },
            ..
        }) = self.open.last()
        {
            return Err(YamlError::Key { line });
        }
        self.open.push(Open {
            line,
            anchor,
            content,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), YamlError> {
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
    fn place(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
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
                        return Err(YamlError::Key { line: node.line });
                    }
                },
            },
        }
        Ok(())
    }
}

impl Copied {
    fn add(&mut self, node: &Node, line: u32) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(node.count());
        self.bytes = self.bytes.saturating_add(node.text_size());
        if self.nodes > MAX_COPIED_NODES || self.bytes > MAX_COPIED_BYTES {
            return Err(YamlError::Aliases { line });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::scalar::ScalarKind;
    use super::*;

    #[test]
    fn quotes_and_tags_decide_what_a_scalar_means() {
        let kind = |text: &str| match parse_yaml(&format!("a: {text}"), 1)
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
