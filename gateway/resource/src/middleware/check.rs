//! Whether what is written fits the rows of its kind.

use serde_json::{Map, Value};

use super::duration::GoDuration;
use super::kind::InvalidMiddleware;
use super::row::{FieldEffect, FieldRow, Form};
use crate::reporter::Reporter;
use crate::spelling::nearest;

/// Fits an object to the rows of its fields: returns it without nulls, or the first thing that is wrong with it. Warns of
/// fields without effect.
pub(super) fn fit(
    fields: &'static [FieldRow],
    value: Value,
    at: &str,
    reporter: &mut Reporter<'_>,
) -> Result<Value, InvalidMiddleware> {
    let Value::Object(written) = value else {
        return Err(mismatch(Form::Object(fields), &value, at));
    };
    let mut fitted = Map::new();
    for (name, value) in written {
        let at = format!("{at}.{name}");
        let Some(row) = fields.iter().find(|row| row.name == name) else {
            return Err(unknown(&name, fields.iter().map(|row| row.name), &at));
        };
        // As an API server has it, null is nothing.
        if value.is_null() {
            continue;
        }
        let value = fit_value(row.form, value, &at, reporter)?;
        match row.effect {
            FieldEffect::Closes(reason) if says_something(&value) => return Err(invalid(&at, reason)),
            FieldEffect::Told(reason) if says_something(&value) => reporter.warning(&at, reason),
            FieldEffect::Honoured | FieldEffect::Closes(_) | FieldEffect::Told(_) => {}
        }
        fitted.insert(name, value);
    }
    Ok(Value::Object(fitted))
}

/// A name that is not known here.
pub(super) fn unknown<'n>(name: &str, known: impl Iterator<Item = &'n str>, at: &str) -> InvalidMiddleware {
    match nearest(name, known) {
        Some(meant) => invalid(at, format!("unknown field; did you mean `{meant}`?")),
        None => invalid(at, "unknown field, which may ask for protection"),
    }
}

fn fit_value(
    form: Form,
    value: Value,
    at: &str,
    reporter: &mut Reporter<'_>,
) -> Result<Value, InvalidMiddleware> {
    let fits = match (form, &value) {
        (Form::Object(fields), _) => return fit(fields, value, at, reporter),
        (Form::Objects(fields), Value::Array(_)) => return fit_list(fields, value, at, reporter),
        (Form::Duration, _) => {
            GoDuration::read(&value).map_err(|reason| invalid(at, reason))?;
            true
        }
        (Form::Text, Value::String(_)) | (Form::Truth, Value::Bool(_)) | (Form::Any, _) => true,
        (Form::Natural, Value::Number(number)) => number.as_i64().is_some_and(|number| number >= 0),
        (Form::Integer, Value::Number(number)) => number.as_i64().is_some(),
        (Form::Port, Value::Number(number)) => number.as_u64().is_some(),
        (Form::Port, Value::String(_)) => true,
        (Form::Texts, Value::Array(items)) => items.iter().all(Value::is_string),
        (Form::TextMap, Value::Object(map)) => map.values().all(Value::is_string),
        (Form::NumberMap, Value::Object(map)) => map.values().all(Value::is_i64),
        (
            Form::Text
            | Form::Truth
            | Form::Natural
            | Form::Integer
            | Form::Port
            | Form::Texts
            | Form::TextMap
            | Form::NumberMap
            | Form::Objects(_),
            _,
        ) => false,
    };
    if fits {
        Ok(value)
    } else {
        Err(mismatch(form, &value, at))
    }
}

fn fit_list(
    fields: &'static [FieldRow],
    value: Value,
    at: &str,
    reporter: &mut Reporter<'_>,
) -> Result<Value, InvalidMiddleware> {
    let Value::Array(items) = value else {
        return Err(mismatch(Form::Objects(fields), &value, at));
    };
    let items = items.into_iter().enumerate();
    items
        .map(|(index, item)| fit(fields, item, &format!("{at}[{index}]"), reporter))
        .collect()
}

/// Without what is written: it may be secret.
fn mismatch(form: Form, value: &Value, at: &str) -> InvalidMiddleware {
    let found = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    };
    let mut reason = format!("expected {}, found {found}", form.name());
    let is_quoted = |text: &str| match form {
        Form::Truth => matches!(text, "true" | "false"),
        Form::Natural | Form::Integer => text.parse::<i64>().is_ok(),
        Form::Text
        | Form::Duration
        | Form::Port
        | Form::Texts
        | Form::TextMap
        | Form::NumberMap
        | Form::Object(_)
        | Form::Objects(_)
        | Form::Any => false,
    };
    match (form, value) {
        (Form::Text, Value::Bool(_) | Value::Number(_)) => reason.push_str("; write it in quotes"),
        (Form::TextMap, Value::Object(_)) => {
            reason.push_str(" with other values; write each value in quotes");
        }
        (Form::NumberMap, Value::Object(_)) => reason.push_str(" with other values"),
        (Form::Texts, Value::Array(_)) => reason.push_str(" with other items; write each item in quotes"),
        (_, Value::String(text)) if is_quoted(text) => reason.push_str("; write it without quotes"),
        _ => {}
    }
    invalid(at, reason)
}

fn invalid(at: &str, reason: impl Into<Box<str>>) -> InvalidMiddleware {
    InvalidMiddleware {
        field: at.into(),
        reason: reason.into(),
    }
}

/// Whether a value asks for anything.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_i64() != Some(0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}
