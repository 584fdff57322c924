//! For logs: what can be read of a head that is refused or unfinished, and where its fault is. No decision depends on
//! it, and it contains no value of a field.

use std::fmt::{self, Write as _};

use crate::bytes::{is_token_byte, trim};
use crate::chunk::ChunkError;
use crate::error::HeadError;
use crate::field::{Field, FieldId};
use crate::head::HeadLimits;
use crate::request::RequestError;
use crate::response::ResponseError;

/// The most bytes that are shown of a method, a field name, a host or a path.
const METHOD: usize = 32;
const NAME: usize = 64;
const HOST: usize = 260;
const PATH: usize = 1024;

/// The beginning of a request, as far as it can be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Glimpse<'b> {
    /// The method; empty if there is none.
    pub method: &'b [u8],
    /// The host that was asked for, without user and password.
    pub host: &'b [u8],
    /// The path without its query.
    pub path: &'b [u8],
}

impl<'b> Glimpse<'b> {
    /// Looks at the bytes of a head.
    #[must_use]
    pub fn of(head: &'b [u8]) -> Self {
        let mut lines = lines(head);
        let Some((_, first)) = lines.next() else {
            return Self::default();
        };
        let line = first.content;
        let length = line.iter().take_while(|byte| is_token_byte(**byte)).count();
        let Some((method, [b' ', rest @ ..])) = line.split_at_checked(length) else {
            return Self::default();
        };
        if method.is_empty() || method.len() > METHOD {
            return Self::default();
        }
        let target = until(rest, |byte| matches!(byte, b' ' | b'?' | b'#'));
        let (authority, path) = match target.windows(3).position(|part| part == b"://") {
            Some(scheme) if scheme < 6 => {
                let rest = target.get(scheme + 3..).unwrap_or_default();
                let authority = until(rest, |byte| byte == b'/');
                (Some(authority), rest.get(authority.len()..).unwrap_or_default())
            }
            // Host and port without a path.
            _ if method == b"CONNECT" => (Some(target), &[][..]),
            _ => (None, target),
        };
        let named = lines
            .filter(|(_, line)| line.is_whole)
            .filter_map(|(_, line)| Some((Field::parse(line.content, 0).ok()?, line.content)))
            .find(|(field, _)| field.id == FieldId::Host)
            .map(|(field, line)| field.value.of(line));
        let host = named.or(authority).unwrap_or_default();
        let host = host.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
        Self {
            method,
            host: host.get(..HOST).unwrap_or(host),
            path: path.get(..PATH).unwrap_or(path),
        }
    }
}

impl RequestError {
    /// What is wrong, and where in the head; for what is too large, the limit and its key in the configuration.
    #[must_use]
    pub fn explain(&self, head: &[u8], limits: &HeadLimits) -> String {
        match self {
            Self::Head(error) => error.explain(head, limits),
            Self::TargetTooLong => format!("{self} (`limits.uri_bytes`: {} bytes)", limits.target_bytes),
            other => other.to_string(),
        }
    }
}

impl ResponseError {
    /// What is wrong, and where in the head; for what is too large, the limit and its key in the configuration.
    #[must_use]
    pub fn explain(&self, head: &[u8], limits: &HeadLimits) -> String {
        match self {
            Self::Head(error) => error.explain(head, limits),
            other => other.to_string(),
        }
    }
}

impl HeadError {
    fn explain(&self, head: &[u8], limits: &HeadLimits) -> String {
        let mut text = self.to_string();
        // Writing to a String cannot fail.
        let _infallible = match self {
            Self::BareLf | Self::FieldName | Self::FieldValue => match Fault::find(head) {
                Some(fault) => write!(text, " ({fault})"),
                None => Ok(()),
            },
            Self::TooLarge => {
                let limit = write!(text, " (`limits.header_bytes`: {} bytes", limits.bytes);
                let largest = match largest(head) {
                    Some((name, size)) => write!(
                        text,
                        "; its largest field is `{}`, with {size} of those that had arrived)",
                        name.escape_ascii()
                    ),
                    None => write!(text, ")"),
                };
                limit.and(largest)
            }
            Self::TooManyFields => write!(text, " (`limits.headers`: {})", limits.fields),
            // The others name what they concern.
            Self::LongList | Self::ContentLength | Self::LengthAndCoding | Self::TransferCoding => Ok(()),
        };
        text
    }
}

