//! The base 64 of `crypt(3)`: its own alphabet, the lowest bits first, and the bytes of a digest in an order of its own.

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The digest that `text` writes, whose `n`-th written byte is the byte `order[n]` of the digest. `None` for a text that no
/// digest is written as.
pub(super) fn decode<const N: usize>(text: &[u8], order: &[usize; N]) -> Option<[u8; N]> {
    if text.len() != (N * 8).div_ceil(6) {
        return None;
    }
    let mut digest = [0; N];
    let mut places = order.iter();
    let mut bits = 0_u32;
    let mut held = 0;
    for letter in text {
        let value = ALPHABET.iter().position(|known| known == letter)?;
        bits |= u32::try_from(value).ok()? << held;
        held += 6;
        if held >= 8 {
            let [byte, ..] = bits.to_le_bytes();
            *digest.get_mut(*places.next()?)? = byte;
            bits >>= 8;
            held -= 8;
        }
    }
    (bits == 0).then_some(digest)
}

/// Whether `text` is a salt of `crypt(3)` of at most `longest` bytes.
pub(super) fn is_salt(text: &[u8], longest: usize) -> bool {
    text.len() <= longest
        && text
            .iter()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'$' | b':'))
}
