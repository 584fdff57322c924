//! W3C Trace Context: <https://www.w3.org/TR/trace-context/>, and what its second level adds.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// The length of a `traceparent` of version 00.
pub const LENGTH: usize = 55;

/// Vendors that one `tracestate` may list.
const MOST_MEMBERS: usize = 32;
/// The longest `tracestate` that is passed on, in bytes: the specification asks for 512 at least.
const LONGEST_STATE: usize = 4096;

/// Which trace a request belongs to, as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(NonZeroU128);

/// One span of a trace, as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

/// What a `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span of whoever has sent the request.
    pub span: SpanId,
    flags: u8,
}

impl TraceId {
    /// The identifier with this number. All zeros is none; it stands for 1 then.
    #[must_use]
    pub fn new(number: u128) -> Self {
        Self(NonZeroU128::new(number).unwrap_or(NonZeroU128::MIN))
    }

    /// As collectors get it.
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }
}

impl SpanId {
    /// The identifier with this number. All zeros is none; it stands for 1 then.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }

    /// As collectors get it.
    #[must_use]
    pub fn bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

impl TraceContext {
    const SAMPLED: u8 = 1;
    /// The identifier of the trace is random (level 2). Whoever continues a trace passes it on.
    const RANDOM: u8 = 2;

    /// A trace that begins. It does not say that its identifier is random, although it is: widespread libraries take a
    /// `traceparent` of version 00 for malformed if it has more than the first flag.
    #[must_use]
    pub fn new(trace: TraceId, span: SpanId, is_sampled: bool) -> Self {
        Self {
            trace,
            span,
            flags: u8::from(is_sampled),
        }
    }

    /// Reads the value of a `traceparent`; `None` if it is malformed, so that a new trace begins.
    ///
    /// Fields of later versions are read as far as version 00 goes, as the specification asks for.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, more) = value.split_at_checked(LENGTH)?;
        let [v0, v1, b'-', rest @ ..] = known else {
            return None;
        };
        let version = hex(&[*v0, *v1])?;
        // ff is invalid, 00 ends here, and what later versions add begins with a hyphen.
        match (version, more) {
            (0xff, _) => return None,
            (0, [_, ..]) => return None,
            (_, [] | [b'-', ..]) => {}
            _ => return None,
        }
        let (trace, rest) = rest.split_at_checked(32)?;
        let (b"-", rest) = rest.split_at_checked(1)? else {
            return None;
        };
        let (span, rest) = rest.split_at_checked(16)?;
        let (b"-", flags) = rest.split_at_checked(1)? else {
            return None;
        };
        let flags = u8::try_from(hex(flags)?).ok()?;
        Some(Self {
            trace: TraceId(NonZeroU128::new(hex(trace)?)?),
            span: SpanId(NonZeroU64::new(u64::try_from(hex(span)?).ok()?)?),
            flags: flags & (Self::SAMPLED | Self::RANDOM),
        })
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.flags & Self::SAMPLED != 0
    }

    /// The same trace with another span, recorded or not.
    #[must_use]
    pub fn continued(self, span: SpanId, is_sampled: bool) -> Self {
        Self {
            span,
            flags: self.flags & Self::RANDOM | u8::from(is_sampled),
            ..self
        }
    }

    /// The flags, as collectors get them with a span.
    #[must_use]
    pub fn flags(self) -> u8 {
        self.flags
    }

    /// Appends the value of a `traceparent`.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"00-");
        digits(&self.trace.bytes(), out);
        out.push(b'-');
        digits(&self.span.bytes(), out);
        out.push(b'-');
        digits(&[self.flags], out);
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

/// Whether the values of all `tracestate` fields of a request together are well-formed. What is not is dropped.
#[must_use]
pub fn is_tracestate<'v>(values: impl Iterator<Item = &'v [u8]>) -> bool {
    let (mut members, mut bytes) = (0, 0);
    let mut keys: [&[u8]; MOST_MEMBERS] = [&[]; MOST_MEMBERS];
    for value in values {
        bytes += value.len() + 1;
        if bytes > LONGEST_STATE {
            return false;
        }
        for member in value.split(|byte| *byte == b',') {
            let member = trimmed(member);
            if member.is_empty() {
                continue;
            }
            let Some((key, value)) = split(member) else {
                return false;
            };
            let is_new = keys.get(..members).is_some_and(|known| !known.contains(&key));
            let Some(place) = keys.get_mut(members) else {
                return false;
            };
            if !(is_key(key) && is_value(value) && is_new) {
                return false;
            }
            *place = key;
            members += 1;
        }
    }
    members > 0
}

