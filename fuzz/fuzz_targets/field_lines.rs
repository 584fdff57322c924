//! Fields that annotations write, one a line.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| testkit::fields::field_line_properties(text));
