//! Replays the corpus of the fuzz target `manifests`, each file as it is, cut, and with a byte changed.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use testkit::manifests::manifest_properties;

#[test]
fn no_manifest_of_the_corpus_breaks_a_door() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/manifests");
    let mut files = 0;
    for entry in std::fs::read_dir(corpus).expect("a corpus") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
        files += 1;
        manifest_properties(&bytes);
        for position in (0..bytes.len()).step_by(11) {
            manifest_properties(&bytes[..position]);
            let mut changed = bytes.clone();
            changed[position] = b"\n :-[]{}&*!\0\xff"[position % 13];
            manifest_properties(&changed);
        }
    }
    assert!(files >= 8, "{files} files");
}
