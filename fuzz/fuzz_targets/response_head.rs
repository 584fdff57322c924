//! Response heads of backends.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| wire::properties::response_properties(text));
