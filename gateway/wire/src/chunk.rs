//! Chunked bodies (RFC 9112 7.1), strict: CRLF only, bounded sizes, bounded extensions. White space is read where the
//! grammar has it (RFC 9110 5.6.3), and never before or within a size.

use crate::bytes::{is_field_value, is_token_byte, trim_start};
use crate::error::HeadError;
use crate::field::{Field, FieldId, is_same_name};

/// The end of a chunk and of a trailer line.
pub const CHUNK_END: &[u8] = b"\r\n";
/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// The last chunk, when trailer lines and an empty line follow.
pub const LAST_CHUNK_BEFORE_TRAILERS: &[u8] = b"0\r\n";

/// Longest chunk-size line, extension included.
const LINE_BYTES: usize = 256;

/// Most digits of a chunk size, and the width up to which white space may fill it up: some servers write sizes of a
/// fixed width.
const SIZE_BYTES: usize = 16;

/// Bounds on what a chunked body may cost beside its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkLimits {
    /// All chunk extensions of one body together. They carry nothing of use, and reading them costs time.
    pub extension_bytes: usize,
    /// The trailer section.
    pub trailer_bytes: usize,
    /// Whether white space after sizes and around extensions is accepted (RFC 9110 5.6.3), as servers write it. From
    /// clients it is refused: implementations read it differently, and only smuggled requests contain it.
    pub white_space: bool,
}

/// Reads one chunked body.
#[derive(Debug)]
pub struct ChunkDecoder {
    state: State,
    limits: ChunkLimits,
    extensions: usize,
    /// Trailer lines as received, each with its CRLF; allocated only when there are any.
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a chunk-size line.
    Size,
    /// Within a chunk's data.
    Data(u64),
    /// Before the CRLF that ends a chunk's data.
    DataEnd,
    /// Within the trailer section.
    Trailers,
    Done,
}

/// What the next bytes of the input are. The caller drops the consumed bytes and calls again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkStep {
    /// More bytes are needed. This many have been read.
    NeedMore {
        /// Bytes to drop.
        consumed: usize,
    },
    /// `len` bytes of data follow `skip` bytes of framing.
    Data {
        /// Bytes of framing before the data.
        skip: usize,
        /// Bytes of data; at least one.
        len: usize,
    },
    /// The body has ended.
    Done {
        /// Bytes to drop. What follows belongs to the next message.
        consumed: usize,
    },
}

/// What is wrong with a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Not 1 to 16 hex digits below 2^63.
    #[error("a chunk size is not a hexadecimal number within bounds")]
    Size,
    /// Not a chunk extension, or too many of them.
    #[error("a chunk extension is malformed or the extensions are too long")]
    Extension,
    /// A line or a chunk's data does not end in CRLF.
    #[error("a chunk does not end in CRLF")]
    End,
    /// The trailer section is malformed or too long.
    #[error("the trailer section is malformed or too long")]
    Trailer(#[source] Option<HeadError>),
}

impl Default for ChunkLimits {
    fn default() -> Self {
        Self {
            extension_bytes: 4 * 1024,
            trailer_bytes: 16 * 1024,
            white_space: false,
        }
    }
}

impl ChunkDecoder {
    /// A decoder at the start of a body.
    #[must_use]
    pub fn new(limits: ChunkLimits) -> Self {
        Self {
            state: State::Size,
            limits,
            extensions: 0,
            trailers: Vec::new(),
        }
    }

    /// Accepts white space from now on, whatever the limits say.
    pub fn read_white_space(&mut self) {
        self.limits.white_space = true;
    }

