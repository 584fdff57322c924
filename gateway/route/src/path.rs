//! Paths: a normal form for matching, and the refusal of everything that could be read as another path.

use std::fmt;

/// Scratch space for a path that is not in its normal form. Reused from request to request.
#[derive(Debug, Clone, Default)]
pub struct PathScratch {
    bytes: Vec<u8>,
}

/// A request's path in its normal form, for matching alone.
///
/// Unreserved characters are never escaped and escapes are in upper case (RFC 3986 6.2.2); nothing else is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestPath<'a>(&'a [u8]);

/// Why a path is refused (400).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not start with `/`.
    #[error("the path does not start with `/`")]
    Relative,
    /// `%` without two hexadecimal digits.
    #[error("the path has an incomplete percent-escape")]
    Escape,
    /// A control character, written or escaped.
    #[error("the path has a control character")]
    Control,
    /// A segment `.` or `..`, in some reading of it.
    #[error("the path has a `.` or `..` segment")]
    DotSegment,
}

/// The path of an Ingress rule in its normal form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathPattern {
    /// This path, byte for byte.
    Exact(Box<str>),
    /// This path and everything below it, element by element. Kept without its trailing slash.
    Prefix {
        /// Without trailing slash; empty for `/`.
        stem: Box<str>,
        /// Written with a trailing slash: it then beats the same prefix without one.
        slash: bool,
    },
}

/// Why a text is not the path of an Ingress rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathPatternError {
    /// It does not start with `/`.
    #[error("`{0}` does not start with `/`")]
    Relative(String),
    /// No request can ever have this path.
    #[error("`{0}` can match no request: {1}")]
    Refused(String, PathError),
    /// A character that no path has.
    #[error("`{0}` has a character that is not allowed in a path; write it percent-encoded")]
    Character(String),
}

impl<'a> RequestPath<'a> {
    /// The normal form.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// Normalises the path of a request, without its query. Borrows `raw` when it is normal already.
///
/// # Errors
/// When the path is malformed, or when some server could read it as a different one.
pub fn normalise_path<'a>(raw: &'a [u8], scratch: &'a mut PathScratch) -> Result<RequestPath<'a>, PathError> {
    if raw.first() != Some(&b'/') {
        return Err(PathError::Relative);
    }
    // A dot can only begin a harmful segment behind a slash; everything else that matters is a special character.
    let mut previous = 0;
    let mut plain = true;
    for byte in raw {
        plain &= !(matches!(byte, b'%' | b'\\' | b';')
            | (*byte == b'.' && previous == b'/')
            | (*byte < 0x20)
            | (*byte == 0x7f));
        previous = *byte;
    }
    if plain {
        return Ok(RequestPath(raw));
    }
    refuse_confusion(raw, &mut scratch.bytes)?;
    normal_form(raw, &mut scratch.bytes)?;
    Ok(RequestPath(&scratch.bytes))
}

/// Decodes once, reads `\` and an encoded `/` or `\` as separators and drops `;parameters`, and refuses the path
/// when a dot segment or a control character shows in that most suspicious reading. Both the reading with and the
/// one without encoded separators are covered: a separator can only split a segment further, and `a%2f..` must not
/// reach a server that decodes before it resolves.
fn refuse_confusion(raw: &[u8], decoded: &mut Vec<u8>) -> Result<(), PathError> {
    decoded.clear();
    let mut rest = raw;
    while let [first, after @ ..] = rest {
        let (byte, after) = match first {
            b'%' => escape(after)?,
            byte => (*byte, after),
        };
        if byte < 0x20 || byte == 0x7f {
            return Err(PathError::Control);
        }
        decoded.push(if byte == b'\\' { b'/' } else { byte });
        rest = after;
    }
    let is_dots = |segment: &[u8]| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        matches!(name, b"." | b"..")
    };
    if decoded.split(|byte| *byte == b'/').any(is_dots) {
        Err(PathError::DotSegment)
    } else {
        Ok(())
    }
}

fn normal_form(raw: &[u8], normal: &mut Vec<u8>) -> Result<(), PathError> {
    normal.clear();
    let mut rest = raw;
    while let [first, after @ ..] = rest {
        if *first != b'%' {
            normal.push(*first);
            rest = after;
            continue;
        }
        let (byte, after) = escape(after)?;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            normal.push(byte);
        } else {
            let digit = |nibble: u8| {
                if nibble < 10 {
                    b'0' + nibble
                } else {
                    b'A' + nibble - 10
                }
            };
            normal.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        }
        rest = after;
    }
    Ok(())
}

/// The byte that two hexadecimal digits stand for, and what follows them.
fn escape(rest: &[u8]) -> Result<(u8, &[u8]), PathError> {
    let [high, low, after @ ..] = rest else {
        return Err(PathError::Escape);
    };
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    match (digit(*high), digit(*low)) {
        (Some(high), Some(low)) => Ok((high << 4 | low, after)),
        _ => Err(PathError::Escape),
    }
}

impl PathPattern {
    /// A path that matches byte for byte (`pathType: Exact`).
    ///
    /// # Errors
    /// When no request can have this path.
    pub fn exact(written: &str) -> Result<Self, PathPatternError> {
        Ok(Self::Exact(normal_pattern(written)?))
    }

    /// A path that matches itself and everything below it (`pathType: Prefix`).
    ///
    /// # Errors
    /// When no request can have this path.
    pub fn prefix(written: &str) -> Result<Self, PathPatternError> {
        let normal = normal_pattern(written)?;
        Ok(match normal.strip_suffix('/') {
            Some("") => Self::Prefix {
                stem: "".into(),
                slash: false,
            },
            Some(stem) => Self::Prefix {
                stem: stem.into(),
                slash: true,
            },
            None => Self::Prefix {
                stem: normal,
                slash: false,
            },
        })
    }

    /// Whether this pattern alone matches the path.
    #[must_use]
    pub fn matches(&self, path: &RequestPath<'_>) -> bool {
        match self {
            Self::Exact(exact) => exact.as_bytes() == path.0,
            Self::Prefix { stem, .. } => path
                .0
                .strip_prefix(stem.as_bytes())
                .is_some_and(|rest| matches!(rest, [] | [b'/', ..])),
        }
    }
}

/// The path in its normal form.
impl fmt::Display for PathPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => out.write_str(path),
            Self::Prefix { stem, slash } => {
                out.write_str(stem)?;
                out.write_str(if *slash || stem.is_empty() { "/" } else { "" })
            }
        }
    }
}

fn normal_pattern(written: &str) -> Result<Box<str>, PathPatternError> {
    if !written.starts_with('/') {
        return Err(PathPatternError::Relative(written.to_owned()));
    }
    // What the request grammar refuses can never match; a query belongs to no path.
    let visible =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"' | b'<' | b'>' | b'\\');
    if !written.bytes().all(visible) {
        let shown: String = written.chars().flat_map(char::escape_debug).collect();
        return Err(PathPatternError::Character(shown));
    }
    let mut scratch = PathScratch::default();
    let normal = normalise_path(written.as_bytes(), &mut scratch)
        .map_err(|error| PathPatternError::Refused(written.to_owned(), error))?;
    match std::str::from_utf8(normal.0) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(PathPatternError::Character(written.to_owned())),
    }
}
