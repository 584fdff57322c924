//! The objects that are looked at: as the gateway reads them, and as they are written.

use std::sync::Arc;

use control::SourceContent;
use migrate::{RawObject, Unreadable, objects_of};
use resource::manifest::{self, Manifest};
use serde_json::Value;

/// Everything that was read.
pub(super) struct ReadObjects {
    /// As the gateway reads it.
    pub(super) content: SourceContent,
    /// As it is written, kinds that the gateway does not read included.
    pub(super) raw: Vec<RawObject>,
    /// What could not be read.
    pub(super) unreadable: Vec<Unreadable>,
}

/// Gathers documents of files, or of an API server.
#[derive(Default)]
pub(super) struct Gathered {
    manifests: Vec<Manifest>,
    raw: Vec<RawObject>,
    unreadable: Vec<Unreadable>,
}

impl Gathered {
    /// A file. Documents that are no YAML are told; templates of Helm are none.
    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) {
        match manifest::values(bytes) {
            Ok(values) => {
                let file: Arc<str> = name.into();
                let objects = values
                    .into_iter()
                    .flat_map(|value| objects_of(value, Some(&file)));
                self.raw.extend(objects);
                self.manifests.push(manifest::parse(name, bytes));
            }
            Err((line, why)) => self.unread(name, Some(line), &reason(bytes, &why)),
        }
    }

    /// Objects of an API server.
    pub(super) fn listed(&mut self, what: &str, items: Vec<Value>) {
        let fields = [
            ("apiVersion", "v1".into()),
            ("kind", "List".into()),
            ("items", Value::Array(items)),
        ];
        let list: Value = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        self.manifests
            .push(manifest::parse(what, list.to_string().as_bytes()));
        self.raw.extend(objects_of(list, None));
    }

    pub(super) fn unread(&mut self, what: &str, line: Option<u32>, message: &str) {
        self.unreadable.push(Unreadable {
            what: what.to_owned(),
            line,
            message: message.to_owned(),
        });
    }

    /// The objects as the gateway would read them now.
    pub(super) fn content(&self) -> SourceContent {
        let (view, duplicates) = manifest::collect(&self.manifests);
        let problems = self
            .manifests
            .iter()
            .flat_map(|manifest| manifest.problems.iter().cloned());
        SourceContent {
            view,
            problems: problems.chain(duplicates).collect(),
            ..SourceContent::default()
        }
    }

    pub(super) fn finish(self) -> ReadObjects {
        ReadObjects {
            content: self.content(),
            raw: self.raw,
            unreadable: self.unreadable,
        }
    }
}

fn reason(bytes: &[u8], why: &str) -> String {
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    if has("{{") && has("}}") {
        format!("{why}; it looks like a template: render it first (`helm template`, `kustomize build`)")
    } else {
        why.to_owned()
    }
}
