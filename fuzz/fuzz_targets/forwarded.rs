//! `X-Forwarded-For` values.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| testkit::grammar::forwarded_properties(text));
