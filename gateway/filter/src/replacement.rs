//! What stands in place of a match.

use std::fmt;

use regex::bytes::Captures;

use crate::pattern::Pattern;

/// A text with the groups of a match in it. A group that is not set is empty.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Replacement {
    text: Box<str>,
    parts: Box<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    Text(Box<str>),
    Group(usize),
    Name(Box<str>),
}

impl Replacement {
    /// As nginx reads it: `$1` to `$9`, one digit each, so that `$1x` is the first group and an `x`; `${1}` too.
    ///
    /// # Errors
    /// When a `$` begins something else: nginx has variables there, which are not known at this place.
    pub fn nginx(text: &str) -> Result<Self, String> {
        let mut builder = Builder::default();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            builder.text(before);
            let (name, after) = match after.strip_prefix('{') {
                Some(braced) => braced.split_once('}').unwrap_or_default(),
                None if after.starts_with(|first: char| first.is_ascii_digit()) => {
                    after.split_at_checked(1).unwrap_or_default()
                }
                None => ("", after),
            };
            match name.parse() {
                Ok(group @ 1..=9) if name.len() == 1 => builder.parts.push(Part::Group(group)),
                _ => {
                    return Err(format!(
                        "`{text}` has a `$` that does not begin one of the groups `$1` to `$9`; no other variables are known \
                         here"
                    ));
                }
            }
            rest = after;
        }
        builder.text(rest);
        Ok(builder.finish(text))
    }

    /// As Go reads it (`Regexp.Expand`), and Traefik with it: a name is as long as letters, digits and `_` follow, so that
    /// `$1x` is the group of the name `1x`, which is empty; `${1}x` is the first group and an `x`; `$$` is a `$`. A `$`
    /// that begins nothing stands for itself.
    #[must_use]
    pub fn go(text: &str) -> Self {
        let mut builder = Builder::default();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            builder.text(before);
            if let Some(after) = after.strip_prefix('$') {
                builder.text("$");
                rest = after;
                continue;
            }
            let named = match after.strip_prefix('{') {
                Some(braced) => braced.split_once('}').filter(|(name, _)| is_name(name)),
                None => {
                    let end = after.find(|next| !is_name_character(next)).unwrap_or(after.len());
                    after.split_at_checked(end).filter(|(name, _)| !name.is_empty())
                }
            };
            match named {
                Some((name, after)) => {
                    builder.parts.push(match name.parse() {
                        Ok(group) => Part::Group(group),
                        Err(_not_a_number) => Part::Name(name.into()),
                    });
                    rest = after;
                }
                None => {
                    builder.text("$");
                    rest = after;
                }
            }
        }
        builder.text(rest);
        builder.finish(text)
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its text, if it has no groups.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            [..] => None,
        }
    }

    /// The text before its first group.
    #[must_use]
    pub fn start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            Some(Part::Group(_) | Part::Name(_)) | None => "",
        }
    }

    /// The highest number of a group in it; 0 if it has none.
    #[must_use]
    pub fn highest_group(&self) -> usize {
        let groups = self.parts.iter().map(|part| match part {
            Part::Group(group) => *group,
            Part::Text(_) | Part::Name(_) => 0,
        });
        groups.max().unwrap_or_default()
    }

    /// Its texts between the groups.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(&**text),
            Part::Group(_) | Part::Name(_) => None,
        })
    }

    /// The groups in it that `pattern` does not have, as they are written. They are always empty, which is hardly meant.
    pub fn missing<'r>(&'r self, pattern: Option<&'r Pattern>) -> impl Iterator<Item = String> + 'r {
        self.parts.iter().filter_map(move |part| match part {
            Part::Text(_) => None,
            Part::Group(group) => {
                let has = *group <= pattern.map_or(0, Pattern::groups);
                (!has).then(|| format!("${group}"))
            }
            Part::Name(name) => {
                let has = pattern.is_some_and(|pattern| pattern.has_group(name));
                (!has).then(|| format!("${name}"))
            }
        })
    }

    /// Appends it to `out`, with the groups of a match; without one they are empty.
    pub fn expand(&self, captures: Option<&Captures<'_>>, out: &mut Vec<u8>) {
        for part in &self.parts {
            let group = match part {
                Part::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    continue;
                }
                Part::Group(group) => captures.and_then(|captures| captures.get(*group)),
                Part::Name(name) => captures.and_then(|captures| captures.name(name)),
            };
            out.extend_from_slice(group.map(|group| group.as_bytes()).unwrap_or_default());
        }
    }

    /// `bytes` with each match replaced; `None` if there is none.
    #[must_use]
    pub fn replace_all(&self, pattern: &Pattern, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut end = None;
        for captures in pattern.captures_iter(bytes) {
            let Some(whole) = captures.get(0) else { continue };
            out.extend_from_slice(bytes.get(end.unwrap_or(0)..whole.start()).unwrap_or_default());
            self.expand(Some(&captures), &mut out);
            end = Some(whole.end());
        }
        out.extend_from_slice(bytes.get(end?..).unwrap_or_default());
        Some(out)
    }
}

