//! Regular expressions, in bounded memory. One search takes linear time; many searches in one text, one behind each match,
//! may take the square of it, and [`Replacement::replace_all`](crate::replacement::Replacement::replace_all) bounds them.

use std::fmt;
use std::sync::Arc;

use regex::bytes::{Captures, Regex, RegexBuilder};

/// Longest text of a pattern, in bytes.
const TEXT_BYTES: usize = 1024;
/// Largest compiled pattern, in bytes.
const PROGRAM_BYTES: usize = 64 << 10;
/// Largest cache of a search, in bytes, for each thread that searches.
const CACHE_BYTES: usize = 64 << 10;
/// How deeply groups may nest.
const DEPTH: u32 = 50;
/// How much of a text a message quotes.
const QUOTED_CHARACTERS: usize = 80;

/// A regular expression over bytes. `\w`, `\d` and case are those of ASCII, as in nginx and in Go.
///
/// It compares by its text: the same text matches the same.
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    case: Case,
    regex: Regex,
}

/// Whether case counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Case {
    /// `a` is not `A`.
    Sensitive,
    /// `a` is `A`.
    Insensitive,
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It matches everything, which nobody writes on purpose.
    #[error("the regular expression is empty")]
    Empty,
    /// Longer than 1 KiB.
    #[error("`{0}` is a regular expression of more than 1024 bytes")]
    TooLong(String),
    /// `(?=`, `(?!`, `(?<=`, `(?<!`.
    #[error(
        "`{0}` looks around (`(?=`, `(?!`, `(?<=` or `(?<!`), which takes unbounded time and is not supported"
    )]
    LookAround(String),
    /// `\1`.
    #[error("`{0}` refers back to a group, which takes unbounded time and is not supported")]
    BackReference(String),
    /// `*+`, `++`, `?+`, `}+`: they would mean something else here.
    #[error(
        "`{0}` has a possessive repetition, which is not supported; remove the `+` behind the `*`, `+`, `?` or `}}`"
    )]
    Possessive(String),
    /// Too large when it is compiled: a repetition of a repetition, for instance.
    #[error("`{0}` is a regular expression that takes more than 64 KiB of memory; repeat less in it")]
    TooLarge(String),
    /// Not a regular expression.
    #[error("`{text}` is not a regular expression: {detail}")]
    Syntax {
        /// As it is written.
        text: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When the text is no regular expression, or one that cannot be searched for in bounded memory and linear time.
    pub fn new(text: &str, case: Case) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > TEXT_BYTES {
            return Err(PatternError::TooLong(quoted(text)));
        }
        if is_possessive(text) {
            return Err(PatternError::Possessive(quoted(text)));
        }
        let regex = RegexBuilder::new(text)
            .unicode(false)
            .case_insensitive(case == Case::Insensitive)
            .size_limit(PROGRAM_BYTES)
            .dfa_size_limit(CACHE_BYTES)
            .nest_limit(DEPTH)
            .build()
            .map_err(|error| refused(text, &error))?;
        Ok(Self {
            text: text.into(),
            case,
            regex,
        })
    }

    /// A pattern that somebody else has compiled from this text, within the same bounds.
    #[must_use]
    pub fn compiled(text: &str, case: Case, regex: &Regex) -> Self {
        Self {
            text: text.into(),
            case,
            regex: regex.clone(),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether case counts.
    #[must_use]
    pub fn case(&self) -> Case {
        self.case
    }

    /// Whether it matches somewhere in `bytes`.
    #[must_use]
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        self.regex.is_match(bytes)
    }

    /// Whether it matches all of `bytes`.
    #[must_use]
    pub fn is_whole_match(&self, bytes: &[u8]) -> bool {
        let found = self.regex.find(bytes);
        found.is_some_and(|found| found.range() == (0..bytes.len()))
    }

    /// The groups of the first match in `bytes`.
    #[must_use]
    pub fn captures<'b>(&self, bytes: &'b [u8]) -> Option<Captures<'b>> {
        self.regex.captures(bytes)
    }

    /// How much of the beginning of `bytes` it matches; `None` if its first match begins further on.
    #[must_use]
    pub fn prefix(&self, bytes: &[u8]) -> Option<usize> {
        let found = self.regex.find(bytes)?;
        (found.start() == 0).then_some(found.end())
    }

    /// The number of its groups, the whole match not counted.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.regex.captures_len().saturating_sub(1)
    }

    /// Whether it has a group of this name.
    #[must_use]
    pub fn has_group(&self, name: &str) -> bool {
        self.regex.capture_names().flatten().any(|group| group == name)
    }

    /// The groups of the first match that begins at `at` or later, which is in `bytes` or at its end.
    pub(crate) fn captures_at<'b>(&self, bytes: &'b [u8], at: usize) -> Option<Captures<'b>> {
        self.regex.captures_at(bytes, at)
    }

    /// No match is longer, if that can be told from the text: without a repetition each character of it matches one
    /// character at most, which `(?u)` may make one of Unicode.
    pub(crate) fn longest(&self) -> Option<usize> {
        (!self.text.contains(['*', '+', '{'])).then_some(4 * self.text.len())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.case == other.case && self.text == other.text
    }
}

