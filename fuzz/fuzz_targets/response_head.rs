//! Response heads of backends.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| testkit::grammar::response_properties(text));
