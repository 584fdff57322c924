//! JSON as YAML for people. What is read of it is what was written: texts that YAML could take for anything else are quoted.

use serde_json::Value;

/// A document. The fields of objects of Kubernetes are in their usual order.
pub(crate) fn document(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let first = ["apiVersion", "kind", "metadata", "spec"];
            let named = first.iter().filter_map(|name| Some((*name, fields.get(*name)?)));
            let others = fields.iter().map(|(name, value)| (name.as_str(), value));
            let others = others.filter(|(name, _)| !first.contains(name));
            for (name, value) in named.chain(others) {
                field(name, value, 0, &mut text);
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => text.push_str(&format!("{value}\n")),
    }
    text
}

/// `name: value`, at this indentation.
fn field(name: &str, value: &Value, indent: usize, text: &mut String) {
    text.push_str(&" ".repeat(indent));
    text.push_str(&scalar(name));
    text.push(':');
    nested(value, indent, text);
}

/// What follows `name:`.
fn nested(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            for (name, value) in fields {
                field(name, value, indent + 2, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            for value in items {
                item(value, indent, text);
            }
        }
        Value::String(string) => text.push_str(&format!(" {}\n", scalar(string))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            text.push_str(&format!(" {value}\n"));
        }
    }
}

/// `- value`
fn item(value: &Value, indent: usize, text: &mut String) {
    let mut inner = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                field(name, value, indent + 2, &mut inner);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            // Lists of lists: in one line, as JSON.
            inner.push_str(&format!("{}{value}\n", " ".repeat(indent + 2)));
        }
        Value::String(string) => inner.push_str(&format!("{}{}\n", " ".repeat(indent + 2), scalar(string))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            inner.push_str(&format!("{}{value}\n", " ".repeat(indent + 2)));
        }
    }
    text.push_str(&" ".repeat(indent));
    text.push_str("- ");
    text.push_str(inner.trim_start_matches(' '));
}

/// A text, plain where it cannot be taken for anything else.
fn scalar(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
    let starts = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "null"
    );
    if starts && !word && text.chars().all(plain) {
        return text.to_owned();
    }
    // JSON leaves some characters as they are that YAML does not take.
    let json = Value::String(text.to_owned()).to_string();
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() && !character.is_ascii_control() || character.is_alphanumeric() {
            escaped.push(character);
        } else {
            let code = u32::from(character);
            let wide = if code > 0xffff {
                format!("\\U{code:08x}")
            } else {
                format!("\\u{code:04x}")
            };
            escaped.push_str(&wide);
        }
    }
    escaped
}
