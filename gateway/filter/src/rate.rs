//! How often something may happen: a bucket of tokens, as the generic cell rate algorithm in whole nanoseconds.

use std::num::{NonZeroU8, NonZeroU64};
use std::time::Duration;

use crate::duration::{LONGEST, parse_duration};

/// The most requests a second that a limit can be about: below a microsecond from one to the next, nobody is slowed and
/// nothing can be counted.
pub const MOST_PER_SECOND: u64 = 1_000_000;

/// A bucket of `burst` tokens, to which one comes back each `period / average`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    average: NonZeroU64,
    period: Duration,
    burst: NonZeroU64,
    /// From one token to the next, in nanoseconds (T).
    interval: u64,
    /// How far ahead of its time a request may come, in nanoseconds (τ): the burst beyond the first, (burst − 1) · T.
    tolerance: u64,
}

/// What is asked of one bucket: when it will be full again, in nanoseconds of any clock, or why the request must wait.
pub type Verdict = Result<u64, Wait>;

/// For how long a request comes too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait(u64);

impl Wait {
    /// A wait of so many nanoseconds.
    #[must_use]
    pub fn of_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// In whole seconds, rounded up, and never none: what `Retry-After` says.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0.div_ceil(1_000_000_000).max(1)
    }
}

impl Rate {
    /// `average` requests each `period`, and up to `burst` at once.
    ///
    /// # Errors
    /// If there is no such limit, ready for a problem.
    pub fn new(average: u64, period: Duration, burst: u64) -> Result<Self, String> {
        let average = NonZeroU64::new(average).ok_or("a limit of 0 requests lets nobody in")?;
        let burst = NonZeroU64::new(burst).ok_or("a burst of 0 requests lets nobody in")?;
        if period.is_zero() || period > LONGEST {
            return Err("the period of a limit is more than nothing and ten years at most".to_owned());
        }
        let nanos = u64::try_from(period.as_nanos()).map_err(|_| "the period is too long")?;
        Self::of_parts(average, period, burst, nanos)
    }

    /// One request a second, and up to `burst` at once, which is small: for limits of the gateway's own.
    #[must_use]
    pub const fn one_a_second(burst: NonZeroU8) -> Self {
        const SECOND: u64 = 1_000_000_000;
        let burst = NonZeroU64::MIN.saturating_add(burst.get() as u64 - 1);
        Self {
            average: NonZeroU64::MIN,
            period: Duration::from_secs(1),
            burst,
            interval: SECOND,
            tolerance: (burst.get() - 1) * SECOND,
        }
    }

    fn of_parts(
        average: NonZeroU64,
        period: Duration,
        burst: NonZeroU64,
        nanos: u64,
    ) -> Result<Self, String> {
        // To the nearest nanosecond: within 0.05 % of what is meant, as no interval is below a microsecond.
        let interval = (u128::from(nanos) * 2 + u128::from(average.get())) / (u128::from(average.get()) * 2);
        let interval = u64::try_from(interval).map_err(|_| "the period is too long")?;
        if interval < 1_000_000_000 / MOST_PER_SECOND {
            return Err(format!(
                "{average} requests each {period:?} are more than {MOST_PER_SECOND} a second, which is no limit"
            ));
        }
        let tolerance = (burst.get() - 1)
            .checked_mul(interval)
            .filter(|tolerance| u128::from(*tolerance) <= LONGEST.as_nanos())
            .ok_or_else(|| format!("a burst of {burst} takes more than ten years to come back"))?;
        Ok(Self {
            average,
            period,
            burst,
            interval,
            tolerance,
        })
    }

    /// The rate of one text: `100/1m`, `10/s`, `5/1h30m`.
    ///
    /// A bucket as large as the number, unless `burst` says else: whoever writes `100/1m` means that a hundred requests
    /// of a minute may come at once.
    ///
    /// # Errors
    /// If `text` is no such rate, ready for a problem.
    pub fn parse(text: &str, burst: Option<u64>) -> Result<Self, String> {
        let unreadable = || format!("`{text}` is not a rate like `100/1m` or `10/s`");
        let (average, period) = text.trim().split_once('/').ok_or_else(unreadable)?;
        let (average, period) = (average.trim_end(), period.trim_start());
        let average = digits(average).ok_or_else(unreadable)?;
        let period = match period {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(60 * 60),
            other => parse_duration(other).map_err(|_| unreadable())?,
        };
        Self::new(average, period, burst.unwrap_or(average))
    }

    /// The share of one of `replicas` that keep this limit together: tokens come as much more rarely, and the burst is
    /// divided, but never below one.
    #[must_use]
    pub fn divided(self, replicas: u64) -> Self {
        let replicas = replicas.max(1);
        let burst = NonZeroU64::new(self.burst.get() / replicas).unwrap_or(NonZeroU64::MIN);
        let interval = self.interval.saturating_mul(replicas);
        Self {
            burst,
            interval,
            tolerance: (burst.get() - 1).saturating_mul(interval),
            ..self
        }
    }

    /// Requests each period, of all replicas together.
    #[must_use]
    pub fn average(&self) -> u64 {
        self.average.get()
    }

    /// The time for `average` requests.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Requests at once.
    #[must_use]
    pub fn burst(&self) -> u64 {
        self.burst.get()
    }

