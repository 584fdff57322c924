//! Request heads (RFC 9112 3, 5, 6; RFC 9110 7).

use memchr::memchr;

use crate::bytes::{decimal, is_path_byte, is_query, is_token_byte, plain_path, token};
use crate::error::HeadError;
use crate::field::{Field, FieldId, Span};
use crate::head::{ConnectionOptions, ElementCount, Framing, HeadLimits, Lines, elements};
use crate::{BodyFraming, Version};

/// The longest method that is accepted; no known method is longer.
const METHOD_BYTES: usize = 32;

/// Request methods (RFC 9110 9); they are case-sensitive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// `GET`
    #[default]
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// `PATCH`
    Patch,
    /// `CONNECT`
    Connect,
    /// `TRACE`
    Trace,
    /// Any other token.
    Other,
}

/// The form of the request target (RFC 9112 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// A path and perhaps a query.
    #[default]
    Origin,
    /// A whole `http` or `https` URI; holds its authority and whether the scheme is `https`.
    Absolute {
        /// Host and port as written.
        authority: Span,
        /// The URI's scheme is `https`.
        https: bool,
    },
    /// `*`, with OPTIONS only.
    Asterisk,
    /// Host and port, with CONNECT only.
    Authority,
}

/// A parsed request head. Reused from request to request.
#[derive(Debug, Default)]
pub struct RequestHead {
    /// The method. It is set as soon as it has arrived, even if the head is refused later: no answer to HEAD has a body.
    pub method: Method,
    /// The method as written.
    pub method_span: Span,
    /// The version.
    pub version: Version,
    /// The form of the target.
    pub target: Target,
    /// The path of the target; empty for `*`, for authority-form, and for an absolute URI without one.
    pub path: Span,
    /// The query without its `?`.
    pub query: Option<Span>,
    /// The value of `Host`. There is never more than one; HTTP/1.0 may have none.
    pub host: Option<Span>,
    /// All fields in order.
    pub fields: Vec<Field>,
    /// How the body is framed.
    pub framing: BodyFraming,
    /// What `Connection` asks for.
    pub connection: ConnectionOptions,
    /// `Connection: upgrade` with an `Upgrade` field that names a protocol, on HTTP/1.1.
    pub upgrade: bool,
    /// `Expect: 100-continue` on HTTP/1.1.
    pub expect_continue: bool,
    /// `TE: trailers`: the client accepts trailers.
    pub te_trailers: bool,
    /// How often an OPTIONS request may be forwarded (RFC 9110 7.6.2).
    pub max_forwards: Option<u64>,
    lines: Lines,
}

/// Why a request head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Lines, fields or framing.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// RFC 9112 3: not `method SP target SP version`.
    #[error("the request line is not method, target and version with one space between")]
    RequestLine,
    /// The method is not a token.
    #[error("the method is not a token")]
    Method,
    /// A method that is longer than any in use.
    #[error("the method is longer than any known one")]
    MethodTooLong,
    /// RFC 9112 3.2: none of the four forms, or one that the method does not allow.
    #[error("the request target is not valid")]
    Target,
    /// The target is longer than allowed.
    #[error("the request target is longer than allowed")]
    TargetTooLong,
    /// Not HTTP/1.0 or HTTP/1.1.
    #[error("the version is not HTTP/1.0 or HTTP/1.1")]
    Version,
    /// The preface of HTTP/2 (RFC 9113 3.4).
    #[error("HTTP/2 preface")]
    Http2Preface,
    /// RFC 9112 3.2: HTTP/1.1 requires `Host`.
    #[error("Host is missing")]
    MissingHost,
    /// RFC 9112 3.2: more than one `Host`.
    #[error("more than one Host")]
    DuplicateHost,
    /// RFC 9110 10.1.1: an expectation other than `100-continue`.
    #[error("an expectation that cannot be met")]
    Expectation,
}

