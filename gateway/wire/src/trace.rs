//! The trace that a request belongs to, as its fields say it (W3C Trace Context 3.2; AWS X-Ray, "Tracing header").

use crate::field::Field;

/// The id of a trace: 32 lower-case hexadecimal digits, not all of them zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 32]);

impl TraceId {
    /// That of a valid `traceparent`, else that of the `Root` in `X-Amzn-Trace-Id`. A field that comes twice says nothing.
    #[must_use]
    pub fn of(fields: &[Field], head: &[u8]) -> Option<Self> {
        let mut named = [None, None];
        for field in fields {
            let name = field.name.of(head);
            let place = match name.len() {
                11 if name.eq_ignore_ascii_case(b"traceparent") => named.first_mut(),
                15 if name.eq_ignore_ascii_case(b"x-amzn-trace-id") => named.last_mut(),
                _ => None,
            };
            if let Some(place) = place {
                *place = match place {
                    None => Some(Some(field.value.of(head))),
                    Some(_) => Some(None),
                };
            }
        }
        let [traceparent, root] = named.map(Option::flatten);
        traceparent
            .and_then(Self::of_traceparent)
            .or_else(|| root.and_then(Self::of_root))
    }

    /// That of a `traceparent`, if all of it is valid.
    #[must_use]
    pub fn of_traceparent(value: &[u8]) -> Option<Self> {
        let (version, rest) = value.split_first_chunk::<2>()?;
        let (trace, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<32>()?;
        let (parent, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<16>()?;
        let (flags, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<2>()?;
        // What follows is for later versions, of which 255 is none.
        let is_version = is_hex(version)
            && version != b"ff"
            && (rest.is_empty() || (version != b"00" && rest.starts_with(b"-")));
        let is_sound =
            is_version && is_hex(parent) && parent.iter().any(|digit| *digit != b'0') && is_hex(flags);
        is_sound.then(|| Self::of_digits(*trace)).flatten()
    }

    /// That of the `Root` in an `X-Amzn-Trace-Id`: `1-` and 8 digits of a time, `-` and 24 digits.
    #[must_use]
    pub fn of_root(value: &[u8]) -> Option<Self> {
        let mut parts = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let root = parts.find_map(|part| part.strip_prefix(b"Root="))?;
        let (time, rest) = root.strip_prefix(b"1-")?.split_first_chunk::<8>()?;
        let unique: [u8; 24] = rest.strip_prefix(b"-")?.try_into().ok()?;
        let mut digits = [0; 32];
        for (digit, from) in digits.iter_mut().zip(time.iter().chain(&unique)) {
            *digit = from.to_ascii_lowercase();
        }
        Self::of_digits(digits)
    }

    /// The one with this number. All zeros is none.
    #[must_use]
    pub fn of_number(bytes: [u8; 16]) -> Option<Self> {
        let digit = |nibble: u8| match nibble {
            0..=9 => b'0' + nibble,
            _ => b'a' + nibble - 10,
        };
        let mut digits = [0; 32];
        let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        for (place, nibble) in digits.iter_mut().zip(nibbles) {
            *place = digit(nibble);
        }
        Self::of_digits(digits)
    }

    fn of_digits(digits: [u8; 32]) -> Option<Self> {
        let is_id = is_hex(&digits) && digits.iter().any(|digit| *digit != b'0');
        is_id.then_some(Self(digits))
    }

    /// Its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for TraceId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

fn is_hex(digits: &[u8]) -> bool {
    digits
        .iter()
        .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HeadLimits, RequestHead};

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn a_number_is_a_trace() {
        let number = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128;
        let of = |number: u128| TraceId::of_number(number.to_be_bytes());
        assert_eq!(of(number).as_ref().map(TraceId::as_str), Some(TRACE));
        assert_eq!(of(0), None);
    }

    #[test]
    fn only_a_valid_traceparent_names_a_trace() {
        let table = [
            (format!("00-{TRACE}-b7ad6b7169203331-01"), true),
            (format!("cc-{TRACE}-b7ad6b7169203331-01-what-comes"), true),
            (format!("00-{TRACE}-b7ad6b7169203331-01-what-comes"), false),
            (format!("cc-{TRACE}-b7ad6b7169203331-01x"), false),
            (format!("ff-{TRACE}-b7ad6b7169203331-01"), false),
            (format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()), false),
            (format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), false),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), false),
            (format!("00-{TRACE}-b7ad6b7169203331-0"), false),
            (format!("00-{TRACE}-b7ad6b7169203331"), false),
            (String::new(), false),
        ];
        for (value, is_valid) in table {
            let found = TraceId::of_traceparent(value.as_bytes());
            assert_eq!(
                found.map(|id| id.as_str() == TRACE),
                is_valid.then_some(true),
                "{value}"
            );
        }
    }

    #[test]
    fn a_root_of_x_ray_names_a_trace() {
        let table = [
            ("Root=1-0af76519-16cd43dd8448eb211c80319c", true),
            (
                "Self=1-67891234-12456789abcdef012345678; Root=1-0AF76519-16cd43dd8448eb211c80319c;Sampled=1",
                true,
            ),
            ("Root=2-0af76519-16cd43dd8448eb211c80319c", false),
            ("Root=1-0af76519-16cd43dd8448eb211c80319", false),
            ("Root=1-00000000-000000000000000000000000", false),
            ("1-0af76519-16cd43dd8448eb211c80319c", false),
        ];
        for (value, is_valid) in table {
            let found = TraceId::of_root(value.as_bytes());
            assert_eq!(
                found.map(|id| id.as_str() == TRACE),
                is_valid.then_some(true),
                "{value}"
            );
        }
    }

    #[test]
    fn a_field_that_comes_twice_says_nothing() {
        let limits = HeadLimits {
            bytes: 4096,
            fields: 10,
            target_bytes: 100,
        };
        let parent = format!("Traceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n");
        let root = "X-Amzn-Trace-Id: Root=1-11111111-222222222222222222222222\r\n";
        for (fields, expected) in [
            (parent.clone(), Some(TRACE)),
            (format!("{root}{parent}"), Some(TRACE)),
            (format!("{parent}{parent}"), None),
            (
                format!("{parent}{root}{parent}"),
                Some("11111111222222222222222222222222"),
            ),
        ] {
            let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let mut head = RequestHead::new();
            head.parse(text.as_bytes(), &limits).unwrap().unwrap();
            let found = TraceId::of(&head.fields, text.as_bytes());
            assert_eq!(found.as_ref().map(TraceId::as_str), expected, "{fields}");
        }
    }
}
