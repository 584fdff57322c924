//! What is found in one file, while it is read.

use std::sync::Arc;

use super::tree::Node;
use crate::object::Object;
use crate::problem::{Kind, ObjectRef, Problem, Severity, SourceLine};

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

/// Problems that are listed of one file.
const MAX_PROBLEMS: usize = 1_000;

/// What has been found so far in a file that is being read.
pub(super) struct Reader {
    pub(super) file: Arc<str>,
    pub(super) manifest: Manifest,
}

impl Reader {
    /// `file` is what problems call it.
    pub(super) fn new(file: &str) -> Self {
        Self {
            file: file.into(),
            manifest: Manifest::default(),
        }
    }

    /// What was found, with as many problems as are listed.
    pub(super) fn finish(mut self) -> Manifest {
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

    pub(super) fn at(&self, line: u32) -> SourceLine {
        SourceLine {
            file: Arc::clone(&self.file),
            line,
        }
    }

    /// Reports a part of the file that is no object at all.
    pub(super) fn ignored(&mut self, line: u32, message: impl Into<String>) {
        self.report(
            Severity::Error,
            ObjectRef::global(Kind::File, &self.file),
            "",
            line,
            message,
        );
    }

    pub(super) fn report(
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
            topic: crate::Topic::Field,
        });
    }
}

/// The line of a field of `node`, or of `node` itself.
pub(super) fn line_of(node: &Node, key: &str) -> u32 {
    node.field(key).map_or(node.line, |field| field.line)
}
