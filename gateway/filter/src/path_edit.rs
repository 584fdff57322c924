//! What a backend sees instead of the client's path.

use crate::bounds::TooMuch;
use crate::pattern::Pattern;
use crate::replacement::Replacement;
use crate::url::{add_query, check_text, shown};

/// A change of the path, as filters read and send it: in its normal form. The result may be no path, which the caller
/// must check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathEdit {
    /// The first of these prefixes that the path has goes, by element: `/api` is no prefix of `/apix`. What went is told
    /// in `X-Forwarded-Prefix`.
    StripPrefix(Box<[Box<str>]>),
    /// The same with patterns, which match from the start of the path and end where an element does.
    StripPrefixRegex(Box<[Pattern]>),
    /// This is written before the path.
    AddPrefix(Box<str>),
    /// This path, whatever the path is. The one before is told in `X-Replaced-Path`.
    Replace(Box<str>),
    /// Each match is replaced. If there is one, the path before is told in `X-Replaced-Path`.
    ReplaceRegex {
        /// Looked for in the path.
        pattern: Pattern,
        /// What stands in place of each match.
        replacement: Replacement,
    },
    /// All of the path is replaced (`rewrite-target` of ingress-nginx).
    Rewrite {
        /// The path of the rule, where that is a pattern: its groups count.
        pattern: Option<Pattern>,
        /// The path, and a query that comes before the client's.
        target: Replacement,
    },
    /// `X-Forwarded-Prefix` is this; the path stays (`x-forwarded-prefix` of ingress-nginx).
    TellPrefix {
        /// The path of the rule, where that is a pattern: its groups count.
        pattern: Option<Pattern>,
        /// The value.
        prefix: Replacement,
    },
}

/// The result of a [`PathEdit`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EditedPath {
    /// The path and the query that count from here on; `None` if they stay. There is no query without a `?` in it.
    pub target: Option<Vec<u8>>,
    /// A field that tells the backend of it.
    pub told: Option<(PathField, Vec<u8>)>,
}

/// The name of a field that tells a backend what has happened to the path. Those of clients do not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathField {
    /// `X-Forwarded-Prefix`
    ForwardedPrefix,
    /// `X-Replaced-Path`
    ReplacedPath,
}

impl PathField {
    /// In lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ForwardedPrefix => "x-forwarded-prefix",
            Self::ReplacedPath => "x-replaced-path",
        }
    }
}

/// Checks what takes the place of a path: it may have groups and a query, and must begin with `/` or a group.
///
/// # Errors
/// When no result of it can be a path.
pub fn check_target(target: &Replacement) -> Result<(), String> {
    let text = target.as_str();
    let begins = target.start();
    if text.is_empty() || !(begins.is_empty() || begins.starts_with('/')) {
        return Err(format!("{} is not a path, which begins with `/`", shown(text)));
    }
    if text.contains('#') {
        return Err(format!(
            "{} has a `#`, which no request has; percent-encode it",
            shown(text)
        ));
    }
    target.texts().try_for_each(|part| check_text(text, part))
}

impl PathEdit {
    /// The field that it may send.
    #[must_use]
    pub fn field(&self) -> Option<PathField> {
        match self {
            Self::StripPrefix(_) | Self::StripPrefixRegex(_) | Self::TellPrefix { .. } => {
                Some(PathField::ForwardedPrefix)
            }
            Self::Replace(_) | Self::ReplaceRegex { .. } => Some(PathField::ReplacedPath),
            Self::AddPrefix(_) | Self::Rewrite { .. } => None,
        }
    }

