//! `values.yaml` by its comments. The comment above a key is its description, and a default fits its line; so no parser of YAML
//! is needed, and a key without a description is an error.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

/// A chapter of the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chapter {
    pub(super) title: String,
    pub(super) entries: Vec<Entry>,
}

/// One value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// `image.tag`.
    pub(super) path: String,
    /// As it is written; empty for a value that is described by its parts.
    pub(super) default: String,
    pub(super) description: String,
}

/// Maps whose entries are examples of what another map describes.
const EXAMPLES: [&str; 2] = ["doors", "services"];

/// The chapters of a file of values.
pub(super) fn chapters(text: &str) -> Result<Vec<Chapter>> {
    let mut chapters: Vec<Chapter> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut above: Vec<(usize, &str)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if let Some(title) = trimmed.strip_prefix("## ") {
            chapters.push(Chapter {
                title: title.to_owned(),
                entries: Vec::new(),
            });
            comment.clear();
        } else if let Some(said) = trimmed.strip_prefix("# ") {
            comment.push(said);
        } else if trimmed.is_empty() {
            comment.clear();
        } else {
            let at = || format!("line {}: `{trimmed}`", number + 1);
            let (key, value) = trimmed
                .split_once(':')
                .with_context(|| format!("{} is no key with a value on the same line", at()))?;
            above.retain(|(outer, _)| *outer < indent);
            above.push((indent, key));
            let names: Vec<&str> = above.iter().map(|(_, key)| *key).collect();
            if matches!(names.as_slice(), [first, _, ..] if EXAMPLES.contains(first)) {
                continue;
            }
            let value = value.trim();
            if comment.is_empty() && !value.is_empty() {
                bail!("{} has no comment above it that describes it", at());
            }
            if !comment.is_empty() {
                let chapter = chapters
                    .last_mut()
                    .with_context(|| format!("{} is above the first chapter", at()))?;
                chapter.entries.push(Entry {
                    path: names.join("."),
                    default: value.to_owned(),
                    description: comment.join(" "),
                });
            }
            comment.clear();
        }
    }
    Ok(chapters)
}

/// The table, as Markdown.
pub(super) fn table(chapters: &[Chapter]) -> String {
    let mut text = String::new();
    for chapter in chapters {
        // Writing to a string does not fail.
        let _written = write!(
            text,
            "## {}\n\n| value | default | meaning |\n|---|---|---|\n",
            chapter.title
        );
        for entry in &chapter.entries {
            let default = match entry.default.as_str() {
                "" => String::new(),
                value => format!("`{}`", escaped(value)),
            };
            let _written = writeln!(
                text,
                "| `{}` | {default} | {} |",
                entry.path,
                escaped(&entry.description)
            );
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// For a cell of a table.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# About the file.

## Image

image:
  # The tag.
  # Empty: a default.
  tag: \"\"
# Doors, by name.
doors:
  web:
    port: 80
";

    fn entry(path: &str, default: &str, description: &str) -> Entry {
        Entry {
            path: path.to_owned(),
            default: default.to_owned(),
            description: description.to_owned(),
        }
    }

    #[test]
    fn comments_describe_keys() {
        let chapters = chapters(TEXT).expect("chapters");
        assert_eq!(
            chapters,
            [Chapter {
                title: "Image".to_owned(),
                entries: vec![
                    entry("image.tag", "\"\"", "The tag. Empty: a default."),
                    entry("doors", "", "Doors, by name."),
                ],
            }]
        );
        let table = table(&chapters);
        assert!(
            table.contains("| `image.tag` | `\"\"` | The tag. Empty: a default. |\n"),
            "{table}"
        );
    }

    #[test]
    fn keys_without_a_description_and_lists_over_lines_are_errors() {
        for (text, expected) in [
            ("## A\n\ntag: 1\n", "line 3: `tag: 1` has no comment"),
            ("## A\n\n# List.\nlist:\n- one\n", "line 5: `- one` is no key"),
            ("# Tag.\ntag: 1\n", "above the first chapter"),
        ] {
            let error = format!("{:#}", chapters(text).expect_err(text));
            assert!(error.contains(expected), "{error}");
        }
    }
}