impl Eq for Pattern {}

impl std::hash::Hash for Pattern {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
        self.case.hash(state);
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let caseless = match self.case {
            Case::Sensitive => "",
            Case::Insensitive => "(?i)",
        };
        write!(out, "Pattern({caseless}{})", self.text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

fn refused(text: &str, error: &regex::Error) -> PatternError {
    let message = error.to_string();
    if matches!(error, regex::Error::CompiledTooBig(_)) {
        return PatternError::TooLarge(quoted(text));
    }
    // The library shows the pattern on several lines, with the reason on the last one.
    let detail = message
        .rsplit_once("error: ")
        .map_or(&*message, |(_, detail)| detail)
        .trim();
    if detail.contains("look-around") {
        PatternError::LookAround(quoted(text))
    } else if detail.contains("backreferences") {
        PatternError::BackReference(quoted(text))
    } else {
        PatternError::Syntax {
            text: quoted(text),
            detail: detail.to_owned(),
        }
    }
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARACTERS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Whether a repetition is followed by a `+`. In PCRE that forbids backtracking, here it would repeat the repetition.
fn is_possessive(text: &str) -> bool {
    let (mut escaped, mut in_class, mut repeated) = (false, false, false);
    for character in text.chars() {
        if repeated && character == '+' && !in_class {
            return true;
        }
        repeated = !escaped && !in_class && matches!(character, '*' | '+' | '?' | '}');
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensitive(text: &str) -> Result<Pattern, PatternError> {
        Pattern::new(text, Case::Sensitive)
    }

    #[test]
    fn case_counts_where_it_is_said_to() {
        let strict = sensitive("^/Api").unwrap();
        let lax = Pattern::new("^/Api", Case::Insensitive).unwrap();
        assert!(strict.is_match(b"/Api/x") && !strict.is_match(b"/api/x"));
        assert!(lax.is_match(b"/Api/x") && lax.is_match(b"/aPI/x"));
        assert_ne!(strict, lax);
        assert_eq!(strict, sensitive("^/Api").unwrap());
    }

    #[test]
    fn classes_are_those_of_ascii() {
        let word = sensitive(r"^\w+$").unwrap();
        assert!(word.is_match(b"a_9"));
        assert!(!word.is_match("é".as_bytes()));
        let kelvin = Pattern::new("k", Case::Insensitive).unwrap();
        assert!(!kelvin.is_match("\u{212a}".as_bytes()), "the Kelvin sign is no k");
    }

    #[test]
    fn a_prefix_begins_at_the_start() {
        let pattern = sensitive("/v[0-9]").unwrap();
        assert_eq!(pattern.prefix(b"/v1/x"), Some(3));
        assert_eq!(pattern.prefix(b"/x/v1"), None);
        assert!(pattern.is_whole_match(b"/v1") && !pattern.is_whole_match(b"/v12"));
    }

    #[test]
    fn what_cannot_be_honoured_says_why() {
        let table = [
            ("", "the regular expression is empty"),
            ("/(?!api)x", "looks around"),
            ("(?<=a)b", "looks around"),
            (r"(a)\1", "refers back to a group"),
            ("a*+b", "possessive"),
            ("a{2}+", "possessive"),
            ("/a(", "`/a(` is not a regular expression: unclosed group"),
            ("[a", "`[a` is not a regular expression: unclosed character class"),
            (r"\p{L}", "not a regular expression"),
            ("((a{100}){100}){100}", "more than 64 KiB"),
        ];
        for (text, expected) in table {
            let message = sensitive(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text:?}: {message}");
            assert!(!message.contains('\n'), "{text:?}: {message}");
        }
        let long = "a".repeat(TEXT_BYTES + 1);
        let message = sensitive(&long).unwrap_err().to_string();
        assert!(
            message.contains("more than 1024 bytes") && message.len() < 200,
            "{message}"
        );
        let deep = format!("{}a{}", "(".repeat(60), ")".repeat(60));
        assert!(sensitive(&deep).unwrap_err().to_string().contains("nest"));
    }

    #[test]
    fn a_plus_that_is_no_possessive_repetition_is_fine() {
        for text in ["[*+]", r"a\++", r"\*+", "a+b+", "[?+]+", "(a*)+"] {
            assert!(sensitive(text).is_ok(), "{text}");
        }
    }
}
