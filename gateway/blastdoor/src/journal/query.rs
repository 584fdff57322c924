//! Which publications somebody asks for.

use std::time::Duration;

use jiff::Timestamp;

/// How many publications are shown unless another number is asked for, and at most.
const USUAL: usize = 500;
pub(crate) const MOST: usize = 10_000;

/// Which publications somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    /// From this time on.
    pub(super) since: Option<Timestamp>,
    /// With a higher number.
    pub(super) after: Option<u64>,
    /// What changed at this door.
    pub(super) door: Option<String>,
    /// What concerns this namespace.
    pub(super) namespace: Option<String>,
    /// The newest of them, as many as this.
    pub(super) limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            since: None,
            after: None,
            door: None,
            namespace: None,
            limit: USUAL,
        }
    }
}

impl Query {
    /// Reads the parameters of a request.
    ///
    /// # Errors
    /// What is wrong, in words for whoever asks.
    pub(crate) fn read(
        since: Option<&str>,
        after: Option<&str>,
        door: Option<&str>,
        limit: Option<&str>,
    ) -> Result<Self, String> {
        Self::read_at([since, after, door, limit], Timestamp::now())
    }

    /// The same, where only what concerns one namespace is of interest.
    pub(crate) fn about(mut self, namespace: Option<&str>) -> Self {
        self.namespace = namespace.map(str::to_owned);
        self
    }

    pub(super) fn read_at(parameters: [Option<&str>; 4], now: Timestamp) -> Result<Self, String> {
        let [since, after, door, limit] = parameters;
        let number = |text: &str| {
            text.parse::<u64>()
                .map_err(|_| "`after` is the number of a publication")
        };
        Ok(Self {
            since: since.map(|since| moment(since, now)).transpose()?,
            after: after.map(number).transpose()?,
            door: door.map(str::to_owned),
            namespace: None,
            limit: match limit {
                None => USUAL,
                Some(text) => {
                    let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                    limit.ok_or_else(|| format!("`limit` is a number from 1 to {MOST}"))?
                }
            },
        })
    }
}

/// A time (RFC 3339), or one that lies so long before now.
///
/// # Errors
/// When it is neither, in words.
pub(crate) fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let before = age(text).and_then(|age| now.checked_sub(age).ok());
    before.or_else(|| text.parse().ok()).ok_or_else(|| {
        "since: expected a time as in 2026-11-27T10:00:00Z, or how long ago as in 90s, 15m, 1h or 7d"
            .to_owned()
    })
}

/// A whole number with a unit.
fn age(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    let (number, seconds) = UNITS
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = is_number.then(|| number.parse().ok()).flatten()?;
    number.checked_mul(*seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_or_ages() {
        let now: Timestamp = "2026-11-27T10:00:00Z".parse().unwrap();
        let table = [
            ("2026-11-27T09:30:00Z", Some("2026-11-27T09:30:00Z")),
            ("2026-11-27T11:30:00+02:00", Some("2026-11-27T09:30:00Z")),
            ("90s", Some("2026-11-27T09:58:30Z")),
            ("15m", Some("2026-11-27T09:45:00Z")),
            ("1h", Some("2026-11-27T09:00:00Z")),
            ("7d", Some("2026-11-20T10:00:00Z")),
            ("0s", Some("2026-11-27T10:00:00Z")),
            ("", None),
            ("h", None),
            ("-1h", None),
            ("+1h", None),
            ("1.5h", None),
            ("yesterday", None),
            ("99999999999999999999d", None),
            ("9999999999999999d", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|time| time.parse::<Timestamp>().unwrap());
            assert_eq!(moment(text, now).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn parameters_are_read_or_refused() {
        let now = Timestamp::UNIX_EPOCH;
        let read = |parameters| Query::read_at(parameters, now);
        assert_eq!(read([None; 4]), Ok(Query::default()));
        let expected = Query {
            since: Some(now),
            after: Some(7),
            door: Some("a".to_owned()),
            namespace: None,
            limit: 3,
        };
        assert_eq!(
            read([Some("1970-01-01T00:00:00Z"), Some("7"), Some("a"), Some("3")]),
            Ok(expected)
        );
        for refused in [
            [Some("soon"), None, None, None],
            [None, Some("-1"), None, None],
            [None, None, None, Some("0")],
            [None, None, None, Some("10001")],
        ] {
            assert!(read(refused).is_err(), "{refused:?}");
        }
    }
}
