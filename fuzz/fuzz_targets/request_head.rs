//! Request heads of clients.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| testkit::grammar::request_properties(text));
