//! The paths of requests: a normal form for matching, and the refusal of what could be read as another path.

/// Scratch space for a path that is not in its normal form. Reused from request to request.
#[derive(Debug, Clone, Default)]
pub struct PathScratch {
    bytes: Vec<u8>,
}

/// A request's path in its normal form, for matching alone.
///
/// Unreserved characters are never escaped, and escapes are in upper case (RFC 3986 6.2.2). Nothing else is changed:
/// `//`, `;parameters` and `%2F` stay. Every byte is visible ASCII.
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
    /// A control character, escaped.
    #[error("the path has an escaped control character")]
    Control,
    /// A character that must be escaped in a path (RFC 3986 3.3), and that servers read differently: control
    /// characters, spaces, non-ASCII, `\`, `"`, `<`, `>`, `?` and `#`.
    #[error("the path has a character that must be percent-encoded")]
    Character,
    /// A segment `.` or `..`, in some reading of it.
    #[error("the path has a `.` or `..` segment")]
    DotSegment,
    /// What a rule makes of it is too long, or takes too long to make.
    #[error("what the rule makes of the path is too long, or takes too long to make")]
    TooMuch,
}

/// Normalises the path of a request, without its query. Borrows `raw` when it is normal already.
///
/// # Errors
/// When the path is malformed, or when some server could read it as a different one.
pub fn normalise_path<'a>(raw: &'a [u8], scratch: &'a mut PathScratch) -> Result<RequestPath<'a>, PathError> {
    if raw.first() != Some(&b'/') {
        return Err(PathError::Relative);
    }
    let seen = raw.iter().fold(0, |seen, byte| seen | class(*byte));
    if seen & FORBIDDEN != 0 {
        return Err(PathError::Character);
    }
    // Without escapes and parameters a dot segment begins with a dot after a slash.
    let may_be_dots = seen & DOT != 0 && raw.array_windows().any(|pair| pair == b"/.");
    if seen & SPECIAL == 0 && !may_be_dots {
        return Ok(RequestPath(raw));
    }
    decode(raw, &mut scratch.bytes)?;
    refuse_confusion(&scratch.bytes)?;
    if seen & ESCAPE == 0 {
        return Ok(RequestPath(raw));
    }
    write_normal_form(raw, &mut scratch.bytes)?;
    Ok(RequestPath(&scratch.bytes))
}

impl<'a> RequestPath<'a> {
    /// The normal form.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// Begins an escape.
const ESCAPE: u8 = 1;
/// Begins parameters.
const PARAMETERS: u8 = 2;
/// May be part of a dot segment.
const DOT: u8 = 4;
/// Not allowed unescaped.
const FORBIDDEN: u8 = 8;
/// A path with one of these needs a closer look.
const SPECIAL: u8 = ESCAPE | PARAMETERS;

fn class(byte: u8) -> u8 {
    static CLASSES: [u8; 256] = classes();
    CLASSES.get(usize::from(byte)).copied().unwrap_or(FORBIDDEN)
}

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(
            clippy::indexing_slicing,
            reason = "a table of 256 has a place for every byte"
        )]
        let class = &mut classes[byte as usize];
        *class = match byte {
            b'%' => ESCAPE,
            b';' => PARAMETERS,
            b'.' => DOT,
            b'"' | b'<' | b'>' | b'\\' | b'?' | b'#' => FORBIDDEN,
            byte if byte.is_ascii_graphic() => 0,
            _ => FORBIDDEN,
        };
        if byte == u8::MAX {
            return classes;
        }
        byte += 1;
    }
}

/// Decodes every escape, once.
fn decode(raw: &[u8], decoded: &mut Vec<u8>) -> Result<(), PathError> {
    decoded.clear();
    let mut rest = raw;
    while let [first, after @ ..] = rest {
        let (byte, after) = if *first == b'%' {
            escape(after)?
        } else {
            (*first, after)
        };
        decoded.push(byte);
        rest = after;
    }
    Ok(())
}

/// How much of a dot segment has been read.
#[derive(Clone, Copy)]
enum Segment {
    Empty,
    Dot,
    DotDot,
    Other,
}

