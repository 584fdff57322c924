//! Asking a service whether a request may pass: what is asked, and what follows from its answer.

use std::time::Duration;

pub use http::{HeaderName, Method};

use crate::call::CallUrl;
use crate::pattern::Pattern;
use crate::redirect::Destination;
use crate::template::Template;

/// The largest body and the largest answer, in bytes.
pub const MOST: u64 = 1 << 20;

/// What is asked about each request, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardAuth {
    /// Whom to ask.
    pub url: CallUrl,
    /// Whose fields the question has, and whose rules the answer follows.
    pub manner: Manner,
    /// The method of the question; `None`: that of the request.
    pub method: Option<Method>,
    /// Which of the client's fields it gets.
    pub sends: Sends,
    /// Fields that it gets besides, in place of the client's.
    pub adds: Vec<(HeaderName, Template)>,
    /// Fields of a good answer that the backend gets. The client's never pass.
    pub copies: Vec<HeaderName>,
    /// The same, for all names that match.
    pub copies_matching: Option<Pattern>,
    /// Cookies of the answer that the client gets.
    pub cookies: Cookies,
    /// Where clients go whom it does not know (401).
    pub signin: Option<Signin>,
    /// The largest body that it gets; `None`: it gets none.
    pub body: Option<u64>,
    /// The largest answer, in bytes.
    pub most_answer: u64,
    /// The forwarded fields of a trusted peer are passed on.
    pub trusts_forwarded: bool,
    /// `Location` of an answer is passed on as it is.
    pub keeps_location: bool,
    /// The field of the answer that names the user.
    pub user: Option<HeaderName>,
    /// Which answers are kept, and for how long.
    pub cache: Option<CacheRule>,
}

/// Whose rules are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// `auth-url` of ingress-nginx, and the gateway's own spelling: 2xx passes, 401 and 403 are the answer, everything else is
    /// a failure.
    Nginx {
        /// `X-Auth-Request-Redirect`, if it is not the target of the request.
        redirect: Option<Template>,
    },
    /// As `Nginx`, with the fields of Traefik.
    Own,
    /// `forwardAuth` of Traefik: 2xx passes, everything else is the answer.
    Traefik,
}

/// Which of the client's fields are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sends {
    /// All that a backend would get.
    All,
    /// These.
    These(Vec<HeaderName>),
}

/// Which cookies of the answer the client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cookies {
    /// All. `always`: whatever the status of its response; else with those with which nginx adds fields.
    All {
        /// With every status.
        always: bool,
    },
    /// Those with these names, in place of the backend's.
    Named(Vec<Box<str>>),
}

/// Where clients sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signin {
    /// The page.
    pub page: Destination,
    /// The parameter in which it gets the URL of the request; `None`: it gets none, or has it already.
    pub parameter: Option<Box<str>>,
}

/// Which answers are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheRule {
    /// What tells requests apart, besides `Cookie` and `Authorization`.
    pub key: Template,
    /// How long, by status.
    pub times: Vec<(u16, Duration)>,
}

impl Cookies {
    /// Whether cookies of the answer come with a response of this status.
    #[must_use]
    pub fn come_with(&self, status: u16) -> bool {
        match self {
            Self::All { always: false } => matches!(status, 200 | 201 | 204 | 206 | 301..=304 | 307 | 308),
            Self::All { always: true } | Self::Named(_) => true,
        }
    }
}

impl CacheRule {
    /// Parses times as ingress-nginx writes them: `200 202 10m, 401 5m`. Without a time in the end it is five minutes; a
    /// time alone is for 200, 202 and 401.
    ///
    /// # Errors
    /// When something is neither a status nor a time.
    pub fn parse_times(text: &str) -> Result<Vec<(u16, Duration)>, String> {
        const FIVE_MINUTES: Duration = Duration::from_secs(300);
        let mut times = Vec::new();
        for part in text.split(',') {
            let mut words: Vec<&str> = part.split_whitespace().collect();
            let Some(last) = words.last() else {
                return Err(format!(
                    "`{text}` is not a list of statuses and times such as `200 202 10m, 401 5m`"
                ));
            };
            let time = match is_status(last) {
                Some(_) => FIVE_MINUTES,
                None => {
                    let time = crate::duration::parse_duration(last)?;
                    words.pop();
                    time
                }
            };
            if words.is_empty() {
                words = vec!["200", "202", "401"];
            }
            for word in words {
                let status = is_status(word).ok_or_else(|| {
                    format!("`{word}` in `{text}` is not a status that can be kept: 200 to 299, 401, 403")
                })?;
                times.push((status, time));
            }
        }
        Ok(times)
    }

    /// How long an answer of this status is kept.
    #[must_use]
    pub fn time_of(&self, status: u16) -> Option<Duration> {
        let time = self.times.iter().find(|(kept, _)| *kept == status)?.1;
        (!time.is_zero()).then_some(time)
    }
}

fn is_status(word: &str) -> Option<u16> {
    let status = (word.len() == 3).then(|| word.parse::<u16>().ok()).flatten()?;
    matches!(status, 200..=299 | 401 | 403).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_statuses_are_read_as_ingress_nginx_writes_them() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let table = [
            (
                "200 202 401 5m",
                vec![(200, minutes(5)), (202, minutes(5)), (401, minutes(5))],
            ),
            (
                "200 202 10m, 401 5m",
                vec![(200, minutes(10)), (202, minutes(10)), (401, minutes(5))],
            ),
            ("200", vec![(200, minutes(5))]),
            (
                "10m",
                vec![(200, minutes(10)), (202, minutes(10)), (401, minutes(10))],
            ),
        ];
        for (text, expected) in table {
            assert_eq!(CacheRule::parse_times(text).unwrap(), expected, "{text}");
        }
        for text in ["", "200 5m,", "500 5m", "200 x", "any 5m"] {
            assert!(CacheRule::parse_times(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cookies_come_with_the_statuses_of_nginx() {
        let some = Cookies::All { always: false };
        let with: Vec<u16> = (100..600).filter(|status| some.come_with(*status)).collect();
        assert_eq!(with, [200, 201, 204, 206, 301, 302, 303, 304, 307, 308]);
        assert!(Cookies::All { always: true }.come_with(500));
    }
}
