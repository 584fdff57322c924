//! How long somebody waits for a request.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How long somebody waits for a request: whole seconds, at most ten minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait(u64);

/// A text that is no such wait.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a wait; allowed: seconds from 1s to {longest}s", longest = Wait::LONGEST)]
pub(crate) struct InvalidWait(String);

impl Wait {
    const LONGEST: u64 = 600;

    /// How much longer a request that has come may take to its end: more than the usual `response_head`, because a backend that
    /// hangs is what people look for.
    pub(crate) const FOR_ITS_END: Duration = Duration::from_secs(75);

    /// As a duration.
    pub(crate) fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// The wait, and what it takes to the end of the request.
    pub(crate) fn whole(self) -> Duration {
        self.duration() + Self::FOR_ITS_END
    }
}

impl Default for Wait {
    fn default() -> Self {
        Self(30)
    }
}

impl FromStr for Wait {
    type Err = InvalidWait;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seconds = text.strip_suffix('s').unwrap_or(text);
        let is_number = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = is_number.then(|| seconds.parse().ok()).flatten();
        seconds
            .filter(|seconds| (1..=Self::LONGEST).contains(seconds))
            .map(Self)
            .ok_or_else(|| InvalidWait(text.chars().take(20).collect()))
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_has_an_end() {
        for (text, seconds) in [("1", 1), ("30s", 30), ("600s", 600)] {
            assert_eq!(text.parse(), Ok(Wait(seconds)), "{text}");
        }
        for wrong in [
            "",
            "s",
            "0",
            "0s",
            "601s",
            "1h",
            "-1",
            "+1",
            "1.5s",
            "99999999999999999999",
        ] {
            assert!(wrong.parse::<Wait>().is_err(), "{wrong}");
        }
        assert_eq!(Wait::default().to_string().parse(), Ok(Wait::default()));
    }
}
