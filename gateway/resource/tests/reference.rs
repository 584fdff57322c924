//! `docs/reference-annotations.md` and `docs/reference-middlewares.md` say what the program's own tables say.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

#[test]
fn the_reference_of_annotations_is_up_to_date() {
    is_up_to_date("reference-annotations.md", &resource::annotation_reference());
}

#[test]
fn the_reference_of_middlewares_is_up_to_date() {
    is_up_to_date("reference-middlewares.md", &resource::middleware_reference());
}

fn is_up_to_date(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name);
    #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
    if std::env::var("UPDATE_DOCS").is_ok() {
        std::fs::write(&path, text).expect("docs");
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == text,
        "{} is stale; run `UPDATE_DOCS=1 cargo test -p resource --test reference`",
        path.display()
    );
}