/// The name of the largest field, and the size of its line, which may be unfinished.
fn largest(head: &[u8]) -> Option<(&[u8], usize)> {
    let fields = lines(head).skip(1).filter_map(|(_, line)| {
        let length = line
            .content
            .iter()
            .take_while(|byte| is_token_byte(**byte))
            .count();
        let (name, rest) = line.content.split_at_checked(length)?;
        let is_name = (1..=NAME).contains(&length) && rest.starts_with(b":");
        is_name.then_some((name, line.content.len()))
    });
    fields.max_by_key(|(_, size)| *size)
}

impl ChunkError {
    /// What is wrong.
    #[must_use]
    pub fn explain(&self) -> String {
        match self {
            Self::Trailer(Some(error)) => format!("{self}: {error}"),
            other => other.to_string(),
        }
    }
}

/// The first line of a head that is malformed.
struct Fault<'b> {
    line: usize,
    /// Empty where no name is certain. A line without one may be part of a value, and so part of a secret.
    name: &'b [u8],
}

impl<'b> Fault<'b> {
    fn find(head: &'b [u8]) -> Option<Self> {
        let (line, found) = lines(head)
            .filter(|(_, line)| line.is_whole)
            .find(|(number, line)| line.is_bare || (*number > 1 && Field::parse(line.content, 0).is_err()))?;
        let content = found.content;
        let length = content.iter().take_while(|byte| is_token_byte(**byte)).count();
        let (name, rest) = content.split_at_checked(length).unwrap_or_default();
        let is_name = line > 1 && length <= NAME && (trim(rest).starts_with(b":") || rest.contains(&b':'));
        Some(Self {
            line,
            name: if is_name { name } else { &[] },
        })
    }
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}", self.line)?;
        if !self.name.is_empty() {
            write!(out, ", `{}`", self.name.escape_ascii())?;
        }
        Ok(())
    }
}

/// A line of a head.
struct HeadLine<'b> {
    /// Without its end.
    content: &'b [u8],
    /// Its end is there.
    is_whole: bool,
    /// It ends in LF alone.
    is_bare: bool,
}

/// The lines of a head with their numbers, from 1, up to the empty one.
fn lines(head: &[u8]) -> impl Iterator<Item = (usize, HeadLine<'_>)> {
    // One empty line before the first is ignored (RFC 9112 2.2).
    let mut rest = head.strip_prefix(b"\r\n").unwrap_or(head);
    let lines = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(lf) = memchr::memchr(b'\n', rest) else {
            let content = std::mem::take(&mut rest);
            return Some(HeadLine {
                content: content.strip_suffix(b"\r").unwrap_or(content),
                is_whole: false,
                is_bare: false,
            });
        };
        let line = rest.get(..lf).unwrap_or_default();
        rest = rest.get(lf + 1..).unwrap_or_default();
        let whole = line.strip_suffix(b"\r");
        Some(HeadLine {
            content: whole.unwrap_or(line),
            is_whole: true,
            is_bare: whole.is_none(),
        })
    });
    (1..).zip(lines.take_while(|line| !line.content.is_empty()))
}

