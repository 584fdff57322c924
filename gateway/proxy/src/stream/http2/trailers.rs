//! Pseudo-header fields in the trailers of requests, which make a request malformed (RFC 9113 8.1). The library ignores
//! them silently, so this inspects the field blocks as their bytes pass.
//!
//! No field is decoded for that. The first bytes of a field show whether it is a pseudo-header field, or the entry of the
//! compression table to which it refers does. It is enough to remember which entries of that table are such fields, the
//! newest first: the library has refused any reference to an entry that is gone.

use std::cell::RefCell;
use std::rc::Rc;

/// How many streams with malformed trailers are remembered until they end; more are an attack.
const MOST: usize = 256;

/// The longest field block that is inspected. The library accepts none as long.
const BLOCK: usize = 1 << 20;

/// The memory that is kept for the next one: most are shorter.
const KEPT: usize = 4 * 1024;

/// Entries of the static table that are pseudo-header fields, and the last of all (RFC 7541, appendix A).
const STATIC_PSEUDO: usize = 14;
const STATIC: usize = 61;

/// Flags of HEADERS and CONTINUATION (RFC 9113 6.2).
pub(crate) const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// The streams of a connection whose trailers are malformed; shared with what reads them.
#[derive(Clone, Default)]
pub(crate) struct MalformedTrailers(Rc<RefCell<Vec<u32>>>);

/// Follows the blocks of fields that a client sends.
#[derive(Default)]
pub(crate) struct Blocks {
    /// The newest stream on which a request has arrived: another block on it, or on an older one, is trailers.
    newest: u32,
    stream: u32,
    /// The block so far.
    block: Vec<u8>,
    /// Whether each entry of the dynamic table is a pseudo-header field; the newest is the lowest bit. There are at most
    /// 128: an entry counts at least 32 bytes of the 4,096 that the table may have.
    entries: u128,
    malformed: MalformedTrailers,
}

impl MalformedTrailers {
    /// Whether the trailers of this stream are malformed.
    pub(crate) fn has(&self, stream: u32) -> bool {
        let streams = self.0.borrow();
        !streams.is_empty() && streams.contains(&stream)
    }

    /// A stream has ended.
    pub(crate) fn forget(&self, stream: u32) {
        let mut streams = self.0.borrow_mut();
        if !streams.is_empty() {
            streams.retain(|other| *other != stream);
        }
    }
}

impl Blocks {
    pub(crate) fn malformed(&self) -> MalformedTrailers {
        self.malformed.clone()
    }

    /// A HEADERS or CONTINUATION frame has arrived completely. False if it is one too many.
    pub(crate) fn frame(&mut self, is_first: bool, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let mut fragment = payload;
        if is_first {
            self.block.clear();
            self.stream = stream;
            fragment = fields(payload, flags);
        }
        if self.block.len() + fragment.len() > BLOCK {
            return false;
        }
        // Most blocks are one frame.
        let mut whole = std::mem::take(&mut self.block);
        let ended = flags & END_HEADERS != 0;
        let has_pseudo = match (ended, whole.is_empty()) {
            (true, true) => self.read(fragment),
            (true, false) => {
                whole.extend_from_slice(fragment);
                self.read(&whole)
            }
            (false, _) => {
                whole.extend_from_slice(fragment);
                self.block = whole;
                return true;
            }
        };
        self.block = emptied(whole);
        if self.stream > self.newest {
            self.newest = self.stream;
            return true;
        }
        let mut streams = self.malformed.0.borrow_mut();
        if has_pseudo && !streams.contains(&self.stream) {
            streams.push(self.stream);
        }
        streams.len() <= MOST
    }

    /// Bytes of memory that it holds for the block that is arriving.
    pub(crate) fn held(&self) -> usize {
        self.block.capacity()
    }

    /// Walks over a block (RFC 7541 6). Returns whether it has a pseudo-header field.
    fn read(&mut self, mut block: &[u8]) -> bool {
        let mut found = false;
        while let [first, ..] = block {
            let (prefix, is_kept) = match first {
                0x80.. => {
                    let Some((index, rest)) = integer(block, 7) else {
                        break;
                    };
                    found |= self.is_pseudo(index);
                    block = rest;
                    continue;
                }
                // The size of the table: entries that it evicts are older than those that stay.
                0x20..=0x3f => {
                    let Some((_, rest)) = integer(block, 5) else { break };
                    block = rest;
                    continue;
                }
                0x40..=0x7f => (6, true),
                _ => (4, false),
            };
            let Some((index, mut rest)) = integer(block, prefix) else {
                break;
            };
            let is_pseudo = if index == 0 {
                let Some((is_pseudo, behind)) = name(rest) else {
                    break;
                };
                rest = behind;
                is_pseudo
            } else {
                self.is_pseudo(index)
            };
            let Some((_, behind)) = string(rest) else { break };
            block = behind;
            found |= is_pseudo;
            if is_kept {
                self.entries = self.entries << 1 | u128::from(is_pseudo);
            }
        }
        found
    }

    fn is_pseudo(&self, index: usize) -> bool {
        match index.checked_sub(STATIC + 1) {
            None => (1..=STATIC_PSEUDO).contains(&index),
            Some(entry) => entry < 128 && self.entries >> entry & 1 == 1,
        }
    }
}

/// The same memory for the next block, unless it is too large for most: a connection may then be idle for long.
pub(crate) fn emptied(mut block: Vec<u8>) -> Vec<u8> {
    if block.capacity() > KEPT {
        return Vec::new();
    }
    block.clear();
    block
}

