//! One stored hash: what its text says, and whether a password is the one it was made of.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::SHA1_OUTPUT_LEN;
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, NO_PAD, STANDARD};
use sha_crypt::Params;
use thiserror::Error;

use super::scheme::{MAX_BCRYPT_COST, MAX_ROUNDS, MIN_BCRYPT_COST, Scheme, bcrypt, params, sha1};
use super::{crypt64, md5_crypt};

/// Rounds where a hash names none.
const DEFAULT_ROUNDS: u32 = 5_000;

/// `crypt(3)` reads no more of a salt.
const LONGEST_SHA_SALT: usize = 16;

const SHA256_ORDER: [usize; 32] = [
    20, 10, 0, 11, 1, 21, 2, 22, 12, 23, 13, 3, 14, 4, 24, 5, 25, 15, 26, 16, 6, 17, 7, 27, 8, 28, 18, 29,
    19, 9, 30, 31,
];

const SHA512_ORDER: [usize; 64] = [
    42, 21, 0, 1, 43, 22, 23, 2, 44, 45, 24, 3, 4, 46, 25, 26, 5, 47, 48, 27, 6, 7, 49, 28, 29, 8, 50, 51,
    30, 9, 10, 52, 31, 32, 11, 53, 54, 33, 12, 13, 55, 34, 35, 14, 56, 57, 36, 15, 16, 58, 37, 38, 17, 59,
    60, 39, 18, 19, 61, 40, 41, 20, 62, 63,
];

/// bcrypt's alphabet. The last letter of a salt has bits that mean nothing, and some programs set them.
const BCRYPT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::BCRYPT, NO_PAD.with_decode_allow_trailing_bits(true));

/// Padding is optional: some programs leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A stored hash that can be verified. `Debug` shows its scheme alone.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredHash {
    text: Box<[u8]>,
    secret: Secret,
}

#[derive(Clone, PartialEq, Eq)]
enum Secret {
    Bcrypt {
        cost: u32,
        salt: [u8; 16],
        digest: [u8; 23],
    },
    Md5Crypt {
        magic: &'static str,
        salt: Box<[u8]>,
        digest: [u8; 16],
    },
    Sha256Crypt {
        rounds: u32,
        salt: Box<[u8]>,
        digest: [u8; 32],
    },
    Sha512Crypt {
        rounds: u32,
        salt: Box<[u8]>,
        digest: [u8; 64],
    },
    /// `{SHA}`, whose salt is empty, and `{SSHA}`.
    Sha1 {
        salt: Box<[u8]>,
        digest: [u8; SHA1_OUTPUT_LEN],
    },
}

/// Why a stored hash cannot be verified. No text repeats any of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnusableHash {
    /// No hash at all.
    #[error("has no hash")]
    Empty,
    /// The password itself.
    #[error("has no known hash; is the password in plain text? Write a hash, such as one of `htpasswd -nB`")]
    Plain,
    /// Thirteen letters.
    #[error(
        "has a hash of the old `crypt`, of which eight letters count; write another, such as one of `htpasswd -nB`"
    )]
    Des,
    /// A scheme that is not verified here, such as `$y$`.
    #[error(
        "has a hash of a scheme that is not verified here; write bcrypt (`htpasswd -nB`), `$6$`, `$5$` or `$apr1$`"
    )]
    Unknown,
    /// A known scheme, with something that it does not write.
    #[error("has a damaged {0} hash; was it cut, or was a `$` of it replaced?")]
    Damaged(&'static str),
    /// bcrypt that takes longer than anybody may wait.
    #[error("has bcrypt of cost {0}; at most {MAX_BCRYPT_COST} is verified")]
    Cost(u32),
    /// `$5$` or `$6$` that takes longer than anybody may wait.
    #[error("has a hash of {0} rounds; at most {MAX_ROUNDS} are verified")]
    Rounds(u32),
}

impl StoredHash {
    /// Reads a hash as it is written in an htpasswd file.
    ///
    /// # Errors
    /// [`UnusableHash`]: what is wrong with it, for a problem.
    pub fn parse(text: &[u8]) -> Result<Self, UnusableHash> {
        Ok(Self {
            secret: Secret::parse(text)?,
            text: text.into(),
        })
    }

