//! Paths of rules that are regular expressions.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use crate::path::canonical_escape;

/// The longest pattern, in bytes.
const LONGEST: usize = 1024;
/// What a compiled pattern may take. Each worker that matches it takes a cache of its own beside it.
const PROGRAM_BYTES: usize = 64 * 1024;
/// What that cache may take.
const CACHE_BYTES: usize = 64 * 1024;
/// How deep groups may be nested.
const NESTING: u32 = 50;

/// The path of a rule as a regular expression, in linear time whatever the pattern.
///
/// It is matched against the normal form of a path ([`RequestPath`](crate::RequestPath)): escapes other than those of
/// unreserved characters are still there, and every byte is visible ASCII. A pattern that could only match something else
/// has no `PathRegex`.
///
/// Compared by text and dialect. Ordered as a table tries them: longer patterns first, then by text.
#[derive(Clone)]
pub struct PathRegex(Arc<Inner>);

struct Inner {
    text: Box<str>,
    dialect: RegexDialect,
    compiled: Regex,
}

/// Whose rules a pattern follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegexDialect {
    /// As in a `location ~*` of ingress-nginx: caseless, and anchored at the start of the path.
    Nginx,
    /// As in Traefik's `PathRegexp`: case-sensitive, and anywhere in the path.
    Traefik,
}

/// Why a text is not the regular expression of a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathRegexError {
    /// It does not start with `/`.
    #[error("the pattern `{0}` does not start with `/`; a path is absolute")]
    Relative(String),
    /// It is longer than a pattern may be.
    #[error("the pattern has {0} bytes; at most {LONGEST} are allowed")]
    TooLong(usize),
    /// It takes more memory than a pattern may.
    #[error("the pattern `{0}` is too large when compiled: write smaller repetitions or fewer alternatives")]
    TooLarge(String),
    /// It is not a regular expression, or it needs look-around or back-references.
    #[error("`{pattern}` is not a regular expression that is known here: {reason}")]
    Syntax {
        /// As it is written.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
    /// `*+`, `++`, `?+`, `}+`: it would mean something else here.
    #[error(
        "`{0}` has a possessive repetition, which is not supported; remove the `+` behind the `*`, `+`, `?` or `}}`"
    )]
    Possessive(String),
    /// A character that no path has.
    #[error(
        "no path matches `{pattern}`: {character:?} is only ever percent-encoded in a path; write `{encoded}`"
    )]
    Character {
        /// As it is written.
        pattern: String,
        /// The first of them.
        character: char,
        /// How a path has it.
        encoded: String,
    },
    /// An escape that no path has in its normal form.
    #[error("no path matches `{pattern}`: instead of `{escape}` write `{canonical}`")]
    Escape {
        /// As it is written.
        pattern: String,
        /// The first of them.
        escape: String,
        /// What stands for it.
        canonical: String,
    },
}

impl PathRegex {
    /// Reads and compiles a pattern.
    ///
    /// # Errors
    /// When it is no pattern, when it needs more than linear time or too much memory, or when no request can match it.
    pub fn new(written: &str, dialect: RegexDialect) -> Result<Self, PathRegexError> {
        if written.len() > LONGEST {
            return Err(PathRegexError::TooLong(written.len()));
        }
        if !written.starts_with('/') {
            return Err(PathRegexError::Relative(written.to_owned()));
        }
        refuse_unmatchable(written, dialect)?;
        // By itself first: a closing parenthesis of its own must not end the group that anchors it.
        let mut compiled = compile(written, written, dialect)?;
        if dialect.is_anchored() {
            compiled = compile(&format!(r"\A(?:{written})"), written, dialect)?;
        }
        Ok(Self(Arc::new(Inner {
            text: written.into(),
            dialect,
            compiled,
        })))
    }

    /// The pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whose rules it follows.
    #[must_use]
    pub fn dialect(&self) -> RegexDialect {
        self.0.dialect
    }

    /// The compiled pattern, anchored and caseless as its dialect wants it, for those who need its groups. The groups have
    /// the numbers that they have in the text.
    #[must_use]
    pub fn compiled(&self) -> &Regex {
        &self.0.compiled
    }

    /// Whether a path in its normal form matches.
    pub(crate) fn is_match(&self, path: &[u8]) -> bool {
        self.0.compiled.is_match(path)
    }
}

