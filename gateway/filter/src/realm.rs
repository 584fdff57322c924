//! The realm that a challenge names (RFC 9110, section 11.5).

use std::fmt;

use http::HeaderValue;
use thiserror::Error;

/// A realm, and the value of `WWW-Authenticate` that asks for a password of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Realm {
    basic: HeaderValue,
}

/// Why a text is no realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RealmError {
    /// A line break or another control character, which no field may carry.
    #[error("a realm may not contain control characters")]
    Control,
    /// More than a browser shows.
    #[error("a realm has at most {LONGEST} bytes")]
    TooLong,
}

const LONGEST: usize = 512;

impl Realm {
    /// Reads a realm. Quotes and backslashes are escaped in the challenge.
    ///
    /// # Errors
    /// [`RealmError`].
    pub fn parse(text: &str) -> Result<Self, RealmError> {
        if text.len() > LONGEST {
            return Err(RealmError::TooLong);
        }
        let mut value = "Basic realm=\"".to_owned();
        for character in text.chars() {
            if matches!(character, '"' | '\\') {
                value.push('\\');
            }
            value.push(character);
        }
        value.push('"');
        if text.chars().any(char::is_control) {
            return Err(RealmError::Control);
        }
        let basic = HeaderValue::try_from(value).map_err(|_control| RealmError::Control)?;
        Ok(Self { basic })
    }

    /// The challenge of basic authentication.
    #[must_use]
    pub const fn basic(&self) -> &HeaderValue {
        &self.basic
    }
}

/// That of ingress-nginx.
impl Default for Realm {
    fn default() -> Self {
        Self {
            basic: HeaderValue::from_static("Basic realm=\"Authentication Required\""),
        }
    }
}

impl fmt::Debug for Realm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.basic.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realms_are_quoted() {
        for (text, expected) in [
            ("traefik", Ok("Basic realm=\"traefik\"")),
            (
                "Authentication Required",
                Ok("Basic realm=\"Authentication Required\""),
            ),
            ("a \"b\" \\c", Ok("Basic realm=\"a \\\"b\\\" \\\\c\"")),
            ("für uns", Ok("Basic realm=\"für uns\"")),
            ("", Ok("Basic realm=\"\"")),
            ("a\r\nSet-Cookie: b", Err(RealmError::Control)),
            ("a\u{85}", Err(RealmError::Control)),
            (&"a".repeat(513), Err(RealmError::TooLong)),
        ] {
            let realm = Realm::parse(text);
            let found = realm.as_ref().map(|realm| realm.basic().as_bytes());
            assert_eq!(found, expected.as_ref().map(|text| text.as_bytes()), "{text}");
        }
    }
}
