//! Text for people.

use std::fmt;

/// Text that others have written, for a terminal: what could move its cursor, change its colours or turn its direction is
/// shown as an escape.
pub(crate) struct Shown<'t>(pub(crate) &'t str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if is_harmful(character) {
                write!(out, "{}", character.escape_unicode())?;
            } else {
                fmt::Write::write_char(out, character)?;
            }
        }
        Ok(())
    }
}

/// Controls, and what changes the direction of text or takes no room.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Rows in columns as wide as they need to be.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Begins with the headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self {
            rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()],
        }
    }

    /// Adds a row, whose texts may be others' own.
    pub(crate) fn row<'t>(&mut self, cells: impl IntoIterator<Item = &'t str>) {
        self.rows
            .push(cells.into_iter().map(|cell| Shown(cell).to_string()).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                let width = cell.chars().count();
                match widths.get_mut(column) {
                    Some(widest) => *widest = width.max(*widest),
                    None => widths.push(width),
                }
            }
        }
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:width$}  "));
            }
            let end = if index + 1 == self.rows.len() { "" } else { "\n" };
            write!(out, "{}{end}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_write_does_not_reach_the_terminal_as_commands() {
        let hostile = "/a\u{1b}[2J\n\u{202e}b\u{7f}";
        assert_eq!(Shown(hostile).to_string(), "/a\\u{1b}[2J\\u{a}\\u{202e}b\\u{7f}");
        assert_eq!(Shown("bücher.test/ä").to_string(), "bücher.test/ä");
    }

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let mut table = Table::new(&["A", "B"]);
        table.row(["long", "x"]);
        table.row(["s", ""]);
        assert_eq!(table.to_string(), "A     B\nlong  x\ns");
    }
}