/// Spaces and tabs around a member do not belong to it.
fn trimmed(mut member: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = member {
        member = rest;
    }
    member
}

fn split(member: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = member.iter().position(|byte| *byte == b'=')?;
    Some((member.get(..at)?, member.get(at + 1..)?))
}

/// As level 2 of the specification has it (3.3.1.3.1): `@` is a character as others are. Whatever is a key of level 1, where it
/// stands between a tenant and a system that begins with a letter, is one of level 2 too.
fn is_key(key: &[u8]) -> bool {
    let is_inner = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    matches!(key, [b'a'..=b'z' | b'0'..=b'9', ..]) && key.len() <= 256 && key.iter().all(is_inner)
}

fn is_value(value: &[u8]) -> bool {
    (1..=256).contains(&value.len())
        && value
            .iter()
            .all(|byte| matches!(byte, b' '..=b'~' if !matches!(byte, b',' | b'=')))
}

/// Lower-case hexadecimal digits alone: the specification allows no others.
fn hex(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0, |number: u128, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

fn digits(bytes: &[u8], out: &mut Vec<u8>) {
    let digit = |nibble: u8| match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    };
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn written(context: TraceContext) -> String {
        let mut out = Vec::new();
        context.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        for (read, sampled) in [
            (GOOD, true),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03", true),
        ] {
            let context = TraceContext::parse(read.as_bytes()).unwrap();
            assert_eq!(
                (written(context), context.is_sampled()),
                (read.to_owned(), sampled)
            );
        }
        // Unknown flags are not passed on, and a later version is continued as this one.
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-09-what-comes";
        assert_eq!(written(TraceContext::parse(later.as_bytes()).unwrap()), GOOD);
        assert!(TraceContext::parse(b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").is_some());
    }

    /// The cases of the test suite of the specification.
    #[test]
    fn malformed_fields_begin_a_new_trace() {
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-001",
            "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
            "00-.af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-.1",
            ".0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_trace_goes_on_with_another_span() {
        let parent = TraceContext::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02").unwrap();
        let own = parent.continued(SpanId::new(0x1234), true);
        assert_eq!(
            written(own),
            "00-0af7651916cd43dd8448eb211c80319c-0000000000001234-03"
        );
        let new = TraceContext::new(TraceId::new(0), SpanId::new(0), false);
        assert_eq!(
            written(new),
            "00-00000000000000000000000000000001-0000000000000001-00"
        );
    }

    #[test]
    fn states_are_lists_of_vendors() {
        let is = |fields: &[&str]| is_tracestate(fields.iter().map(|field| field.as_bytes()));
        let many = |count: usize| {
            let members: Vec<String> = (0..count).map(|number| format!("k{number}=1")).collect();
            members.join(",")
        };
        for good in [
            &["a=1"][..],
            &["a=1,b=2"],
            &["a=1", "b=2"],
            &["a=1 , \tb=2", "", ",,"],
            &["fw529a3039@dt=FfAAAAA", "0v_-*/=a b"],
            // Only level 2 has these.
            &["fw529a3039@0dt=1", "a@b@c=1", "a@=1"],
            &["a@a-system-of-a-long-name=1"],
            &[&format!("{}=1", "k".repeat(256))],
            &[&many(32)],
        ] {
            assert!(is(good), "{good:?}");
        }
        for bad in [
            &[][..],
            &[""],
            &["a"],
            &["a="],
            &["=1"],
            &["A=1"],
            &["a=1,a=2"],
            &["a=1=2"],
            &["a =1"],
            &["@b=1"],
            &["_a=1"],
            &["a.b=1"],
            &[&format!("{}=1", "k".repeat(257))],
            &["a=\x01"],
            &[&many(33)],
            &[&format!("a={}", "x".repeat(257))],
        ] {
            assert!(!is(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_read_is_written_as_something_else(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(context) = TraceContext::parse(&value) {
                let again = written(context);
                prop_assert_eq!(TraceContext::parse(again.as_bytes()), Some(context));
            }
            let _any = is_tracestate([&*value].into_iter());
        }
    }
}
