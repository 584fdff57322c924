//! A file of several YAML documents, cut into documents before any of them is parsed.
//!
//! A syntax error ends a YAML parser's work for the rest of the stream, and one broken document must not take the
//! others with it. The cut is safe: in YAML a line that begins with `---` or `...` ends whatever came before, block
//! scalars and quoted texts included (YAML 1.2.2, section 9.1.2).

/// One document of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Document<'a> {
    /// Its bytes, the `---` that opens it included.
    pub(super) bytes: &'a [u8],
    /// The line of the file on which these bytes begin, counted from 1.
    pub(super) first_line: u32,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The documents of a file. Stretches that hold only comments, directives and blank lines are not documents.
pub(super) fn documents(bytes: &[u8]) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let mut open = Stretch {
        start: 0,
        first_line: 1,
        has_content: false,
    };
    let mut offset = 0;
    let mut number = 0_u32;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        number = number.saturating_add(1);
        let marker = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        let opens = is_marker(marker, b"---");
        if (opens && open.has_content) || is_marker(marker, b"...") {
            documents.extend(open.document(bytes, offset));
            open = Stretch {
                start: offset,
                first_line: number,
                has_content: false,
            };
        }
        if is_marker(marker, b"...") {
            open.start = offset.saturating_add(line.len());
            open.first_line = number.saturating_add(1);
        } else {
            // Directives (`%YAML 1.2`) and comments before `---` belong to the document that it opens.
            open.has_content |= opens || !is_blank(marker);
        }
        offset = offset.saturating_add(line.len());
    }
    documents.extend(open.document(bytes, offset));
    documents
}

impl Document<'_> {
    /// The last line of the file that belongs to it.
    pub(super) fn last_line(&self) -> u32 {
        let lines = self.bytes.split_inclusive(|byte| *byte == b'\n').count();
        let below = u32::try_from(lines).unwrap_or(u32::MAX).saturating_sub(1);
        self.first_line.saturating_add(below)
    }
}

struct Stretch {
    start: usize,
    first_line: u32,
    has_content: bool,
}

impl Stretch {
    fn document<'a>(&self, bytes: &'a [u8], end: usize) -> Option<Document<'a>> {
        let bytes = bytes.get(self.start..end)?;
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        self.has_content.then_some(Document {
            bytes,
            first_line: self.first_line,
        })
    }
}

fn is_marker(line: &[u8], marker: &[u8]) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

fn is_blank(line: &[u8]) -> bool {
    matches!(line.trim_ascii_start().first(), None | Some(b'#')) || line.first() == Some(&b'%')
}

#[cfg(test)]
mod tests {
    use super::documents;

    #[test]
    fn a_file_is_cut_at_its_markers_and_keeps_its_line_numbers() {
        let table: &[(&str, &[(&str, u32)])] = &[
            ("", &[]),
            ("# only a comment\n\n", &[]),
            ("a: 1\n", &[("a: 1\n", 1)]),
            ("a: 1\n---\nb: 2\n", &[("a: 1\n", 1), ("---\nb: 2\n", 2)]),
            ("---\na: 1\n---\nb: 2", &[("---\na: 1\n", 1), ("---\nb: 2", 3)]),
            ("# head\n---\na: 1\n", &[("# head\n---\na: 1\n", 1)]),
            ("%YAML 1.2\n---\na: 1\n", &[("%YAML 1.2\n---\na: 1\n", 1)]),
            ("a: 1\n...\nb: 2\n", &[("a: 1\n", 1), ("b: 2\n", 3)]),
            (
                "a: |\n  x\n---\nb: 2\n",
                &[("a: |\n  x\n", 1), ("---\nb: 2\n", 3)],
            ),
            ("a: |\n  ---\n  x\n", &[("a: |\n  ---\n  x\n", 1)]),
            ("--- {a: 1}\n---x: 2\n", &[("--- {a: 1}\n---x: 2\n", 1)]),
            (
                "a: 1\r\n---\r\nb: 2\r\n",
                &[("a: 1\r\n", 1), ("---\r\nb: 2\r\n", 2)],
            ),
            (
                "\u{feff}a: 1\n---\n\u{feff}b: 2\n",
                &[("a: 1\n", 1), ("---\n\u{feff}b: 2\n", 2)],
            ),
            ("---\n---\na: 1\n", &[("---\n", 1), ("---\na: 1\n", 2)]),
        ];
        for (file, expected) in table {
            let found: Vec<(&str, u32)> = documents(file.as_bytes())
                .iter()
                .map(|document| (std::str::from_utf8(document.bytes).unwrap(), document.first_line))
                .collect();
            assert_eq!(found, *expected, "{file:?}");
        }
    }
}
