//! Paths of requests and rules.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| route::properties::path_properties(text));