    /// The result for a path in its normal form, and the query without its `?`.
    ///
    /// # Errors
    /// When it becomes too long, or takes too long to make.
    pub fn apply(&self, path: &[u8], query: Option<&[u8]>) -> Result<EditedPath, TooMuch> {
        let moved = |path: &[u8]| Some(with_query(path, query));
        Ok(match self {
            Self::StripPrefix(prefixes) => {
                let length = prefixes
                    .iter()
                    .map(|prefix| prefix.as_bytes())
                    .find(|prefix| path.starts_with(prefix) && ends_element(prefix, path))
                    .map(<[u8]>::len);
                strip(path, query, length)
            }
            Self::StripPrefixRegex(patterns) => {
                let lengths = patterns.iter().filter_map(|pattern| pattern.prefix(path));
                let mut fitting = lengths.filter(|length| {
                    let prefix = path.get(..*length).unwrap_or_default();
                    !prefix.is_empty() && ends_element(prefix, path)
                });
                strip(path, query, fitting.next())
            }
            Self::AddPrefix(prefix) => EditedPath {
                target: moved(&[prefix.as_bytes(), path].concat()),
                told: None,
            },
            Self::Replace(new) => replaced(path, new.as_bytes(), query),
            Self::ReplaceRegex { pattern, replacement } => match replacement.replace_all(pattern, path)? {
                Some(new) => replaced(path, &new, query),
                None => EditedPath::default(),
            },
            Self::Rewrite { pattern, target } => {
                let mut new = expand(target, pattern.as_ref(), path)?;
                add_query(&mut new, query);
                EditedPath {
                    target: Some(new),
                    told: None,
                }
            }
            Self::TellPrefix { pattern, prefix } => EditedPath {
                target: None,
                told: Some((
                    PathField::ForwardedPrefix,
                    expand(prefix, pattern.as_ref(), path)?,
                )),
            },
        })
    }
}

fn expand(replacement: &Replacement, pattern: Option<&Pattern>, path: &[u8]) -> Result<Vec<u8>, TooMuch> {
    let captures = match replacement.literal() {
        Some(_) => None,
        None => pattern.and_then(|pattern| pattern.captures(path)),
    };
    let mut out = Vec::with_capacity(replacement.as_str().len() + path.len());
    replacement.expand(captures.as_ref(), &mut out)?;
    Ok(out)
}

/// Whether an element of the path ends where its prefix does.
fn ends_element(prefix: &[u8], path: &[u8]) -> bool {
    prefix.ends_with(b"/") || matches!(path.get(prefix.len()), None | Some(b'/'))
}

fn strip(path: &[u8], query: Option<&[u8]>, length: Option<usize>) -> EditedPath {
    let Some((prefix, rest)) = length.and_then(|length| path.split_at_checked(length)) else {
        return EditedPath::default();
    };
    let rest = match rest {
        [b'/', ..] => with_query(rest, query),
        rest => with_query(&[b"/", rest].concat(), query),
    };
    EditedPath {
        target: Some(rest),
        told: Some((PathField::ForwardedPrefix, prefix.to_vec())),
    }
}

fn replaced(old: &[u8], new: &[u8], query: Option<&[u8]>) -> EditedPath {
    let new = if new.is_empty() { b"/" } else { new };
    if new == old {
        return EditedPath::default();
    }
    // A `?` here is none that begins a query, and no path has one.
    let new = new
        .split(|byte| *byte == b'?')
        .collect::<Vec<_>>()
        .join(&b"%3F"[..]);
    EditedPath {
        target: Some(with_query(&new, query)),
        told: Some((PathField::ReplacedPath, old.to_vec())),
    }
}

