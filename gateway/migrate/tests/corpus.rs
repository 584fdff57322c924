//! Replays the corpus of the fuzz target `access_log`, each line as it is, cut, and with a byte changed.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use testkit::logs::access_log_properties;

#[test]
fn no_line_of_the_corpus_is_taken_for_what_it_is_not() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/access_log");
    let mut files = 0;
    for entry in std::fs::read_dir(corpus).expect("a corpus") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
        files += 1;
        access_log_properties(&bytes);
        for position in 0..bytes.len() {
            access_log_properties(&bytes[..position]);
            let mut changed = bytes.clone();
            changed[position] = b"\n :-[]{}\"\\x\0\xff"[position % 13];
            access_log_properties(&changed);
        }
    }
    assert!(files >= 8, "{files} files");
}
