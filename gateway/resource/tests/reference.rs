//! `docs/reference-annotations.md` says what the program's own table of annotations says.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

#[test]
fn the_reference_of_annotations_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference-annotations.md");
    let text = resource::annotation_reference();
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