impl Method {
    /// The method of this name.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"CONNECT" => Self::Connect,
            b"TRACE" => Self::Trace,
            _ => Self::Other,
        }
    }

    /// The name of a known method.
    #[must_use]
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Get => Some("GET"),
            Self::Head => Some("HEAD"),
            Self::Post => Some("POST"),
            Self::Put => Some("PUT"),
            Self::Delete => Some("DELETE"),
            Self::Options => Some("OPTIONS"),
            Self::Patch => Some("PATCH"),
            Self::Connect => Some("CONNECT"),
            Self::Trace => Some("TRACE"),
            Self::Other => None,
        }
    }

    /// Doing it twice is the same as doing it once (RFC 9110 9.2.2). Unknown methods are not.
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace => true,
            Self::Post | Self::Patch | Self::Connect | Self::Other => false,
        }
    }
}

impl RequestError {
    /// The status that answers it.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Head(HeadError::TooLarge | HeadError::TooManyFields | HeadError::LongList) => 431,
            Self::Head(_)
            | Self::RequestLine
            | Self::Method
            | Self::Target
            | Self::Http2Preface
            | Self::MissingHost
            | Self::DuplicateHost => 400,
            Self::MethodTooLong => 501,
            Self::TargetTooLong => 414,
            Self::Version => 505,
            Self::Expectation => 417,
        }
    }
}

impl RequestHead {
    /// An empty head, ready to parse.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets a head that is unfinished.
    pub fn reset(&mut self) {
        self.lines.reset();
        self.fields.clear();
    }

    /// Parses the head at the start of `buffer`. `Some(length)` when it is complete; `None` when more bytes are
    /// needed: call again with the same bytes and more. Spans point into `buffer`.
    ///
    /// # Errors
    /// At the end of the first line that no valid head can have, and within the request line as soon as that is certain.
    /// The verdict is the same however the bytes arrive.
    pub fn parse(&mut self, buffer: &[u8], limits: &HeadLimits) -> Result<Option<usize>, RequestError> {
        let outcome = self.parse_lines(buffer, limits);
        if outcome != Ok(None) {
            self.lines.reset();
        }
        outcome
    }

    /// The host that the request is for, as written: `Host`, or the authority of an absolute target without one.
    #[must_use]
    pub fn authority(&self) -> Option<Span> {
        match self.target {
            Target::Absolute { authority, .. } => self.host.or(Some(authority)),
            Target::Origin | Target::Asterisk | Target::Authority => self.host,
        }
    }

    /// Whether the connection stays open after this request (RFC 9112 9.3).
    #[must_use]
    pub fn persistent(&self) -> bool {
        match self.version {
            Version::Http11 => !self.connection.close,
            Version::Http10 => self.connection.keep_alive && !self.connection.close,
        }
    }

    fn parse_lines(&mut self, buffer: &[u8], limits: &HeadLimits) -> Result<Option<usize>, RequestError> {
        if !self.lines.has_first() {
            match self.lines.first(buffer, limits) {
                Ok(Some((line, offset))) => {
                    self.fields.clear();
                    self.parse_request_line(line, offset, limits)?;
                }
                unfinished => {
                    // A head that grows too large within its first line has a target that is too long.
                    if let Some(line) = self.lines.unfinished_first(buffer, limits) {
                        self.method = method_of(line);
                        check_request_line(line, limits)?;
                    }
                    return Ok(unfinished.map(|_| None)?);
                }
            }
        }
        let end = self.lines.fields(buffer, limits, &mut self.fields)?;
        if end.is_some() {
            self.read_fields(buffer)?;
        }
        Ok(end)
    }