/// The bytes before the first that is meant.
fn until(bytes: &[u8], ends: impl Fn(u8) -> bool) -> &[u8] {
    let length = bytes.iter().position(|byte| ends(*byte)).unwrap_or(bytes.len());
    bytes.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HeadLimits, RequestHead, ResponseHead, ResponseTo};

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 4096,
        fields: 20,
        target_bytes: 1024,
    };

    #[test]
    fn a_refused_head_is_read_as_far_as_possible() {
        let table = [
            (
                "GET /a?key=secret HTTP/1.1\r\nHost: a.test\r\nX Y: 1\r\n\r\n",
                ("GET", "a.test", "/a"),
            ),
            (
                "\r\nPOST /a HTTP/1.1\r\nX: 1\r\nhOST:  a.test:80 \r\n",
                ("POST", "a.test:80", "/a"),
            ),
            (
                "GET /a b HTTP/1.1\r\nHost: a.test\r\n\r\n",
                ("GET", "a.test", "/a"),
            ),
            ("GET /%zz HTTP/1.1\r\n\r\n", ("GET", "", "/%zz")),
            ("GET /a", ("GET", "", "/a")),
            ("GET /a HTTP/1.1\r\nHost: a.te", ("GET", "", "/a")),
            (
                "GET http://me:word@a.test/x?y HTTP/1.1\r\n\r\n",
                ("GET", "a.test", "/x"),
            ),
            (
                "GET http://a.test HTTP/1.1\r\nHost: me:word@b.test\r\n\r\n",
                ("GET", "b.test", ""),
            ),
            (
                "CONNECT a.test:443 HTTP/1.1\r\n\r\n",
                ("CONNECT", "a.test:443", ""),
            ),
            ("GET /a HTTP/1.1\r\n\r\nHost: body.test\r\n", ("GET", "", "/a")),
            ("GET", ("", "", "")),
            ("\x16\x03\x01\x02\0\x01", ("", "", "")),
            ("", ("", "", "")),
        ];
        for (head, (method, host, path)) in table {
            let expected = Glimpse {
                method: method.as_bytes(),
                host: host.as_bytes(),
                path: path.as_bytes(),
            };
            assert_eq!(Glimpse::of(head.as_bytes()), expected, "{head}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(5_000));
        assert_eq!(Glimpse::of(long.as_bytes()).path.len(), PATH);
    }

    #[test]
    fn faults_have_their_line_and_their_name() {
        const NO_NAME: &str = "a field line does not start with a field name and a colon";
        let table = [
            ("X Y: 1\r\n", format!("{NO_NAME} (line 3, `X`)")),
            (
                "X-Correlation-Id : 1\r\n",
                format!("{NO_NAME} (line 3, `X-Correlation-Id`)"),
            ),
            ("Cookie: a=b;\r\n secret: x\r\n", format!("{NO_NAME} (line 4)")),
            ("Authorization Bearer-secret\r\n", format!("{NO_NAME} (line 3)")),
            (": 1\r\n", format!("{NO_NAME} (line 3)")),
            (
                "A: 1\r\nCookie: \0secret\r\n",
                "a field value holds a control character (line 4, `Cookie`)".to_owned(),
            ),
            (
                "A: 1\nB: 2\r\n",
                "a line ends in a bare LF (line 3, `A`)".to_owned(),
            ),
            (
                "Content-Length: 1\r\nContent-Length: 1\r\n",
                "Content-Length is not one decimal number".to_owned(),
            ),
            (
                "Transfer-Encoding: gzip\r\n",
                "Transfer-Encoding is not exactly one `chunked`".to_owned(),
            ),
        ];
        for (fields, expected) in table {
            let request = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n");
            let error = RequestHead::new().parse(request.as_bytes(), &LIMITS).unwrap_err();
            assert_eq!(error.explain(request.as_bytes(), &LIMITS), expected, "{fields}");
            let response = format!("HTTP/1.1 200 OK\r\nServer: x\r\n{fields}\r\n");
            let error = ResponseHead::new()
                .parse(response.as_bytes(), &LIMITS, ResponseTo::Other)
                .unwrap_err();
            assert_eq!(error.explain(response.as_bytes(), &LIMITS), expected, "{fields}");
            assert!(!expected.contains("secret"));
        }
    }

    /// The limit, its key, and what to shorten; no value.
    #[test]
    fn what_is_too_large_is_said_with_its_limit() {
        let long = "s".repeat(5_000);
        let table = [
            (
                format!("GET / HTTP/1.1\r\nHost: a.test\r\nCookie: {long}"),
                "the head is larger than allowed (`limits.header_bytes`: 4096 bytes; its largest field is `Cookie`, with \
                 5008 of those that had arrived)",
            ),
            (
                format!("GET / HTTP/1.1\r\n{}", "a: 1\r\n".repeat(21)),
                "the head has more fields than allowed (`limits.headers`: 20)",
            ),
            (
                format!("GET /{long}"),
                "the request target is longer than allowed (`limits.uri_bytes`: 1024 bytes)",
            ),
            (
                format!("GET / HTTP/1.1\r\n{long}"),
                "the head is larger than allowed (`limits.header_bytes`: 4096 bytes)",
            ),
        ];
        for (request, expected) in table {
            let error = RequestHead::new().parse(request.as_bytes(), &LIMITS).unwrap_err();
            assert_eq!(error.explain(request.as_bytes(), &LIMITS), expected);
        }
    }
}
