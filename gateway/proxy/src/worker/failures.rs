//! The last failures of a door, for people who look at the running gateway: what the log says of each, once for each Ingress
//! and reason, or for each host and reason where no rule was found.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// How many are kept of requests for which a rule was found, and of the others. Whoever invents hosts drives out the
/// others' alone.
const MOST: usize = 64;

/// The longest text, in characters. A longer one is cut.
const LONGEST: usize = 400;

/// While a failure is as new as this, the next one like it is not written down: it would say the same.
const NEW: Duration = Duration::from_millis(100);

/// How many failures of a kind that is not known yet each list takes in a second: a flood must not cost more than its answers.
const NEWS: usize = 100;

/// One failure, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When it was last so.
    pub last: Instant,
    /// What the client was answered; 0 if nothing.
    pub status: u16,
    /// As in the access log and in metrics.
    pub reason: &'static str,
    /// What was wrong, in words.
    pub detail: Box<str>,
    /// The host that was asked for, as the client wrote it; empty where it is not known.
    pub host: Box<str>,
    /// `namespace/name`; `None` where no rule was found.
    pub ingress: Option<Box<str>>,
    /// `namespace/name`; `None` where none was called.
    pub service: Option<Box<str>>,
    /// The endpoint that was called last.
    pub endpoint: Option<SocketAddr>,
    /// Its Pod.
    pub pod: Option<Box<str>>,
}

/// One failure, as it is found.
pub(crate) struct Failed<'a> {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    pub(crate) detail: &'a str,
    pub(crate) host: &'a [u8],
    pub(crate) ingress: Option<&'a str>,
    pub(crate) service: Option<&'a route::ObjectKey>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) pod: Option<&'a str>,
}

/// The last failures of a door. Its workers share them.
#[derive(Default)]
pub(crate) struct Failures(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Of requests for which a rule was found.
    of_rules: List,
    of_others: List,
}

#[derive(Default)]
struct List {
    failures: Vec<Failure>,
    /// Since when kinds that were not known are counted, and how many there have been.
    since: Option<Instant>,
    news: usize,
}

impl Failures {
    /// Takes note of one. Where another worker does so at this moment, this one is left out.
    pub(crate) fn note(&self, failed: &Failed<'_>, now: Instant) {
        match self.0.try_lock() {
            Ok(mut kept) => kept.note(failed, now),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().note(failed, now),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// All that are kept, the last first.
    pub(crate) fn all(&self) -> Vec<Failure> {
        let mut all = {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            [&*kept.of_rules.failures, &*kept.of_others.failures].concat()
        };
        all.sort_by_key(|failure| std::cmp::Reverse(failure.last));
        all
    }
}

impl Kept {
    fn note(&mut self, failed: &Failed<'_>, now: Instant) {
        let list = match failed.ingress {
            Some(_) => &mut self.of_rules,
            None => &mut self.of_others,
        };
        list.note(failed, now);
    }
}

impl List {
    fn note(&mut self, failed: &Failed<'_>, now: Instant) {
        let place = failed.place();
        let is_like = |known: &&mut Failure| known.reason == failed.reason && *known.place() == *place;
        if let Some(known) = self.failures.iter_mut().find(is_like) {
            if now.saturating_duration_since(known.last) >= NEW {
                *known = failed.kept(now);
            }
            return;
        }
        let in_second = |since: Instant| now.saturating_duration_since(since) < Duration::from_secs(1);
        if !self.since.is_some_and(in_second) {
            self.since = Some(now);
            self.news = 0;
        }
        if self.news >= NEWS {
            return;
        }
        self.news += 1;
        if self.failures.len() < MOST {
            self.failures.push(failed.kept(now));
        } else if let Some(oldest) = self.failures.iter_mut().min_by_key(|known| known.last) {
            *oldest = failed.kept(now);
        }
    }
}

impl Failure {
    /// By what one is told from another of the same reason.
    fn place(&self) -> &str {
        self.ingress.as_deref().unwrap_or(&self.host)
    }
}

impl Failed<'_> {
    /// As it is kept: a host may be longer than that, or no text.
    fn place(&self) -> Cow<'_, str> {
        match self.ingress {
            Some(ingress) => cut(ingress.into()),
            None => cut(String::from_utf8_lossy(self.host)),
        }
    }