impl fmt::Debug for Replacement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Replacement({})", self.text)
    }
}

#[derive(Default)]
struct Builder {
    parts: Vec<Part>,
}

impl Builder {
    fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.parts.last_mut() {
            Some(Part::Text(last)) => *last = format!("{last}{text}").into(),
            Some(Part::Group(_) | Part::Name(_)) | None => self.parts.push(Part::Text(text.into())),
        }
    }

    fn finish(self, text: &str) -> Replacement {
        Replacement {
            text: text.into(),
            parts: self.parts.into(),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_name_character)
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Case;

    fn expanded(replacement: &Replacement, pattern: &str, text: &str) -> String {
        let pattern = Pattern::new(pattern, Case::Sensitive).unwrap();
        let captures = pattern.captures(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        replacement.expand(Some(&captures), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn groups_as_nginx_has_them() {
        let table = [
            ("/$2", "/rest"),
            ("/$1$2", "/vrest"),
            ("/$1x", "/vx"),
            ("/${1}x", "/vx"),
            ("/$12", "/v2"),
            ("/$9", "/"),
            ("plain", "plain"),
            ("", ""),
        ];
        for (text, expected) in table {
            let replacement = Replacement::nginx(text).unwrap();
            assert_eq!(expanded(&replacement, "/(v)/(.*)", "/v/rest"), expected, "{text}");
        }
        for text in ["$", "/$host", "/$0", "/${12}", "/${1", "/${}", "/$$1", "$é"] {
            let message = Replacement::nginx(text).unwrap_err();
            assert!(message.contains("`$1` to `$9`"), "{text}: {message}");
        }
    }

    #[test]
    fn groups_as_go_has_them() {
        let table = [
            ("/$2", "/rest"),
            ("/$1x", "/"),
            ("/${1}x", "/vx"),
            ("/$0", "//v/rest"),
            ("/$12", "/"),
            ("/$name", "/v"),
            ("/${name}s", "/vs"),
            ("/$names", "/"),
            ("$$1", "$1"),
            ("a$", "a$"),
            ("a$-b", "a$-b"),
            ("a${-}b", "a${-}b"),
            ("a${1", "a${1"),
        ];
        for (text, expected) in table {
            let replacement = Replacement::go(text);
            let out = expanded(&replacement, "/(?P<name>v)/(.*)", "/v/rest");
            assert_eq!(out, expected, "{text}");
        }
    }

    #[test]
    fn each_match_is_replaced() {
        let table = [
            ("a", "b", "banana", Some("bbnbnb")),
            ("a(.)", "<$1>", "banana", Some("b<n><n>a")),
            ("^/api", "", "/api/x", Some("/x")),
            ("x", "y", "banana", None),
            ("z*", "-", "ab", Some("-a-b-")),
        ];
        for (pattern, replacement, text, expected) in table {
            let pattern = Pattern::new(pattern, Case::Sensitive).unwrap();
            let replaced = Replacement::go(replacement).replace_all(&pattern, text.as_bytes());
            let replaced = replaced.map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(replaced.as_deref(), expected, "{pattern} {replacement} {text}");
        }
    }

    #[test]
    fn groups_that_a_pattern_lacks_are_known() {
        let pattern = Pattern::new("/(a)(?P<b>.*)", Case::Sensitive).unwrap();
        let missing = |text| Replacement::go(text).missing(Some(&pattern)).collect::<Vec<_>>();
        assert_eq!(missing("/$1$2${b}"), Vec::<String>::new());
        assert_eq!(missing("/$3/$1x"), ["$3", "$1x"]);
        let replacement = Replacement::nginx("/$1").unwrap();
        assert_eq!(replacement.missing(None).collect::<Vec<_>>(), ["$1"]);
        assert_eq!(replacement.start(), "/");
        assert_eq!(Replacement::go("/x").literal(), Some("/x"));
    }
}
