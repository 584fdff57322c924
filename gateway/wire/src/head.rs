//! What request and response heads have in common: lines, fields, framing fields, connection options.

use memchr::{memchr, memchr_iter};

use crate::bytes::{decimal, first_control, trim, trim_start};
use crate::error::HeadError;
use crate::field::{Field, FieldId, Span};

/// The most elements of a list that the gateway itself reads (`Connection`, `Upgrade`, `TE`, `Expect`), over all fields of
/// that name, empty elements included: they cost as much, and only a reasonable number of them must be ignored (RFC 9110
/// 5.6.1.2).
pub const MOST_ELEMENTS: usize = 32;

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

/// What the `Connection` fields ask for (RFC 9110 7.6.1).
#[derive(Debug, Default)]
pub struct ConnectionOptions {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `upgrade`
    pub upgrade: bool,
    /// All others: fields of these names are hop-by-hop. They are collected once, because every field is compared with them.
    named: Vec<Span>,
    elements: ElementCount,
}

/// Counts the elements of the fields of one name.
#[derive(Debug, Default)]
pub(crate) struct ElementCount(usize);

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

/// What the framing fields say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Framing {
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
}

impl HeadLimits {
    /// The longest head, whatever the limit: spans have 32 bits.
    pub(crate) const LONGEST: usize = u32::MAX as usize;

    /// As much of a buffer as a head may have.
    fn of<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        buffer.get(..self.bytes.min(Self::LONGEST)).unwrap_or(buffer)
    }
}

impl Lines {
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// The first line, without its CRLF, and its offset.
    pub(crate) fn first<'b>(
        &mut self,
        buffer: &'b [u8],
        limits: &HeadLimits,
    ) -> Result<Option<(&'b [u8], usize)>, HeadError> {
        let buffer = limits.of(buffer);
        while let Some((line, _)) = self.line(buffer, limits)? {
            let start = self.start;
            match line {
                // One empty line before a request line is ignored (RFC 9112 2.2); a second one is not.
                [] if start > 0 => return Err(HeadError::FieldName),
                [] => self.pass(line),
                _ => {
                    self.pass(line);
                    self.count = 1;
                    return Ok(Some((line, start)));
                }
            }
        }
        Ok(None)
    }

    /// Adds the fields behind the first line to `fields`. `Some` when the head is complete: the offset of its end.
    pub(crate) fn fields(
        &mut self,
        buffer: &[u8],
        limits: &HeadLimits,
        fields: &mut Vec<Field>,
    ) -> Result<Option<usize>, HeadError> {
        let buffer = limits.of(buffer);
        while let Some((line, is_clean)) = self.line(buffer, limits)? {
            let start = self.start;
            self.pass(line);
            if line.is_empty() {
                return Ok(Some(self.start));
            }
            if self.count > limits.fields {
                return Err(HeadError::TooManyFields);
            }
            self.count += 1;
            fields.push(if is_clean {
                Field::parse_clean(line, start)?
            } else {
                Field::parse(line, start)?
            });
        }
        Ok(None)
    }

    /// Whether the first line is complete.
    pub(crate) fn has_first(&self) -> bool {
        self.count > 0
    }

    /// Continues after a line.
    fn pass(&mut self, line: &[u8]) {
        self.start += line.len() + 2;
        self.searched = self.start;
    }

    /// The next line without its CRLF, if it is complete, and whether it is known to have no control character. Remembers
    /// how far it has searched, so that a call with more bytes looks at those alone.
    #[inline]
    fn line<'b>(
        &mut self,
        buffer: &'b [u8],
        limits: &HeadLimits,
    ) -> Result<Option<(&'b [u8], bool)>, HeadError> {
        // This finds nearly all lines, without a second look at them. It is tried once for each line, or a long one that
        // arrives byte by byte would take quadratic time.
        if self.searched == self.start
            && let rest = buffer.get(self.start..).unwrap_or_default()
            && let Some(end) = first_control(rest)
            && let Some((line, [b'\r', b'\n', ..])) = rest.split_at_checked(end)
        {
            return Ok(Some((line, true)));
        }
        self.any_line(buffer, limits)
    }

    /// As [`Self::line`], of any line.
    #[inline(never)]
    fn any_line<'b>(
        &mut self,
        buffer: &'b [u8],
        limits: &HeadLimits,
    ) -> Result<Option<(&'b [u8], bool)>, HeadError> {
        let Some(found) = buffer.get(self.searched..).and_then(|rest| memchr(b'\n', rest)) else {
            self.searched = buffer.len();
            return if buffer.len() < limits.bytes.min(HeadLimits::LONGEST) {
                Ok(None)
            } else {
                Err(HeadError::TooLarge)
            };
        };
        match buffer.get(self.start..self.searched + found) {
            Some([line @ .., b'\r']) => Ok(Some((line, false))),
            _ => Err(HeadError::BareLf),
        }
    }

    /// The part of the first line that has arrived. A CR at its end may belong to the CRLF.
    pub(crate) fn unfinished_first<'b>(&self, buffer: &'b [u8], limits: &HeadLimits) -> Option<&'b [u8]> {
        if self.count > 0 {
            return None;
        }
        let rest = limits.of(buffer).get(self.start..)?;
        let line = rest.get(..memchr(b'\n', rest).unwrap_or(rest.len()))?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