    fn kept(&self, now: Instant) -> Failure {
        let whole = |text: &str| -> Box<str> { cut(text.into()).into() };
        Failure {
            last: now,
            status: self.status,
            reason: self.reason,
            detail: whole(self.detail),
            host: whole(&String::from_utf8_lossy(self.host)),
            ingress: self.ingress.map(whole),
            service: self.service.map(|service| whole(&service.to_string())),
            endpoint: self.endpoint,
            pod: self.pod.map(whole),
        }
    }
}

/// At most `LONGEST` characters of it.
fn cut(text: Cow<'_, str>) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed<'a>(reason: &'static str, host: &'a str, ingress: Option<&'a str>) -> Failed<'a> {
        Failed {
            status: 404,
            reason,
            detail: "because",
            host: host.as_bytes(),
            ingress,
            service: None,
            endpoint: None,
            pod: None,
        }
    }

    fn hosts(failures: &Failures) -> Vec<String> {
        let all = failures.all().into_iter();
        all.map(|failure| failure.host.into()).collect()
    }

    #[test]
    fn what_is_like_is_kept_once_the_last_first() {
        let (failures, start) = (Failures::default(), Instant::now());
        failures.note(&failed("a", "one.test", Some("n/one")), start);
        failures.note(&failed("b", "two.test", None), start + NEW);
        failures.note(&failed("b", "three.test", None), start + 2 * NEW);
        // By their Ingress, and not by their host.
        failures.note(&failed("a", "four.test", Some("n/one")), start + 3 * NEW);
        assert_eq!(hosts(&failures), ["four.test", "three.test", "two.test"]);
        failures.note(&failed("b", "two.test", None), start + 4 * NEW);
        assert_eq!(hosts(&failures), ["two.test", "four.test", "three.test"]);
        // Too soon to say anything new.
        failures.note(&failed("b", "three.test", None), start + 2 * NEW + NEW / 2);
        assert_eq!(hosts(&failures), ["two.test", "four.test", "three.test"]);
    }

    #[test]
    fn whoever_invents_hosts_drives_out_no_application() {
        let (failures, start) = (Failures::default(), Instant::now());
        failures.note(&failed("a", "one.test", Some("n/one")), start);
        for number in 0..1_000_u32 {
            let host = format!("{number}.test");
            failures.note(
                &failed("b", &host, None),
                start + number * Duration::from_millis(20),
            );
        }
        let hosts = hosts(&failures);
        assert_eq!(hosts.len(), MOST + 1);
        assert_eq!((&*hosts[0], &*hosts[MOST]), ("999.test", "one.test"));
    }

    #[test]
    fn a_flood_is_written_down_at_a_limited_rate() {
        let (failures, start) = (Failures::default(), Instant::now());
        for number in 0..1_000 {
            failures.note(&failed("b", &format!("{number}.test"), None), start);
        }
        assert_eq!(failures.0.lock().unwrap().of_others.news, NEWS);
        assert!(!hosts(&failures).contains(&"100.test".to_owned()));
        // It keeps no application's failure away.
        failures.note(&failed("b", "app.test", Some("n/app")), start + NEW);
        assert_eq!(hosts(&failures)[0], "app.test");
        failures.note(&failed("b", "late.test", None), start + Duration::from_secs(1));
        assert_eq!(hosts(&failures)[0], "late.test");
    }

    #[test]
    fn long_and_broken_texts_are_kept_as_short_ones() {
        let failures = Failures::default();
        let long = "ä".repeat(5_000);
        let broken = [b"\xff\x1b".as_slice(), long.as_bytes()].concat();
        let one = Failed {
            detail: &long,
            host: &broken,
            ..failed("a", "", Some(&long))
        };
        failures.note(&one, Instant::now());
        let [kept]: [Failure; 1] = failures.all().try_into().unwrap();
        for text in [&kept.detail, &kept.host, kept.ingress.as_ref().unwrap()] {
            assert_eq!(text.chars().count(), LONGEST + 1, "{text}");
        }
    }

    #[test]
    fn long_and_broken_texts_are_recognised() {
        let (failures, start) = (Failures::default(), Instant::now());
        let long = "ä".repeat(5_000);
        let of_long_name = failed("a", "", Some(&long));
        let of_long_host = failed("a", &long, None);
        let of_broken_host = Failed {
            host: b"\xff.test",
            ..failed("a", "", None)
        };
        for time in 0..3 {
            for one in [&of_long_name, &of_long_host, &of_broken_host] {
                failures.note(one, start + time * NEW);
            }
        }
        let all = failures.all();
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|failure| failure.last == start + 2 * NEW));
    }
}
