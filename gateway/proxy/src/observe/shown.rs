//! Texts of tenants, clients and backends in lines for people.

use std::fmt::{Display, Formatter, Result, Write as _};

/// A text that stays within its line, whatever is in it: without control characters, line separators, and what makes a
/// terminal show characters in another order than they are written.
pub(crate) struct Shown<'t>(pub(crate) &'t str);

impl Display for Shown<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        self.0.chars().try_for_each(|character| match character {
            _ if character.is_control() || is_invisible(character) => {
                write!(out, "{}", character.escape_default())
            }
            _ => out.write_char(character),
        })
    }
}

fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_does_not_leave_its_line() {
        let table = [
            (
                "the Ingress's `proxy-read-timeout`",
                "the Ingress's `proxy-read-timeout`",
            ),
            ("a\n2026 WARN b\r\u{1b}[2J", "a\\n2026 WARN b\\r\\u{1b}[2J"),
            ("\u{9b}1m\u{202e}x\u{2028}y", "\\u{9b}1m\\u{202e}x\\u{2028}y"),
            ("ä€", "ä€"),
        ];
        for (text, expected) in table {
            assert_eq!(Shown(text).to_string(), expected);
        }
    }
}
