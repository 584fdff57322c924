//! The reference, generated from the types that are read.

use serde_json::{Map, Value};

use super::raw::Raw;

/// A JSON Schema of `listeners.toml`.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Raw).to_value();
    if let Value::Object(schema) = &mut schema {
        schema.insert("title".to_owned(), Value::String("listeners.toml".to_owned()));
    }
    schema
}

/// The same as a Markdown page.
#[must_use]
pub fn markdown() -> String {
    let schema = json_schema();
    let mut page = String::from(
        "# Configuration reference\n\n\
         Every key of `listeners.toml`. Generated from the program's own types; a test keeps it fresh.\n\
         Each key can also be set by an environment variable, as in `BLASTDOOR_LISTENERS__EXTERNAL_HTTP__BIND`:\n\
         upper case, `__` between the parts, `-` written as `_`, lists as TOML arrays.\n\
         Durations are written `200ms`, `25s`, `2m`, `1h`; sizes `32KiB`, `1MiB`, or a number of bytes.\n",
    );
    for (table, path) in [
        ("[source]", &["source"][..]),
        ("[source.replicas]", &["source", "replicas"]),
        ("[admin]", &["admin"]),
        ("[log]", &["log"]),
        ("[process]", &["process"]),
        ("[tracing]", &["tracing"]),
        ("[listeners.NAME]", &["listeners", "*"]),
        ("[listeners.NAME.drain]", &["listeners", "*", "drain"]),
        ("[listeners.NAME.publish]", &["listeners", "*", "publish"]),
        ("[listeners.NAME.limits]", &["listeners", "*", "limits"]),
        ("[listeners.NAME.timeouts]", &["listeners", "*", "timeouts"]),
        ("[listeners.NAME.filters]", &["listeners", "*", "filters"]),
        ("[listeners.NAME.tracing]", &["listeners", "*", "tracing"]),
        ("[listeners.NAME.tls]", &["listeners", "*", "tls"]),
        (
            "[listeners.NAME.tls.default_certificate]",
            &["listeners", "*", "tls", "default_certificate"],
        ),
        (
            "[listeners.NAME.tls.client_auth]",
            &["listeners", "*", "tls", "client_auth"],
        ),
        (
            "[listeners.NAME.tls.client_auth.ca]",
            &["listeners", "*", "tls", "client_auth", "ca"],
        ),
    ] {
        page.push_str(&format!("\n## `{table}`\n\n| key | meaning |\n|---|---|\n"));
        let Some(properties) = properties(&schema, path) else {
            continue;
        };
        for (key, property) in properties {
            let meaning = description(&schema, property)
                .unwrap_or_default()
                .replace('\n', " ")
                .replace('|', "\\|");
            page.push_str(&format!("| `{key}` | {meaning} |\n"));
        }
    }
    page
}

fn properties<'s>(schema: &'s Value, path: &[&str]) -> Option<&'s Map<String, Value>> {
    let mut place = schema;
    for part in path {
        place = resolve(schema, place)?;
        place = match *part {
            "*" => place.get("additionalProperties")?,
            key => place.get("properties")?.get(key)?,
        };
    }
    resolve(schema, place)?.get("properties")?.as_object()
}

/// Follows references and takes the object out of `T or null`.
fn resolve<'s>(schema: &'s Value, place: &'s Value) -> Option<&'s Value> {
    if let Some(reference) = place.get("$ref").and_then(Value::as_str) {
        return resolve(schema, schema.pointer(reference.strip_prefix('#')?)?);
    }
    match place.get("anyOf").and_then(Value::as_array) {
        Some(choices) => choices
            .iter()
            .filter_map(|choice| resolve(schema, choice))
            // Of a word and a table, the table has keys to tell of.
            .find(|choice| {
                !matches!(
                    choice.get("type").and_then(Value::as_str),
                    Some("null" | "string")
                )
            }),
        None => Some(place),
    }
}

fn description<'s>(schema: &'s Value, property: &'s Value) -> Option<&'s str> {
    let own = property.get("description").and_then(Value::as_str);
    own.or_else(|| resolve(schema, property)?.get("description")?.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares a generated file with the one in the repository; `UPDATE_DOCS=1` writes it.
    fn is_fresh(path: &str, generated: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../docs")
            .join(path);
        #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
        if std::env::var("UPDATE_DOCS").is_ok() {
            std::fs::write(&path, generated).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == generated,
            "{} is stale; run `UPDATE_DOCS=1 cargo test -p blastdoor`",
            path.display()
        );
    }

    #[test]
    fn the_schema_is_fresh() {
        is_fresh("listeners.schema.json", &format!("{:#}\n", json_schema()));
    }

    #[test]
    fn the_reference_is_fresh() {
        is_fresh("reference-configuration.md", &markdown());
    }
}