impl ElementCount {
    /// Adds those of one more field.
    pub(crate) fn add(&mut self, value: &[u8]) -> Result<(), HeadError> {
        self.0 += memchr_iter(b',', value).count() + 1;
        if self.0 > MOST_ELEMENTS {
            return Err(HeadError::LongList);
        }
        Ok(())
    }
}

impl ConnectionOptions {
    pub(crate) fn clear(&mut self) {
        (self.close, self.keep_alive, self.upgrade) = (false, false, false);
        self.named.clear();
        self.elements = ElementCount::default();
    }

    /// Adds the options of one `Connection` field.
    pub(crate) fn add(&mut self, field: &Field, head: &[u8]) -> Result<(), HeadError> {
        let value = field.value.of(head);
        self.elements.add(value)?;
        let mut start = field.value.start();
        for element in value.split(|byte| *byte == b',') {
            let option = trim(element);
            let begin = start + element.len() - trim_start(element).len();
            start += element.len() + 1;
            match option.len() {
                0 => {}
                5 if option.eq_ignore_ascii_case(b"close") => self.close = true,
                10 if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                7 if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                length => self.named.push(Span::new(begin, begin + length)),
            }
        }
        Ok(())
    }

    /// Whether some `Connection` field names `field`, which makes it hop-by-hop.
    #[must_use]
    pub fn names(&self, field: &Field, head: &[u8]) -> bool {
        let is_same = |option: &Span| {
            option.len() == field.name.len() && option.of(head).eq_ignore_ascii_case(field.name.of(head))
        };
        self.named.iter().any(is_same)
    }
}

impl Framing {
    /// Records a framing field; others are ignored.
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

/// The elements of a list, trimmed and without the empty ones (RFC 9110 5.6.1.2).
pub fn elements(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RequestHead, Version};

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 32 * 1024,
        fields: 100,
        target_bytes: 1024,
    };

    /// What a head costs is bounded by its fields times the options, whatever is written: no value is read again for each
    /// field.
    #[test]
    fn each_field_is_compared_with_a_few_options() {
        let line = "Connection: x,,,,,,,,,,,,,,,\r\n";
        for (lines, outcome) in [
            (line.repeat(2), Ok(2)),
            (line.repeat(96), Err(HeadError::LongList)),
            (format!("Connection: {}\r\n", ",".repeat(31)), Ok(0)),
            (
                format!("Connection: {}\r\n", ",".repeat(32)),
                Err(HeadError::LongList),
            ),
            (format!("Connection: {}a\r\n", "a,".repeat(31)), Ok(32)),
            ("Connection: a\r\n".repeat(33), Err(HeadError::LongList)),
        ] {
            let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
            let mut head = RequestHead::new();
            let parsed = head.parse(text.as_bytes(), &LIMITS);
            let compared = parsed.map(|_| head.connection.named.len());
            assert_eq!(compared, outcome.map_err(Into::into), "{text}");
            // What an earlier head named does not matter to the next.
            let next = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: b\r\n\r\n";
            assert_eq!(head.parse(next, &LIMITS), Ok(Some(next.len())));
            assert_eq!((head.connection.named.len(), head.version), (1, Version::Http11));
        }
    }
}
