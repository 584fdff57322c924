//! `$apr1$` and `$1$`: a thousand rounds of MD5, as Apache's `htpasswd` and `crypt(3)` make them.

use md5::{Digest, Md5};

/// How the bytes of a digest are ordered in the text.
pub(super) const ORDER: [usize; 16] = [12, 6, 0, 13, 7, 1, 14, 8, 2, 15, 9, 3, 5, 10, 4, 11];

/// How long a salt may be.
pub(super) const LONGEST_SALT: usize = 8;

/// How often the digest is digested again.
pub(super) const ROUNDS: u32 = 1_000;

/// The digest of `password` under `salt`. `magic` is the name of the variant, with its `$`.
pub(super) fn digest(password: &[u8], salt: &[u8], magic: &str) -> [u8; 16] {
    let alternate = of(&[password, salt, password]);
    let mut first = Md5::new();
    first.update(password);
    first.update(magic);
    first.update(salt);
    for piece in password.chunks(alternate.len()) {
        first.update(alternate.get(..piece.len()).unwrap_or_default());
    }
    let mut left = password.len();
    while left > 0 {
        // What the first implementation did, and every one since: a zero byte where the pattern means one of the digest's.
        first.update(if left & 1 == 1 {
            &[0][..]
        } else {
            password.get(..1).unwrap_or_default()
        });
        left >>= 1;
    }
    let mut digest: [u8; 16] = first.finalize().into();
    for round in 0..ROUNDS {
        let odd = round & 1 == 1;
        let mut next = Md5::new();
        next.update(if odd { password } else { &digest[..] });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if odd { &digest[..] } else { password });
        digest = next.finalize().into();
    }
    digest
}

fn of(parts: &[&[u8]]) -> [u8; 16] {
    let mut digest = Md5::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}
