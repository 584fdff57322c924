//! Replays the corpora of the fuzz targets whose crates must not wait for this one, each text as it is and changed in one
//! place.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::Path;

/// What is put in place of each byte.
const BYTES: &[u8] = b":$,{}./ \0\r\n#=A\x80\xff";

#[test]
fn the_properties_of_htpasswd_hold_for_the_corpus_and_its_variations() {
    assert!(replay("htpasswd", testkit::passwords::htpasswd_properties) > 100 * BYTES.len());
}

#[test]
fn the_properties_of_fields_hold_for_the_corpus_and_its_variations() {
    assert!(replay("field_lines", testkit::fields::field_line_properties) > 100 * BYTES.len());
    assert!(replay("origins", testkit::fields::origin_properties) > 100 * BYTES.len());
}

/// The number of texts.
fn replay(target: &str, properties: impl Fn(&[u8])) -> usize {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut texts = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        for text in std::iter::once(text.clone()).chain(changed(&text)) {
            properties(&text);
            texts += 1;
        }
    }
    texts
}

/// Every text that differs in one place: a byte left out or replaced, and the text cut short.
fn changed(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..text.len()).flat_map(move |at| {
        let (before, after) = text.split_at(at);
        let rest = &after[1..];
        let shorter = [before.to_vec(), [before, rest].concat()];
        let replaced = BYTES.iter().map(move |byte| [before, &[*byte], rest].concat());
        shorter.into_iter().chain(replaced)
    })
}
