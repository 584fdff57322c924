//! Canaries: which requests go to the new version of a backend.

use crate::cookie::CookieName;
use crate::pattern::Pattern;

/// The rules of a canary. A header decides before a cookie, and that before the weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanaryRules {
    /// The header field that decides.
    pub header: Option<HeaderRule>,
    /// The cookie that decides, by the values `always` and `never`.
    pub cookie: Option<CookieName>,
    /// Of `total` requests, so many go to the canary.
    pub weight: u32,
    /// At least 1.
    pub total: u32,
}

/// What a header field decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderRule {
    /// Its name.
    pub name: http::HeaderName,
    /// Which values count.
    pub matches: HeaderMatch,
}

/// Which values of a header field count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderMatch {
    /// `always` and `never`.
    Words,
    /// This value goes to the canary; others decide nothing.
    Value(Box<str>),
    /// What this matches goes to the canary; other values decide nothing.
    Pattern(Pattern),
}

impl CanaryRules {
    /// Whether a request goes to the canary. `header` is the value of the header that decides, `cookie` that of the cookie;
    /// `random` is a number below [`total`](Self::total).
    #[must_use]
    pub fn takes(&self, header: Option<&[u8]>, cookie: Option<&[u8]>, random: u32) -> bool {
        let by_header = self.header.as_ref().zip(header);
        let by_header = by_header.and_then(|(rule, value)| rule.matches.decides(value));
        let by_cookie = || self.cookie.as_ref().and(cookie).and_then(word);
        by_header.or_else(by_cookie).unwrap_or(random < self.weight)
    }
}

impl HeaderMatch {
    fn decides(&self, value: &[u8]) -> Option<bool> {
        match self {
            Self::Words => word(value),
            Self::Value(expected) => (value == expected.as_bytes()).then_some(true),
            Self::Pattern(pattern) => pattern.is_match(value).then_some(true),
        }
    }
}

fn word(value: &[u8]) -> Option<bool> {
    match value {
        b"always" => Some(true),
        b"never" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pattern::Case;

    fn rules(matches: Option<HeaderMatch>, cookie: bool, weight: u32) -> CanaryRules {
        CanaryRules {
            header: matches.map(|matches| HeaderRule {
                name: http::HeaderName::from_static("x-canary"),
                matches,
            }),
            cookie: cookie.then(|| CookieName::parse("canary").unwrap()),
            weight,
            total: 100,
        }
    }

    #[test]
    fn header_then_cookie_then_weight() {
        let words = || Some(HeaderMatch::Words);
        let value = || Some(HeaderMatch::Value("eu".into()));
        let pattern = || {
            Some(HeaderMatch::Pattern(
                Pattern::new("u[0-9]", Case::Sensitive).unwrap(),
            ))
        };
        // The rules; header, cookie, random number; whether the canary takes it.
        let table = [
            (rules(words(), true, 0), Some("always"), Some("never"), 99, true),
            (rules(words(), true, 100), Some("never"), Some("always"), 0, false),
            (rules(words(), true, 0), Some("maybe"), Some("always"), 99, true),
            (rules(words(), true, 0), None, Some("always"), 99, true),
            (rules(words(), true, 100), None, Some("never"), 0, false),
            (rules(words(), true, 50), None, Some("Always"), 49, true),
            (rules(words(), true, 50), None, None, 50, false),
            (rules(value(), true, 0), Some("eu"), Some("never"), 99, true),
            // A value that is configured takes the meaning from the words.
            (rules(value(), true, 0), Some("always"), None, 0, false),
            (rules(value(), true, 0), Some("never"), Some("always"), 0, true),
            (rules(value(), false, 100), Some("EU"), None, 0, true),
            (rules(pattern(), false, 0), Some("eu7-west"), None, 99, true),
            (rules(pattern(), false, 0), Some("eu"), None, 0, false),
            (rules(None, false, 0), Some("always"), Some("always"), 0, false),
            (rules(None, false, 100), Some("never"), Some("never"), 99, true),
            (rules(None, true, 0), Some("always"), None, 0, false),
        ];
        for (number, (rules, header, cookie, random, expected)) in table.into_iter().enumerate() {
            let takes = rules.takes(header.map(str::as_bytes), cookie.map(str::as_bytes), random);
            assert_eq!(takes, expected, "{number}");
        }
    }

    proptest! {
        /// Of all numbers below the total, exactly as many as the weight.
        #[test]
        fn the_weight_is_exact(weight in 0_u32..300, total in 1_u32..300) {
            let rules = CanaryRules { header: None, cookie: None, weight, total };
            let taken = (0..total).filter(|random| rules.takes(None, None, *random)).count();
            prop_assert_eq!(taken, usize::try_from(weight.min(total)).unwrap());
        }
    }
}
