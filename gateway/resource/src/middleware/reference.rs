//! The reference of Middlewares, `docs/reference-middlewares.md`.

use super::row::{FieldEffect, FieldRow, Form, KindEffect};
use super::table::KINDS;

const HEAD: &str = "\
# Middleware reference

Every kind of Traefik's `Middleware` (`traefik.io/v1alpha1`) with its fields, and what is different here. Generated from the
program's own table; a test keeps it up to date.

An Ingress names Middlewares of its own namespace with `traefik.ingress.kubernetes.io/router.middlewares`
(`<namespace>-<name>@kubernetescrd`, separated by commas) or with `blastdoor.dev/middlewares` (names). They run in that
order. A Middleware has exactly one kind. A kind that is closed, an unknown kind, an unknown field and a field of another form
close the Middleware: every Ingress that names it answers 503, and a problem names the field. `blastdoor check` lists all of it
for your manifests.
";

const TABLE: &str =
    "\n| field | value | default | meaning | difference from Traefik |\n|---|---|---|---|---|\n";

/// The reference of Middlewares, in Markdown.
#[must_use]
pub fn middleware_reference() -> String {
    let mut text = HEAD.to_owned();
    for kind in KINDS {
        text.push_str(&format!("\n## {}\n\n{}.\n", kind.name, capitalised(kind.meaning)));
        if let KindEffect::Closes(reason) = kind.effect {
            text.push_str(&format!("\n**Closes**: {reason}.\n"));
        }
        if !kind.fields.is_empty() {
            text.push_str(TABLE);
            rows(kind.fields, "", &mut text);
        }
        text.push_str("\n```yaml\nspec:\n");
        for line in kind.example.lines() {
            text.push_str(&format!("  {line}\n"));
        }
        text.push_str("```\n");
    }
    text
}

/// A line for each field, those of objects after them.
fn rows(fields: &[FieldRow], around: &str, text: &mut String) {
    for row in fields {
        let name = format!("{around}{}", row.name);
        let meaning = match row.effect {
            FieldEffect::Closes(reason) => format!("closes: {reason}"),
            FieldEffect::Honoured | FieldEffect::Told(_) => row.meaning.to_owned(),
        };
        let cells = [row.form.name(), row.default, &meaning, row.difference];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        text.push_str(&format!("| `{name}` | {} |\n", cells.join(" | ")));
        match row.form {
            Form::Object(fields) => rows(fields, &format!("{name}."), text),
            Form::Objects(fields) => rows(fields, &format!("{name}[]."), text),
            Form::Text
            | Form::Truth
            | Form::Natural
            | Form::Integer
            | Form::Duration
            | Form::Port
            | Form::Texts
            | Form::TextMap
            | Form::NumberMap
            | Form::Any => {}
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
