//! The descriptions in `values.schema.json`: those of `values.yaml`. What is in one and not in the other is an error.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::values::{Chapter, Entry};

/// Maps of values whose schema is a definition, because others have the same keys.
const DEFINED: [(&str, &str); 2] = [("doorDefaults", "door"), ("serviceDefaults", "service")];
/// Helm's own, which no chart declares.
const HELM: &str = "global";

/// The schema with the descriptions of the chapters.
pub(super) fn described(schema: &str, chapters: &[Chapter]) -> Result<String> {
    let mut schema: Value = serde_json::from_str(schema).context("it is not JSON")?;
    let entries: Vec<&Entry> = chapters.iter().flat_map(|chapter| &chapter.entries).collect();
    for entry in &entries {
        let property = property(&mut schema, &entry.path)
            .with_context(|| format!("values.yaml has {}, and the schema does not", entry.path))?;
        property.insert("description".to_owned(), Value::String(entry.description.clone()));
    }
    let known = |path: &str| entries.iter().any(|entry| entry.path == path);
    let has_parts = |path: &str| {
        let prefix = format!("{path}.");
        entries.iter().any(|entry| entry.path.starts_with(&prefix))
    };
    let mut unknown = Vec::new();
    let mut roots = vec![(String::new(), &schema)];
    for (map, definition) in DEFINED {
        let pointer = format!("/definitions/{definition}");
        let place = schema.pointer(&pointer);
        roots.push((
            format!("{map}."),
            place.with_context(|| format!("the schema has no {pointer}"))?,
        ));
    }
    while let Some((prefix, node)) = roots.pop() {
        let Some(Value::Object(properties)) = node.get("properties") else {
            continue;
        };
        for (name, child) in properties {
            let path = format!("{prefix}{name}");
            if has_parts(&path) {
                roots.push((format!("{path}."), child));
            } else if !known(&path) && path != HELM {
                unknown.push(path);
            }
        }
    }
    if !unknown.is_empty() {
        bail!(
            "the schema has properties that values.yaml does not describe: {}",
            unknown.join(", ")
        );
    }
    let mut text = serde_json::to_string_pretty(&schema).context("writing it")?;
    text.push('\n');
    Ok(text)
}

/// The property at a path of values.
fn property<'schema>(schema: &'schema mut Value, path: &str) -> Option<&'schema mut Map<String, Value>> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let defined = DEFINED.iter().find(|(map, _)| *map == first && !rest.is_empty());
    let (mut node, names) = match defined {
        Some((_, definition)) => (schema.pointer_mut(&format!("/definitions/{definition}"))?, rest),
        None => (schema, path),
    };
    for name in names.split('.') {
        node = node.get_mut("properties")?.get_mut(name)?;
    }
    node.as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::values::chapters;

    const SCHEMA: &str = r##"{
        "properties": { "image": { "properties": { "tag": { "type": "string" } } },
                        "doorDefaults": { "$ref": "#/definitions/door" } },
        "definitions": { "door": { "properties": { "port": {} } }, "service": {} }
    }"##;
    const VALUES: &str =
        "## A\n\nimage:\n  # The tag.\n  tag: 1\n# Doors.\ndoorDefaults:\n  # The port.\n  port: 1\n";

    #[test]
    fn descriptions_come_from_the_values() {
        let text = described(SCHEMA, &chapters(VALUES).expect("chapters")).expect("a schema");
        let schema: Value = serde_json::from_str(&text).expect("JSON");
        let at = |pointer: &str| schema.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        assert_eq!(
            at("/properties/image/properties/tag/description").as_deref(),
            Some("The tag.")
        );
        assert_eq!(
            at("/definitions/door/properties/port/description").as_deref(),
            Some("The port.")
        );
    }

    #[test]
    fn what_only_one_of_them_has_is_an_error() {
        let error = |schema: &str, values: &str| {
            let chapters = chapters(values).expect("chapters");
            format!("{:#}", described(schema, &chapters).expect_err("an error"))
        };
        let more = format!("{VALUES}# More.\nmore: 1\n");
        assert!(error(SCHEMA, &more).contains("values.yaml has more, and the schema does not"));
        let schema = SCHEMA.replace(r#""port": {}"#, r#""port": {}, "host": {}"#);
        assert!(error(&schema, VALUES).contains("does not describe: doorDefaults.host"));
    }
}
