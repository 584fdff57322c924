//! Tables.

use std::fmt::{Display, Formatter, Result};

use unicode_width::UnicodeWidthStr as _;

use crate::Shown;

/// How wide a column is at most. A longer cell moves the rest of its own row and nothing else: one long path of a tenant must not
/// push all other rows out of the window.
const WIDEST: usize = 60;

/// Rows in columns as wide as they need to be. Nothing is cut off and nothing is coloured, so that a pipe gets what a terminal
/// gets. Without a line end after the last row.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Begins with the headings.
    #[must_use]
    pub fn new(headings: &[&str]) -> Self {
        let mut table = Self { rows: Vec::new() };
        table.row(headings);
        table
    }

    /// Adds a row. Its texts may be others' own.
    pub fn row<T: Display>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells = cells.into_iter().map(|cell| Shown(cell).to_string());
        self.rows.push(cells.collect());
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(row.len().max(widths.len()), 0);
            for (cell, widest) in row.iter().zip(&mut widths) {
                *widest = cell.width().min(WIDEST).max(*widest);
            }
        }
        widths
    }
}

impl Display for Table {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        let widths = self.widths();
        for (number, row) in self.rows.iter().enumerate() {
            if number > 0 {
                out.write_str("\n")?;
            }
            // Blanks are written before the cell that needs them, so that no line ends with them.
            let mut blanks = 0;
            for (cell, width) in row.iter().zip(&widths) {
                if !cell.is_empty() {
                    write!(out, "{:blanks$}{cell}", "")?;
                    blanks = 0;
                }
                blanks += width.saturating_sub(cell.width()) + 2;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[&[&str]]) -> String {
        let mut table = Table::new(&["A", "B", "C"]);
        rows.iter().for_each(|row| table.row(*row));
        table.to_string()
    }

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let shown = table(&[&["long", "x", "y"], &["s", "", "z"], &["", "", ""]]);
        assert_eq!(shown, "A     B  C\nlong  x  y\ns        z\n");
    }

    /// Characters of East Asia take two columns each.
    #[test]
    fn columns_are_aligned_as_terminals_show_them() {
        assert_eq!(
            table(&[&["日本", "x"], &["ü", "y"]]),
            "A     B  C\n日本  x\nü     y"
        );
    }

    #[test]
    fn a_long_cell_is_whole_and_moves_its_own_row_only() {
        let long = "x".repeat(10_000);
        let shown = table(&[&[&long, "b"], &["s", "b"]]);
        let blanks = |count: usize| " ".repeat(count);
        let expected = format!("A{}B  C\n{long}  b\ns{}b", blanks(61), blanks(61));
        assert_eq!(shown, expected);
    }

    #[test]
    fn no_cell_ends_its_row() {
        assert_eq!(
            table(&[&["a\nb", "\u{1b}[1m"]]),
            "A     B          C\na\\nb  \\u{1b}[1m"
        );
    }
}
