//! Answers of authenticators that were given a moment ago.
//!
//! A key is a keyed digest of parts, each with its length in front: nobody who does not know the process's key can make two
//! lists of parts meet, and what the client has sent is not kept. Whoever makes a key chooses the parts; the answer must depend
//! on nothing else. The fields of answers that are passed on are kept as they are, and may be secrets: no output shows them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use http::{HeaderName, HeaderValue};

/// How many are kept, in all.
pub const KEPT: usize = SETS * WAYS;

/// The largest answer that is kept, in bytes.
pub const LARGEST: usize = 1024;

const SETS: usize = 1024;
const WAYS: usize = 8;

/// What an authenticator has answered, as far as it counts.
#[derive(Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Its status.
    pub status: u16,
    /// The fields of it that are passed on to somebody.
    pub fields: Vec<(HeaderName, HeaderValue)>,
}

/// What a verdict is found by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerdictKey([u8; 32]);

/// Makes a key, part by part.
pub struct KeyMaker(Context);

/// The verdicts of one door.
pub struct Verdicts {
    key: Key,
    sets: Box<[Mutex<Vec<Kept>>]>,
}

struct Kept {
    key: VerdictKey,
    until: Instant,
    verdict: Arc<Verdict>,
}

impl Verdict {
    /// Bytes of memory, about: those of the fields themselves count as well, or many empty ones would be free.
    #[must_use]
    pub fn size(&self) -> usize {
        let fields = self.fields.iter();
        fields
            .map(|(name, value)| size_of::<(HeaderName, HeaderValue)>() + name.as_str().len() + value.len())
            .sum()
    }
}

impl Verdicts {
    /// None yet, under a key that nobody else has.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: Key::new(HMAC_SHA256, key),
            sets: (0..SETS).map(|_| Mutex::new(Vec::new())).collect(),
        }
    }

    /// Begins a key.
    #[must_use]
    pub fn key(&self) -> KeyMaker {
        KeyMaker(Context::with_key(&self.key))
    }

    /// The verdict of a key, unless it is too old.
    #[must_use]
    pub fn find(&self, key: &VerdictKey, now: Instant) -> Option<Arc<Verdict>> {
        let mut set = self.set(key)?;
        let place = set.iter().position(|kept| kept.key == *key)?;
        if set.get(place)?.until <= now {
            set.remove(place);
            return None;
        }
        if let Some(newer) = set.get_mut(..=place) {
            newer.rotate_right(1);
        }
        set.first().map(|kept| Arc::clone(&kept.verdict))
    }

    /// Keeps a verdict `until` then, if it is not too large. The one of its set that was used longest ago goes.
    pub fn keep(&self, key: VerdictKey, verdict: Arc<Verdict>, until: Instant) {
        if verdict.size() > LARGEST {
            return;
        }
        let Some(mut set) = self.set(&key) else { return };
        set.retain(|kept| kept.key != key);
        set.truncate(WAYS - 1);
        set.insert(0, Kept { key, until, verdict });
    }

    fn set(&self, key: &VerdictKey) -> Option<MutexGuard<'_, Vec<Kept>>> {
        let [low, high, ..] = key.0;
        let set = self
            .sets
            .get(usize::from(u16::from_le_bytes([low, high])) % SETS)?;
        Some(set.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeyMaker {
    /// Adds a part.
    #[must_use]
    pub fn part(mut self, part: &[u8]) -> Self {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        self.0.update(&length.to_be_bytes());
        self.0.update(part);
        self
    }

    /// Adds any number of parts: their number counts as well.
    #[must_use]
    pub fn parts<'p>(mut self, parts: impl Iterator<Item = &'p [u8]>) -> Self {
        let mut count: u64 = 0;
        for part in parts {
            count += 1;
            self = self.part(part);
        }
        self.0.update(&count.to_be_bytes());
        self
    }

    /// The key.
    #[must_use]
    pub fn finish(self) -> VerdictKey {
        VerdictKey(self.0.sign().as_ref().try_into().unwrap_or_default())
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Verdict({}, {} fields)", self.status, self.fields.len())
    }
}

impl fmt::Debug for VerdictKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("VerdictKey(…)")
    }
}

impl fmt::Debug for Verdicts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Verdicts(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn verdict(status: u16, value: &str) -> Arc<Verdict> {
        let fields = vec![(
            HeaderName::from_static("x-user"),
            HeaderValue::from_str(value).unwrap(),
        )];
        Arc::new(Verdict { status, fields })
    }

    #[test]
    fn a_verdict_is_found_by_all_of_its_key_and_for_its_time() {
        let verdicts = Verdicts::new(&[1; 32]);
        let key = |parts: &[&str], cookies: &[&str]| {
            let mut maker = verdicts.key();
            for part in parts {
                maker = maker.part(part.as_bytes());
            }
            maker
                .parts(cookies.iter().map(|cookie| cookie.as_bytes()))
                .finish()
        };
        let now = Instant::now();
        let alice = key(&["ns/app", "GET"], &["a=b"]);
        assert_eq!(verdicts.find(&alice, now), None);
        verdicts.keep(alice, verdict(200, "alice"), now + Duration::from_secs(5));
        for other in [
            key(&["ns/ap", "pGET"], &["a=b"]),
            key(&["ns/app", "GET"], &["a=", "b"]),
            key(&["ns/app", "GET", "a=b"], &[]),
            key(&["ns/app", "GET"], &[]),
            key(&["ns/app", "POST"], &["a=b"]),
        ] {
            assert_eq!(verdicts.find(&other, now), None);
        }
        let later = now + Duration::from_secs(4);
        assert_eq!(verdicts.find(&alice, later), Some(verdict(200, "alice")));
        verdicts.keep(alice, verdict(401, "nobody"), now + Duration::from_secs(5));
        assert_eq!(verdicts.find(&alice, later), Some(verdict(401, "nobody")));
        assert_eq!(verdicts.find(&alice, now + Duration::from_secs(5)), None);
        assert_eq!(verdicts.find(&alice, now), None, "it is forgotten");
        // Another process has another key.
        let others = Verdicts::new(&[2; 32]);
        assert_ne!(
            others.key().part(b"x").finish(),
            verdicts.key().part(b"x").finish()
        );
    }

    #[test]
    fn it_is_bounded() {
        let verdicts = Verdicts::new(&[1; 32]);
        let now = Instant::now();
        let until = now + Duration::from_secs(60);
        let large = verdicts.key().part(b"large").finish();
        verdicts.keep(large, verdict(200, &"x".repeat(LARGEST)), until);
        assert_eq!(verdicts.find(&large, now), None);
        for number in 0..4 * KEPT as u64 {
            let key = verdicts.key().part(&number.to_be_bytes()).finish();
            verdicts.keep(key, verdict(200, "x"), until);
            assert!(verdicts.find(&key, now).is_some());
        }
        let held: usize = verdicts.sets.iter().map(|set| set.lock().unwrap().len()).sum();
        assert!(held <= KEPT, "{held}");
        assert!(verdicts.sets.iter().all(|set| set.lock().unwrap().len() <= WAYS));
    }
}
