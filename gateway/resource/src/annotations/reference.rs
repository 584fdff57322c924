//! The reference of annotations, `docs/reference-annotations.md`.

use super::examples::example;
use super::read::listed;
use super::row::{Effect, Row};
use super::table::SUBJECTS;

const HEAD: &str = "\
# Annotation reference

Every annotation that the gateway knows, and its effect. Generated from the program's own table; a test keeps
it up to date. A key that ends in `*` stands for every key that begins so. Annotations are written on the Ingress,
unless the table says otherwise.

- **honoured**: it does what it says. A value that makes no sense is an error: it closes the Ingress where others rely on
  the annotation, and is ignored elsewhere.
- **closes**: it asks for something that this version cannot give and that matters. The routes of the Ingress answer
  503 until it is removed. Values in brackets describe what the gateway does anyway, and are fine.
- **ignored**: it changes nothing that a client could rely on. A warning says so, except for values in brackets.

`⏎` in an example stands for a new line. The last column says what is different from ingress-nginx or Traefik.

An unknown key that begins with `blastdoor.dev/` closes the Ingress. One that begins with `nginx.ingress.kubernetes.io/` or
`traefik.ingress.kubernetes.io/` closes it if it may be a misspelling of an annotation that protects, or has the name of
one of ours that protects. Otherwise it gets a warning. What protects and is written on a Service closes the routes to it.
`blastdoor check` lists all of it for your manifests.
";

const TABLE: &str = "\n| annotation | effect | value | default | example | note | difference |\n|---|---|---|---|---|---|---|\n";

/// The reference of annotations, in Markdown.
#[must_use]
pub fn annotation_reference() -> String {
    let mut text = HEAD.to_owned();
    for subject in SUBJECTS {
        text.push_str(&format!("\n## {}\n", subject.title));
        text.push_str(TABLE);
        text.extend(subject.ingress.iter().map(|row| line(row, "")));
        text.extend(subject.service.iter().map(|row| line(row, " on the Service")));
    }
    text
}

fn line<T>(row: &Row<T>, on: &str) -> String {
    let (value, default) = match row.effect {
        Effect::Honoured(setting) => (setting.form(), setting.default()),
        Effect::Closes { .. } | Effect::Snippet | Effect::Ignored { .. } => ("", ""),
    };
    let example = example(row);
    let example = if example.is_empty() {
        String::new()
    } else {
        format!("`{}`", example.replace('\n', "⏎"))
    };
    let cells = [&effect(row), value, default, &example, row.note, row.difference];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    format!("| `{}`{on} | {} |\n", row.key, cells.join(" | "))
}

fn effect<T>(row: &Row<T>) -> String {
    match row.effect {
        Effect::Honoured(_) => "honoured".to_owned(),
        Effect::Closes { except: [] } => "closes".to_owned(),
        Effect::Closes { except } => format!("closes (fine: {})", listed(except)),
        Effect::Snippet => "closes, unless `blastdoor.dev/ignore-snippets` is `true`".to_owned(),
        Effect::Ignored { except: [] } => "ignored".to_owned(),
        Effect::Ignored { except } => format!("ignored (fine: {})", listed(except)),
    }
}