    fn parse_request_line(
        &mut self,
        line: &[u8],
        offset: usize,
        limits: &HeadLimits,
    ) -> Result<(), RequestError> {
        if self.parse_usual_request_line(line, offset, limits) {
            return Ok(());
        }
        self.method = method_of(line);
        check_request_line(line, limits)?;
        let Some(space) = memchr(b' ', line) else {
            return Err(RequestError::RequestLine);
        };
        let Some((method, [_, rest @ ..])) = line.split_at_checked(space) else {
            return Err(RequestError::RequestLine);
        };
        let Some(space) = memchr(b' ', rest) else {
            return Err(RequestError::RequestLine);
        };
        let Some((target, [_, version @ ..])) = rest.split_at_checked(space) else {
            return Err(RequestError::RequestLine);
        };
        self.version = match version {
            b"HTTP/1.1" => Version::Http11,
            b"HTTP/1.0" => Version::Http10,
            b"HTTP/2.0" if method == b"PRI" && target == b"*" => return Err(RequestError::Http2Preface),
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(RequestError::Version);
            }
            _ => return Err(RequestError::RequestLine),
        };
        self.method_span = Span::new(offset, offset + method.len());
        self.parse_target(target, offset + method.len() + 1)
    }

    /// Parses a request line of the usual form. Returns false for any other: the full grammar then decides whether it is
    /// valid.
    fn parse_usual_request_line(&mut self, line: &[u8], offset: usize, limits: &HeadLimits) -> bool {
        let Some(start) = line.strip_suffix(b" HTTP/1.1") else {
            return false;
        };
        let (length, _) = token(start);
        let Some((method, [b' ', target @ ..])) = start.split_at_checked(length) else {
            return false;
        };
        if !(1..=METHOD_BYTES).contains(&length) || target.len() > limits.target_bytes {
            return false;
        }
        self.method = Method::of(method);
        self.method_span = Span::new(offset, offset + length);
        self.version = Version::Http11;
        // No target contains a space.
        self.parse_target(target, offset + length + 1).is_ok()
    }

    fn parse_target(&mut self, target: &[u8], offset: usize) -> Result<(), RequestError> {
        (self.path, self.query) = (Span::default(), None);
        match target {
            _ if self.method == Method::Connect => {
                // CONNECT is never served, so its target only has to be safe to log.
                let visible = !target.is_empty() && target.iter().all(u8::is_ascii_graphic);
                self.target = Target::Authority;
                if visible {
                    Ok(())
                } else {
                    Err(RequestError::Target)
                }
            }
            [b'/', ..] => {
                self.target = Target::Origin;
                self.parse_path(target, offset)
            }
            b"*" if self.method == Method::Options => {
                self.target = Target::Asterisk;
                Ok(())
            }
            _ => self.parse_absolute(target, offset),
        }
    }

    /// RFC 3986 4.3 with the schemes of RFC 9110 4.2.
    fn parse_absolute(&mut self, target: &[u8], offset: usize) -> Result<(), RequestError> {
        let starts = |scheme: &[u8]| {
            target
                .get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        let (scheme, https) = if starts(b"http://") {
            (7, false)
        } else if starts(b"https://") {
            (8, true)
        } else {
            return Err(RequestError::Target);
        };
        let rest = target.get(scheme..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?'))
            .unwrap_or(rest.len());
        let Some((authority, path)) = rest.split_at_checked(length) else {
            return Err(RequestError::Target);
        };
        if authority.is_empty() || !authority.iter().all(|byte| is_path_byte(*byte)) {
            return Err(RequestError::Target);
        }
        let start = offset + scheme;
        self.target = Target::Absolute {
            authority: Span::new(start, start + length),
            https,
        };
        self.parse_path(path, start + length)
    }

    /// A path, which may be empty only in an absolute URI, and what follows it.
    fn parse_path(&mut self, bytes: &[u8], offset: usize) -> Result<(), RequestError> {
        let mut length = plain_path(bytes);
        while let Some(byte) = bytes.get(length) {
            match (byte, bytes.get(length + 1..length + 3)) {
                (b'?', _) => break,
                (b'%', Some([high, low])) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    length += 3;
                    length += plain_path(bytes.get(length..).unwrap_or_default());
                }
                _ => return Err(RequestError::Target),
            }
        }
        self.path = Span::new(offset, offset + length);
        if let Some(query) = bytes.get(length + 1..) {
            if !is_query(query) {
                return Err(RequestError::Target);
            }
            self.query = Some(Span::new(offset + length + 1, offset + bytes.len()));
        }
        Ok(())
    }

    fn read_fields(&mut self, head: &[u8]) -> Result<(), RequestError> {
        self.host = None;
        self.connection.clear();
        (self.expect_continue, self.te_trailers) = (false, false);
        self.max_forwards = None;
        let mut upgrade_field = false;
        let (mut protocols, mut expectations, mut codings) =
            <(ElementCount, ElementCount, ElementCount)>::default();
        let mut framing = Framing::default();
        for field in &self.fields {
            match field.id {
                FieldId::Host if self.host.is_some() => return Err(RequestError::DuplicateHost),
                FieldId::Host => self.host = Some(field.value),
                FieldId::ContentLength | FieldId::TransferEncoding => framing.add(field, head)?,
                FieldId::Connection => self.connection.add(field, head)?,
                FieldId::Upgrade => {
                    protocols.add(field.value.of(head))?;
                    upgrade_field |= elements(field.value.of(head)).next().is_some();
                }
                FieldId::Expect if self.version == Version::Http11 => {
                    expectations.add(field.value.of(head))?;
                    for expectation in elements(field.value.of(head)) {
                        if !expectation.eq_ignore_ascii_case(b"100-continue") {
                            return Err(RequestError::Expectation);
                        }
                        self.expect_continue = true;
                    }
                }
                FieldId::Te => {
                    codings.add(field.value.of(head))?;
                    let trailers = |element: &[u8]| element.eq_ignore_ascii_case(b"trailers");
                    self.te_trailers |= elements(field.value.of(head)).any(trailers);
                }
                // Other methods may ignore it, and a value that is not a number has no meaning.
                FieldId::MaxForwards if self.method == Method::Options => {
                    let stated = decimal(field.value.of(head));
                    self.max_forwards = [self.max_forwards, stated].into_iter().flatten().min();
                }
                _ => {}
            }
        }
        if self.host.is_none() && self.version == Version::Http11 {
            return Err(RequestError::MissingHost);
        }
        self.framing = match (framing.chunked, framing.length) {
            (true, _) if self.version == Version::Http10 => return Err(HeadError::TransferCoding.into()),
            (true, _) => BodyFraming::Chunked,
            (false, None) => BodyFraming::None,
            (false, Some(length)) => BodyFraming::Length(length),
        };
        self.upgrade = upgrade_field && self.connection.upgrade && self.version == Version::Http11;
        Ok(())
    }
}

/// The method of a request line that may be incomplete.
fn method_of(line: &[u8]) -> Method {
    let end = memchr(b' ', line).unwrap_or(0);
    Method::of(line.get(..end).unwrap_or_default())
}

/// What is certain from a part of the request line. Cheap enough to ask again with every byte.
fn check_request_line(line: &[u8], limits: &HeadLimits) -> Result<(), RequestError> {
    let bytes = line.iter().take(METHOD_BYTES + 1);
    let method = bytes.take_while(|byte| is_token_byte(**byte)).count();
    if method > METHOD_BYTES {
        return Err(RequestError::MethodTooLong);
    }
    let target = match line.get(method..) {
        None | Some([]) => return Ok(()),
        Some([b' ', target @ ..]) if method > 0 => target,
        Some(_) => return Err(RequestError::Method),
    };
    let longest = target.get(..=limits.target_bytes);
    match memchr(b' ', longest.unwrap_or(target)) {
        None if longest.is_some() => Err(RequestError::TargetTooLong),
        Some(space) if target.len() - space > " HTTP/1.1".len() => Err(RequestError::RequestLine),
        _ => Ok(()),
    }
}
