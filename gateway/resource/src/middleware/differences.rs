//! What Middlewares do differently here than in Traefik, for who moves them to this gateway.

use serde_json::Value;

use super::row::{FieldRow, Form};
use super::table::KINDS;

/// Every field of a Middleware that does not do quite the same here, as in `rateLimit.sourceCriterion`, and what is
/// different.
#[must_use]
pub fn middleware_differences() -> Vec<(String, &'static str)> {
    let mut all = Vec::new();
    for kind in KINDS {
        listed(kind.fields, kind.name, &mut all);
    }
    all
}

/// Those of these fields that are written below `spec` of a Middleware.
#[must_use]
pub fn differing_fields(spec: &Value) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for kind in KINDS {
        if let Some(content) = spec.get(kind.name) {
            written(kind.fields, kind.name, content, &mut found);
        }
    }
    found
}

fn listed(fields: &'static [FieldRow], at: &str, all: &mut Vec<(String, &'static str)>) {
    for row in fields {
        let at = format!("{at}.{}", row.name);
        if let Form::Object(fields) | Form::Objects(fields) = row.form {
            listed(fields, &at, all);
        }
        if !row.difference.is_empty() {
            all.push((at, row.difference));
        }
    }
}

fn written(fields: &'static [FieldRow], at: &str, content: &Value, found: &mut Vec<(String, &'static str)>) {
    for row in fields {
        let Some(value) = content.get(row.name).filter(|value| !value.is_null()) else {
            continue;
        };
        let at = format!("{at}.{}", row.name);
        if !row.difference.is_empty() && !found.iter().any(|(known, _)| *known == at) {
            found.push((at.clone(), row.difference));
        }
        match row.form {
            Form::Object(fields) => written(fields, &at, value, found),
            Form::Objects(fields) => {
                for item in value.as_array().into_iter().flatten() {
                    written(fields, &at, item, found);
                }
            }
            Form::Text
            | Form::Truth
            | Form::Natural
            | Form::Integer
            | Form::Duration
            | Form::Port
            | Form::Texts
            | Form::TextMap
            | Form::NumberMap
            | Form::Any => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_differ_are_found_where_they_are_written() {
        let all = middleware_differences();
        let fields = |spec: &Value| -> Vec<String> {
            let found = differing_fields(spec);
            assert!(found.iter().all(|field| all.contains(field)), "{found:?}");
            found.into_iter().map(|(field, _)| field).collect()
        };
        assert_eq!(
            fields(&json!({"stripPrefix": {"prefixes": ["/api"]}})),
            ["stripPrefix.prefixes"]
        );
        assert_eq!(
            fields(&json!({"stripPrefix": {"prefixes": null}})),
            Vec::<String>::new()
        );
        assert_eq!(
            fields(&json!({"chain": {"middlewares": [{"name": "a"}, {"name": "b"}]}})),
            ["chain.middlewares.name"]
        );
        assert_eq!(fields(&json!({"errors": "nonsense"})), Vec::<String>::new());
    }
}
