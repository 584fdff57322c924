//! From merged values to typed ones, with every error and not only the first.

use hyper::http::HeaderName;
use serde_json::Value;

use super::document::may_be_secret;
use super::error::ConfigError;
use super::layers::Layers;
use super::raw::Raw;

/// Errors that are collected before giving up: a file of garbage needs no full account.
const MOST: usize = 100;

/// Deserialises the values. After each error it takes the offending key out and tries again, so that it finds all.
pub(super) fn typed(layers: &Layers, errors: &mut Vec<ConfigError>) -> Raw {
    let mut value = match serde_json::to_value(layers.values()) {
        Ok(value) => value,
        Err(error) => {
            errors.push(layers.error("", error.to_string()));
            return Raw::default();
        }
    };
    for _ in 0..MOST {
        let error = match serde_path_to_error::deserialize::<_, Raw>(value.clone()) {
            Ok(raw) => return raw,
            Err(error) => error,
        };
        let mut path: Vec<String> = error.path().iter().map(|segment| segment.to_string()).collect();
        let message = error.inner().to_string();
        // serde reports an unknown field at its parent; its name is in the message.
        let unknown = message
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split('`').next());
        if let Some(field) = unknown
            && path.last().is_none_or(|last| last != field)
        {
            path.push(field.to_owned());
        }
        let key = path.join(".").replace(".[", "[");
        errors.push(match unknown {
            // serde repeats the value, and the key may be one that was written for it.
            _ if may_be_secret(path.iter().map(String::as_str)) => {
                layers.error(&secret_key(&path), SECRET.to_owned())
            }
            Some(_) => layers.error_in_key(&key, readable(&message)),
            None => layers.error(&key, readable(&message)),
        });
        if !remove(&mut value, &path) {
            return Raw::default();
        }
    }
    Raw::default()
}

/// What is wrong with a secret, which is not repeated.
const SECRET: &str = "must be a table of texts, such as `{ authorization = \"Bearer …\" }`";

/// The key of a secret: with the name of the field, if it is one.
fn secret_key(path: &[String]) -> String {
    let is_name = |name: &&String| name.parse::<HeaderName>().is_ok();
    let name = path.get(2).filter(is_name).map(|name| format!(".{name}"));
    format!("tracing.headers{}", name.unwrap_or_default())
}

/// serde's words, in ours.
fn readable(message: &str) -> String {
    match message.split_once(", expected ") {
        Some((what, expected)) if message.starts_with("unknown field") => {
            let field = what.split('`').nth(1).unwrap_or_default();
            let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
            let near = known.iter().find(|name| is_near(name, field));
            let hint = near
                .map(|name| format!("; did you mean `{name}`?"))
                .unwrap_or_default();
            format!("unknown key{hint}; allowed: {}", known.join(", "))
        }
        Some((what, expected)) => {
            let expected = match expected {
                "u16" => "a whole number from 0 to 65535",
                "u32" => "a whole number from 0 to 4294967295",
                "u64" | "usize" => "a whole number",
                other => other,
            };
            format!("{what}; allowed: {expected}")
        }
        None => message.to_owned(),
    }
}

/// One letter more, less, or other, or two swapped.
fn is_near(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let start = left
        .iter()
        .zip(right)
        .take_while(|(one, other)| one == other)
        .count();
    let rest = left.len().min(right.len()) - start;
    let end = left
        .iter()
        .rev()
        .zip(right.iter().rev())
        .take(rest)
        .take_while(|(one, other)| one == other)
        .count();
    left.len().abs_diff(right.len()) <= 1 && left.len().max(right.len()) - start - end <= 2 && start + end > 0
}

/// Takes out what `path` names, or the nearest thing around it.
fn remove(value: &mut Value, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    let mut place = &mut *value;
    for (depth, parent) in parents.iter().enumerate() {
        let next = match place {
            Value::Object(map) => map.get_mut(parent),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        };
        match next {
            Some(next) => place = next,
            None => {
                return remove(
                    value,
                    parents
                        .get(..=depth)
                        .filter(|shorter| shorter.len() < path.len())
                        .unwrap_or_default(),
                );
            }
        }
    }
    match place {
        Value::Object(map) => map.remove(last).is_some() || (!parents.is_empty() && remove(value, parents)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            !parents.is_empty() && remove(value, parents)
        }
    }
}
