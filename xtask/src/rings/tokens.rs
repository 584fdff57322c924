//! Rust source as words and signs: enough to follow `mod`, `use` and paths, in macros too.

/// One piece of source that is neither space nor comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    /// From 1.
    pub(super) line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A name or a keyword; of a raw name (`r#type`) what follows the `#`.
    Word(&'a str),
    /// `::`
    Colons,
    /// Any other sign, alone.
    Sign(char),
    /// A number, a string or a character.
    Literal,
}

impl<'a> Token<'a> {
    pub(super) fn word(self) -> Option<&'a str> {
        match self.kind {
            Kind::Word(word) => Some(word),
            Kind::Colons | Kind::Sign(_) | Kind::Literal => None,
        }
    }

    pub(super) fn is(self, sign: char) -> bool {
        self.kind == Kind::Sign(sign)
    }

    pub(super) fn is_word(self, word: &str) -> bool {
        self.kind == Kind::Word(word)
    }
}

/// Reads source that rustc accepts; of other source it makes something, and never fails.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut reader = Reader {
        rest: source,
        line: 1,
    };
    std::iter::from_fn(|| reader.next()).collect()
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        self.pass_over_spaces_and_comments();
        let line = self.line;
        let first = self.rest.chars().next()?;
        let kind = if let Some(length) = quoted(self.rest) {
            self.take(length);
            Kind::Literal
        } else if let Some(name) = self
            .rest
            .strip_prefix("r#")
            .filter(|name| name.starts_with(is_of_name))
        {
            self.take(2);
            Kind::Word(self.take(length_of_name(name)))
        } else if first.is_ascii_digit() {
            // `1..2` is a range and `1.5` is not: a dot belongs to the number before a digit alone.
            let end = self.rest.char_indices().find(|(at, char)| {
                let next = self.rest.get(at + 1..).and_then(|rest| rest.chars().next());
                let is_fraction = *char == '.' && next.is_some_and(|next| next.is_ascii_digit());
                !is_of_name(*char) && !is_fraction
            });
            self.take(end.map_or(self.rest.len(), |(at, _)| at));
            Kind::Literal
        } else if is_of_name(first) {
            Kind::Word(self.take(length_of_name(self.rest)))
        } else if first == '\'' {
            // A lifetime: a character was taken as quoted.
            self.take(1);
            self.take(length_of_name(self.rest));
            Kind::Sign('\'')
        } else if self.rest.starts_with("::") {
            self.take(2);
            Kind::Colons
        } else {
            self.take(first.len_utf8());
            Kind::Sign(first)
        };
        Some(Token { kind, line })
    }

    fn pass_over_spaces_and_comments(&mut self) {
        loop {
            let spaces = self.rest.len() - self.rest.trim_start().len();
            self.take(spaces);
            if self.rest.starts_with("//") {
                self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.take(length_of_comment(self.rest));
            } else {
                return;
            }
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }
}

fn is_of_name(char: char) -> bool {
    char == '_' || char.is_alphanumeric()
}

fn length_of_name(text: &str) -> usize {
    text.find(|char| !is_of_name(char)).unwrap_or(text.len())
}

/// Comments of this kind nest.
fn length_of_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the string or character that the text begins with.
fn quoted(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        let behind = text.strip_prefix(prefix);
        let behind = behind.map(|behind| {
            if prefix.ends_with('r') {
                behind.trim_start_matches('#')
            } else {
                behind
            }
        });
        behind.is_some_and(|behind| behind.starts_with('"') || (*prefix == "b" && behind.starts_with('\'')))
    });
    let Some(prefix) = prefix else {
        return character(text);
    };
    let body = text.get(prefix.len()..)?;
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let closing = format!("\"{}", body.get(..hashes)?);
        let inside = body.get(hashes + 1..)?;
        let end = inside
            .find(&closing)
            .map_or(inside.len(), |at| at + closing.len());
        return Some(prefix.len() + hashes + 1 + end);
    }
    let quote = body.chars().next()?;
    Some(prefix.len() + escaped(body, quote))
}

/// The length of what is in these quotes, with both of them.
fn escaped(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        if is_escaped {
            is_escaped = false;
        } else if char == '\\' {
            is_escaped = true;
        } else if char == quote {
            return at + 1;
        }
    }
    text.len()
}

/// `'a'` and `'\n'`, but not the lifetime `'a`.
fn character(text: &str) -> Option<usize> {
    let mut chars = text.strip_prefix('\'')?.chars();
    let first = chars.next()?;
    if first == '\\' {
        return Some(escaped(text, '\''));
    }
    (chars.next() == Some('\'')).then(|| 1 + first.len_utf8() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str) -> String {
        let pieces = tokens(source).into_iter().map(|token| match token.kind {
            Kind::Word(word) => word.to_owned(),
            Kind::Colons => "::".to_owned(),
            Kind::Sign(sign) => sign.to_string(),
            Kind::Literal => "_LITERAL".to_owned(),
        });
        pieces.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_strings_and_characters_hold_no_words() {
        for (source, expected) in [
            ("a // b\nc", "a c"),
            ("a /* b /* c */ d */ e", "a e"),
            ("/// `crate::a`\nb", "b"),
            (r#"a("b \" c", d)"#, "a ( _LITERAL , d )"),
            ("r\"a\\\" b", "_LITERAL b"),
            ("br##\"a \"# b\"## c", "_LITERAL c"),
            ("b'\\'' 'x' '\\u{7f}' 'é'", "_LITERAL _LITERAL _LITERAL _LITERAL"),
            ("&'a str, 'outer: loop", "& ' str , ' : loop"),
            ("r#type::b", "type :: b"),
            (
                "0..x 1.5 0x_ff_u8 a.0.b",
                "_LITERAL . . x _LITERAL _LITERAL a . _LITERAL . b",
            ),
            ("é::b", "é :: b"),
            ("\"never ends", "_LITERAL"),
            ("/* never ends", ""),
        ] {
            assert_eq!(text(source), expected, "{source}");
        }
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let source = "a\n/*\n*/ b \"\n\n\" c\r\nd";
        let lines: Vec<usize> = tokens(source).iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 3, 3, 5, 6]);
    }
}
