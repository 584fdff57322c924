//! Byte classes of RFC 9110 and RFC 3986, one table look-up each.

const TOKEN: u8 = 1;
const PATH: u8 = 2;
const QUERY: u8 = 4;
const BAD_IN_VALUE: u8 = 8;
/// Neither a letter nor a digit nor `-`.
const ODD: u8 = 16;
/// Allowed in a path, except `%`.
const PLAIN_PATH: u8 = 32;

const CLASSES: [u8; 256] = classes();

/// The high bit of each byte of a word.
const HIGHS: u64 = each(0x80);

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated at compile time, within bounds"
)]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        let mut class = 0;
        // RFC 9110 5.6.2, tchar
        if byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            class |= TOKEN;
        }
        if !byte.is_ascii_alphanumeric() && byte != b'-' {
            class |= ODD;
        }
        if byte.is_ascii_graphic() && byte != b'#' {
            class |= QUERY;
            // Visible, but never part of a URI path (RFC 3986 2), and read differently by different servers.
            if !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'?') {
                class |= PATH;
                if byte != b'%' {
                    class |= PLAIN_PATH;
                }
            }
        }
        // RFC 9110 5.5: visible, obs-text, space and tab.
        if (byte < 0x20 && byte != b'\t') || byte == 0x7f {
            class |= BAD_IN_VALUE;
        }
        table[index] = class;
        index += 1;
    }
    table
}

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

pub(crate) fn is_token_byte(byte: u8) -> bool {
    class(byte) & TOKEN != 0
}

/// The length of the token at the start, and whether it is made of letters, digits and `-` alone.
#[inline]
pub(crate) fn token(bytes: &[u8]) -> (usize, bool) {
    let (mut length, mut seen) = (0, 0);
    for word in bytes.as_chunks::<8>().0 {
        let others = letters_and_hyphens(u64::from_le_bytes(*word)) ^ HIGHS;
        length += others.trailing_zeros() as usize / 8;
        if others != 0 {
            break;
        }
    }
    let rest = bytes.get(length..).unwrap_or_default();
    if let [b':', ..] = rest {
        return (length, true);
    }
    for class in rest.iter().map(|byte| class(*byte)) {
        if class & TOKEN == 0 {
            break;
        }
        seen |= class;
        length += 1;
    }
    (length, seen & ODD == 0)
}

pub(crate) fn is_path_byte(byte: u8) -> bool {
    class(byte) & PATH != 0
}

/// How many bytes at the start are allowed in a path, and are not `%`.
pub(crate) fn plain_path(bytes: &[u8]) -> usize {
    let other = bytes.iter().position(|byte| class(*byte) & PLAIN_PATH == 0);
    other.unwrap_or(bytes.len())
}

pub(crate) fn is_query(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(true, |good, byte| good & (class(*byte) & QUERY != 0))
}

/// A field value without control characters (RFC 9110 5.5: visible bytes, obs-text, space and tab).
pub(crate) fn is_field_value(bytes: &[u8]) -> bool {
    first_control(bytes).is_none()
}

/// The position of the first byte that no field value may contain. Looks at eight bytes at a time.
#[inline]
pub(crate) fn first_control(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut start = 0;
    for word in words {
        let mut marks = controls(u64::from_le_bytes(*word));
        while marks != 0 {
            let place = marks.trailing_zeros() as usize / 8;
            if word.get(place) != Some(&b'\t') {
                return Some(start + place);
            }
            marks &= marks - 1;
        }
        start += word.len();
    }
    let place = rest.iter().position(|byte| !is_value_byte(*byte))?;
    Some(start + place)
}

/// The high bit of each byte that is below 0x20 or 0x7f.
#[inline]
fn controls(word: u64) -> u64 {
    let low = word & !HIGHS;
    // Each sum carries into the high bit and no further: for all bytes but controls, and for 0x7f.
    let (visible, delete) = (low + each(0x60), low + each(0x01));
    (word | (visible ^ delete)) & HIGHS ^ HIGHS
}

/// The high bit of each byte that is a letter or `-`.
fn letters_and_hyphens(word: u64) -> u64 {
    let low = word & !HIGHS;
    let folded = low | each(0x20);
    // As above: from `a` on, and beyond `z`; and zero where the byte is `-`.
    let (letter, beyond) = (folded + each(0x80 - b'a'), folded + each(0x7f - b'z'));
    let hyphen = HIGHS - (low ^ each(b'-'));
    ((letter ^ beyond) | hyphen) & !word & HIGHS
}

/// A word of eight such bytes.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

fn is_value_byte(byte: u8) -> bool {
    class(byte) & BAD_IN_VALUE == 0
}

/// Without optional white space (space, tab) at both ends.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_start(bytes);
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Without optional white space (space, tab) at the start.
pub(crate) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// A non-negative decimal without sign, space or list. `None` also on overflow.
pub(crate) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > 19 {
        return None;
    }
    bytes.iter().try_fold(0_u64, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value.checked_mul(10)?.checked_add(u64::from(byte - b'0')))?
    })
}

#[cfg(test)]
mod tests {
    use super::is_field_value;

    /// Every byte at every place of a word, beside every other kind of byte.
    #[test]
    fn field_values_are_split_into_words() {
        for byte in 0..=u8::MAX {
            let fine = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
            for neighbour in [b'a', b' ', b'\t', 0xff, 0x80, 0x21] {
                for place in 0..19 {
                    let mut value = [neighbour; 19];
                    value[place] = byte;
                    assert_eq!(
                        is_field_value(&value),
                        fine,
                        "{byte} at {place} beside {neighbour}"
                    );
                }
            }
        }
    }
}
