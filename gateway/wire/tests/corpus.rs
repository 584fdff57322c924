//! Replays the corpora of the fuzz targets for this crate, each text as it is, cut short, and changed at random.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use testkit::grammar::{
    chunked_properties, forwarded_properties, proxy_header_properties, request_properties,
    response_properties,
};

/// What a change puts in: bytes that mean something to some parser.
const BYTES: &[u8] = b"\r\n \t:,;=\"\\/?#%*@[]0159afAZ_-.\0\x7f\x80\xff";

#[test]
fn the_properties_of_request_heads_hold() {
    replay("request_head", request_properties);
}

#[test]
fn the_properties_of_response_heads_hold() {
    replay("response_head", response_properties);
}

#[test]
fn the_properties_of_chunked_bodies_hold() {
    replay("chunked", chunked_properties);
}

#[test]
fn the_properties_of_proxy_headers_hold() {
    replay("proxy_header", proxy_header_properties);
}

#[test]
fn the_properties_of_forwarded_fields_hold() {
    replay("forwarded", forwarded_properties);
}

fn replay(target: &str, properties: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let texts: Vec<Vec<u8>> = std::fs::read_dir(&corpus)
        .expect("a corpus")
        .map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a text"))
        .collect();
    assert!(texts.len() >= 20, "{target}: {} texts", texts.len());
    for text in &texts {
        for end in 0..=text.len() {
            properties(&text[..end]);
        }
    }
    let config = ProptestConfig {
        cases: 50_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let change = (any::<prop::sample::Index>(), prop::sample::select(BYTES), 0..3_u8);
    proptest!(config, |(text in prop::sample::select(texts), changes in prop::collection::vec(change, 1..4))| {
        changed(text, &changes, properties)?;
    });
}

fn changed(
    mut text: Vec<u8>,
    changes: &[(prop::sample::Index, u8, u8)],
    properties: fn(&[u8]),
) -> TestCaseResult {
    for (place, byte, how) in changes {
        let at = place.index(text.len() + 1);
        match how {
            0 => text.insert(at, *byte),
            1 if at < text.len() => text[at] = *byte,
            _ if at < text.len() => drop(text.remove(at)),
            _ => text.push(*byte),
        }
    }
    properties(&text);
    Ok(())
}
