//! How hashes are made, what each way costs, and how to work as long as one without an answer.

use std::hint::black_box;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN};
use sha_crypt::Params;

use super::md5_crypt;

/// The dearest bcrypt that is verified: about a second on a slow core.
pub const MAX_BCRYPT_COST: u32 = 14;

/// The most rounds of `$5$` and `$6$` that are verified.
pub const MAX_ROUNDS: u32 = 200_000;

/// bcrypt knows no cheaper one.
pub(super) const MIN_BCRYPT_COST: u32 = 4;

/// How a hash is made, and how often: what verifying one costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `{SHA}` and `{SSHA}`: so cheap that a worker does it.
    Sha1,
    /// `$apr1$` and `$1$`.
    Md5Crypt,
    /// `$5$`, with its rounds.
    Sha256Crypt(u32),
    /// `$6$`, with its rounds.
    Sha512Crypt(u32),
    /// `$2a$`, `$2b$` and `$2y$`, with the cost: two to the power of it.
    Bcrypt(u32),
}

impl Scheme {
    /// How long verifying one takes, in nanoseconds of some core: only what they are to each other counts.
    #[must_use]
    pub fn work(self) -> u64 {
        match self {
            Self::Sha1 => 1_000,
            Self::Md5Crypt => u64::from(md5_crypt::ROUNDS) * MD5_ROUND,
            Self::Sha256Crypt(rounds) => u64::from(rounds) * SHA256_ROUND,
            Self::Sha512Crypt(rounds) => u64::from(rounds) * SHA512_ROUND,
            Self::Bcrypt(cost) => BCRYPT_START + (BCRYPT_UNIT << cost),
        }
    }

    /// Works for `work`, or nearly, in the way of this scheme, and throws the result away: for whoever would otherwise be
    /// answered sooner than others are. How much was worked.
    pub(super) fn spend(self, work: u64, password: &[u8]) -> u64 {
        match self {
            Self::Sha1 => 0,
            Self::Md5Crypt => {
                let _ = black_box(md5_crypt::digest(password, &[], "$1$"));
                self.work()
            }
            Self::Sha256Crypt(_) => {
                let rounds = rounds_of(work / SHA256_ROUND);
                let _ = black_box(sha_crypt::sha256_crypt(password, &[], params(rounds)));
                Self::Sha256Crypt(rounds).work()
            }
            Self::Sha512Crypt(_) => {
                let rounds = rounds_of(work / SHA512_ROUND);
                let _ = black_box(sha_crypt::sha512_crypt(password, &[], params(rounds)));
                Self::Sha512Crypt(rounds).work()
            }
            Self::Bcrypt(dearest) => {
                let (mut left, mut spent) = (work, 0);
                // Each cost is twice the one below, so `work` is a sum of them, as a number is one of powers of two; the
                // least one a second time where that comes nearer.
                for cost in (MIN_BCRYPT_COST..=dearest).rev().chain([MIN_BCRYPT_COST]) {
                    let step = Self::Bcrypt(cost).work();
                    let is_near = cost == MIN_BCRYPT_COST && left >= step / 2;
                    if left >= step || is_near {
                        let _ = black_box(bcrypt(cost, [0; 16], password));
                        spent += step;
                        left = left.saturating_sub(step);
                    }
                }
                spent
            }
        }
    }
}

/// Measured on one core with instructions for SHA-256, in an optimised build. Within one scheme work is exact whatever the
/// core; among schemes it is as near as these are to the core at hand.
const MD5_ROUND: u64 = 170;
const SHA256_ROUND: u64 = 100;
const SHA512_ROUND: u64 = 350;
const BCRYPT_UNIT: u64 = 80_000;
const BCRYPT_START: u64 = 56_000;

pub(super) fn params(rounds: u32) -> Params {
    Params::new(rounds).unwrap_or_default()
}

fn rounds_of(rounds: u64) -> u32 {
    u32::try_from(rounds)
        .unwrap_or(MAX_ROUNDS)
        .max(Params::ROUNDS_MIN)
}

/// bcrypt reads 72 bytes, the last of them a zero if there is room.
pub(super) fn bcrypt(cost: u32, salt: [u8; 16], password: &[u8]) -> [u8; 24] {
    let mut key = [0; 72];
    let length = password.len().min(key.len());
    for (to, from) in key.iter_mut().zip(password) {
        *to = *from;
    }
    let used = (length + 1).min(key.len());
    bcrypt::bcrypt(cost, salt, key.get(..used).unwrap_or(&key))
}

pub(super) fn sha1(password: &[u8], salt: &[u8]) -> [u8; SHA1_OUTPUT_LEN] {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(password);
    context.update(salt);
    context.finish().as_ref().try_into().unwrap_or_default()
}
