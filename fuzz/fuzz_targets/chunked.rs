//! Chunked bodies, both ways.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| testkit::grammar::chunked_properties(text));
