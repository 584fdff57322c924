//! Request heads of clients.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| wire::properties::request_properties(text));
