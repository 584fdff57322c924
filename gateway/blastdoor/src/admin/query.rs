//! The query of a request for a page.

use std::borrow::Cow;
use std::fmt;

/// The most parameters of a query. The length of the target bounds their size.
const MOST: usize = 200;

/// The parameters of a query, decoded, in their order (`application/x-www-form-urlencoded`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

/// What is wrong with a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("the query has more than {MOST} parameters")]
    TooMany,
    #[error("the query holds a percent sign without two hexadecimal digits behind it")]
    Escape,
    #[error("the query is not UTF-8")]
    Text,
    #[error("`{0}` is given more than once")]
    Repeated(&'static str),
    #[error("`{name}` is missing")]
    Missing { name: &'static str },
    #[error("`{name}` is not a parameter of this page; it has {known}")]
    Unknown { name: String, known: Known },
}

/// The parameters that a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known(&'static [&'static str]);

impl Query {
    /// # Errors
    /// When it cannot be decoded, or has too many parameters.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, QueryError> {
        let parts = bytes.split(|byte| *byte == b'&').filter(|part| !part.is_empty());
        let mut pairs = Vec::new();
        for part in parts {
            if pairs.len() == MOST {
                return Err(QueryError::TooMany);
            }
            let mut sides = part.splitn(2, |byte| *byte == b'=');
            let name = decode(sides.next().unwrap_or_default())?;
            let value = decode(sides.next().unwrap_or_default())?;
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// # Errors
    /// When there is a parameter that is not one of these: a misspelt one must not be ignored.
    pub(crate) fn only(&self, known: &'static [&'static str]) -> Result<(), QueryError> {
        match self.0.iter().find(|(name, _)| !known.contains(&&**name)) {
            None => Ok(()),
            Some((name, _)) => Err(QueryError::Unknown {
                name: name.chars().take(64).collect(),
                known: Known(known),
            }),
        }
    }

    /// A parameter that may be given once.
    ///
    /// # Errors
    /// When it is given more than once.
    pub(crate) fn optional(&self, name: &'static str) -> Result<Option<&str>, QueryError> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(QueryError::Repeated(name)),
        }
    }

    /// A parameter that must be given once.
    ///
    /// # Errors
    /// When it is missing, or given more than once.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, QueryError> {
        self.optional(name)?.ok_or(QueryError::Missing { name })
    }

    /// A parameter that may be repeated.
    pub(crate) fn all<'q>(&'q self, name: &str) -> impl Iterator<Item = &'q str> {
        let pairs = self.0.iter().filter(move |(known, _)| known == name);
        pairs.map(|(_, value)| &**value)
    }
}

impl fmt::Display for Known {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => out.write_str("none"),
            names => {
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                out.write_str(&names.join(", "))
            }
        }
    }
}

/// One name or value: `+` is a space, and `%41` is `A`.
fn decode(bytes: &[u8]) -> Result<String, QueryError> {
    let mut decoded: Cow<'_, [u8]> = Cow::Borrowed(bytes);
    if bytes.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        let mut text = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some((first, after)) = rest.split_first() {
            rest = match (first, after) {
                (b'+', _) => {
                    text.push(b' ');
                    after
                }
                (b'%', [high, low, after @ ..]) => {
                    text.push(hex(*high)? << 4 | hex(*low)?);
                    after
                }
                (b'%', _) => return Err(QueryError::Escape),
                (byte, _) => {
                    text.push(*byte);
                    after
                }
            };
        }
        decoded = Cow::Owned(text);
    }
    String::from_utf8(decoded.into_owned()).map_err(|_not_utf8| QueryError::Text)
}

fn hex(digit: u8) -> Result<u8, QueryError> {
    let value = char::from(digit).to_digit(16).ok_or(QueryError::Escape)?;
    u8::try_from(value).map_err(|_never| QueryError::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_once() {
        let query =
            Query::parse(b"url=http%3A%2F%2Fa.test%2f%2561+b&header=A%3a+1&header=B%3A+2&&empty&x=y=z")
                .unwrap();
        assert_eq!(query.required("url").unwrap(), "http://a.test/%61 b");
        assert_eq!(query.all("header").collect::<Vec<_>>(), ["A: 1", "B: 2"]);
        assert_eq!(query.optional("empty").unwrap(), Some(""));
        assert_eq!(query.optional("x").unwrap(), Some("y=z"));
        assert_eq!(query.optional("none").unwrap(), None);
        assert_eq!(Query::parse(b"").unwrap(), Query::default());
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (query, expected) in [
            (&b"a=%"[..], QueryError::Escape),
            (b"a=%4", QueryError::Escape),
            (b"a=%zz", QueryError::Escape),
            (b"%ff=a", QueryError::Text),
            ("a&".repeat(MOST + 1).as_bytes(), QueryError::TooMany),
        ] {
            assert_eq!(
                Query::parse(query),
                Err(expected),
                "{:?}",
                query.escape_ascii().to_string()
            );
        }
        assert_eq!(
            "a&".repeat(MOST).len() / 2,
            Query::parse("a&".repeat(MOST).as_bytes()).unwrap().0.len()
        );
        let query = Query::parse(b"a=1&a=2&c=3").unwrap();
        assert_eq!(query.optional("a"), Err(QueryError::Repeated("a")));
        assert_eq!(query.required("b"), Err(QueryError::Missing { name: "b" }));
        let unknown = query.only(&["a", "b"]).unwrap_err().to_string();
        assert_eq!(unknown, "`c` is not a parameter of this page; it has `a`, `b`");
        assert_eq!(query.only(&["c", "a"]), Ok(()));
    }
}