    /// From one token to the next, in nanoseconds.
    #[must_use]
    pub fn interval(&self) -> u64 {
        self.interval
    }

    /// How far ahead of its time a request may come, in nanoseconds.
    #[must_use]
    pub fn tolerance(&self) -> u64 {
        self.tolerance
    }

    /// What becomes of a request at `now`, when the bucket is full at `full`: full later by one token, or not admitted.
    ///
    /// # Errors
    /// For how long it comes too early.
    pub fn judge(&self, full: u64, now: u64) -> Verdict {
        let arrival = full.max(now);
        let ahead = arrival - now;
        if ahead > self.tolerance {
            return Err(Wait(ahead - self.tolerance));
        }
        Ok(arrival.saturating_add(self.interval))
    }
}

/// A number in digits alone: no sign, no spaces.
fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn one_a_second_is_a_rate_like_others() {
        let burst = NonZeroU8::new(20).unwrap();
        assert_eq!(
            Ok(Rate::one_a_second(burst)),
            Rate::new(1, Duration::from_secs(1), 20)
        );
    }

    fn rate(average: u64, seconds: u64, burst: u64) -> Rate {
        Rate::new(average, Duration::from_secs(seconds), burst).unwrap()
    }

    #[test]
    fn what_a_text_means() {
        let table = [
            ("100/1m", None, rate(100, 60, 100)),
            (" 100 / 1m ", Some(200), rate(100, 60, 200)),
            ("10/s", None, rate(10, 1, 10)),
            ("10/m", Some(1), rate(10, 60, 1)),
            ("10/h", None, rate(10, 3600, 10)),
            ("5/1h30m", None, rate(5, 5400, 5)),
            ("5/90", None, rate(5, 90, 5)),
        ];
        for (text, burst, expected) in table {
            assert_eq!(Rate::parse(text, burst), Ok(expected), "{text}");
        }
        for text in [
            "", "100", "/1m", "100/", "-1/s", "+1/s", "1.5/s", "1/1d", "0/s", "1/0s", "1/-1s", "100/1m/2",
            "x/s",
        ] {
            assert!(Rate::parse(text, None).is_err(), "{text}");
        }
        assert!(Rate::parse("1/s", Some(0)).is_err());
        assert!(Rate::parse("2000001/s", None).is_err());
        assert!(Rate::parse("1/1h", Some(u64::MAX)).is_err());
        assert!(Rate::parse("18446744073709551615/s", None).is_err());
        assert!(Rate::parse("1000000/s", None).is_ok());
    }

    #[test]
    fn a_hundred_a_minute_with_a_burst_of_two_hundred() {
        let rate = rate(100, 60, 200);
        assert_eq!(rate.interval(), SECOND * 60 / 100);
        // Ten minutes, four requests a second.
        let (mut full, mut admitted) = (0, 0);
        for quarter in 0..10 * 60 * 4_u64 {
            if let Ok(next) = rate.judge(full, SECOND + quarter * SECOND / 4) {
                full = next;
                admitted += 1;
            }
        }
        assert!((1188..=1212).contains(&admitted), "{admitted}");
    }

    #[test]
    fn who_comes_too_early_is_told_when() {
        let rate = rate(1, 10, 2);
        let now = 1000 * SECOND;
        let full = rate.judge(rate.judge(0, now).unwrap(), now).unwrap();
        assert_eq!(rate.judge(full, now).map_err(Wait::seconds), Err(10));
        assert_eq!(rate.judge(full, now + 1).map_err(Wait::seconds), Err(10));
        assert_eq!(rate.judge(full, now + 9 * SECOND).map_err(Wait::seconds), Err(1));
        assert_eq!(
            rate.judge(full, now + 10 * SECOND - 1).map_err(Wait::seconds),
            Err(1)
        );
        assert!(rate.judge(full, now + 10 * SECOND).is_ok());
    }

    #[test]
    fn replicas_share_a_limit() {
        let all = rate(100, 60, 200);
        assert_eq!(all.divided(0), all);
        assert_eq!(all.divided(1), all);
        let half = all.divided(2);
        assert_eq!((half.burst(), half.interval()), (100, all.interval() * 2));
        assert_eq!(half.tolerance(), 99 * half.interval());
        assert_eq!(all.divided(300).burst(), 1);
        assert_eq!(all.divided(u64::MAX).interval(), u64::MAX);
    }

    proptest! {
        /// A bucket as one would write it: so many parts of a token, which come back by the nanosecond.
        #[test]
        fn it_admits_what_a_bucket_admits(
            average in 1_u64..1000,
            period_ms in 1_u64..100_000,
            burst in 1_u64..50,
            steps in prop::collection::vec(0_u64..2_000_000_000, 1..200),
        ) {
            let Ok(rate) = Rate::new(average, Duration::from_millis(period_ms), burst) else { return Ok(()) };
            let token = u128::from(rate.interval());
            let size = token * u128::from(burst);
            let (mut full, mut level, mut now) = (0, size, SECOND);
            for step in steps {
                now += step;
                level = size.min(level + u128::from(step));
                let admitted = rate.judge(full, now).inspect(|next| full = *next).is_ok();
                prop_assert_eq!(admitted, level >= token);
                if admitted {
                    level -= token;
                }
            }
        }
    }
}
