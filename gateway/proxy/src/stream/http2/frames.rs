//! Follows frames as their bytes pass, for what the library does not report.

use std::cell::{Cell, RefCell};

/// Bytes of a frame's head (RFC 9113 4.1).
pub(super) const HEAD: usize = 9;

/// Types of frames (RFC 9113 6).
pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const PRIORITY: u8 = 0x2;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const CONTINUATION: u8 = 0x9;

/// A type that does not exist: such frames are ignored (RFC 9113 5.5).
const NO_TYPE: u8 = 0xff;

/// Nothing follows on the stream.
const END_STREAM: u8 = 0x1;

/// How many streams with a long block are remembered: more than may be open at once.
const REMEMBERED: usize = 256;

/// Follows the frames of one direction.
pub(crate) struct Frames {
    /// Bytes until the next frame's head.
    skip: usize,
    head: [u8; HEAD],
    filled: usize,
    /// The bytes of this call up to the end of the head.
    passed: usize,
}

/// The next part of a direction's frames.
pub(crate) enum Part<'b> {
    /// A frame.
    Begins,
    /// A piece of its payload.
    Payload(&'b [u8]),
    /// The end of it.
    Ends,
}

impl Frames {
    pub(crate) fn behind(preface: usize) -> Self {
        Self {
            skip: preface,
            head: [0; HEAD],
            filled: 0,
            passed: 0,
        }
    }

    /// The type, flags and stream of the frame that is passing.
    pub(crate) fn frame(&self) -> (u8, u8, u32) {
        let [_, _, _, kind, flags, stream @ ..] = self.head;
        (kind, flags, u32::from_be_bytes(stream) & 0x7fff_ffff)
    }

    /// The length of the whole payload of the frame that is passing.
    pub(crate) fn length(&self) -> usize {
        let [high, middle, low, ..] = self.head;
        usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
    }

    /// Whether the frame that is passing is DATA that has no bytes and ends nothing.
    pub(crate) fn is_idle_data(&self) -> bool {
        let (kind, flags, _) = self.frame();
        kind == DATA && self.length() == 0 && flags & END_STREAM == 0
    }

    /// Where the type of the frame that has begun lies in the bytes that are followed, unless it came before them.
    pub(crate) fn place_of_type(&self) -> Option<usize> {
        self.passed.checked_sub(HEAD - 3)
    }

    /// Follows the next bytes and reports what is in them.
    pub(crate) fn follow(&mut self, mut bytes: &[u8], mut tell: impl FnMut(&Self, Part<'_>)) {
        let all = bytes.len();
        while !bytes.is_empty() {
            if self.skip > 0 {
                let (payload, rest) = bytes.split_at(self.skip.min(bytes.len()));
                self.skip -= payload.len();
                bytes = rest;
                tell(self, Part::Payload(payload));
                if self.skip == 0 {
                    tell(self, Part::Ends);
                }
                continue;
            }
            bytes = match bytes.split_first_chunk() {
                // Mostly it comes at once.
                Some((head, rest)) if self.filled == 0 => {
                    self.head = *head;
                    rest
                }
                _ => {
                    let wanted = (HEAD - self.filled).min(bytes.len());
                    let (part, rest) = bytes.split_at(wanted);
                    if let Some(place) = self.head.get_mut(self.filled..self.filled + wanted) {
                        place.copy_from_slice(part);
                    }
                    self.filled += wanted;
                    if self.filled < HEAD {
                        return;
                    }
                    self.filled = 0;
                    rest
                }
            };
            self.skip = self.length();
            self.passed = all - bytes.len();
            tell(self, Part::Begins);
            if self.skip == 0 {
                tell(self, Part::Ends);
            }
        }
    }
}

/// Makes frames at these places, whose type is there, pass unnoticed. The library ends a connection after a hundred empty
/// DATA frames, however long it has lived; they change nothing.
pub(crate) fn hide(bytes: &mut [u8], places: &[usize]) {
    for place in places {
        if let Some(kind) = bytes.get_mut(*place) {
            *kind = NO_TYPE;
        }
    }
}

/// Which streams have had a long field block.
///
/// The library leaves out what exceeds its limit, and does not report that for trailers: the rest looks complete. Its
/// limit is [`ROOM`] times what is allowed. Either a block that was cut still shows more than is allowed, or the field
/// that did not fit is so long that its bytes reveal it, however it is compressed (RFC 7541 5.2: at least five bits for a
/// letter; entries of the table are short).
pub(crate) struct LongBlocks {
    longest: usize,
    current: Cell<usize>,
    long: RefCell<Vec<u32>>,
}

/// How much larger the library's limit is than what is allowed.
pub(crate) const ROOM: usize = 3;

impl LongBlocks {
    /// `longest`: the most bytes that are allowed in one.
    pub(crate) fn new(longest: usize) -> Self {
        Self {
            longest,
            current: Cell::new(0),
            long: RefCell::default(),
        }
    }

    /// Records the start of a frame.
    pub(crate) fn begins(&self, frame: &Frames) {
        let (kind, _, stream) = frame.frame();
        let before = match kind {
            HEADERS => 0,
            CONTINUATION => self.current.get(),
            _ => return,
        };
        let length = before + frame.length();
        self.current.set(length);
        if before <= self.longest && length > self.longest {
            let mut long = self.long.borrow_mut();
            if long.len() == REMEMBERED {
                long.remove(0);
            }
            long.push(stream);
        }
    }

    /// Whether the stream has had a long block.
    pub(crate) fn is_long(&self, stream: u32) -> bool {
        self.long.borrow().contains(&stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_blocks_are_found_however_they_are_split() {
        // Frames by kind, stream and length, and the streams that are long.
        type Case = (&'static [(u8, u32, u16)], &'static [u32]);
        let table: [Case; 5] = [
            (&[(HEADERS, 1, 100), (HEADERS, 3, 100)], &[]),
            (&[(HEADERS, 1, 101), (DATA, 3, 1000), (HEADERS, 5, 1)], &[1]),
            (&[(HEADERS, 1, 60), (CONTINUATION, 1, 40)], &[]),
            (
                &[(HEADERS, 1, 60), (CONTINUATION, 1, 40), (CONTINUATION, 1, 1)],
                &[1],
            ),
            (
                &[(HEADERS, 1, 101), (CONTINUATION, 1, 500), (HEADERS, 7, 101)],
                &[1, 7],
            ),
        ];
        for (frames, long) in table {
            let bytes: Vec<u8> = frames
                .iter()
                .flat_map(|(kind, stream, length)| {
                    let mut frame = vec![0, 0, 0, *kind, 0];
                    frame[1..3].copy_from_slice(&length.to_be_bytes());
                    frame.extend_from_slice(&stream.to_be_bytes());
                    frame.resize(HEAD + usize::from(*length), 0xff);
                    frame
                })
                .collect();
            for size in [1, 7, 9, 16 * 1024] {
                let (mut followed, blocks) = (Frames::behind(0), LongBlocks::new(100));
                for part in bytes.chunks(size) {
                    followed.follow(part, |frame, part| {
                        if let Part::Begins = part {
                            blocks.begins(frame);
                        }
                    });
                }
                for stream in [1, 3, 5, 7] {
                    assert_eq!(blocks.is_long(stream), long.contains(&stream), "{frames:?}");
                }
            }
        }
    }
}
