//! Texts of others among words of ours.

use std::fmt::{Display, Formatter, Result, Write};

/// Text of others that stays where it is put: one line, in the order in which it is written, with every character visible.
///
/// Whatever could end the line, move the cursor, change colours, turn the direction of the text, take no room or sit on top of
/// its neighbour is written as an escape of Rust, such as `\n` or `\u{202e}`. Quotes and backslashes stay as they are, so that
/// regular expressions can be read.
///
/// ```
/// # use text::Shown;
/// assert_eq!(Shown("/shop\u{1b}[2J").to_string(), "/shop\\u{1b}[2J");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Shown<T>(pub T);

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write!(Escaping(out), "{}", self.0)
    }
}

struct Escaping<'o, 'f>(&'o mut Formatter<'f>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> Result {
        text.chars().try_for_each(|character| {
            if is_filler(character) {
                write!(self.0, "{}", character.escape_unicode())
            } else if is_harmful(character) {
                write!(self.0, "{}", character.escape_debug())
            } else {
                self.0.write_char(character)
            }
        })
    }
}

/// Whether a terminal may do something else with it than show it in its place. The standard library keeps the list: its tables
/// follow Unicode. It is controls (`Cc`), formats such as marks of direction and joiners (`Cf`), separators other than the
/// space, what is private or not assigned, and what extends the character before it.
pub(crate) fn is_harmful(character: char) -> bool {
    match character {
        '"' | '\'' | '\\' => false,
        ' '..='~' => false,
        _ => is_filler(character) || character.escape_debug().len() > 1,
    }
}

/// Letters of Hangul that cannot be seen, for which the standard library has no escape.
fn is_filler(character: char) -> bool {
    matches!(character, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_where_it_is_put() {
        let table = [
            (
                "the Ingress's `proxy-read-timeout`",
                "the Ingress's `proxy-read-timeout`",
            ),
            ("^/\\d+\"?$", "^/\\d+\"?$"),
            ("bücher.test/日本/é", "bücher.test/日本/é"),
            ("a\n2026 WARN b\r\tc", "a\\n2026 WARN b\\r\\tc"),
            ("\u{1b}[2J\u{7f}\u{9b}1m", "\\u{1b}[2J\\u{7f}\\u{9b}1m"),
            // Directions: marks, embeddings, overrides, isolates.
            (
                "a\u{202e}b\u{2066}c\u{200e}d\u{61c}",
                "a\\u{202e}b\\u{2066}c\\u{200e}d\\u{61c}",
            ),
            // Nothing to see: zero width, soft hyphen, byte order mark, tags.
            (
                "a\u{200b}b\u{200d}\u{2060}c\u{ad}d\u{feff}\u{e0041}",
                "a\\u{200b}b\\u{200d}\\u{2060}c\\u{ad}d\\u{feff}\\u{e0041}",
            ),
            ("a\u{2028}b\u{2029}c\u{85}", "a\\u{2028}b\\u{2029}c\\u{85}"),
            // Looks like a space, or sits on its neighbour.
            ("a\u{a0}b\u{3000}c\u{20dd}", "a\\u{a0}b\\u{3000}c\\u{20dd}"),
        ];
        for (text, expected) in table {
            assert_eq!(Shown(text).to_string(), expected);
        }
    }

    #[test]
    fn what_is_composed_is_escaped_as_a_whole() {
        let name = "web\n";
        assert_eq!(Shown(format_args!("shop/{name}")).to_string(), "shop/web\\n");
    }

    #[test]
    fn no_control_or_direction_of_unicode_gets_through() {
        for character in (0..=0xffff).filter_map(char::from_u32) {
            let shown = Shown(character).to_string();
            assert!(!shown.chars().any(char::is_control), "{character:?}");
        }
        let directions = ['\u{61c}', '\u{200e}', '\u{200f}'].into_iter();
        let directions = directions
            .chain('\u{202a}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}');
        for character in directions {
            assert!(is_harmful(character), "{character:?}");
        }
    }

    /// `Default_Ignorable_Code_Point` of Unicode 17.
    #[test]
    fn nothing_that_cannot_be_seen_gets_through() {
        let ranges = [
            '\u{ad}'..='\u{ad}',
            '\u{34f}'..='\u{34f}',
            '\u{61c}'..='\u{61c}',
            '\u{115f}'..='\u{1160}',
            '\u{17b4}'..='\u{17b5}',
            '\u{180b}'..='\u{180f}',
            '\u{200b}'..='\u{200f}',
            '\u{202a}'..='\u{202e}',
            '\u{2060}'..='\u{206f}',
            '\u{3164}'..='\u{3164}',
            '\u{fe00}'..='\u{fe0f}',
            '\u{feff}'..='\u{feff}',
            '\u{ffa0}'..='\u{ffa0}',
            '\u{fff0}'..='\u{fff8}',
            '\u{1bca0}'..='\u{1bca3}',
            '\u{1d173}'..='\u{1d17a}',
            '\u{e0000}'..='\u{e0fff}',
        ];
        for character in ranges.into_iter().flatten() {
            let escape = character.escape_unicode().to_string();
            assert_eq!(Shown(character).to_string(), escape);
        }
    }
}
