//! Which of the recorded requests are sent.

use std::str::FromStr;

/// A share of requests, evenly spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    share: f64,
    owed: f64,
}

/// A text that is no share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareError(String);

impl std::fmt::Display for ShareError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "`{}` is no share; allowed: more than 0, up to 1", self.0)
    }
}

impl std::error::Error for ShareError {}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let share: f64 = text.parse().map_err(|_no_number| ShareError(text.to_owned()))?;
        if share > 0.0 && share <= 1.0 {
            Ok(Self { share, owed: 0.0 })
        } else {
            Err(ShareError(text.to_owned()))
        }
    }
}

impl Share {
    /// Whether the next request is one of those. The same requests are chosen each time.
    pub fn takes(&mut self) -> bool {
        self.owed += self.share;
        // Sums of fractions end just below what they mean.
        let takes = self.owed > 1.0 - 1e-9;
        if takes {
            self.owed -= 1.0;
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn a_share_is_spread_evenly() {
        for (text, of, expected) in [
            ("1", 10, 10),
            ("0.1", 10_000, 1_000),
            ("0.25", 8, 2),
            ("0.3", 10, 3),
        ] {
            let mut share: Share = text.parse().unwrap();
            assert_eq!((0..of).filter(|_| share.takes()).count(), expected, "{text}");
        }
        for text in ["0", "1.1", "-1", "NaN", "x", ""] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
