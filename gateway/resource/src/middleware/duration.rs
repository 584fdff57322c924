//! Durations as Traefik reads them.

use std::time::Duration;

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
            Value::Number(number) => number.as_u64().map(Duration::from_secs),
            Value::String(text) => parse(text),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        read.map(Self)
            .ok_or_else(|| format!("{value} is not a duration such as `1m30s`, nor a number of seconds"))
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// `90`, `1m30s`, `1.5h`, `100ms`. Nothing negative: no field means anything by it.
fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanoseconds: u128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, after) = rest.split_at_checked(end)?;
        let unit_end = after
            .find(|character: char| character.is_ascii_digit() || character == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end)?;
        nanoseconds = nanoseconds.checked_add(part(number, unit)?)?;
        rest = after;
    }
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

/// One number with its unit, in nanoseconds.
fn part(number: &str, unit: &str) -> Option<u128> {
    let scale: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = |text: &str| {
        if text.is_empty() {
            Some(0)
        } else {
            text.parse::<u128>().ok()
        }
    };
    // More digits are below a nanosecond in every unit.
    let fraction = fraction.get(..fraction.len().min(15))?;
    let power = u32::try_from(fraction.len()).ok()?;
    let below = digits(fraction)?.checked_mul(scale)? / 10_u128.checked_pow(power)?;
    digits(whole)?.checked_mul(scale)?.checked_add(below)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_read_as_traefik_reads_them() {
        let table = [
            (json!(60), Some(60_000)),
            (json!("60"), Some(60_000)),
            (json!("1s"), Some(1_000)),
            (json!("1m30s"), Some(90_000)),
            (json!("1.5h"), Some(5_400_000)),
            (json!(".5s"), Some(500)),
            (json!("2.s"), Some(2_000)),
            (json!("100ms"), Some(100)),
            (json!("1000us"), Some(1)),
            (json!("1000µs"), Some(1)),
            (json!("1000000ns"), Some(1)),
            (json!("+1s"), Some(1_000)),
            (json!("0"), Some(0)),
            (json!(0), Some(0)),
            (json!("-1s"), None),
            (json!(-1), None),
            (json!(1.5), None),
            (json!("1 s"), None),
            (json!("s"), None),
            (json!("."), None),
            (json!(".s"), None),
            (json!("1d"), None),
            (json!("1.2.3s"), None),
            (json!(""), None),
            (json!("999999999999999999999h"), None),
            (json!(true), None),
        ];
        for (written, expected) in table {
            let read = GoDuration::read(&written).ok().map(|read| read.0);
            assert_eq!(read, expected.map(Duration::from_millis), "{written}");
        }
    }
}
