//! JSON that a person may look at.

use std::fmt::{Display, Formatter, Result, Write as _};

use crate::shown::is_harmful;

/// JSON whose strings hold text of others. Programs read the same from it; at a terminal it does no harm: JSON escapes controls
/// of ASCII and nothing else.
///
/// ```
/// # use text::ShownJson;
/// assert_eq!(ShownJson("\"a\u{202e}b\"").to_string(), "\"a\\u202eb\"");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ShownJson<'t>(pub &'t str);

impl Display for ShownJson<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        for character in self.0.chars() {
            // Below are the line ends and blanks between values. Above, every character is in a string.
            if character >= '\u{7f}' && is_harmful(character) {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            } else {
                out.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strings_change_and_mean_the_same() {
        let table = [
            (
                "{\n  \"a\": \"\\n\u{1f600}ü\"\n}\n",
                "{\n  \"a\": \"\\n\u{1f600}ü\"\n}\n",
            ),
            ("\"\u{7f}\u{9b}\u{200b}\"", "\"\\u007f\\u009b\\u200b\""),
            // A pair of surrogates.
            ("\"\u{e0041}\"", "\"\\udb40\\udc41\""),
        ];
        for (json, expected) in table {
            assert_eq!(ShownJson(json).to_string(), expected);
        }
    }
}
