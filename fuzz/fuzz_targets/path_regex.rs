//! Regular expressions of paths.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| testkit::names::path_regex_properties(text));