impl RegexDialect {
    /// Whether a match begins where the path does.
    #[must_use]
    pub const fn is_anchored(self) -> bool {
        matches!(self, Self::Nginx)
    }

    /// Whether letters match in upper and lower case.
    #[must_use]
    pub const fn is_caseless(self) -> bool {
        matches!(self, Self::Nginx)
    }
}

fn compile(pattern: &str, written: &str, dialect: RegexDialect) -> Result<Regex, PathRegexError> {
    let compiled = RegexBuilder::new(pattern)
        .unicode(false)
        .case_insensitive(dialect.is_caseless())
        .size_limit(PROGRAM_BYTES)
        .dfa_size_limit(CACHE_BYTES)
        .nest_limit(NESTING)
        .build();
    compiled.map_err(|error| {
        let pattern = written.to_owned();
        if matches!(error, regex::Error::CompiledTooBig(_)) {
            PathRegexError::TooLarge(pattern)
        } else {
            let reason = reason(&error);
            PathRegexError::Syntax { pattern, reason }
        }
    })
}

/// What is wrong, without the drawing that points at the place.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let reason = text
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix("error: "));
    reason.map_or_else(|| text.replace('\n', " "), str::to_owned)
}

/// Refuses possessive repetitions, and what no path in its normal form has. Sets of characters may name what does not
/// occur: `[^ ]`.
fn refuse_unmatchable(written: &str, dialect: RegexDialect) -> Result<(), PathRegexError> {
    let (mut is_set, mut repeats) = (false, false);
    let mut characters = written.char_indices();
    while let Some((at, character)) = characters.next() {
        if repeats && character == '+' {
            return Err(PathRegexError::Possessive(written.to_owned()));
        }
        repeats = !is_set && matches!(character, '*' | '+' | '?' | '}');
        let is_absent = !character.is_ascii() || character.is_ascii_control();
        if is_absent || (!is_set && matches!(character, ' ' | '"' | '#')) {
            return Err(PathRegexError::Character {
                pattern: written.to_owned(),
                character,
                encoded: crate::path::encoded(character.encode_utf8(&mut [0; 4])),
            });
        }
        match character {
            // What follows has no meaning of its own, or one that ends with its letter.
            '\\' => {
                let next = characters.clone().next();
                if next.is_some_and(|(_, next)| next.is_ascii()) {
                    characters.next();
                }
            }
            '[' => is_set = true,
            ']' => is_set = false,
            '%' if !is_set => refuse_escape(written, at, dialect)?,
            _ => {}
        }
    }
    Ok(())
}

/// Refuses an escape that the normal form does not have.
fn refuse_escape(written: &str, at: usize, dialect: RegexDialect) -> Result<(), PathRegexError> {
    let escape = written.get(at..at + 3).unwrap_or_default();
    let Some(canonical) = canonical_escape(escape) else {
        return Ok(());
    };
    let is_same = match dialect.is_caseless() {
        true => canonical.eq_ignore_ascii_case(escape),
        false => canonical == escape,
    };
    if is_same {
        return Ok(());
    }
    Err(PathRegexError::Escape {
        pattern: written.to_owned(),
        escape: escape.to_owned(),
        canonical: regex::escape(&canonical),
    })
}

/// The pattern as it is written.
impl fmt::Display for PathRegex {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for PathRegex {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("PathRegex")
            .field(&self.as_str())
            .field(&self.dialect())
            .finish()
    }
}

impl Ord for PathRegex {
    fn cmp(&self, other: &Self) -> Ordering {
        let longer_first = other.as_str().len().cmp(&self.as_str().len());
        longer_first
            .then_with(|| self.as_str().cmp(other.as_str()))
            .then_with(|| self.dialect().cmp(&other.dialect()))
    }
}

impl PartialOrd for PathRegex {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PathRegex {
    fn eq(&self, other: &Self) -> bool {
        // Tables of one publication share what they compiled with the next.
        Arc::ptr_eq(&self.0, &other.0)
            || (self.dialect() == other.dialect() && self.as_str() == other.as_str())
    }
}

impl Eq for PathRegex {}

impl Hash for PathRegex {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
        self.dialect().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(written: &str, dialect: RegexDialect) -> String {
        PathRegex::new(written, dialect).unwrap_err().to_string()
    }

