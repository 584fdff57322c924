//! Hosts of requests, handshakes, rules and restrictions.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| route::properties::host_properties(text));
