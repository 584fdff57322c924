//! The few forms of JSON that log lines need, appended to a buffer without an allocation.

use std::time::Duration;

/// A string. Bytes that are not printable ASCII are escaped, so that hostile bytes cannot break a line.
pub(crate) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    escaped(out, bytes);
    out.push(b'"');
}

/// The inside of a string.
pub(crate) fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            0x20..=0x7e => out.push(*byte),
            _ => out.extend([b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(*byte)]),
        }
    }
}

/// A string of text: characters that are not printable ASCII are escaped as JSON does.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        if character.is_ascii() {
            escaped(out, character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let [high, low] = unit.to_be_bytes();
            out.extend([b'\\', b'u', hex(high >> 4), hex(high), hex(low >> 4), hex(low)]);
        }
    }
    out.push(b'"');
}

/// The hexadecimal digit of the low half of a byte.
fn hex(byte: u8) -> u8 {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    DIGITS.get(usize::from(byte & 15)).copied().unwrap_or(b'0')
}

/// A whole number.
pub(crate) fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut length = 0;
    for digit in digits.iter_mut().rev() {
        *digit = decimal(value);
        value /= 10;
        length += 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - length..).unwrap_or_default());
}

/// The last decimal digit.
fn decimal(value: u64) -> u8 {
    b'0' + u8::try_from(value % 10).unwrap_or_default()
}

/// Milliseconds with three decimals.
pub(crate) fn millis(out: &mut Vec<u8>, duration: Duration) {
    let micros = (duration.as_nanos() + 500) / 1000;
    let micros = u64::try_from(micros).unwrap_or(u64::MAX);
    number(out, micros / 1000);
    let rest = micros % 1000;
    out.extend([b'.', decimal(rest / 100), decimal(rest / 10), decimal(rest)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hostile_bytes_cannot_leave_their_string() {
        let shown = written(|out| string(out, b"a\"b\\c\n\xff"));
        assert_eq!(shown, r#""a\"b\\c\u000a\u00ff""#);
    }

    #[test]
    fn text_keeps_its_characters() {
        let shown = written(|out| text(out, "a\"…\n😀"));
        assert_eq!(shown, r#""a\"\u2026\u000a\ud83d\ude00""#);
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        for value in [0, 7, 10, 1_234_567, u64::MAX] {
            assert_eq!(written(|out| number(out, value)), value.to_string());
        }
        for (nanos, expected) in [
            (0, "0.000"),
            (499, "0.000"),
            (500, "0.001"),
            (1_000_000, "1.000"),
            (12_034_567, "12.035"),
            (3_600_000_000_000, "3600000.000"),
        ] {
            assert_eq!(written(|out| millis(out, Duration::from_nanos(nanos))), expected);
        }
    }
}
