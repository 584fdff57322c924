//! Replays the corpora of the fuzz targets `host`, `path` and `path_regex`, each text as it is and changed in one place.

use std::path::Path;

use testkit::names::{host_properties, path_properties, path_regex_properties};

/// What is put in place of each byte, before it, and behind the last.
const BYTES: &[u8] = b"/\\.;%:@[]*-_aA0 \0\r\n\x7f\x80\xc0\xae\xff";

#[test]
fn the_properties_of_hosts_hold_for_the_corpus_and_its_variations() -> std::io::Result<()> {
    assert!(replay("host", host_properties)? > 40 * BYTES.len());
    Ok(())
}

#[test]
fn the_properties_of_paths_hold_for_the_corpus_and_its_variations() -> std::io::Result<()> {
    assert!(replay("path", path_properties)? > 40 * BYTES.len());
    Ok(())
}

#[test]
fn the_properties_of_patterns_hold_for_the_corpus_and_its_variations() -> std::io::Result<()> {
    assert!(replay("path_regex", path_regex_properties)? > 20 * BYTES.len());
    Ok(())
}

/// The number of texts.
fn replay(target: &str, properties: impl Fn(&[u8])) -> std::io::Result<usize> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut texts = 0;
    for entry in std::fs::read_dir(corpus)? {
        let text = std::fs::read(entry?.path())?;
        for text in std::iter::once(text.clone()).chain(changed(&text)) {
            properties(&text);
            texts += 1;
        }
    }
    Ok(texts)
}

/// Every text that differs in one place: a byte left out, doubled, replaced or inserted, and the text cut short.
fn changed(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..=text.len()).flat_map(move |at| {
        let (before, after) = text.split_at(at);
        let rest = after.get(1..).unwrap_or_default();
        let first = after.get(..1).unwrap_or_default();
        let shorter = [
            before.to_vec(),
            [before, rest].concat(),
            [before, first, after].concat(),
        ];
        let replaced = BYTES.iter().map(move |byte| [before, &[*byte], rest].concat());
        let inserted = BYTES.iter().map(move |byte| [before, &[*byte], after].concat());
        shorter.into_iter().chain(replaced).chain(inserted)
    })
}
