//! The wire format of Protocol Buffers, as far as OTLP needs it:
//! <https://protobuf.dev/programming-guides/encoding/>.

/// How the value of a field is written.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH: u8 = 2;
const FIXED32: u8 = 5;

/// The longest number of 64 bits, seven in each byte.
const LONGEST_NUMBER: usize = 10;

/// A number, seven bits at a time, and how many bytes it takes.
fn number(mut value: u64) -> ([u8; LONGEST_NUMBER], usize) {
    let (mut bytes, mut length) = ([0; LONGEST_NUMBER], 0);
    for byte in &mut bytes {
        length += 1;
        *byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            break;
        }
        *byte |= 0x80;
    }
    (bytes, length)
}

fn write(out: &mut Vec<u8>, value: u64) {
    let (bytes, length) = number(value);
    out.extend_from_slice(bytes.get(..length).unwrap_or_default());
}

fn tag(out: &mut Vec<u8>, field: u32, kind: u8) {
    write(out, u64::from(field) << 3 | u64::from(kind));
}

/// A field with a number.
pub(crate) fn varint(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, VARINT);
    write(out, value);
}

/// A field of eight bytes.
pub(crate) fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A field of four bytes.
pub(crate) fn fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    tag(out, field, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A field with bytes, or text.
pub(crate) fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    tag(out, field, LENGTH);
    write(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// The beginning of a field with a message of this length.
pub(crate) fn message_of(out: &mut Vec<u8>, field: u32, length: usize) {
    tag(out, field, LENGTH);
    write(out, length as u64);
}

/// A field with a message. Its length is known when it has been written.
pub(crate) fn message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, field, LENGTH);
    let start = out.len();
    write(out);
    let (length, count) = number((out.len() - start) as u64);
    let length = length.get(..count).unwrap_or_default();
    out.splice(start..start, length.iter().copied());
}

/// One field of a message that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read<'m> {
    Number(u64),
    Bytes(&'m [u8]),
    /// What nothing here reads.
    Fixed,
}

/// The next field of `message`, which then begins behind it. `None` at its end, and at what is malformed.
pub(crate) fn next<'m>(message: &mut &'m [u8]) -> Option<(u64, Read<'m>)> {
    let tag = read(message)?;
    let value = match u8::try_from(tag & 7).ok()? {
        VARINT => Read::Number(read(message)?),
        LENGTH => {
            let length = usize::try_from(read(message)?).ok()?;
            let (value, rest) = message.split_at_checked(length)?;
            *message = rest;
            Read::Bytes(value)
        }
        kind @ (FIXED64 | FIXED32) => {
            let length = if kind == FIXED64 { 8 } else { 4 };
            (_, *message) = message.split_at_checked(length)?;
            Read::Fixed
        }
        _ => return None,
    };
    Some((tag >> 3, value))
}

fn read(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..LONGEST_NUMBER {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(place * 7).ok()?)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of the documentation.
    #[test]
    fn numbers_and_text_are_written_as_documented() {
        let mut out = Vec::new();
        varint(&mut out, 1, 150);
        bytes(&mut out, 2, b"testing");
        message(&mut out, 3, |out| varint(out, 1, 150));
        assert_eq!(
            out,
            [
                &[0x08, 0x96, 0x01, 0x12, 0x07][..],
                b"testing",
                &[0x1a, 0x03, 0x08, 0x96, 0x01]
            ]
            .concat()
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: u64, text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut out = Vec::new();
            message(&mut out, 7, |out| {
                varint(out, 1, value);
                bytes(out, 2, &text);
                fixed64(out, 3, value);
                fixed32(out, 4, 5);
            });
            let mut rest = &*out;
            let Some((7, Read::Bytes(mut inner))) = next(&mut rest) else { panic!("{out:?}") };
            prop_assert!(rest.is_empty());
            prop_assert_eq!(next(&mut inner), Some((1, Read::Number(value))));
            prop_assert_eq!(next(&mut inner), Some((2, Read::Bytes(&text))));
            prop_assert_eq!(next(&mut inner), Some((3, Read::Fixed)));
            prop_assert_eq!(next(&mut inner), Some((4, Read::Fixed)));
            prop_assert_eq!(next(&mut inner), None);
        }

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut rest = &*bytes;
            while next(&mut rest).is_some() {}
        }
    }
}
