//! The annotation that says who has published which address of a status.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

/// Who has published which address: JSON, from the name of an installation to its addresses.
pub(crate) const ANNOTATION: &str = "status.blastdoor.dev/published-by";
/// A gateway writes no longer annotation.
pub(super) const LONGEST: usize = 16 * 1_024;

/// Who has published which address: from the name of an installation to the texts of its addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(super) by_name: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    /// There is an annotation that cannot be parsed.
    is_garbled: bool,
}

impl Claims {
    pub(crate) fn of(meta: &ObjectMeta) -> Self {
        let annotations = meta.annotations.as_ref();
        let Some(written) = annotations.and_then(|annotations| annotations.get(ANNOTATION)) else {
            return Self::default();
        };
        let read = (written.len() <= LONGEST).then(|| serde_json::from_str(written).ok());
        match read.flatten() {
            Some(by_name) => Self {
                by_name,
                is_garbled: false,
            },
            None => Self {
                by_name: BTreeMap::new(),
                is_garbled: true,
            },
        }
    }

    /// As the value of the annotation; null without any.
    pub(crate) fn value(&self) -> Value {
        if self.by_name.is_empty() {
            return Value::Null;
        }
        serde_json::to_string(&self.by_name).map_or(Value::Null, Value::String)
    }

    pub(super) fn are_none(&self) -> bool {
        self.by_name.is_empty() && !self.is_garbled
    }

    pub(super) fn of_others<'c>(&'c self, me: &'c str) -> impl Iterator<Item = &'c BTreeSet<Box<str>>> {
        let others = self.by_name.iter().filter(move |(name, _)| ***name != *me);
        others.map(|(_, claimed)| claimed)
    }
}
