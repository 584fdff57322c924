//! Byte classes of RFC 9110 and RFC 3986, one table look-up each.

const TOKEN: u8 = 1;
const PATH: u8 = 2;
const QUERY: u8 = 4;
const BAD_IN_VALUE: u8 = 8;

const CLASSES: [u8; 256] = classes();

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
        if byte.is_ascii_graphic() && byte != b'#' {
            class |= QUERY;
            // Visible, but never part of a URI path (RFC 3986 2), and read differently by different servers.
            if !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'?') {
                class |= PATH;
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

pub(crate) fn is_path_byte(byte: u8) -> bool {
    class(byte) & PATH != 0
}

pub(crate) fn is_query(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(true, |good, byte| good & (class(*byte) & QUERY != 0))
}

/// A field value without control characters. Written as a fold so that it vectorises.
pub(crate) fn is_field_value(bytes: &[u8]) -> bool {
    !bytes.iter().fold(false, |bad, byte| {
        bad | ((*byte < 0x20) & (*byte != b'\t')) | (*byte == 0x7f)
    })
}

/// Without optional white space (space, tab) at both ends.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
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
