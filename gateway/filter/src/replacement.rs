//! What stands in place of a match.

use std::fmt;

use regex::bytes::Captures;

use crate::bounds::{TooMuch, check_length, push};
use crate::pattern::Pattern;
use crate::url::shown;

/// How many bytes all searches in one text may look at, for each of its bytes. Each match of many may look at all that
/// follows it, so that the time would grow with the square of the length.
const SEARCHES: usize = 16;

/// Shorter texts may be searched as often as texts of this length.
const SEARCHED_BYTES: usize = 16 << 10;

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
    /// When it has more than 4 KiB, or a `$` begins something else: nginx has variables there, which are not known at this
    /// place.
    pub fn nginx(text: &str) -> Result<Self, String> {
        check_length(text)?;
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
                        "{} has a `$` that does not begin one of the groups `$1` to `$9`; no other variables are known here",
                        shown(text)
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
    ///
    /// # Errors
    /// When it has more than 4 KiB.
    pub fn go(text: &str) -> Result<Self, String> {
        check_length(text)?;
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
        Ok(builder.finish(text))
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
    ///
    /// # Errors
    /// When `out` would become too long.
    pub fn expand(&self, captures: Option<&Captures<'_>>, out: &mut Vec<u8>) -> Result<(), TooMuch> {
        for part in &self.parts {
            let group = match part {
                Part::Text(text) => {
                    push(out, text.as_bytes())?;
                    continue;
                }
                Part::Group(group) => captures.and_then(|captures| captures.get(*group)),
                Part::Name(name) => captures.and_then(|captures| captures.name(name)),
            };
            push(out, group.map(|group| group.as_bytes()).unwrap_or_default())?;
        }
        Ok(())
    }

    /// `bytes` with each match replaced; `None` if there is none.
    ///
    /// # Errors
    /// When the result would become too long, or so many matches look at so much of `bytes` that it takes too long.
    pub fn replace_all(&self, pattern: &Pattern, bytes: &[u8]) -> Result<Option<Vec<u8>>, TooMuch> {
        let mut budget = bytes.len().max(SEARCHED_BYTES) * SEARCHES;
        let mut out = Vec::with_capacity(bytes.len());
        let (mut at, mut end) = (0, None);
        while at <= bytes.len() {
            let Some(captures) = pattern.captures_at(bytes, at) else {
                break;
            };
            let Some(whole) = captures.get(0) else { break };
            let left = bytes.len() - at;
            // How far a search has looked is not known, but never further than the longest match would reach.
            let looked = match pattern.longest() {
                Some(longest) => left.min(whole.end().saturating_sub(at).saturating_add(longest)),
                None => left,
            };
            budget = budget.checked_sub(looked).ok_or(TooMuch)?;
            // An empty match right behind another is none.
            if whole.is_empty() && end == Some(whole.end()) {
                at += 1;
                continue;
            }
            push(
                &mut out,
                bytes.get(end.unwrap_or(0)..whole.start()).unwrap_or_default(),
            )?;
            self.expand(Some(&captures), &mut out)?;
            end = Some(whole.end());
            at = whole.end();
        }
        let Some(end) = end else { return Ok(None) };
        push(&mut out, bytes.get(end..).unwrap_or_default())?;
        Ok(Some(out))
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
        replacement.expand(Some(&captures), &mut out).unwrap();
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
            let replacement = Replacement::go(text).unwrap();
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
            ("a*", "-", "baac", Some("-b-c-")),
            ("a|", "-", "aab", Some("--b-")),
            (r"\b", "|", "ab c", Some("|ab| |c|")),
        ];
        for (pattern, replacement, text, expected) in table {
            let pattern = Pattern::new(pattern, Case::Sensitive).unwrap();
            let replaced = Replacement::go(replacement)
                .unwrap()
                .replace_all(&pattern, text.as_bytes())
                .unwrap();
            let replaced = replaced.map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(replaced.as_deref(), expected, "{pattern} {replacement} {text}");
        }
    }

    #[test]
    fn groups_that_a_pattern_lacks_are_known() {
        let pattern = Pattern::new("/(a)(?P<b>.*)", Case::Sensitive).unwrap();
        let missing = |text| {
            Replacement::go(text)
                .unwrap()
                .missing(Some(&pattern))
                .collect::<Vec<_>>()
        };
        assert_eq!(missing("/$1$2${b}"), Vec::<String>::new());
        assert_eq!(missing("/$3/$1x"), ["$3", "$1x"]);
        let replacement = Replacement::nginx("/$1").unwrap();
        assert_eq!(replacement.missing(None).collect::<Vec<_>>(), ["$1"]);
        assert_eq!(replacement.start(), "/");
        assert_eq!(Replacement::go("/x").unwrap().literal(), Some("/x"));
    }

    #[test]
    fn what_would_take_too_long_is_not_made() {
        let replaced = |pattern: &str, replacement: &str, length| {
            let pattern = Pattern::new(pattern, Case::Sensitive).unwrap();
            let replacement = Replacement::go(replacement).unwrap();
            let bytes = "a".repeat(length);
            replacement
                .replace_all(&pattern, bytes.as_bytes())
                .map(|out| out.map(|out| out.len()))
        };
        assert_eq!(
            replaced(".*[^a]|a", "b", 8000),
            Err(TooMuch),
            "each match looks at all"
        );
        assert_eq!(replaced(".*[^a]|a", "b", 500), Ok(Some(500)));
        assert_eq!(
            replaced("a", "b", 60_000),
            Ok(Some(60_000)),
            "no match looks further than itself"
        );
        assert_eq!(replaced("a+", "b", 60_000), Ok(Some(1)));
        assert_eq!(replaced("a", &"b".repeat(100), 655), Ok(Some(65_500)));
        assert_eq!(
            replaced("a", &"b".repeat(100), 656),
            Err(TooMuch),
            "the result is too long"
        );
        assert_eq!(
            replaced("(.*)", &"$1".repeat(2048), 8000),
            Err(TooMuch),
            "the result is too long"
        );
    }

    #[test]
    fn long_texts_are_refused() {
        assert!(Replacement::go(&"b".repeat(4096)).is_ok());
        for message in [
            Replacement::go(&"b".repeat(4097)),
            Replacement::nginx(&"$1".repeat(2049)),
        ] {
            let message = message.unwrap_err();
            assert!(
                message.contains("at most 4096") && message.len() < 200,
                "{message}"
            );
        }
    }
}
