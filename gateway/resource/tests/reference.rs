//! `docs/reference-annotations.md` says what the table of annotations says.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

use resource::{AnnotationKind, AnnotationRow, annotation_table, service_annotation_table};

const HEAD: &str = "\
# Annotation reference

Every annotation that is known, and what becomes of it. Generated from the program's own table; a test keeps it fresh.

- **honoured**: it does what it says; a value that makes no sense closes the Ingress where the annotation protects
  something, and is ignored with a warning elsewhere.
- **closes**: it asks for something that this version cannot give and that matters. The routes of the Ingress answer
  503 until it is removed; a value given in brackets is what the gateway does anyway and is fine.
- **ignored**: it changes nothing that a client could rely on. A warning says so, except for values given in brackets.

A key under one of these prefixes that is not in the list closes the Ingress when it may be a misspelling of one that
protects, and gets a warning otherwise. `blastdoor check` lists all of it for your manifests.
";

#[test]
fn the_reference_is_fresh() {
    let mut text = HEAD.to_owned();
    for (title, rows) in [
        ("On an Ingress", annotation_table()),
        ("On a Service", service_annotation_table()),
    ] {
        write!(
            text,
            "\n## {title}\n\n| annotation | what becomes of it | note |\n|---|---|---|\n"
        )
        .expect("text");
        for row in rows {
            writeln!(
                text,
                "| `{}` | {} | {} |",
                row.key,
                verdict(row),
                row.note.replace('|', "\\|")
            )
            .expect("text");
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference-annotations.md");
    #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
    if std::env::var("UPDATE_DOCS").is_ok() {
        std::fs::write(&path, &text).expect("docs");
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == text,
        "{} is stale; run `UPDATE_DOCS=1 cargo test -p resource --test reference`",
        path.display()
    );
}

fn verdict(row: &AnnotationRow) -> String {
    let values = |values: &[&str]| {
        let quoted: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        quoted.join(", ")
    };
    match row.kind {
        AnnotationKind::Honoured => "honoured".to_owned(),
        AnnotationKind::Default(usual) => format!("closes (fine: {})", values(usual)),
        AnnotationKind::Usual(usual) => format!("ignored (fine: {})", values(usual)),
        AnnotationKind::Closes => "closes".to_owned(),
        AnnotationKind::Snippet => "closes, unless `blastdoor.dev/ignore-snippets` is `true`".to_owned(),
        AnnotationKind::Ignored => "ignored".to_owned(),
    }
}
