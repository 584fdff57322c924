//! What a scalar means: text, a number, a truth value.

use saphyr_parser::{ScalarStyle, Tag};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) kind: ScalarKind,
}

/// What a scalar is by the core schema (YAML 1.2.2, section 10.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScalarKind {
    Null,
    Boolean(bool),
    Integer(i64),
    Float,
    Text,
}

impl Scalar {
    /// A scalar as it is written; `None` when it does not fit its tag.
    pub(super) fn read(text: String, style: ScalarStyle, tag: Option<&Tag>) -> Option<Self> {
        let kind = match tag {
            Some(tag) if tag.is_yaml_core_schema() => tagged(&text, &tag.suffix)?,
            // `!` alone: text, whatever it looks like.
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => ScalarKind::Text,
            Some(_) => return None,
            None if style == ScalarStyle::Plain => plain(&text),
            None => ScalarKind::Text,
        };
        Some(Self { text, kind })
    }
}

fn tagged(text: &str, tag: &str) -> Option<ScalarKind> {
    let kind = plain(text);
    let fits = match (tag, kind) {
        ("str", _) => return Some(ScalarKind::Text),
        ("null", ScalarKind::Null) | ("bool", ScalarKind::Boolean(_)) | ("int", ScalarKind::Integer(_)) => {
            true
        }
        ("float", ScalarKind::Float | ScalarKind::Integer(_)) => true,
        _ => false,
    };
    fits.then_some(kind)
}

/// What a plain scalar is. Only the words of YAML 1.2: `yes` and `off` are text.
fn plain(text: &str) -> ScalarKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return ScalarKind::Null,
        "true" | "True" | "TRUE" => return ScalarKind::Boolean(true),
        "false" | "False" | "FALSE" => return ScalarKind::Boolean(false),
        _ => {}
    }
    let (radix, digits) = match text.as_bytes() {
        [b'0', b'x', ..] => (16, text.get(2..)),
        [b'0', b'o', ..] => (8, text.get(2..)),
        _ => (10, Some(text)),
    };
    let digits = digits.unwrap_or_default();
    if (radix == 10 || digits.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        && let Ok(number) = i64::from_str_radix(digits, radix)
    {
        return ScalarKind::Integer(number);
    }
    if is_float(text) {
        ScalarKind::Float
    } else {
        ScalarKind::Text
    }
}

fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN" => true,
        _ => {
            // Rust's own words for infinity are no YAML numbers.
            unsigned
                .bytes()
                .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
                && unsigned.bytes().any(|byte| byte.is_ascii_digit())
                && unsigned.parse::<f64>().is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// YAML 1.2.2, section 10.3.2, and the words of YAML 1.1 that no longer have a meaning.
    #[test]
    fn plain_scalars_mean_what_yaml_1_2_says() {
        let table = [
            ("", ScalarKind::Null),
            ("~", ScalarKind::Null),
            ("null", ScalarKind::Null),
            ("true", ScalarKind::Boolean(true)),
            ("False", ScalarKind::Boolean(false)),
            ("yes", ScalarKind::Text),
            ("no", ScalarKind::Text),
            ("on", ScalarKind::Text),
            ("off", ScalarKind::Text),
            ("y", ScalarKind::Text),
            ("80", ScalarKind::Integer(80)),
            ("-80", ScalarKind::Integer(-80)),
            ("+80", ScalarKind::Integer(80)),
            ("0080", ScalarKind::Integer(80)),
            ("0x50", ScalarKind::Integer(80)),
            ("0o120", ScalarKind::Integer(80)),
            ("0x-50", ScalarKind::Text),
            ("8_000", ScalarKind::Text),
            ("80:80", ScalarKind::Text),
            ("9223372036854775808", ScalarKind::Float),
            ("1.0", ScalarKind::Float),
            ("1e3", ScalarKind::Float),
            (".5", ScalarKind::Float),
            ("-.inf", ScalarKind::Float),
            (".NaN", ScalarKind::Float),
            ("inf", ScalarKind::Text),
            ("nan", ScalarKind::Text),
            ("1.2.3", ScalarKind::Text),
            ("10.0.0.1", ScalarKind::Text),
            ("2026-01-31", ScalarKind::Text),
            (".", ScalarKind::Text),
            ("e", ScalarKind::Text),
        ];
        for (text, kind) in table {
            assert_eq!(plain(text), kind, "{text}");
        }
    }
}
