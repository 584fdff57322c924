//! Keys of a YAML map that do not stand for themselves: merge keys, and keys that are written twice.

use std::collections::{HashMap, HashSet};

use super::tree::{Entry, Node, Value};

/// Resolves merge keys (`<<: *defaults`) and marks keys that are written twice.
pub(super) fn settle(mut entries: Vec<Entry>) -> Vec<Entry> {
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

impl Entry {
    /// The key is written again: neither value counts.
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
