//! Manifest files: YAML or JSON, several documents each, lists included.
//!
//! [`parse`] reads one file without touching any other; [`collect`] puts files together. Each problem carries the
//! file, the line and the field. A document that does not parse, an object that does not fit its schema and a field
//! that makes no sense each harm themselves alone, and whatever is lost of a rule closes its place instead of
//! leaving it to a broader rule.

mod documents;
mod objects;
mod scalar;
mod schema;
mod shape;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{ClusterView, Kind, Object, ObjectRef, Problem, Severity, SourceLine};

use documents::{Document, documents};
use tree::{Node, tree};

/// What one file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Its objects, in the order of the file.
    pub objects: Vec<Placed>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

/// An object and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The object.
    pub object: Object,
    /// File and line.
    pub at: SourceLine,
}

/// Reads a file. `file` is what problems call it.
#[must_use]
pub fn parse(file: &str, bytes: &[u8]) -> Manifest {
    let mut reader = Reader {
        file: file.into(),
        manifest: Manifest::default(),
    };
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        reader.ignored(1, "the file is UTF-16; write it as UTF-8");
        return reader.manifest;
    }
    for document in documents(bytes) {
        reader.document(document);
    }
    reader.finish()
}

/// Reads one object of an API server that is not as the API describes it: what can be read of it counts, and what
/// cannot is closed, as it would be of a file.
#[must_use]
pub fn read_malformed(
    mut json: serde_json::Value,
    api_version: &str,
    kind: &str,
    problems: &mut Vec<Problem>,
) -> Option<Object> {
    if let Some(fields) = json.as_object_mut() {
        // In a list they are left out.
        fields.insert("apiVersion".to_owned(), api_version.into());
        fields.insert("kind".to_owned(), kind.into());
    }
    let mut reader = Reader {
        file: "".into(),
        manifest: Manifest::default(),
    };
    reader.root(&Node::from_json(json, 1));
    let read = reader.finish();
    problems.extend(read.problems.into_iter().map(|problem| Problem {
        source: None,
        ..problem
    }));
    read.objects
        .into_iter()
        .next()
        .map(|placed| placed.object.without_source())
}

/// Puts files together, in the order given. Of two objects of the same kind and name the first one counts, and the
/// second one is told of. The problems of the files themselves are not repeated.
#[must_use]
pub fn collect<'m>(manifests: impl IntoIterator<Item = &'m Manifest>) -> (ClusterView, Vec<Problem>) {
    let mut view = ClusterView::default();
    let mut problems = Vec::new();
    let mut first: BTreeMap<ObjectRef, &SourceLine> = BTreeMap::new();
    for placed in manifests.into_iter().flat_map(|manifest| &manifest.objects) {
        let reference = placed.object.reference();
        if let Some(first) = first.get(&reference) {
            problems.push(Problem {
                severity: Severity::Error,
                object: reference,
                field: "metadata.name".to_owned(),
                message: format!("written a second time and ignored; the first one, at {first}, counts"),
                source: Some(placed.at.clone()),
            });
            continue;
        }
        first.insert(reference, &placed.at);
        view.insert(placed.object.clone());
    }
    (view, problems)
}

/// Problems that are listed of one file.
const MAX_PROBLEMS: usize = 1_000;

/// Reads one file.
struct Reader {
    file: Arc<str>,
    manifest: Manifest,
}

impl Reader {
    fn document(&mut self, document: Document<'_>) {
        let text = match std::str::from_utf8(document.bytes) {
            Ok(text) => text,
            Err(error) => {
                let before = document.bytes.get(..error.valid_up_to()).unwrap_or_default();
                let above = before.iter().filter(|byte| **byte == b'\n').count();
                let line = document
                    .first_line
                    .saturating_add(u32::try_from(above).unwrap_or(u32::MAX));
                return self.ignored(line, "not valid UTF-8; the document is ignored");
            }
        };
        match tree(text, document.first_line) {
            Ok(Some(root)) => self.root(&root),
            Ok(None) => {}
            // JSON has escapes that YAML has not.
            Err(error) => match serde_json::from_str(text) {
                Ok(json) => self.root(&Node::from_json(json, document.first_line)),
                Err(_) => self.ignored(error.line().min(document.last_line()), error.to_string()),
            },
        }
    }

    fn finish(mut self) -> Manifest {
        let found = self.manifest.problems.len();
        if found > MAX_PROBLEMS {
            self.manifest.problems.truncate(MAX_PROBLEMS);
            let line = self
                .manifest
                .problems
                .last()
                .and_then(|last| last.source.as_ref())
                .map_or(1, |source| source.line);
            self.ignored(
                line,
                format!(
                    "{} more problems of this file are not listed",
                    found - MAX_PROBLEMS
                ),
            );
        }
        self.manifest
    }

    fn at(&self, line: u32) -> SourceLine {
        SourceLine {
            file: Arc::clone(&self.file),
            line,
        }
    }

    /// Something of the file that is no object at all.
    fn ignored(&mut self, line: u32, message: impl Into<String>) {
        self.tell(
            Severity::Error,
            ObjectRef::global(Kind::File, &self.file),
            "",
            line,
            message,
        );
    }

    fn tell(
        &mut self,
        severity: Severity,
        object: ObjectRef,
        field: &str,
        line: u32,
        message: impl Into<String>,
    ) {
        let source = Some(self.at(line));
        self.manifest.problems.push(Problem {
            severity,
            object,
            field: field.to_owned(),
            message: message.into(),
            source,
        });
    }
}

/// The line of a field of `node`, or of `node` itself.
fn line_of(node: &Node, key: &str) -> u32 {
    node.field(key).map_or(node.line, |field| field.line)
}
