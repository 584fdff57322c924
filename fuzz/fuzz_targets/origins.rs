//! Origins that CORS allows, and those of requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| testkit::fields::origin_properties(text));