/// Refuses a decoded path when a dot segment or a control character shows in its most suspicious reading: `\` and
/// an encoded `/` or `\` separate, `;parameters` are dropped, overlong UTF-8 stands for what it encodes.
///
/// That covers the milder readings too. Each of them only splits a segment or cuts off its end, and to a server that
/// gives such a character no meaning, a segment that contains it is not a dot segment.
fn refuse_confusion(decoded: &[u8]) -> Result<(), PathError> {
    let mut segment = Segment::Empty;
    let mut rest = decoded;
    while let Some((byte, after)) = first_character(rest) {
        segment = match (byte, segment) {
            (..0x20 | 0x7f, _) => return Err(PathError::Control),
            (b'/' | b'\\' | b';', Segment::Dot | Segment::DotDot) => return Err(PathError::DotSegment),
            (b'/' | b'\\', Segment::Empty | Segment::Other) => Segment::Empty,
            (b'.', Segment::Empty) => Segment::Dot,
            (b'.', Segment::Dot) => Segment::DotDot,
            _ => Segment::Other,
        };
        rest = after;
    }
    match segment {
        Segment::Dot | Segment::DotDot => Err(PathError::DotSegment),
        Segment::Empty | Segment::Other => Ok(()),
    }
}

/// The next byte, or the ASCII character that an overlong UTF-8 sequence encodes (RFC 3629 10): decoders that should
/// refuse `C0 AE` have read it as a dot.
fn first_character(bytes: &[u8]) -> Option<(u8, &[u8])> {
    const TAIL: std::ops::RangeInclusive<u8> = 0x80..=0xbf;
    let (high, low, rest) = match bytes {
        [0xc0..=0xc1, low, rest @ ..] if TAIL.contains(low) => (bytes.first()?, low, rest),
        [0xe0, high @ 0x80..=0x81, low, rest @ ..] if TAIL.contains(low) => (high, low, rest),
        [0xf0, 0x80, high @ 0x80..=0x81, low, rest @ ..] if TAIL.contains(low) => (high, low, rest),
        [byte, rest @ ..] => return Some((*byte, rest)),
        [] => return None,
    };
    Some(((high & 1) << 6 | (low & 0x3f), rest))
}

fn write_normal_form(raw: &[u8], normal: &mut Vec<u8>) -> Result<(), PathError> {
    normal.clear();
    let mut rest = raw;
    while let [first, after @ ..] = rest {
        if *first != b'%' {
            normal.push(*first);
            rest = after;
            continue;
        }
        let (byte, after) = escape(after)?;
        if is_unreserved(byte) {
            normal.push(byte);
        } else {
            normal.extend([b'%', hex_digit(byte >> 4), hex_digit(byte & 0x0f)]);
        }
        rest = after;
    }
    Ok(())
}

/// RFC 3986 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The byte that two hexadecimal digits stand for, and what follows them.
fn escape(rest: &[u8]) -> Result<(u8, &[u8]), PathError> {
    let [high, low, after @ ..] = rest else {
        return Err(PathError::Escape);
    };
    match (hex_value(*high), hex_value(*low)) {
        (Some(high), Some(low)) => Ok((high << 4 | low, after)),
        _ => Err(PathError::Escape),
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 {
        b'0' + nibble
    } else {
        b'A' + nibble - 10
    }
}

/// The normal form of `%` and two hexadecimal digits: the character itself, or the escape in upper case.
pub(crate) fn canonical_escape(written: &str) -> Option<String> {
    let (byte, []) = escape(written.as_bytes().strip_prefix(b"%")?).ok()? else {
        return None;
    };
    Some(if is_unreserved(byte) {
        char::from(byte).to_string()
    } else {
        written.to_ascii_uppercase()
    })
}

/// Percent-encodes what must be escaped in a path, for messages that suggest what to write instead.
pub(crate) fn encoded(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if class(byte) & FORBIDDEN == 0 {
            encoded.push(char::from(byte));
        } else {
            encoded.extend([
                '%',
                char::from(hex_digit(byte >> 4)),
                char::from(hex_digit(byte & 0x0f)),
            ]);
        }
    }
    encoded
}
