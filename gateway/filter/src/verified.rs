//! Passwords that were verified a moment ago, so that a client that sends them with each request is hashed once.
//!
//! What is kept is a keyed digest of name, password and stored hash: it is worth nothing without the key, and a changed
//! password or hash is another digest. Only "yes" is kept: wrong passwords cannot push right ones out.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};

use crate::credentials::Credentials;
use crate::htpasswd::StoredHash;

/// How many are remembered, in all.
pub const REMEMBERED: usize = SETS * WAYS;

const SETS: usize = 512;
const WAYS: usize = 8;

/// What a client proved to know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Proof([u8; 32]);

/// The proofs that were verified.
pub struct Verified {
    key: Key,
    sets: Box<[Mutex<Set>]>,
}

/// A proof may lie in one set. The one used last is the first, and the last one goes.
#[derive(Clone, Copy)]
struct Set([Proof; WAYS]);

/// No proof is all zeros: nobody finds an HMAC that is.
const NONE: Proof = Proof([0; 32]);

impl Verified {
    /// Nothing verified yet, under a key that nobody else has.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: Key::new(HMAC_SHA256, key),
            sets: (0..SETS).map(|_| Mutex::new(Set([NONE; WAYS]))).collect(),
        }
    }

    /// What `credentials` prove if `stored` is of their password.
    #[must_use]
    pub fn proof(&self, credentials: &Credentials, stored: &StoredHash) -> Proof {
        let mut context = Context::with_key(&self.key);
        for part in [credentials.name(), credentials.password(), stored.text()] {
            // The length in front, so that no other parts give the same bytes.
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        Proof(context.sign().as_ref().try_into().unwrap_or_default())
    }

    /// Whether that was verified.
    #[must_use]
    pub fn holds(&self, proof: &Proof) -> bool {
        let Some(mut set) = self.set(proof) else {
            return false;
        };
        let Some(place) = set.0.iter().position(|held| held == proof) else {
            return false;
        };
        if let Some(newer) = set.0.get_mut(..=place) {
            newer.rotate_right(1);
        }
        *proof != NONE
    }

    /// Remembers that it was.
    pub fn remember(&self, proof: Proof) {
        if self.holds(&proof) {
            return;
        }
        if let Some(mut set) = self.set(&proof) {
            set.0.rotate_right(1);
            if let Some(first) = set.0.first_mut() {
                *first = proof;
            }
        }
    }

    fn set(&self, proof: &Proof) -> Option<MutexGuard<'_, Set>> {
        let [low, high, ..] = proof.0;
        let place = usize::from(u16::from_le_bytes([low, high])) % SETS;
        let set = self.sets.get(place)?;
        Some(set.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Proof(…)")
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Verified(…)")
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn credentials(pair: &str) -> Credentials {
        let field = format!("Basic {}", STANDARD.encode(pair));
        Credentials::from_fields([field.as_bytes()]).unwrap()
    }

    #[test]
    fn each_part_of_a_proof_counts() {
        let verified = Verified::new(&[1; 32]);
        let stored = StoredHash::of_plain(b"secret");
        let proof = verified.proof(&credentials("alice:secret"), &stored);
        assert!(!verified.holds(&proof));
        verified.remember(proof);
        assert!(verified.holds(&proof));
        for other in [
            verified.proof(&credentials("alic:esecret"), &stored),
            verified.proof(&credentials("alice:secret2"), &stored),
            verified.proof(&credentials("bob:secret"), &stored),
            verified.proof(&credentials("alice:secret"), &StoredHash::of_plain(b"changed")),
            Verified::new(&[2; 32]).proof(&credentials("alice:secret"), &stored),
            NONE,
        ] {
            assert!(!verified.holds(&other));
        }
        assert_eq!(format!("{verified:?} {proof:?}"), "Verified(…) Proof(…)");
    }

    #[test]
    fn as_many_as_are_remembered_and_the_oldest_go_first() {
        let verified = Verified::new(&[1; 32]);
        // All of one set.
        let proof = |number: u8| {
            let mut bytes = [0; 32];
            bytes[31] = number + 1;
            Proof(bytes)
        };
        for number in 0..8 {
            verified.remember(proof(number));
        }
        assert!((0..8).all(|number| verified.holds(&proof(number))));
        // The first is used again, so the second is the oldest.
        assert!(verified.holds(&proof(0)));
        verified.remember(proof(0));
        verified.remember(proof(8));
        let held: Vec<u8> = (0..9).filter(|number| verified.holds(&proof(*number))).collect();
        assert_eq!(held, [0, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(REMEMBERED, 4_096);
    }
}