fn with_query(path: &[u8], query: Option<&[u8]>) -> Vec<u8> {
    let mut target = Vec::with_capacity(path.len() + query.map_or(0, |query| query.len() + 1));
    target.extend_from_slice(path);
    if let Some(query) = query {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Case;

    /// The target and the field that is told, as text.
    fn result(edit: &PathEdit, path: &str, query: Option<&str>) -> (String, String) {
        let edited = edit.apply(path.as_bytes(), query.map(str::as_bytes)).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let target = edited.target.map_or_else(|| "stays".to_owned(), text);
        let told = edited.told.map_or_else(String::new, |(field, value)| {
            assert_eq!(Some(field), edit.field());
            format!("{}: {}", field.name(), text(value))
        });
        (target, told)
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text, Case::Insensitive).unwrap()
    }

    #[test]
    fn prefixes_go_by_element() {
        let edit = PathEdit::StripPrefix(["/api".into(), "/v/".into(), "/api/x".into()].into());
        let table = [
            ("/api", "/", "/api"),
            ("/api/", "/", "/api"),
            ("/api/x/y", "/x/y", "/api"),
            ("/apix", "stays", ""),
            ("/v/1", "/1", "/v/"),
            ("/v/", "/", "/v/"),
            ("/v", "stays", ""),
            ("/api//x", "//x", "/api"),
        ];
        for (path, expected, prefix) in table {
            let (target, told) = result(&edit, path, None);
            assert_eq!(target, expected, "{path}");
            let expected = if prefix.is_empty() {
                String::new()
            } else {
                format!("x-forwarded-prefix: {prefix}")
            };
            assert_eq!(told, expected, "{path}");
        }
        assert_eq!(result(&edit, "/api/x", Some("q=1")).0, "/x?q=1");
        assert_eq!(result(&edit, "/api", Some("")).0, "/?");
        let root = PathEdit::StripPrefix(["/".into()].into());
        assert_eq!(result(&root, "/x", None).0, "/x");
    }

    #[test]
    fn patterns_go_from_the_start() {
        let edit =
            PathEdit::StripPrefixRegex([pattern("/v[0-9]+"), pattern("/c/[a-z]+/"), pattern("x?")].into());
        let table = [
            ("/v12/a", "/a", "/v12"),
            ("/v1", "/", "/v1"),
            ("/v1x", "stays", ""),
            ("/a/v1", "stays", ""),
            ("/c/abc/d", "/d", "/c/abc/"),
        ];
        for (path, expected, prefix) in table {
            let (target, told) = result(&edit, path, None);
            assert_eq!(target, expected, "{path}");
            assert!(told.ends_with(prefix), "{path}: {told}");
        }
    }

    #[test]
    fn paths_are_written_anew() {
        let add = PathEdit::AddPrefix("/v1".into());
        assert_eq!(result(&add, "/x", Some("q")), ("/v1/x?q".into(), String::new()));
        let replace = PathEdit::Replace("/fixed".into());
        assert_eq!(
            result(&replace, "/x", Some("q")),
            ("/fixed?q".into(), "x-replaced-path: /x".into())
        );
        assert_eq!(result(&replace, "/fixed", None), ("stays".into(), String::new()));
        let regex = |pattern: &str, replacement: &str| PathEdit::ReplaceRegex {
            pattern: Pattern::new(pattern, Case::Sensitive).unwrap(),
            replacement: Replacement::go(replacement).unwrap(),
        };
        let table = [
            ("^/api/(.*)", "/$1", "/x/y?q", "x-replaced-path: /api/x/y"),
            ("^/api/(.*)", "/${1}/z", "/x/y/z?q", "x-replaced-path: /api/x/y"),
            ("/", "//", "//api//x//y?q", "x-replaced-path: /api/x/y"),
            ("^/nope", "/x", "stays", ""),
            ("^.*$", "", "/?q", "x-replaced-path: /api/x/y"),
            ("x", "a?b", "/api/a%3Fb/y?q", "x-replaced-path: /api/x/y"),
            ("x", "x", "stays", ""),
        ];
        for (pattern, replacement, expected, told) in table {
            let (target, field) = result(&regex(pattern, replacement), "/api/x/y", Some("q"));
            assert_eq!((target.as_str(), field.as_str()), (expected, told), "{pattern}");
        }
    }

    #[test]
    fn a_target_replaces_the_path_as_in_nginx() {
        let rewrite = |path: Option<&str>, target: &str| PathEdit::Rewrite {
            pattern: path.map(pattern),
            target: Replacement::nginx(target).unwrap(),
        };
        let path = Some("^/shop(/|$)(.*)");
        let table = [
            (path, "/$2", "/shop/a/b", "/a/b?q=1"),
            (path, "/$2", "/SHOP", "/?q=1"),
            (path, "/new", "/shop/a", "/new?q=1"),
            (path, "/n?p=$2", "/shop/a", "/n?p=a&q=1"),
            (path, "/n/$2?", "/shop/a", "/n/a"),
            (path, "/$9", "/shop/a", "/?q=1"),
            (None, "/x/$1", "/shop/a", "/x/?q=1"),
            (Some("^/a"), "/b", "/abc/d", "/b?q=1"),
        ];
        for (path, target, asked, expected) in table {
            assert_eq!(
                result(&rewrite(path, target), asked, Some("q=1")).0,
                expected,
                "{target}"
            );
        }
    }

    #[test]
    fn a_target_that_can_be_no_path_is_refused() {
        for text in ["/", "/$1", "$1", "/a?b=$2", "/a?", "/%20"] {
            assert_eq!(check_target(&Replacement::nginx(text).unwrap()), Ok(()), "{text}");
        }
        for text in ["", "a", "/a b", "/a#b", "/{x}", "https://a/"] {
            assert!(
                check_target(&Replacement::nginx(text).unwrap()).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_prefix_is_told() {
        let edit = PathEdit::TellPrefix {
            pattern: Some(pattern("^/(shop)(/|$)(.*)")),
            prefix: Replacement::nginx("/in/$1").unwrap(),
        };
        assert_eq!(
            result(&edit, "/shop/x", None),
            ("stays".into(), "x-forwarded-prefix: /in/shop".into())
        );
    }
}
