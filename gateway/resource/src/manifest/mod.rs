//! Manifest files: YAML or JSON, several documents each, lists included.
//!
//! [`parse`] reads one file without touching any other; [`collect`] puts files together. Each problem carries the
//! file, the line and the field. A document that does not parse, an object that does not fit its schema and a field
//! that makes no sense affect nothing but themselves. Whatever is lost of a rule closes its place instead of leaving it
//! to a broader rule.

mod documents;
mod keys;
mod objects;
mod reader;
mod scalar;
mod schema;
mod shape;
mod tree;
mod yaml;

use std::collections::BTreeMap;

use crate::object::Object;
use crate::problem::{ObjectRef, Problem, Severity, SourceLine};
use crate::view::ClusterView;

use documents::{Document, documents};
use reader::Reader;
use tree::Node;
use yaml::parse_yaml;

pub use reader::{Manifest, Placed};

/// Reads a file. `file` is what problems call it.
#[must_use]
pub fn parse(file: &str, bytes: &[u8]) -> Manifest {
    let mut reader = Reader::new(file);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        reader.ignored(1, "the file is UTF-16; write it as UTF-8");
        return reader.finish();
    }
    for document in documents(bytes) {
        read_document(document, &mut reader);
    }
    reader.finish()
}

/// Reads the documents of a file, YAML or JSON, as JSON, whatever they contain.
///
/// # Errors
/// The line of the first one that cannot be read, and why.
pub fn values(bytes: &[u8]) -> Result<Vec<serde_json::Value>, (u32, String)> {
    // What `kubectl -o json` writes is large, and need not go through a parser that remembers lines.
    if let Ok(json) = serde_json::from_slice(bytes) {
        return Ok(vec![json]);
    }
    let mut values = Vec::new();
    for document in documents(bytes) {
        let text = std::str::from_utf8(document.bytes);
        let text = text.map_err(|_not| (document.first_line, "not valid UTF-8".to_owned()))?;
        match parse_yaml(text, document.first_line) {
            Ok(Some(root)) => values.push(root.into_json()?),
            Ok(None) => {}
            Err(error) => match serde_json::from_str(text) {
                Ok(json) => values.push(json),
                Err(_) => return Err((error.line().min(document.last_line()), error.to_string())),
            },
        }
    }
    Ok(values)
}

/// Reads an object of an API server that does not fit the schema of its API: what can be read of it counts, and what
/// cannot be read is closed, as in a file.
#[must_use]
pub fn read_malformed(
    mut json: serde_json::Value,
    api_version: &str,
    kind: &str,
    problems: &mut Vec<Problem>,
) -> Option<Object> {
    if let Some(fields) = json.as_object_mut() {
        // The API server leaves them out in lists.
        fields.insert("apiVersion".to_owned(), api_version.into());
        fields.insert("kind".to_owned(), kind.into());
    }
    let mut reader = Reader::new("");
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
/// second one is reported. The problems of the files themselves are not repeated.
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
                topic: crate::Topic::Field,
            });
            continue;
        }
        first.insert(reference, &placed.at);
        view.insert(placed.object.clone());
    }
    (view, problems)
}

fn read_document(document: Document<'_>, reader: &mut Reader) {
    let text = match std::str::from_utf8(document.bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = document.bytes.get(..error.valid_up_to()).unwrap_or_default();
            let above = before.iter().filter(|byte| **byte == b'\n').count();
            let line = document
                .first_line
                .saturating_add(u32::try_from(above).unwrap_or(u32::MAX));
            return reader.ignored(line, "not valid UTF-8; the document is ignored");
        }
    };
    match parse_yaml(text, document.first_line) {
        Ok(Some(root)) => reader.root(&root),
        Ok(None) => {}
        // JSON has escapes that YAML has not.
        Err(error) => match serde_json::from_str(text) {
            Ok(json) => reader.root(&Node::from_json(json, document.first_line)),
            Err(_) => reader.ignored(error.line().min(document.last_line()), error.to_string()),
        },
    }
}