    #[test]
    fn what_is_refused_says_why() {
        let long = format!("/{}", "a".repeat(1024));
        let deep = format!("/{}a{}", "(".repeat(60), ")".repeat(60));
        let known = "is not a regular expression that is known here";
        for (written, expected) in [
            ("a", "the pattern `a` does not start with `/`; a path is absolute".to_owned()),
            ("", "the pattern `` does not start with `/`; a path is absolute".to_owned()),
            (&long, "the pattern has 1025 bytes; at most 1024 are allowed".to_owned()),
            ("/(", format!("`/(` {known}: unclosed group")),
            ("/a)|(b", format!("`/a)|(b` {known}: unopened group")),
            (
                "/(?=a)",
                format!("`/(?=a)` {known}: look-around, including look-ahead and look-behind, is not supported"),
            ),
            (r"/(a)\1", format!(r"`/(a)\1` {known}: backreferences are not supported")),
            (
                &deep,
                format!("`{deep}` {known}: exceed the maximum number of nested parentheses/brackets (50)"),
            ),
            (
                "/((a{100}){100}){100}",
                "the pattern `/((a{100}){100}){100}` is too large when compiled: write smaller repetitions or fewer \
                 alternatives"
                    .to_owned(),
            ),
            ("/a b", "no path matches `/a b`: ' ' is only ever percent-encoded in a path; write `%20`".to_owned()),
            (
                "/é",
                "no path matches `/é`: 'é' is only ever percent-encoded in a path; write `%C3%A9`".to_owned(),
            ),
            (
                "/a\n",
                r"no path matches `/a
`: '\n' is only ever percent-encoded in a path; write `%0A`"
                    .to_owned(),
            ),
            (
                "/a*+",
                "`/a*+` has a possessive repetition, which is not supported; remove the `+` behind the `*`, `+`, `?` or `}`"
                    .to_owned(),
            ),
            ("/%61", "no path matches `/%61`: instead of `%61` write `a`".to_owned()),
            ("/x%2e", r"no path matches `/x%2e`: instead of `%2e` write `\.`".to_owned()),
        ] {
            assert_eq!(refused(written, RegexDialect::Nginx), expected);
        }
        assert_eq!(
            refused("/a%2fb", RegexDialect::Traefik),
            "no path matches `/a%2fb`: instead of `%2f` write `%2F`"
        );
    }

    #[test]
    fn what_a_path_can_have_is_accepted() {
        for written in [
            "/",
            "/a{2,3}?",
            r"/\d+\.(?:js|css)$",
            "/[^ ]*",
            "/a%2fb",
            "/[%2e]",
            r"/a\/b",
            "/(?P<name>[a-z]+)",
            "/(?-i)A",
            "/50%",
            r"/\*+[*+]",
        ] {
            let regex = PathRegex::new(written, RegexDialect::Nginx).unwrap();
            assert_eq!((regex.as_str(), regex.to_string().as_str()), (written, written));
        }
    }

    #[test]
    fn groups_have_the_numbers_of_the_text() {
        let regex = PathRegex::new("/x(/|$)(.*)", RegexDialect::Nginx).unwrap();
        let groups = regex.compiled().captures(b"/X/y/z").unwrap();
        let text: Vec<&[u8]> = groups.iter().flatten().map(|group| group.as_bytes()).collect();
        assert_eq!(text, [&b"/X/y/z"[..], b"/", b"y/z"]);
    }

    /// A flag in the middle of a pattern reaches to its end and no further.
    #[test]
    fn no_pattern_leaves_its_anchor() {
        for written in ["/a(?x)  # )|(?:/b", "/a)|(?:/b", "/a(?m)|^/b"] {
            if let Ok(regex) = PathRegex::new(written, RegexDialect::Nginx) {
                assert!(!regex.is_match(b"/x/b"), "{written}");
            }
        }
    }

    #[test]
    fn patterns_compare_by_text_and_dialect() {
        let regex = |text, dialect| PathRegex::new(text, dialect).unwrap();
        let ours = regex("/a.", RegexDialect::Nginx);
        assert_eq!(ours, regex("/a.", RegexDialect::Nginx));
        assert_ne!(ours, regex("/a.", RegexDialect::Traefik));
        assert!(regex("/aaaa", RegexDialect::Traefik) < ours);
        assert_eq!(format!("{ours:?}"), r#"PathRegex("/a.", Nginx)"#);
    }
}
