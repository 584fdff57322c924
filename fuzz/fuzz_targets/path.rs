//! Paths of requests and rules.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| testkit::names::path_properties(text));