    /// The hash of a password that is written as it is, in a Secret of type `kubernetes.io/basic-auth`.
    #[must_use]
    pub fn of_plain(password: &[u8]) -> Self {
        let digest = sha1(password, &[]);
        Self {
            text: format!("{{SHA}}{}", STANDARD.encode(digest)).into_bytes().into(),
            secret: Secret::Sha1 {
                salt: Box::default(),
                digest,
            },
        }
    }

    /// A hash of the same scheme and cost that nobody has a password for.
    pub(super) fn decoy(&self) -> Self {
        let mut decoy = self.clone();
        // The digest of no password is known: what is all zeros is as far away as any other.
        match &mut decoy.secret {
            Secret::Bcrypt { salt, digest, .. } => {
                *salt = [0; 16];
                *digest = [0; 23];
            }
            Secret::Md5Crypt { digest, .. } => *digest = [0; 16],
            Secret::Sha256Crypt { digest, .. } => *digest = [0; 32],
            Secret::Sha512Crypt { digest, .. } => *digest = [0; 64],
            Secret::Sha1 { digest, .. } => *digest = [0; SHA1_OUTPUT_LEN],
        }
        decoy.text = Box::default();
        decoy
    }

    /// The text that was read, for the key under which a verified password is remembered.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// How it is verified, and how dear that is.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        match self.secret {
            Secret::Bcrypt { cost, .. } => Scheme::Bcrypt(cost),
            Secret::Md5Crypt { .. } => Scheme::Md5Crypt,
            Secret::Sha256Crypt { rounds, .. } => Scheme::Sha256Crypt(rounds),
            Secret::Sha512Crypt { rounds, .. } => Scheme::Sha512Crypt(rounds),
            Secret::Sha1 { .. } => Scheme::Sha1,
        }
    }

    /// Whether it was made of `password`. Takes as long as the scheme does, whatever the password.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        match &self.secret {
            Secret::Bcrypt { cost, salt, digest } => {
                let made = bcrypt(*cost, *salt, password);
                equal(made.get(..digest.len()).unwrap_or_default(), digest)
            }
            Secret::Md5Crypt { magic, salt, digest } => {
                equal(&md5_crypt::digest(password, salt, magic), digest)
            }
            Secret::Sha256Crypt { rounds, salt, digest } => {
                equal(&sha_crypt::sha256_crypt(password, salt, params(*rounds)), digest)
            }
            Secret::Sha512Crypt { rounds, salt, digest } => {
                equal(&sha_crypt::sha512_crypt(password, salt, params(*rounds)), digest)
            }
            Secret::Sha1 { salt, digest } => equal(&sha1(password, salt), digest),
        }
    }
}

impl fmt::Debug for StoredHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("StoredHash").field(&self.scheme()).finish()
    }
}

impl Secret {
    fn parse(text: &[u8]) -> Result<Self, UnusableHash> {
        let Some(first) = text.first() else {
            return Err(UnusableHash::Empty);
        };
        match first {
            b'$' => Self::crypt(text),
            b'{' => Self::ldap(text),
            _ if text.len() == 13
                && text
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/')) =>
            {
                Err(UnusableHash::Des)
            }
            _ => Err(UnusableHash::Plain),
        }
    }

    /// `$scheme$…`.
    fn crypt(text: &[u8]) -> Result<Self, UnusableHash> {
        let mut fields = text.split(|byte| *byte == b'$').skip(1);
        let scheme = fields.next().unwrap_or_default();
        let fields: Vec<&[u8]> = fields.collect();
        match scheme {
            b"2a" | b"2b" | b"2y" => Self::bcrypt(&fields),
            b"apr1" => Self::md5_crypt("$apr1$", &fields).ok_or(UnusableHash::Damaged("`$apr1$`")),
            b"1" => Self::md5_crypt("$1$", &fields).ok_or(UnusableHash::Damaged("`$1$`")),
            b"5" => {
                const DAMAGED: UnusableHash = UnusableHash::Damaged("`$5$`");
                let (rounds, salt, digest) = sha_crypt_fields(&fields).ok_or(DAMAGED)?;
                Ok(Self::Sha256Crypt {
                    rounds: bounded(rounds)?,
                    salt: salt.into(),
                    digest: crypt64::decode(digest, &SHA256_ORDER).ok_or(DAMAGED)?,
                })
            }
            b"6" => {
                const DAMAGED: UnusableHash = UnusableHash::Damaged("`$6$`");
                let (rounds, salt, digest) = sha_crypt_fields(&fields).ok_or(DAMAGED)?;
                Ok(Self::Sha512Crypt {
                    rounds: bounded(rounds)?,
                    salt: salt.into(),
                    digest: crypt64::decode(digest, &SHA512_ORDER).ok_or(DAMAGED)?,
                })
            }
            _ => Err(UnusableHash::Unknown),
        }
    }

