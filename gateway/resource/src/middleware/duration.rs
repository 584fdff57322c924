//! Durations as Traefik reads them.

use std::time::Duration;

use filter::duration::parse_duration;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A duration: text as Go's `time.ParseDuration` reads it, or a number of seconds, as text or as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct GoDuration(pub(super) Duration);

impl GoDuration {
    /// What is written, or why it is no duration.
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        let read = match value {
            Value::Number(number) => parse_duration(&number.to_string()),
            Value::String(text) => parse_duration(text),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                Err("expected a time such as `1m30s`, or a number of seconds".to_owned())
            }
        };
        read.map(Self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_text_or_seconds() {
        let table = [
            (json!(60), Some(60_000)),
            (json!("60"), Some(60_000)),
            (json!("1m30s"), Some(90_000)),
            (json!(0), Some(0)),
            (json!("-1s"), None),
            (json!(-1), None),
            (json!(1.5), None),
            (json!(""), None),
            (json!(true), None),
            (json!(["1s"]), None),
        ];
        for (written, expected) in table {
            let read = GoDuration::read(&written).ok().map(|read| read.0);
            assert_eq!(read, expected.map(Duration::from_millis), "{written}");
        }
    }
}
