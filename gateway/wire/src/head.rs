//! What request and response heads share: lines, fields, framing fields, connection options.

use memchr::memchr;

use crate::bytes::{decimal, trim};
use crate::field::{Field, FieldId};

/// How large a head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// The whole head in bytes, its last empty line included.
    pub bytes: usize,
    /// Header fields.
    pub fields: usize,
    /// The request target in bytes.
    pub target_bytes: usize,
}

/// What is wrong with a head, requests and responses alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// A line does not end in CRLF (RFC 9112 2.2).
    #[error("a line ends in a bare LF")]
    BareLf,
    /// RFC 9112 5: white space before the colon, a folded line, no colon, or no token.
    #[error("a field line does not start with a field name and a colon")]
    FieldName,
    /// RFC 9110 5.5: a control character.
    #[error("a field value holds a control character")]
    FieldValue,
    /// More bytes than allowed.
    #[error("the head is larger than allowed")]
    TooLarge,
    /// More fields than allowed.
    #[error("the head has more fields than allowed")]
    TooManyFields,
    /// RFC 9112 6.3: not one decimal number.
    #[error("Content-Length is not one decimal number")]
    ContentLength,
    /// RFC 9112 6.3: two ways to frame the body.
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndCoding,
    /// RFC 9112 6.1: anything but one `chunked`, or any coding on HTTP/1.0.
    #[error("Transfer-Encoding is not exactly one `chunked`")]
    TransferCoding,
}

/// What the `Connection` fields ask for (RFC 9110 7.6.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `upgrade`
    pub upgrade: bool,
    /// Some other option: a field of that name is hop-by-hop.
    pub other: bool,
}

/// Finds the lines of the head being parsed, one after the other, across calls with more and more bytes.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// How far the buffer has been searched for line ends.
    searched: usize,
    /// Offset of the line being read.
    start: usize,
    /// Lines completed, the first one included.
    count: usize,
}

/// The next line of a head, without its CRLF, and its offset.
pub(crate) enum Line<'b> {
    /// The request or status line.
    First(&'b [u8], usize),
    /// A field line.
    Field(&'b [u8], usize),
    /// The empty line; the head ends at this offset.
    End(usize),
}

/// What the framing fields say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Framing {
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
}

impl Lines {
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// The next complete line. Remembers how far it came, so that calling it again with more bytes costs only
    /// those; never looks at more than a head may have.
    pub(crate) fn next<'b>(
        &mut self,
        buffer: &'b [u8],
        limits: &HeadLimits,
    ) -> Result<Option<Line<'b>>, HeadError> {
        let buffer = buffer.get(..limits.bytes).unwrap_or(buffer);
        loop {
            let Some(found) = buffer.get(self.searched..).and_then(|rest| memchr(b'\n', rest)) else {
                self.searched = buffer.len();
                return if buffer.len() < limits.bytes {
                    Ok(None)
                } else {
                    Err(HeadError::TooLarge)
                };
            };
            let lf = self.searched + found;
            let Some([line @ .., b'\r']) = buffer.get(self.start..lf) else {
                return Err(HeadError::BareLf);
            };
            let start = self.start;
            (self.searched, self.start) = (lf + 1, lf + 1);
            match (line, self.count) {
                // One empty line before a request line is ignored (RFC 9112 2.2); a second one is not.
                ([], 0) if start == 0 => {}
                ([], 0) => {
                    self.start = start;
                    return Err(HeadError::FieldName);
                }
                ([], _) => return Ok(Some(Line::End(lf + 1))),
                (_, 0) => {
                    self.count = 1;
                    return Ok(Some(Line::First(line, start)));
                }
                (_, count) if count > limits.fields => return Err(HeadError::TooManyFields),
                _ => {
                    self.count += 1;
                    return Ok(Some(Line::Field(line, start)));
                }
            }
        }
    }

    /// What there is of the first line while it is incomplete; a CR at its end may belong to the line's.
    pub(crate) fn unfinished_first<'b>(&self, buffer: &'b [u8], limits: &HeadLimits) -> Option<&'b [u8]> {
        if self.count > 0 {
            return None;
        }
        let rest = buffer.get(..limits.bytes).unwrap_or(buffer).get(self.start..)?;
        let line = rest.get(..memchr(b'\n', rest).unwrap_or(rest.len()))?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

impl ConnectionOptions {
    /// Adds the options of one `Connection` field value.
    pub(crate) fn add(&mut self, value: &[u8]) {
        for option in elements(value) {
            match option.len() {
                5 if option.eq_ignore_ascii_case(b"close") => self.close = true,
                10 if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                7 if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                _ => self.other = true,
            }
        }
    }

    /// Whether some `Connection` field names `field`, which makes it hop-by-hop.
    #[must_use]
    pub fn names(&self, field: &Field, fields: &[Field], head: &[u8]) -> bool {
        self.other
            && fields
                .iter()
                .filter(|other| other.id == FieldId::Connection)
                .any(|connection| {
                    let mut options = elements(connection.value.of(head));
                    options.any(|option| option.eq_ignore_ascii_case(field.name.of(head)))
                })
    }
}

impl Framing {
    /// Takes note of a framing field; others are ignored.
    pub(crate) fn add(&mut self, field: &Field, head: &[u8]) -> Result<(), HeadError> {
        let value = field.value.of(head);
        match field.id {
            FieldId::ContentLength => {
                // Repeated, even with the same value, is a sign of two parsers at work.
                if self.length.is_some() {
                    return Err(HeadError::ContentLength);
                }
                self.length = Some(decimal(value).ok_or(HeadError::ContentLength)?);
            }
            FieldId::TransferEncoding => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(HeadError::TransferCoding);
                }
                self.chunked = true;
            }
            _ => {}
        }
        if self.chunked && self.length.is_some() {
            Err(HeadError::LengthAndCoding)
        } else {
            Ok(())
        }
    }
}

/// The elements of a list, trimmed; empty ones are none (RFC 9110 5.6.1.2).
pub fn elements(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
}
