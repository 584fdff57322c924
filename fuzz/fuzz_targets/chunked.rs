//! Chunked bodies, both ways.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| wire::properties::chunked_properties(text));