    /// Looks at the start of `input`.
    ///
    /// # Errors
    /// When the bytes are not a chunked body. The decoder cannot be used any more.
    pub fn decode(&mut self, input: &[u8]) -> Result<ChunkStep, ChunkError> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            match self.state {
                State::Size => match self.size_line(rest)? {
                    None => return Ok(ChunkStep::NeedMore { consumed: at }),
                    Some((used, 0)) => {
                        at += used;
                        self.state = State::Trailers;
                    }
                    Some((used, size)) => {
                        at += used;
                        self.state = State::Data(size);
                    }
                },
                State::Data(left) => {
                    let len = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    if len == 0 {
                        return Ok(ChunkStep::NeedMore { consumed: at });
                    }
                    let left = left - len as u64;
                    self.state = if left == 0 {
                        State::DataEnd
                    } else {
                        State::Data(left)
                    };
                    return Ok(ChunkStep::Data { skip: at, len });
                }
                State::DataEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        at += 2;
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(ChunkStep::NeedMore { consumed: at }),
                    _ => return Err(ChunkError::End),
                },
                State::Trailers => match line(rest, self.limits.trailer_bytes, ChunkError::Trailer(None))? {
                    None => return Ok(ChunkStep::NeedMore { consumed: at }),
                    Some([]) => {
                        self.state = State::Done;
                        return Ok(ChunkStep::Done { consumed: at + 2 });
                    }
                    Some(trailer) => {
                        self.keep_trailer(trailer)?;
                        at += trailer.len() + 2;
                    }
                },
                State::Done => return Ok(ChunkStep::Done { consumed: at }),
            }
        }
    }

    /// The trailer fields that may be passed on: those that neither frame, route nor authenticate
    /// (RFC 9110 6.5.1).
    pub fn trailers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.trailers.as_slice();
        std::iter::from_fn(move || {
            loop {
                let end = rest.windows(2).position(|pair| pair == CHUNK_END)?;
                let line = rest.get(..end)?;
                rest = rest.get(end + 2..)?;
                let field = Field::parse(line, 0).ok()?;
                if may_trail(field.name.of(line)) {
                    return Some((field.name.of(line), field.value.of(line)));
                }
            }
        })
    }

    /// The chunk-size line at the start of `input`: its length and the size.
    fn size_line(&mut self, input: &[u8]) -> Result<Option<(usize, u64)>, ChunkError> {
        let digits = input.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits > SIZE_BYTES || (digits == 0 && !input.is_empty()) {
            return Err(ChunkError::Size);
        }
        let Some(line) = line(input, LINE_BYTES, ChunkError::Extension)? else {
            return match input.get(digits) {
                None | Some(b'\r' | b';' | b' ' | b'\t') => Ok(None),
                Some(_) => Err(ChunkError::Size),
            };
        };
        let (size, extension) = line.split_at_checked(digits).ok_or(ChunkError::Size)?;
        let size = size.iter().fold(0_u64, |size, digit| {
            size << 4 | u64::from(char::from(*digit).to_digit(16).unwrap_or_default())
        });
        // No body is larger, and below this bound sums of sizes cannot overflow.
        if size > i64::MAX as u64 {
            return Err(ChunkError::Size);
        }
        let skip = if self.limits.white_space {
            trim_start
        } else {
            as_it_is
        };
        let width = line.len() - skip(extension).len();
        let extension = skip(extension);
        self.extensions += extension.len() + width.saturating_sub(SIZE_BYTES);
        if !is_extension(extension, skip) || self.extensions > self.limits.extension_bytes {
            return Err(if extension.first().is_none_or(|byte| *byte == b';') {
                ChunkError::Extension
            } else {
                ChunkError::Size
            });
        }
        Ok(Some((line.len() + 2, size)))
    }

    fn keep_trailer(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        Field::parse(line, 0).map_err(|error| ChunkError::Trailer(Some(error)))?;
        if self.trailers.len() + line.len() + 2 > self.limits.trailer_bytes {
            return Err(ChunkError::Trailer(None));
        }
        self.trailers.extend_from_slice(line);
        self.trailers.extend_from_slice(CHUNK_END);
        Ok(())
    }
}

/// The line at the start of `input` without its CRLF, `None` while it is incomplete.
fn line(input: &[u8], limit: usize, too_long: ChunkError) -> Result<Option<&[u8]>, ChunkError> {
    match memchr::memchr(b'\n', input) {
        Some(lf) => match input.get(..lf) {
            Some([line @ .., b'\r']) if line.len() <= limit && !line.contains(&b'\r') => Ok(Some(line)),
            Some([line @ .., b'\r']) if line.len() > limit => Err(too_long),
            _ => Err(ChunkError::End),
        },
        None if input.len() > limit + 1 => Err(too_long),
        None => Ok(None),
    }
}

fn as_it_is(bytes: &[u8]) -> &[u8] {
    bytes
}

/// `*( BWS ";" BWS name [ BWS "=" BWS value ] )` (RFC 9112 7.1.1), and white space at the end, which servers write
/// that pad their sizes; `skip` drops white space, or none where it is refused.
fn is_extension(bytes: &[u8], skip: fn(&[u8]) -> &[u8]) -> bool {
    let mut bytes = skip(bytes);
    while let [b';', rest @ ..] = bytes {
        let rest = skip(rest);
        let name = rest.iter().take_while(|byte| is_token_byte(**byte)).count();
        if name == 0 {
            return false;
        }
        bytes = skip(rest.get(name..).unwrap_or_default());
        if let [b'=', value @ ..] = bytes {
            let value = skip(value);
            let used = match value {
                [b'"', quoted @ ..] => match quoted_length(quoted) {
                    Some(length) => length + 1,
                    None => return false,
                },
                _ => value.iter().take_while(|byte| is_token_byte(**byte)).count(),
            };
            if used == 0 {
                return false;
            }
            bytes = skip(value.get(used..).unwrap_or_default());
        }
    }
    bytes.is_empty()
}

/// Length of the rest of a quoted string, its closing quote included.
fn quoted_length(bytes: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                return bytes
                    .get(..index)
                    .filter(|text| is_field_value(text))
                    .map(|_| index + 1);
            }
            _ => {}
        }
    }
    None
}

/// Whether a field may be passed on as a trailer: those for framing, routing, authentication and the processing of the
/// content may not (RFC 9110 6.5.1), nor may any that describe the client.
#[must_use]
pub fn may_trail(name: &[u8]) -> bool {
    let refused: [&[u8]; 11] = [
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-range",
        b"cookie",
        b"set-cookie",
        b"location",
        b"range",
        b"www-authenticate",
        b"age",
        b"vary",
    ];
    matches!(FieldId::classify(name), FieldId::Other | FieldId::Date)
        && !refused.iter().any(|other| is_same_name(name, other))
}

/// Writes the head of a chunk of `len` bytes, which must all be at hand.
pub fn chunk_head(len: usize, out: &mut [u8; 18]) -> &[u8] {
    let mut start = 16;
    let mut left = len;
    loop {
        start -= 1;
        let digit = b"0123456789abcdef".get(left & 15).copied().unwrap_or(b'0');
        if let Some(place) = out.get_mut(start) {
            *place = digit;
        }
        left >>= 4;
        if left == 0 || start == 0 {
            break;
        }
    }
    if let Some(end) = out.get_mut(16..) {
        end.copy_from_slice(CHUNK_END);
    }
    out.get(start..).unwrap_or_default()
}
