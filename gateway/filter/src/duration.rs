//! Times as Go writes them, which both origins of filters read.

use std::time::Duration;

/// The most that a filter's time can be: ten years. Nobody means more, and sums of such times do not overflow.
pub const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A time as Go writes it (`1h30m`, `1.5s`, `100ms`), or a bare number of seconds (`10`, `0`). Nothing negative, and
/// nothing above [`LONGEST`].
///
/// # Errors
/// What is wrong with `text`, ready for a problem.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let unreadable = || format!("`{text}` is not a time like `90`, `10s`, `1m30s` or `500ms`");
    let nanos = match text.parse::<u64>() {
        Ok(seconds) if !text.starts_with('+') => u128::from(seconds) * 1_000_000_000,
        _ => parts(text).ok_or_else(unreadable)?,
    };
    u64::try_from(nanos)
        .ok()
        .map(Duration::from_nanos)
        .filter(|time| *time <= LONGEST)
        .ok_or_else(|| format!("`{text}` is longer than ten years"))
}

/// The nanoseconds of a sequence of numbers, each with its unit.
fn parts(mut rest: &str) -> Option<u128> {
    if rest.is_empty() || rest.len() > 64 {
        return None;
    }
    let mut sum = 0_u128;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let unit_length = behind
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(behind.len());
        let (unit, next) = behind.split_at(unit_length);
        let unit: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        sum = sum.checked_add(whole.checked_mul(unit)?)?;
        // As Go: what is finer than a nanosecond does not count.
        let mut place = unit;
        for digit in fraction.chars() {
            place /= 10;
            sum = sum.checked_add(u128::from(digit.to_digit(10)?) * place)?;
        }
        rest = next;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_writes_them_and_bare_seconds() {
        let table: &[(&str, u64)] = &[
            ("0", 0),
            ("10", 10_000_000_000),
            ("10s", 10_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1h", 3_600_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("100ms", 100_000_000),
            ("7us", 7_000),
            ("7µs", 7_000),
            ("3ns", 3),
            ("1s1s", 2_000_000_000),
        ];
        for (text, nanos) in table {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(*nanos)), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_a_time() {
        for text in [
            "", " 1s", "1 s", "s", ".s", "1.2.3s", "-1s", "+1s", "+1", "1d", "1S", "1e3s", "1s2", "0x10",
            "１s",
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains("is not a time like"), "{text}: {error}");
        }
        for text in ["87601h", "99999999999999999999h", "315360001"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert_eq!(parse_duration("87600h"), Ok(LONGEST));
    }
}
