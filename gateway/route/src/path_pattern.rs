//! The paths of rules.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::path::{PathError, PathScratch, RequestPath, encoded, normalise_path};
use crate::path_regex::{PathRegex, PathRegexError, RegexDialect};

/// The path of an Ingress rule in its normal form (Kubernetes networking/v1, `HTTPIngressPath`), or a pattern.
///
/// Ordered as a table keeps them: exact paths first, by [`RequestPath`] text; then prefixes element by element, so that a
/// path stands directly before everything below it; then patterns, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathPattern {
    /// This path, byte for byte.
    Exact(ExactPath),
    /// This path and everything below it, element by element.
    Prefix(PathPrefix),
    /// Paths that this regular expression matches.
    Regex(PathRegex),
}

/// A path that equals a request's. Made by [`PathPattern::exact`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExactPath(Arc<str>);

/// The path above a request's, or the same. Made by [`PathPattern::prefix`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPrefix {
    /// Without the trailing slash; empty for `/`.
    stem: Arc<str>,
    /// Whether it is written with a trailing slash: it then beats the same prefix without one.
    has_trailing_slash: bool,
}

/// Why a text is not the path of an Ingress rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathPatternError {
    /// It does not start with `/`.
    #[error("`{0}` does not start with `/`; a path is absolute")]
    Relative(String),
    /// No request can ever have this path.
    #[error("no request can match `{0}`: {1}")]
    Refused(String, PathError),
    /// A character that must be escaped in a path.
    #[error("`{shown}` has a character that must be percent-encoded in a path; write `{encoded}`",
        shown = .0.escape_debug(), encoded = encoded(.0))]
    Character(String),
    /// It is no regular expression that a path can match.
    #[error(transparent)]
    Regex(#[from] PathRegexError),
}

impl PathPattern {
    /// A path that matches byte for byte (`pathType: Exact`).
    ///
    /// # Errors
    /// When no request can have this path.
    pub fn exact(written: &str) -> Result<Self, PathPatternError> {
        normal_text(written).map(|path| Self::Exact(ExactPath(path)))
    }

    /// A path that matches itself and everything below it (`pathType: Prefix`).
    ///
    /// # Errors
    /// When no request can have this path.
    pub fn prefix(written: &str) -> Result<Self, PathPatternError> {
        let path = normal_text(written)?;
        let (stem, has_trailing_slash) = match path.strip_suffix('/') {
            // Most rules are for `/`, whose stem is empty: they share one allocation.
            Some("") => (Arc::default(), true),
            Some(stem) => (stem.into(), true),
            None => (path, false),
        };
        Ok(Self::Prefix(PathPrefix {
            stem,
            has_trailing_slash,
        }))
    }

    /// Paths that a regular expression matches.
    ///
    /// # Errors
    /// When it is none that is known here, or when no request can match it.
    pub fn regex(written: &str, dialect: RegexDialect) -> Result<Self, PathPatternError> {
        Ok(Self::Regex(PathRegex::new(written, dialect)?))
    }

    /// Whether this pattern alone matches the path.
    #[must_use]
    pub fn matches(&self, path: &RequestPath<'_>) -> bool {
        self.matches_bytes(path.as_bytes())
    }

    /// The same for the bytes of a [`RequestPath`].
    pub(crate) fn matches_bytes(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => exact.0.as_bytes() == path,
            Self::Prefix(prefix) => prefix.covers(path),
            Self::Regex(regex) => regex.is_match(path),
        }
    }

    /// Whether both are prefixes, and whatever the other covers this one covers.
    pub(crate) fn is_above(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Prefix(above), Self::Prefix(other)) => above.covers(other.stem.as_bytes()),
            (Self::Exact(_) | Self::Regex(_), _) | (_, Self::Exact(_) | Self::Regex(_)) => false,
        }
    }

    /// The length by which prefixes and patterns are ranked: of the text, a trailing slash included.
    pub(crate) fn rank(&self) -> usize {
        match self {
            Self::Prefix(prefix) => prefix.stem.len() + usize::from(prefix.has_trailing_slash),
            Self::Exact(_) | Self::Regex(_) => self.text().len(),
        }
    }

    /// The bytes that a path begins with when it matches: all of an exact path, the stem of a prefix. A pattern has its own
    /// text, which says nothing about paths.
    pub(crate) fn text(&self) -> &[u8] {
        match self {
            Self::Exact(exact) => exact.0.as_bytes(),
            Self::Prefix(prefix) => prefix.stem.as_bytes(),
            Self::Regex(regex) => regex.as_str().as_bytes(),
        }
    }
}

/// The path in its normal form, with its trailing slash if it was written with one; a pattern as it is written.
impl fmt::Display for PathPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => out.write_str(&path.0),
            Self::Prefix(prefix) => {
                out.write_str(&prefix.stem)?;
                out.write_str(if prefix.has_trailing_slash { "/" } else { "" })
            }
            Self::Regex(regex) => out.write_str(regex.as_str()),
        }
    }
}

impl ExactPath {
    /// The path in its normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PathPrefix {
    /// The path in its normal form without its trailing slash; empty for `/`.
    #[must_use]
    pub fn stem(&self) -> &str {
        &self.stem
    }

    /// Whether `path` is this path or below it.
    pub(crate) fn covers(&self, path: &[u8]) -> bool {
        path.strip_prefix(self.stem.as_bytes())
            .is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    }
}

impl Ord for PathPrefix {
    fn cmp(&self, other: &Self) -> Ordering {
        by_element(self.stem.as_bytes(), other.stem.as_bytes())
            .then_with(|| self.has_trailing_slash.cmp(&other.has_trailing_slash))
    }
}

impl PartialOrd for PathPrefix {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares two paths element by element. What is below a path follows it directly, before siblings whose names merely
/// begin alike: `/a`, `/a/b`, `/a-b`.
pub(crate) fn by_element(left: &[u8], right: &[u8]) -> Ordering {
    let shared = shared_length(left, right);
    let element = |byte: Option<&u8>| byte.map(|byte| if *byte == b'/' { 0 } else { *byte });
    element(left.get(shared)).cmp(&element(right.get(shared)))
}

/// How many bytes two paths have in common at their beginning.
pub(crate) fn shared_length(left: &[u8], right: &[u8]) -> usize {
    const BLOCK: usize = 16;
    let blocks = left.chunks_exact(BLOCK).zip(right.chunks_exact(BLOCK));
    let equal = blocks.take_while(|(left, right)| left == right).count() * BLOCK;
    let left = left.get(equal..).unwrap_or_default().iter();
    let right = right.get(equal..).unwrap_or_default();
    let tail = left.zip(right).take_while(|(left, right)| left == right);
    equal + tail.count()
}

/// Shared by every table with the rule.
fn normal_text(written: &str) -> Result<Arc<str>, PathPatternError> {
    let owned = || written.to_owned();
    let mut scratch = PathScratch::default();
    let path = normalise_path(written.as_bytes(), &mut scratch).map_err(|error| match error {
        PathError::Relative => PathPatternError::Relative(owned()),
        PathError::Character => PathPatternError::Character(owned()),
        PathError::Escape | PathError::Control | PathError::DotSegment | PathError::TooMuch => {
            PathPatternError::Refused(owned(), error)
        }
    })?;
    let text =
        std::str::from_utf8(path.as_bytes()).map_err(|_not_ascii| PathPatternError::Character(owned()))?;
    Ok(text.into())
}
