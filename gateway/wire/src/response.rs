//! Response heads, as strict as requests: malformed responses are found here, not by the client.

use crate::bytes::is_field_value;
use crate::error::HeadError;
use crate::field::{Field, FieldId, Span};
use crate::head::{ConnectionOptions, ElementCount, Framing, HeadLimits, Lines};
use crate::{BodyFraming, Version};

/// What the response answers: it decides whether there is a body (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseTo {
    /// A HEAD request: never a body.
    Head,
    /// Any other request.
    Other,
}

/// A parsed response head. Reused from response to response.
#[derive(Debug, Default)]
pub struct ResponseHead {
    /// 100 to 999; RFC 9110 15 defines none above 599, and some applications use them.
    pub status: u16,
    /// The version.
    pub version: Version,
    /// The reason phrase; may be empty.
    pub reason: Span,
    /// All fields in order.
    pub fields: Vec<Field>,
    /// How the body is framed.
    pub framing: BodyFraming,
    /// The length that `Content-Length` states, also where there is no body (HEAD, 304).
    pub stated_length: Option<u64>,
    /// What `Connection` asks for.
    pub connection: ConnectionOptions,
    /// By its status the response has no body, and by its framing fields it has one.
    contradictory: bool,
    lines: Lines,
}

/// Why a response head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Lines, fields or framing.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// RFC 9112 4: not `version SP status SP [reason]`.
    #[error("the status line is not version, status and reason")]
    StatusLine,
    /// Not HTTP/1.x.
    #[error("the version is not HTTP/1.x")]
    Version,
}

impl ResponseHead {
    /// An empty head, ready to parse.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets a head that is unfinished.
    pub fn reset(&mut self) {
        self.lines.reset();
    }

    /// Parses the head at the start of `buffer`; see [`crate::RequestHead::parse`].
    ///
    /// # Errors
    /// At the end of the first line that no valid head can have, and at the first byte that is not HTTP.
    pub fn parse(
        &mut self,
        buffer: &[u8],
        limits: &HeadLimits,
        request: ResponseTo,
    ) -> Result<Option<usize>, ResponseError> {
        let outcome = self.parse_lines(buffer, limits, request);
        if outcome != Ok(None) {
            self.lines.reset();
        }
        outcome
    }

    /// Whether the connection can carry another request (RFC 9112 9.3). After a 204 or 304 that announces a body it
    /// cannot, because some servers send that body.
    #[must_use]
    pub fn persistent(&self) -> bool {
        let asked = match self.version {
            Version::Http11 => !self.connection.close,
            Version::Http10 => self.connection.keep_alive && !self.connection.close,
        };
        asked && self.framing != BodyFraming::UntilClose && !self.contradictory
    }

    fn parse_lines(
        &mut self,
        buffer: &[u8],
        limits: &HeadLimits,
        request: ResponseTo,
    ) -> Result<Option<usize>, ResponseError> {
        if !self.lines.has_first() {
            match self.lines.first(buffer, limits) {
                Ok(Some((line, offset))) => {
                    self.fields.clear();
                    self.parse_status_line(line, offset)?;
                }
                unfinished => {
                    if let Some(line) = self.lines.unfinished_first(buffer, limits) {
                        check_status_line(line)?;
                    }
                    return Ok(unfinished.map(|_| None)?);
                }
            }
        }
        let end = self.lines.fields(buffer, limits, &mut self.fields)?;
        if end.is_some() {
            self.read_fields(buffer, request)?;
        }
        Ok(end)
    }

    fn parse_status_line(&mut self, line: &[u8], offset: usize) -> Result<(), ResponseError> {
        check_status_line(line)?;
        // An empty line before the status line is not tolerated from a server.
        if offset != 0 {
            return Err(ResponseError::StatusLine);
        }
        let (version, rest) = line.split_at_checked(8).ok_or(ResponseError::StatusLine)?;
        self.version = match version {
            b"HTTP/1.0" => Version::Http10,
            // A higher minor version is read as the highest that is known (RFC 9110 2.5).
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Version::Http11,
            _ => return Err(ResponseError::Version),
        };
        let [
            b' ',
            hundreds @ b'1'..=b'9',
            tens @ b'0'..=b'9',
            ones @ b'0'..=b'9',
            reason @ ..,
        ] = rest
        else {
            return Err(ResponseError::StatusLine);
        };
        let digit = |byte: &u8| u16::from(byte - b'0');
        self.status = digit(hundreds) * 100 + digit(tens) * 10 + digit(ones);
        // Many servers leave out the space before an empty reason.
        let reason = match reason {
            [] => reason,
            [b' ', reason @ ..] if is_field_value(reason) => reason,
            _ => return Err(ResponseError::StatusLine),
        };
        self.reason = Span::new(line.len() - reason.len(), line.len());
        Ok(())
    }

    fn read_fields(&mut self, head: &[u8], request: ResponseTo) -> Result<(), ResponseError> {
        self.connection.clear();
        let mut protocols = ElementCount::default();
        let mut framing = Framing::default();
        for field in &self.fields {
            match field.id {
                FieldId::ContentLength | FieldId::TransferEncoding => framing.add(field, head)?,
                FieldId::Connection => self.connection.add(field, head)?,
                FieldId::Upgrade => protocols.add(field.value.of(head))?,
                _ => {}
            }
        }
        if framing.chunked && self.version == Version::Http10 {
            return Err(HeadError::TransferCoding.into());
        }
        self.stated_length = framing.length;
        let no_content = matches!(self.status, 100..=199 | 204 | 304);
        self.contradictory =
            no_content && (framing.chunked || framing.length.is_some_and(|length| length > 0));
        let bodiless = request == ResponseTo::Head || no_content;
        self.framing = match (bodiless, framing.chunked, framing.length) {
            (true, _, _) => BodyFraming::None,
            (false, true, _) => BodyFraming::Chunked,
            (false, false, Some(length)) => BodyFraming::Length(length),
            (false, false, None) => BodyFraming::UntilClose,
        };
        Ok(())
    }
}

/// What is certain from a part of the status line.
fn check_status_line(line: &[u8]) -> Result<(), ResponseError> {
    if line.iter().zip(b"HTTP/").all(|(byte, expected)| byte == expected) {
        Ok(())
    } else {
        Err(ResponseError::StatusLine)
    }
}