    /// `cost$`, then 22 letters of salt and 31 of the digest.
    fn bcrypt(fields: &[&[u8]]) -> Result<Self, UnusableHash> {
        const DAMAGED: UnusableHash = UnusableHash::Damaged("bcrypt");
        let [cost, rest] = fields else {
            return Err(DAMAGED);
        };
        let cost = match cost {
            [b'0'..=b'3', b'0'..=b'9'] => number(cost).ok_or(DAMAGED)?,
            _ => return Err(DAMAGED),
        };
        let (salt, digest) = rest.split_at_checked(22).ok_or(DAMAGED)?;
        let salt = BCRYPT.decode(salt).ok().and_then(|salt| salt.try_into().ok());
        let digest = BCRYPT
            .decode(digest)
            .ok()
            .and_then(|digest| digest.try_into().ok());
        match cost {
            ..MIN_BCRYPT_COST | 32.. => Err(DAMAGED),
            MIN_BCRYPT_COST..=MAX_BCRYPT_COST => Ok(Self::Bcrypt {
                cost,
                salt: salt.ok_or(DAMAGED)?,
                digest: digest.ok_or(DAMAGED)?,
            }),
            _ => Err(UnusableHash::Cost(cost)),
        }
    }

    fn md5_crypt(magic: &'static str, fields: &[&[u8]]) -> Option<Self> {
        let [salt, digest] = fields else {
            return None;
        };
        crypt64::is_salt(salt, md5_crypt::LONGEST_SALT).then_some(())?;
        Some(Self::Md5Crypt {
            magic,
            salt: (*salt).into(),
            digest: crypt64::decode(digest, &md5_crypt::ORDER)?,
        })
    }

    /// `{SHA}` and `{SSHA}`, as LDAP writes them.
    fn ldap(text: &[u8]) -> Result<Self, UnusableHash> {
        let (salted, encoded) = if let Some(encoded) = text.strip_prefix(b"{SHA}") {
            (false, encoded)
        } else if let Some(encoded) = text.strip_prefix(b"{SSHA}") {
            (true, encoded)
        } else if text.starts_with(b"{PLAIN}") {
            return Err(UnusableHash::Plain);
        } else {
            return Err(UnusableHash::Unknown);
        };
        let damaged = UnusableHash::Damaged(if salted { "`{SSHA}`" } else { "`{SHA}`" });
        let Ok(bytes) = BASE64.decode(encoded) else {
            return Err(damaged);
        };
        match bytes.split_first_chunk() {
            Some((digest, salt)) if salted || salt.is_empty() => Ok(Self::Sha1 {
                salt: salt.into(),
                digest: *digest,
            }),
            _ => Err(damaged),
        }
    }
}

/// `[rounds=N$]salt$digest`.
fn sha_crypt_fields<'a>(fields: &[&'a [u8]]) -> Option<(u32, &'a [u8], &'a [u8])> {
    let (rounds, salt, digest) = match fields {
        [salt, digest] => (DEFAULT_ROUNDS, salt, digest),
        [rounds, salt, digest] => (number(rounds.strip_prefix(b"rounds=")?)?, salt, digest),
        _ => return None,
    };
    // `crypt(3)` raises what is below to the least, and then writes the least.
    (rounds >= Params::ROUNDS_MIN && crypt64::is_salt(salt, LONGEST_SHA_SALT))
        .then_some((rounds, *salt, *digest))
}

fn bounded(rounds: u32) -> Result<u32, UnusableHash> {
    (rounds <= MAX_ROUNDS)
        .then_some(rounds)
        .ok_or(UnusableHash::Rounds(rounds))
}

fn number(text: &[u8]) -> Option<u32> {
    str::from_utf8(text).ok()?.parse().ok()
}

fn equal(made: &[u8], stored: &[u8]) -> bool {
    verify_slices_are_equal(made, stored).is_ok()
}