/// The block of fields in the payload of a HEADERS frame.
fn fields(payload: &[u8], flags: u8) -> &[u8] {
    let (padding, rest) = match payload {
        [padding, rest @ ..] if flags & PADDED != 0 => (usize::from(*padding), rest),
        _ => (0, payload),
    };
    let start = if flags & PRIORITY != 0 { 5 } else { 0 };
    rest.get(start..rest.len().saturating_sub(padding))
        .unwrap_or_default()
}

/// An integer with a prefix of so many bits (RFC 7541 5.1), and what follows it.
fn integer(bytes: &[u8], prefix: u32) -> Option<(usize, &[u8])> {
    let (first, mut rest) = bytes.split_first()?;
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value < most {
        return Some((value, rest));
    }
    for shift in [0, 7, 14, 21] {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        value += usize::from(*byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}

/// A string as it is encoded (RFC 7541 5.2), and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = integer(bytes, 7)?;
    rest.split_at_checked(length)
}

/// Whether a name begins with a colon, which Huffman's code writes as 1011100, and what follows it.
fn name(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let is_huffman = bytes.first()? & 0x80 != 0;
    let (text, behind) = string(bytes)?;
    let is_pseudo = match text.first() {
        Some(first) if is_huffman => first >> 1 == 0b101_1100,
        first => first == Some(&b':'),
    };
    Some((is_pseudo, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A literal with a new name, kept in the table or not.
    fn literal(is_kept: bool, name: &str, value: &str) -> Vec<u8> {
        let mut bytes = vec![if is_kept { 0x40 } else { 0 }];
        for text in [name, value] {
            bytes.push(u8::try_from(text.len()).unwrap());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    /// Two requests, of which the second one has these trailers.
    fn is_malformed(trailers: &[u8]) -> bool {
        let mut blocks = Blocks::default();
        let malformed = blocks.malformed();
        let ordinary = [
            &[0x82, 0x84, 0x86][..],
            &literal(true, "x-one", "1"),
            &literal(true, ":authority", "a.test"),
            &literal(true, "x-two", "2"),
        ]
        .concat();
        assert!(blocks.frame(true, END_HEADERS, 1, &ordinary));
        assert!(blocks.frame(true, END_HEADERS, 3, &[0x82, 0xbe]));
        assert!(
            !malformed.has(1) && !malformed.has(3),
            "requests have such fields"
        );
        assert!(blocks.frame(true, END_HEADERS, 3, trailers));
        let (one, found) = (malformed.has(1), malformed.has(3));
        malformed.forget(3);
        assert!(!one && !malformed.has(3));
        found
    }

    #[test]
    fn trailers_have_no_pseudo_header_fields() {
        let huffman = |first: u8| vec![0x00, 0x82, first, 0xff, 0x01, b'x'];
        let table = [
            (literal(false, "grpc-status", "0"), false),
            (literal(true, "x-three", "3"), false),
            (vec![0x82], true),
            (vec![0x8e], true),
            // `accept-charset`, the first of the static table that is none.
            (vec![0x8f], false),
            (vec![0x20, 0x81], true),
            (vec![0x01, 0x01, b'x'], true),
            (vec![0x0f, 0x00, 0x01, b'x'], false),
            (literal(false, ":status", "200"), true),
            (literal(false, ":unknown", "1"), true),
            // Of the dynamic table: x-two, :authority, x-one.
            (vec![0xbe], false),
            (vec![0xbf], true),
            (vec![0xc0], false),
            (vec![0x7f, 0x00, 0x01, b'x'], true),
            ([literal(true, "x-three", "3"), vec![0xc0]].concat(), true),
            (huffman(0b1011_1000), true),
            (huffman(0b1011_1001), true),
            (huffman(0b1011_1010), false),
            (Vec::new(), false),
            // Broken ones are the library's.
            (vec![0xff], false),
            (vec![0x00, 0x7f], false),
        ];
        for (trailers, expected) in table {
            assert_eq!(is_malformed(&trailers), expected, "{trailers:02x?}");
        }
    }

    #[test]
    fn blocks_come_in_pieces_with_padding_and_priority() {
        let trailers = [literal(false, "x", "1"), literal(false, ":path", "/")].concat();
        for cut in 0..=trailers.len() {
            let mut blocks = Blocks::default();
            assert!(blocks.frame(true, END_HEADERS, 1, &[0x82]));
            let (start, rest) = trailers.split_at(cut);
            let padded = [&[3, 0, 0, 0, 0, 9], start, &[0x82; 3]].concat();
            assert!(blocks.frame(true, PADDED | PRIORITY, 1, &padded));
            assert!(!blocks.malformed().has(1));
            assert!(blocks.frame(false, END_HEADERS, 1, rest));
            assert!(blocks.malformed().has(1), "{cut}");
        }
    }

    #[test]
    fn the_number_of_remembered_entries_is_bounded() {
        let mut blocks = Blocks::default();
        let mut fine = 0;
        for stream in (1..).step_by(2).take(MOST + 10) {
            assert!(blocks.frame(true, END_HEADERS, stream, &[0x82]) == (fine <= MOST));
            fine += usize::from(blocks.frame(true, END_HEADERS, stream, &[0x82]));
        }
        assert_eq!(fine, MOST);
        assert!(!Blocks::default().frame(true, 0, 1, &vec![0; BLOCK + 1]));
    }
}
