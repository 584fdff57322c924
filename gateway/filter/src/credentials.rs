//! `Authorization: Basic` (RFC 7617): a name and a password, and what counts as none.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// Longer names are nobody's.
const LONGEST_NAME: usize = 256;

/// Longer passwords are nobody's: `crypt(3)` reads no more, and some schemes take the square of the length.
const LONGEST_PASSWORD: usize = 512;

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A name and a password that a client sent. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    decoded: Box<[u8]>,
    colon: usize,
}

impl Credentials {
    /// What the `Authorization` fields of a request say. None where there is no such field, more than one, another scheme, or
    /// something that no browser sends: the request then carries no credentials.
    #[must_use]
    pub fn from_fields<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut fields = fields.into_iter();
        let only = fields.next()?;
        if fields.next().is_some() {
            return None;
        }
        Self::parse(only)
    }

    fn parse(field: &[u8]) -> Option<Self> {
        let (scheme, rest) = field.split_at_checked(5)?;
        if !scheme.eq_ignore_ascii_case(b"basic") || !rest.starts_with(b" ") {
            return None;
        }
        let encoded = rest.trim_ascii();
        if encoded.len() > (LONGEST_NAME + 1 + LONGEST_PASSWORD).div_ceil(3) * 4 {
            return None;
        }
        let decoded = BASE64.decode(encoded).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let fits = colon <= LONGEST_NAME && decoded.len() - colon - 1 <= LONGEST_PASSWORD;
        // RFC 7617, section 2: no control characters. A name also becomes a field's value.
        let clean = !decoded.iter().any(u8::is_ascii_control);
        (fits && clean).then(|| Self {
            decoded: decoded.into(),
            colon,
        })
    }

    /// The name, which may be empty.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.decoded.get(..self.colon).unwrap_or_default()
    }

    /// The password, which may be empty.
    #[must_use]
    pub fn password(&self) -> &[u8] {
        self.decoded.get(self.colon + 1..).unwrap_or_default()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Credentials(…)")
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn basic(pair: &[u8]) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(pair)).into_bytes()
    }

    #[test]
    fn one_field_of_the_scheme_is_read() {
        for (field, expected) in [
            // RFC 7617, section 2.
            (
                &b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="[..],
                Some(("Aladdin", "open sesame")),
            ),
            (b"Basic dGVzdDoxMjPCow==", Some(("test", "123\u{a3}"))),
            (
                b"bAsIc   QWxhZGRpbjpvcGVuIHNlc2FtZQ",
                Some(("Aladdin", "open sesame")),
            ),
            (b"Basic YTpiOmM=", Some(("a", "b:c"))),
            (b"Basic Og==", Some(("", ""))),
            (b"Basic YQ==", None),
            (b"Basic", None),
            (b"Basic ", None),
            (b"", None),
            (b"BasicQWxhZGRpbjpvcGVuIHNlc2FtZQ==", None),
            (b"Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", None),
            (b"Basic QWxh ZGRpbjpvcGVuIHNlc2FtZQ==", None),
            (
                b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=",
                Some(("Aladdin", "open sesame")),
            ),
            (b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== x", None),
            (b"Basic Y-_6eA==", None),
        ] {
            let read = Credentials::from_fields([field]);
            let read = read.as_ref().map(|read| (read.name(), read.password()));
            let expected = expected.map(|(name, password)| (name.as_bytes(), password.as_bytes()));
            assert_eq!(read, expected, "{}", field.escape_ascii());
        }
    }

    #[test]
    fn two_fields_are_none() {
        let field = basic(b"alice:secret");
        assert!(Credentials::from_fields([]).is_none());
        assert!(Credentials::from_fields([&field[..]]).is_some());
        assert!(Credentials::from_fields([&field[..], &field[..]]).is_none());
    }

    #[test]
    fn bounds_hold() {
        for (name, password, expected) in [
            (256, 512, true),
            (257, 0, false),
            (0, 513, false),
            (0, 4_000, false),
        ] {
            let pair = [vec![b'a'; name], vec![b':'], vec![b'b'; password]].concat();
            assert_eq!(
                Credentials::from_fields([&basic(&pair)[..]]).is_some(),
                expected,
                "{name} {password}"
            );
        }
    }

    #[test]
    fn control_characters_are_none() {
        for byte in 0..=255 {
            let field = basic(&[b'a', byte, b':', b'b']);
            let expected = !byte.is_ascii_control();
            assert_eq!(
                Credentials::from_fields([&field[..]]).is_some(),
                expected,
                "{byte}"
            );
        }
    }

    #[test]
    fn nothing_is_shown() {
        let read = Credentials::from_fields([&b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="[..]]);
        assert_eq!(format!("{read:?}"), "Some(Credentials(…))");
    }
}
