//! Durations, sizes and names of objects as people write them.

use std::time::Duration;

use route::ObjectKey;

/// What a duration looks like, for messages.
pub(super) const DURATION: &str = "a duration such as `200ms`, `25s`, `2m` or `1h`";

/// What a size looks like, for messages.
pub(super) const SIZE: &str = "bytes as a number, or with a unit such as `32KiB`, `1MiB`";

/// `200ms`, `25s`, `2m`, `1h`; not zero.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let number: u64 = number.parse().ok()?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3600)?),
        _ => return None,
    };
    // A year is more than any timeout; beyond lies arithmetic that overflows.
    (duration <= Duration::from_secs(366 * 86_400)).then_some(duration)
}

/// `1024`, `32KiB`, `1MiB`, `1GiB`, and the decimal `kB`, `MB`, `GB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let split = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let unit = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// `namespace/name`
pub(super) fn object(written: &str) -> Option<ObjectKey> {
    let fits = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        (1..=253).contains(&part.len()) && part.bytes().all(plain)
    };
    let (namespace, name) = written.split_once('/')?;
    (fits(namespace) && fits(name)).then(|| ObjectKey::new(namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_need_a_number_and_a_unit() {
        assert_eq!(duration("620s"), Some(Duration::from_secs(620)));
        assert_eq!(duration("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        for wrong in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "1d",
            "99999999999999999999s",
            "9000000h",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        assert_eq!(size("32KiB"), Some(32 << 10));
        assert_eq!(size("1MiB"), Some(1 << 20));
        assert_eq!(size("77"), Some(77));
        for wrong in [
            "",
            "KiB",
            "1.5MiB",
            "-1",
            "99999999999999999999",
            "99999999999GiB",
        ] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
